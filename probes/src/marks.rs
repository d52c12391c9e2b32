//! What tells a probe's request from a user's.

use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};

/// `serinus-probe/VERSION`
pub const PROBE_AGENT: &str = concat!("serinus-probe/", env!("CARGO_PKG_VERSION"));

const SYNTHETIC: HeaderName = HeaderName::from_static("x-synthetic");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Marks one request of a run. What the definition says about these headers does not count: a
/// probe cannot pass for a user.
///
/// `trace` is the run's W3C trace id; the span is the request's own.
pub(crate) fn mark(headers: &mut HeaderMap, probe: &str, run: &str, trace: u128) {
    let span = fastrand::u64(1..);
    headers.insert(USER_AGENT, HeaderValue::from_static(PROBE_AGENT));
    headers.insert(SYNTHETIC, visible(&format!("{probe}/{run}")));
    headers.insert(TRACE_PARENT, visible(&format!("00-{trace:032x}-{span:016x}-01")));
    headers.insert(BAGGAGE, HeaderValue::from_static("synthetic_request=true"));
}

/// Whether a header, in lower case, is one of the marks.
pub(crate) fn is_mark(name: &str) -> bool {
    [USER_AGENT, SYNTHETIC, TRACE_PARENT, BAGGAGE].iter().any(|mark| mark.as_str() == name)
}

/// Text as a header value; what a header cannot carry becomes `_`.
fn visible(text: &str) -> HeaderValue {
    let text: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    // Only graphic ASCII is left, which every header may carry.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("serinus"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_replace_what_the_definition_set_and_stand_once() {
        let mut headers = HeaderMap::new();
        headers.append(USER_AGENT, HeaderValue::from_static("Mozilla/5.0"));
        headers.append(BAGGAGE, HeaderValue::from_static("a=b"));
        mark(&mut headers, "log in\n", "00ff", 0xabc);
        assert_eq!(headers[USER_AGENT], PROBE_AGENT);
        assert_eq!(headers[SYNTHETIC], "log_in_/00ff");
        assert_eq!(headers.get_all(BAGGAGE).iter().count(), 1);
        assert_eq!(headers[BAGGAGE], "synthetic_request=true");
        let parent = headers[TRACE_PARENT].to_str().unwrap();
        let pattern = "^00-00000000000000000000000000000abc-[0-9a-f]{16}-01$";
        assert!(regex::Regex::new(pattern).unwrap().is_match(parent), "{parent}");
    }
}
