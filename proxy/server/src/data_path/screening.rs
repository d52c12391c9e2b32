//! Requests that go no further, because two servers could read them differently.
//!
//! Of HTTP/1 the [`intake`](super::intake) has read every byte; of HTTP/2 the library has refused
//! broken frames, fields and authorities. What both have in common is looked at here.

use super::connection::Terms;
use super::intake::is_authority;
use super::paths;
use super::rejection::Reason;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Version};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::authority::{RawTargetAuthority, raw_target_authority};
use serinus_config::Underscores;

/// Whether the request may be forwarded, and in which form.
pub(crate) fn screen(session: &mut ServerSession, terms: &Terms) -> Result<(), Reason> {
    let request = session.req_header();
    if matches!(request.method, Method::TRACE | Method::CONNECT) {
        return Err(Reason::Method);
    }
    if request.version == Version::HTTP_2 {
        screen_http2(request, terms)?;
    }
    let request = session.req_header_mut();
    to_origin_form(request).map_err(|_| Reason::Target)?;
    to_plain_path(request, terms)
}

/// What the bounds of a header in bytes mean for one that came as fields (RFC 9113, 6.5.2: the
/// size of a field is that of name and value and 32).
fn screen_http2(request: &RequestHeader, terms: &Terms) -> Result<(), Reason> {
    let bounds = &terms.bounds;
    if request.raw_path().len() > bounds.target {
        return Err(Reason::TargetTooLong);
    }
    if request.headers.len() > bounds.fields {
        return Err(Reason::TooManyFields);
    }
    let size = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + 4 // a colon, a space and the line's end
    };
    if request.headers.iter().map(size).sum::<usize>() > bounds.header {
        return Err(Reason::HeaderTooLarge);
    }
    let host = request.headers.get(HOST).map(|host| host.as_bytes());
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    if !host.or(authority).is_some_and(is_authority) {
        return Err(Reason::Host);
    }
    if request.headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Reason::Length);
    }
    let has_underscore = |name: &http::HeaderName| name.as_str().contains('_');
    if terms.screening.underscores == Underscores::Reject
        && request.headers.keys().any(has_underscore)
    {
        return Err(Reason::Underscore);
    }
    Ok(())
}

/// Turns `GET http://host/path` into `GET /path`: the host is that of `Host`.
fn to_origin_form(request: &mut RequestHeader) -> pingora::Result<()> {
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

fn to_plain_path(request: &mut RequestHeader, terms: &Terms) -> Result<(), Reason> {
    let target = request.raw_path();
    if target.first() != Some(&b'/') {
        return Ok(()); // `*`
    }
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let Some(mut plain) = paths::plain(&target[..end], &terms.screening)? else { return Ok(()) };
    plain.extend_from_slice(&target[end..]);
    // A target without its authority would lose the host that HTTP/2 names there.
    let authority = request.uri.authority().map(|authority| authority.as_str().to_owned());
    if let Some(authority) = authority.filter(|_| !request.headers.contains_key(HOST)) {
        request.insert_header(HOST, authority).map_err(|_| Reason::Host)?;
    }
    request.set_raw_path(&plain).map_err(|_| Reason::Path)
}

/// Leaves out fields that CGI would take for others.
pub(crate) fn drop_underscores(request: &mut RequestHeader) {
    let names: Vec<_> =
        request.headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_plain_path_keeps_query_and_host() {
        let terms = Terms::default();
        let mut request = RequestHeader::build("GET", b"/a/../b?c=/../d", None).unwrap();
        to_plain_path(&mut request, &terms).unwrap();
        assert_eq!(request.raw_path(), b"/b?c=/../d");
    }
}
