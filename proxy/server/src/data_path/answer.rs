//! Answers that the proxy gives itself: short, and without naming the software.

use super::connection::Connection;
use super::forwarding;
use super::quality::quality;
use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    LOCATION,
};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serinus_routing::{Redirect, Scheme, Visited};

/// What is said with 405: every method is let through but two.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Answers with `status`, in JSON where the client prefers it.
///
/// # Errors
/// The client is gone.
pub(crate) async fn give(session: &mut Session, status: u16) -> pingora::Result<()> {
    give_with(session, status, Vec::new()).await
}

/// The same, with some fields more.
///
/// # Errors
/// The client is gone.
pub(crate) async fn give_with(
    session: &mut Session,
    status: u16,
    fields: Vec<(HeaderName, HeaderValue)>,
) -> pingora::Result<()> {
    let json = session.get_header(ACCEPT).is_some_and(|accept| prefers_json(accept.as_bytes()));
    let (kind, body) = page(status, json);
    send(session, status, fields, kind, body).await
}

/// Answers 200 with this text.
///
/// # Errors
/// The client is gone.
pub(crate) async fn page_of(session: &mut Session, text: String) -> pingora::Result<()> {
    send(session, 200, Vec::new(), "application/octet-stream", text).await
}

/// Sends the client to `location`.
///
/// # Errors
/// The client is gone.
pub(crate) async fn redirect(
    session: &mut Session,
    status: u16,
    location: String,
) -> pingora::Result<()> {
    let location = HeaderValue::try_from(location).ok();
    let Some(location) = location else { return give(session, 400).await };
    let (kind, body) = ("text/plain; charset=utf-8", String::new());
    send(session, status, vec![(LOCATION, location)], kind, body).await
}

/// What the listener says of TLS stands in the answers of the proxy, too: a redirect is all that many
/// a browser ever sees of a name.
pub(crate) fn add_hsts(session: &Session, header: &mut ResponseHeader) -> pingora::Result<()> {
    match Connection::of(session).and_then(|connection| connection.client.handshake.hsts.clone()) {
        Some(hsts) => forwarding::add_hsts(header, &hsts),
        None => Ok(()),
    }
}

async fn send(
    session: &mut Session,
    status: u16,
    fields: Vec<(HeaderName, HeaderValue)>,
    kind: &'static str,
    body: String,
) -> pingora::Result<()> {
    let mut header = ResponseHeader::build(status, Some(4))?;
    header.insert_header(CONTENT_TYPE, HeaderValue::from_static(kind))?;
    header.insert_header(CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    header.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    for (name, value) in fields {
        header.append_header(name, value)?;
    }
    if status == 405 {
        header.insert_header(ALLOW, HeaderValue::from_static(METHODS))?;
    }
    add_hsts(session, &mut header)?;
    let bodyless = body.is_empty() || session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(header), bodyless).await?;
    if !bodyless {
        session.write_response_body(Some(Bytes::from(body)), true).await?;
    }
    Ok(())
}

/// Sends the client to the same place over HTTPS, for good and with the same method.
///
/// # Errors
/// The client is gone.
pub(crate) async fn send_to_https(session: &mut Session, port: u16) -> pingora::Result<()> {
    let request = session.req_header();
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (path, query) = (request.uri.path(), request.uri.query());
    // HTTP/1.0 without Host, or what names no place.
    let is_a_place = !host.is_empty() && request.raw_path().first() == Some(&b'/');
    let visited = Visited { scheme: Scheme::Http, host, path, query };
    let place = is_a_place.then(|| Redirect::to_https(Some(port)).location(&visited));
    let Some(place) = place.and_then(|place| HeaderValue::try_from(place).ok()) else {
        return give(session, 400).await;
    };
    let mut header = ResponseHeader::build(StatusCode::PERMANENT_REDIRECT, Some(2))?;
    header.insert_header(LOCATION, place)?;
    header.insert_header(CONTENT_LENGTH, HeaderValue::from_static("0"))?;
    session.write_response_header(Box::new(header), true).await
}

/// The same as bytes, for a request that never became one; the connection is closed after it.
pub(crate) fn bytes(status: u16, received: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"accept:";
    let json = received.split(|byte| *byte == b'\n').any(|line| {
        line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
            && prefers_json(&line[NAME.len()..])
    });
    let (kind, body) = page(status, json);
    let allow = if status == 405 { format!("allow: {METHODS}\r\n") } else { String::new() };
    format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n{allow}\
         cache-control: no-store\r\nconnection: close\r\n\r\n{body}",
        reason(status),
        body.len()
    )
    .into_bytes()
}

fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

/// The type and the text of an answer.
fn page(status: u16, json: bool) -> (&'static str, String) {
    let reason = reason(status);
    if json {
        ("application/json", format!("{{\"status\":{status},\"error\":\"{reason}\"}}\n"))
    } else {
        ("text/plain; charset=utf-8", format!("{status} {reason}\n"))
    }
}

/// JSON named, and neither HTML nor plain text liked better, or as much and named before it.
fn prefers_json(accept: &[u8]) -> bool {
    let mut best = (0.0, false);
    for kind in std::str::from_utf8(accept).unwrap_or_default().split(',') {
        let mut parts = kind.split(';').map(str::trim);
        let is_json = match parts.next().unwrap_or_default() {
            "text/html" | "text/plain" => false,
            "application/json" => true,
            kind if kind.ends_with("+json") => true,
            _ => continue,
        };
        let weight = quality(parts);
        if weight > best.0 {
            best = (weight, is_json);
        }
    }
    best.1
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
            ("application/json;q=0.5, text/plain", false),
            ("text/html; q=0.2, application/json;charset=utf-8;q=0.9", true),
            ("application/json;q=0", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(prefers_json(accept.as_bytes()), json, "{accept}");
        }
    }
}
