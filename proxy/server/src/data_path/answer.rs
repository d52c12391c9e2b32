//! Answers that the proxy gives itself: short, and without naming the software.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

/// Answers with `status`, in JSON where the client prefers it.
///
/// # Errors
/// The client is gone.
pub(crate) async fn give(session: &mut Session, status: u16) -> pingora::Result<()> {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let reason = reason.unwrap_or("Error");
    let json = session.get_header(ACCEPT).is_some_and(prefers_json);
    let (kind, body) = if json {
        ("application/json", format!("{{\"status\":{status},\"error\":\"{reason}\"}}\n"))
    } else {
        ("text/plain; charset=utf-8", format!("{status} {reason}\n"))
    };
    let mut header = ResponseHeader::build(status, Some(4))?;
    header.insert_header(CONTENT_TYPE, HeaderValue::from_static(kind))?;
    header.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    let bodyless = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(header), bodyless).await?;
    if !bodyless {
        session.write_response_body(Some(Bytes::from(body)), true).await?;
    }
    Ok(())
}

/// JSON named, and HTML or plain text not named before it.
fn prefers_json(accept: &HeaderValue) -> bool {
    let kinds = accept.as_bytes().split(|byte| *byte == b',');
    kinds
        .map(|kind| kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii())
        .find_map(|kind| match kind {
            b"text/html" | b"text/plain" => Some(false),
            b"application/json" => Some(true),
            _ if kind.ends_with(b"+json") => Some(true),
            _ => None,
        })
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_to_those_who_ask_for_it() {
        for (accept, json) in [
            ("application/json", true),
            ("application/problem+json;q=0.9, */*", true),
            ("text/html,application/xhtml+xml,application/json;q=0.5", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(prefers_json(&HeaderValue::from_static(accept)), json, "{accept}");
        }
    }
}
