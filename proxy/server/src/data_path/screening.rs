//! Requests that go no further, because two servers could read them differently.
//!
//! Pingora has already refused broken request lines and header fields, several or differing
//! `Host`, ambiguous targets, and framing that contradicts itself; these are the rest.

use http::header::{HOST, TRANSFER_ENCODING};
use http::{Method, Version};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::authority::{RawTargetAuthority, raw_target_authority};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) u16);

/// Whether the request may be forwarded.
pub(crate) fn screen(session: &ServerSession) -> Result<(), Refusal> {
    let request = session.req_header();
    if matches!(request.method, Method::TRACE | Method::CONNECT) {
        return Err(Refusal(405));
    }
    if request.version == Version::HTTP_11
        && !request.headers.contains_key(HOST)
        && raw_target_authority(request.raw_path()).authority().is_none()
    {
        return Err(Refusal(400));
    }
    // Pingora drops the length where both are there, so only the raw bytes tell.
    if request.headers.contains_key(TRANSFER_ENCODING)
        && session.as_http1().is_some_and(|http1| has_length(&http1.get_headers_raw_bytes()))
    {
        return Err(Refusal(400));
    }
    Ok(())
}

fn has_length(raw: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    raw.split(|byte| *byte == b'\n').any(|line| {
        line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
            && matches!(line.get(NAME.len()), Some(b':' | b' ' | b'\t'))
    })
}

/// Turns `GET http://host/path` into `GET /path` with that host.
pub(crate) fn to_origin_form(request: &mut RequestHeader) -> pingora::Result<()> {
    if request.raw_path().first() == Some(&b'/') {
        return Ok(());
    }
    let RawTargetAuthority::Absolute { authority, path_and_query, .. } =
        raw_target_authority(request.raw_path())
    else {
        return Ok(()); // `*`, or HTTP/2, whose path is apart from its authority
    };
    let mut target = path_and_query.to_vec();
    if target.first() != Some(&b'/') {
        target.insert(0, b'/');
    }
    let host = (!request.headers.contains_key(HOST)).then(|| authority.to_vec());
    request.set_raw_path(&target)?;
    if let Some(host) = host {
        request.insert_header(HOST, host)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_seen_whatever_its_case() {
        assert!(has_length(b"POST / HTTP/1.1\r\nHost: a\r\nCONTENT-length: 5\r\n\r\n"));
        assert!(!has_length(b"POST / HTTP/1.1\r\nx-content-length: 5\r\nHost: a\r\n\r\n"));
    }

    #[test]
    fn the_absolute_form_becomes_the_origin_form() {
        for (target, path) in [
            ("http://shop.test/a?b=1", "/a?b=1"),
            ("http://shop.test", "/"),
            ("http://shop.test?q", "/?q"),
            ("/as/it/is", "/as/it/is"),
            ("*", "*"),
        ] {
            let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
            to_origin_form(&mut request).unwrap();
            assert_eq!(request.raw_path(), path.as_bytes());
            let host = request.headers.get(HOST).map(|host| host.as_bytes());
            assert_eq!(host, target.starts_with("http").then_some(&b"shop.test"[..]));
        }
    }
}
