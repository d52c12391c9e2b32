//! Who a request comes from, and by what it can be found again: the client behind trusted proxies,
//! the request's id, and the W3C trace context.

use super::connection::{Client, Terms};
use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use std::net::{IpAddr, SocketAddr};

pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Longest request id that is kept.
const LONGEST_ID: usize = 128;
/// Most proxies in a chain that are looked at.
const MOST_PROXIES: usize = 64;

/// The client's address: that of the connection, or the one that trusted proxies name.
pub(crate) fn client(peer: &Client, terms: &Terms, headers: &HeaderMap) -> Option<IpAddr> {
    if !peer.trusted {
        return peer.address;
    }
    let lines = |name: &HeaderName| headers.get_all(name).iter().rev();
    let mut named = peer.address;
    // From the nearest proxy on: whoever is not trusted is the client, whatever is said before.
    if headers.contains_key(FORWARDED_FOR) {
        let hops = lines(&FORWARDED_FOR)
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
            .map(|hop| address(hop.trim_ascii()));
        walk(hops, terms, &mut named);
    } else {
        let hops = lines(&FORWARDED)
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
            .map(forwarded_for);
        walk(hops, terms, &mut named);
    }
    named
}

fn walk(hops: impl Iterator<Item = Option<IpAddr>>, terms: &Terms, named: &mut Option<IpAddr>) {
    for hop in hops.take(MOST_PROXIES) {
        let Some(hop) = hop else { return }; // hidden or wrong: no further
        *named = Some(hop);
        if !terms.trusted.holds(hop) {
            return;
        }
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// The `for` of one element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let pairs = element.split(|byte| *byte == b';');
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| {
        let (name, value) = (pair.get(..4)?, pair.get(4..)?);
        if !name.eq_ignore_ascii_case(b"for=") {
            return None;
        }
        let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        address(quoted.unwrap_or(value))
    })
}

/// Gives a request an id. That of a trusted proxy is kept.
pub(crate) fn identify(request: &mut RequestHeader, trusted: bool) -> pingora::Result<()> {
    let kept = trusted && request.headers.get(REQUEST_ID).is_some_and(is_id);
    if !kept {
        let id = format!("{:032x}", fastrand::u128(..));
        request.insert_header(REQUEST_ID, id)?;
    }
    Ok(())
}

/// Passes a trace on with a new parent, or begins one, that nobody records here.
pub(crate) fn pass_trace_on(request: &mut RequestHeader) -> pingora::Result<()> {
    let parent = fastrand::u64(1..);
    let passed = request.headers.get(TRACEPARENT).and_then(trace);
    let traceparent = match passed {
        Some((trace, flags)) => format!("00-{trace}-{parent:016x}-{flags}"),
        None => {
            request.remove_header(&TRACESTATE); // it belonged to no trace
            format!("00-{:032x}-{parent:016x}-01", fastrand::u128(1..))
        }
    };
    request.insert_header(TRACEPARENT, traceparent)
}

/// The trace that a request came with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) trace: u128,
    /// The span whose child the request is.
    pub(crate) span: u64,
    /// Two hexadecimal digits.
    pub(crate) flags: String,
    /// Its parent is recorded.
    pub(crate) sampled: bool,
}

/// What a `traceparent` says.
pub(crate) fn parent(traceparent: &HeaderValue) -> Option<Passed> {
    let (trace, flags) = trace(traceparent)?;
    Some(Passed {
        trace: u128::from_str_radix(&trace, 16).ok()?,
        span: u64::from_str_radix(traceparent.to_str().ok()?.split('-').nth(2)?, 16).ok()?,
        sampled: u8::from_str_radix(&flags, 16).ok()? & 1 == 1,
        flags,
    })
}

fn is_id(id: &HeaderValue) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// The trace and the flags of a `traceparent` (W3C Trace Context, 3.2).
fn trace(traceparent: &HeaderValue) -> Option<(String, String)> {
    let text = traceparent.to_str().ok()?;
    let mut parts = text.splitn(5, '-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (parent, flags, more) = (parts.next()?, parts.next()?, parts.next());
    let hex = |text: &str, length: usize| {
        text.len() == length
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let fine = hex(version, 2)
        && version != "ff"
        && (version != "00" || more.is_none()) // later versions may say more
        && hex(trace, 32)
        && set(trace)
        && hex(parent, 16)
        && set(parent)
        && hex(flags, 2);
    fine.then(|| (trace.to_owned(), flags.to_owned()))
}

/// The trace that a request belongs to.
pub(crate) fn trace_of(headers: &HeaderMap) -> Option<String> {
    headers.get(TRACEPARENT).and_then(trace).map(|(trace, _)| trace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_config::parse;
    use std::path::Path;

    fn terms() -> Terms {
        let text = "[listener.a]\naddress = \"127.0.0.1:0\"\n\
                    identity = { trusted_proxies = [\"10.0.0.0/8\"], request_id = true, trace_context = true }\n\
                    [route.a]\nservice = \"a\"\n[service.a.stable]\nendpoints = [\"a:1\"]\n";
        Terms::new(&parse(text, Path::new("s.toml")).unwrap().listeners[0])
    }

    fn client_of(peer: &str, fields: &[(&'static str, &'static str)]) -> String {
        let terms = terms();
        let peer = Client::new(Some(peer.parse().unwrap()), false, &terms.trusted);
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        client(&peer, &terms, &headers).unwrap().to_string()
    }

    #[test]
    fn trusted_proxies_name_the_client_and_nobody_else_does() {
        const FOR: &str = "x-forwarded-for";
        assert_eq!(client_of("192.0.2.1", &[(FOR, "203.0.113.9")]), "192.0.2.1");
        assert_eq!(client_of("10.0.0.1", &[(FOR, "203.0.113.9")]), "203.0.113.9");
        // What the client itself wrote comes before what the first trusted proxy saw.
        assert_eq!(
            client_of("10.0.0.1", &[(FOR, "6.6.6.6, 203.0.113.9, 10.0.0.2")]),
            "203.0.113.9"
        );
        assert_eq!(
            client_of("10.0.0.1", &[(FOR, "6.6.6.6"), (FOR, "203.0.113.9:81")]),
            "203.0.113.9"
        );
        assert_eq!(client_of("10.0.0.1", &[(FOR, "203.0.113.9, unknown, 10.0.0.2")]), "10.0.0.2");
        assert_eq!(client_of("10.0.0.1", &[(FOR, "10.0.0.3, 10.0.0.2")]), "10.0.0.3");
        assert_eq!(client_of("10.0.0.1", &[]), "10.0.0.1");
        let forwarded = "for=6.6.6.6, For=\"[2001:db8::9]:80\";proto=https, by=x;for=10.0.0.2";
        assert_eq!(client_of("10.0.0.1", &[("forwarded", forwarded)]), "2001:db8::9");
        assert_eq!(client_of("10.0.0.1", &[("forwarded", "for=_hidden")]), "10.0.0.1");
    }

    fn named(trusted: bool, fields: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            request.insert_header(*name, *value).unwrap();
        }
        identify(&mut request, trusted).unwrap();
        pass_trace_on(&mut request).unwrap();
        request
    }

    fn field<'a>(request: &'a RequestHeader, name: &str) -> &'a str {
        request.headers.get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn an_id_is_kept_from_trusted_proxies_only() {
        let id = [("x-request-id", "abc-123")];
        assert_eq!(field(&named(true, &id), "x-request-id"), "abc-123");
        let made = named(false, &id);
        let made = field(&made, "x-request-id");
        assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        let strange = named(true, &[("x-request-id", "a b")]);
        assert_eq!(field(&strange, "x-request-id").len(), 32);
    }

    #[test]
    fn a_trace_goes_on_with_a_new_parent_or_begins() {
        let passed = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let request = named(false, &[("traceparent", passed), ("tracestate", "a=b")]);
        let went_on = field(&request, "traceparent");
        assert!(went_on.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{went_on}");
        assert!(went_on.ends_with("-00") && went_on != passed, "{went_on}");
        let expected = Passed {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span: 0x00f0_67aa_0ba9_02b7,
            flags: "00".into(),
            sampled: false,
        };
        assert_eq!(parent(&HeaderValue::from_static(passed)), Some(expected));
        assert_eq!(field(&request, "tracestate"), "a=b");
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            let request = named(false, &[("traceparent", bad), ("tracestate", "a=b")]);
            let made = HeaderValue::from_str(field(&request, "traceparent")).unwrap();
            assert!(trace(&made).is_some(), "{made:?}");
            assert!(!field(&request, "traceparent").contains("4bf92f"), "{bad}");
            assert!(!request.headers.contains_key("tracestate"), "{bad}");
        }
    }
}
