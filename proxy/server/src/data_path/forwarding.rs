//! What changes in headers on the way through.

use super::connection::Client;
use super::mirror;
use super::origin::FORWARDED_FOR;
use http::header::{
    CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderName, HeaderValue, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use serinus_routing::Variant;
use std::net::IpAddr;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const SYNTHETIC: HeaderName = HeaderName::from_static("x-synthetic");
const SYNTHETIC_SIGNATURE: HeaderName = HeaderName::from_static("x-synthetic-signature");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const CLIENT_SUBJECT: HeaderName = HeaderName::from_static("x-client-subject");
/// RFC 9440; nobody but us may speak of the client's certificate.
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const VARIANT: HeaderName = HeaderName::from_static("x-serinus-variant");

/// How the proxy's own probes name themselves.
const PROBE_AGENT: &[u8] = b"serinus-probe/";
const PROBE_BAGGAGE: &[u8] = b"synthetic_request";

/// Tells the upstream who asked for what, and takes off what only the proxy's probes may carry.
/// What a peer says of others is believed of trusted proxies only.
pub(crate) fn to_upstream(request: &mut RequestHeader, client: &Client) -> pingora::Result<()> {
    if !client.trusted {
        for name in &OTHERS_WORD {
            if request.headers.contains_key(name) {
                request.remove_header(name);
            }
        }
    }
    if let Some(address) = &client.address_text {
        let chain = request.headers.contains_key(FORWARDED_FOR);
        let value = if chain { appended(request, address) } else { address.clone() };
        request.insert_header(FORWARDED_FOR, value)?;
    }
    let said = request.headers.get(FORWARDED_PROTO).map(|scheme| scheme.as_bytes());
    if !matches!(said, Some(b"http" | b"https")) {
        let scheme = HeaderValue::from_static(if client.tls { "https" } else { "http" });
        request.insert_header(FORWARDED_PROTO, scheme)?;
    }
    if !request.headers.contains_key(FORWARDED_HOST)
        && let Some(host) = request.headers.get(HOST).cloned()
    {
        request.insert_header(FORWARDED_HOST, host)?;
    }
    if client.trusted && request.headers.contains_key(FORWARDED) {
        let element = forwarded_element(request, client);
        request.append_header(FORWARDED, element)?;
    }
    for name in [&CLIENT_SUBJECT, &CLIENT_CERT, &CLIENT_CERT_CHAIN] {
        if request.headers.contains_key(name) {
            request.remove_header(name);
        }
    }
    if let Some(certificate) = &client.handshake.certificate {
        request.insert_header(CLIENT_SUBJECT, certificate.subject.clone())?;
        request.insert_header(CLIENT_CERT, certificate.encoded.clone())?;
    }
    strip_marks(request)
}

/// What only a proxy can know: from anybody else it is a lie or a mistake.
const OTHERS_WORD: [HeaderName; 6] = [
    FORWARDED_FOR,
    FORWARDED_PROTO,
    FORWARDED_HOST,
    FORWARDED,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-real-ip"),
];

/// What this proxy adds to `Forwarded` (RFC 7239), where a trusted one has begun it.
fn forwarded_element(request: &RequestHeader, client: &Client) -> String {
    let by = match client.address {
        Some(IpAddr::V4(address)) => format!("for={address}"),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        None => "for=unknown".to_owned(),
    };
    let scheme = if client.tls { "https" } else { "http" };
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    host.map_or_else(
        || format!("{by};proto={scheme}"),
        |host| format!("{by};proto={scheme};host=\"{host}\""),
    )
}

/// The chain of proxies so far, in one line, and `address` at its end.
fn appended(request: &RequestHeader, address: &HeaderValue) -> HeaderValue {
    let mut chain = Vec::with_capacity(64);
    for line in request.headers.get_all(FORWARDED_FOR) {
        chain.extend_from_slice(line.as_bytes());
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(address.as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(chain)).unwrap_or_else(|_| address.clone())
}

fn strip_marks(request: &mut RequestHeader) -> pingora::Result<()> {
    for mark in [&SYNTHETIC, &SYNTHETIC_SIGNATURE, &mirror::MARK] {
        if request.headers.contains_key(mark) {
            request.remove_header(mark);
        }
    }
    let pretends = |agent: &HeaderValue| {
        let start = agent.as_bytes().get(..PROBE_AGENT.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(PROBE_AGENT))
    };
    if request.headers.get_all(USER_AGENT).iter().any(pretends) {
        request.remove_header(&USER_AGENT);
    }
    if request.headers.contains_key(BAGGAGE) {
        strip_baggage(request)?;
    }
    Ok(())
}

/// Removes the member that marks a probe and keeps the others (W3C Baggage: members are
/// separated by commas, their properties by semicolons).
fn strip_baggage(request: &mut RequestHeader) -> pingora::Result<()> {
    let marks = |member: &&[u8]| {
        let key = member.split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or_default();
        key.trim_ascii().eq_ignore_ascii_case(PROBE_BAGGAGE)
    };
    let lines = || {
        request
            .headers
            .get_all(BAGGAGE)
            .iter()
            .flat_map(|line| line.as_bytes().split(|b| *b == b','))
    };
    if !lines().any(|member| marks(&member)) {
        return Ok(());
    }
    let kept: Vec<&[u8]> =
        lines().filter(|member| !marks(member)).map(<[u8]>::trim_ascii).collect();
    let kept = kept.join(&b", "[..]);
    request.remove_header(&BAGGAGE);
    if !kept.is_empty() {
        request.insert_header(BAGGAGE, kept)?;
    }
    Ok(())
}

/// Takes off what only concerned the connection to the upstream (RFC 9110, 7.6.1). Trailers are
/// not passed on over HTTP/1.1, so they must not be announced either.
pub(crate) fn to_client(response: &mut ResponseHeader) -> pingora::Result<()> {
    // The version is that of this connection, not of the upstream's (RFC 9112, 2.3): chunks in
    // an answer that says HTTP/1.0 would be read as a body.
    if response.version == Version::HTTP_10 {
        response.set_version(Version::HTTP_11);
    }
    if response.status == 101 {
        return Ok(()); // the upgrade needs them
    }
    if let Some(connection) = response.remove_header(&CONNECTION) {
        for name in nominated(&connection).filter(may_be_nominated) {
            response.remove_header(&name);
        }
    }
    for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &TE, &TRAILER, &UPGRADE] {
        if response.headers.contains_key(name) {
            response.remove_header(name);
        }
    }
    say_length_once(response)
}

/// The fields that a `Connection` field names as its own.
pub(crate) fn nominated(connection: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let names = connection.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_option = |name: &&[u8]| {
        name.eq_ignore_ascii_case(b"close") || name.eq_ignore_ascii_case(b"keep-alive")
    };
    names.filter(move |name| !is_option(name)).filter_map(|name| HeaderName::from_bytes(name).ok())
}

/// Whether everybody sees the end of the answer in the same place, as far as a transfer coding goes: the
/// library passes others than `chunked` on and keeps the client's connection.
pub(crate) fn ends_plainly(response: &ResponseHeader) -> bool {
    let mut codings = response.headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}

/// Says a length once, and none where there is no body (RFC 9110, 8.6). Lengths that differ were refused.
fn say_length_once(response: &mut ResponseHeader) -> pingora::Result<()> {
    let mut lengths = response.headers.get_all(CONTENT_LENGTH).iter();
    let (first, second) = (lengths.next().cloned(), lengths.next().is_some());
    let Some(first) = first else { return Ok(()) };
    if response.status == StatusCode::NO_CONTENT {
        response.remove_header(&CONTENT_LENGTH);
    } else if second {
        response.insert_header(CONTENT_LENGTH, first)?;
    }
    Ok(())
}

/// What frames the message or belongs to the client is not for the upstream's connection to take.
fn may_be_nominated(name: &HeaderName) -> bool {
    use http::header::CONTENT_TYPE;
    ![CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, SET_COOKIE].contains(name)
}

/// Tells browsers to come back over TLS alone, unless the upstream has a word of its own on it.
pub(crate) fn add_hsts(response: &mut ResponseHeader, hsts: &HeaderValue) -> pingora::Result<()> {
    if response.headers.contains_key(STRICT_TRANSPORT_SECURITY) {
        return Ok(());
    }
    response.insert_header(STRICT_TRANSPORT_SECURITY, hsts.clone())
}

/// Says which variant answered.
pub(crate) fn expose_variant(
    response: &mut ResponseHeader,
    variant: Variant,
) -> pingora::Result<()> {
    response.insert_header(VARIANT, HeaderValue::from_static(variant.as_str()))
}

/// Gives the user a name.
pub(crate) fn set_cookie(
    response: &mut ResponseHeader,
    cookie: HeaderValue,
) -> pingora::Result<()> {
    response.append_header(SET_COOKIE, cookie).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From a client, and from a trusted proxy.
    fn forwarded(headers: &[(&'static str, &'static str)], tls: bool) -> RequestHeader {
        forwarded_by(headers, tls, false)
    }

    fn forwarded_by(
        headers: &[(&'static str, &'static str)],
        tls: bool,
        trusted: bool,
    ) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        let nobody = crate::data_path::networks::Networks::default();
        let client = Client::new(Some("192.0.2.9".parse().unwrap()), tls, &nobody);
        let client = Client { trusted, ..client };
        to_upstream(&mut request, &client).unwrap();
        request
    }

    fn lines<'a>(request: &'a RequestHeader, name: &str) -> Vec<&'a str> {
        request.headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
    }

    #[test]
    fn the_upstream_learns_who_asked() {
        let said = [
            ("host", "shop.test"),
            ("x-forwarded-for", "203.0.113.1"),
            ("x-forwarded-for", "203.0.113.2"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "front.test"),
            ("x-forwarded-port", "81"),
            ("x-real-ip", "203.0.113.3"),
            ("forwarded", "for=203.0.113.1"),
        ];
        for (trusted, name, expected) in [
            (false, "host", &["shop.test"][..]),
            (false, "x-forwarded-for", &["192.0.2.9"]),
            (false, "x-forwarded-proto", &["https"]),
            (false, "x-forwarded-host", &["shop.test"]),
            (false, "x-forwarded-port", &[]),
            (false, "x-real-ip", &[]),
            (false, "forwarded", &[]),
            (true, "x-forwarded-for", &["203.0.113.1, 203.0.113.2, 192.0.2.9"]),
            (true, "x-forwarded-proto", &["http"]),
            (true, "x-forwarded-host", &["front.test"]),
            (true, "x-real-ip", &["203.0.113.3"]),
            (
                true,
                "forwarded",
                &["for=203.0.113.1", "for=192.0.2.9;proto=https;host=\"shop.test\""],
            ),
        ] {
            let request = forwarded_by(&said, true, trusted);
            assert_eq!(lines(&request, name), expected, "{name}, trusted: {trusted}");
        }
        let strange = forwarded_by(&[("x-forwarded-proto", "gopher")], false, true);
        assert_eq!(lines(&strange, "x-forwarded-proto"), ["http"]);
    }

    #[test]
    fn a_client_cannot_pass_for_a_probe() {
        let request = forwarded(
            &[
                ("x-synthetic", "login/1"),
                ("user-agent", "Serinus-Probe/9 (me)"),
                ("baggage", "a=1;p=2,Synthetic_Request = true;x"),
                ("baggage", "synthetic_request=true, b=2"),
            ],
            false,
        );
        assert_eq!(lines(&request, "x-synthetic"), [""; 0]);
        assert_eq!(lines(&request, "user-agent"), [""; 0]);
        assert_eq!(lines(&request, "baggage"), ["a=1;p=2, b=2"]);
        let alone = forwarded(&[("baggage", "synthetic_request=true")], false);
        assert_eq!(lines(&alone, "baggage"), [""; 0]);
    }

    #[test]
    fn nobody_but_the_listener_speaks_of_a_clients_certificate() {
        let request = forwarded(
            &[
                ("x-client-subject", "CN=root"),
                ("client-cert", ":AAAA:"),
                ("client-cert-chain", ":AAAA:"),
            ],
            true,
        );
        for name in ["x-client-subject", "client-cert", "client-cert-chain"] {
            assert_eq!(lines(&request, name), [""; 0]);
        }
    }

    #[test]
    fn other_agents_and_baggage_pass_untouched() {
        let request = forwarded(
            &[("user-agent", "Mozilla/5.0 serinus-probe/1"), ("baggage", "k=synthetic_request")],
            false,
        );
        assert_eq!(lines(&request, "user-agent"), ["Mozilla/5.0 serinus-probe/1"]);
        assert_eq!(lines(&request, "baggage"), ["k=synthetic_request"]);
    }

    #[test]
    fn what_concerns_the_upstream_connection_stays_there() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("connection", "close, X-Hop, content-length"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("trailer", "x-sum"),
            ("content-length", "3"),
            ("etag", "a"),
        ] {
            response.append_header(name, value).unwrap();
        }
        to_client(&mut response).unwrap();
        let mut left: Vec<_> = response.headers.keys().map(|name| name.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "etag"]);
    }
}
