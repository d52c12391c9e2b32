//! What tells a probe's request from a user's, and the signature that proves it.

use http::Method;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use ring::hmac;
use std::fmt;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// `serinus-probe/VERSION`
pub const PROBE_AGENT: &str = concat!("serinus-probe/", env!("CARGO_PKG_VERSION"));

const SYNTHETIC: HeaderName = HeaderName::from_static("x-synthetic");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const SIGNATURE: HeaderName = HeaderName::from_static("x-synthetic-signature");

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
    headers.remove(SIGNATURE);
}

/// Signs marked requests, so that an upstream can trust the mark whatever lies between.
pub struct Signer(hmac::Key);

impl Signer {
    /// With this key.
    pub fn new(key: &[u8]) -> Signer {
        Signer(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Adds `x-synthetic-signature: t=SECONDS,v1=HEX`: HMAC-SHA256 over the lines `SECONDS`, method, host,
    /// path with query, and what `x-synthetic` says.
    pub(crate) fn sign(&self, headers: &mut HeaderMap, method: &Method, path: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if let Ok(value) = HeaderValue::from_str(&self.signature(now, headers, method, path)) {
            headers.insert(SIGNATURE, value);
        }
    }

    fn signature(&self, now: u64, headers: &HeaderMap, method: &Method, path: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{now}\n{method}\n").as_bytes());
        context.update(headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes));
        context.update(format!("\n{path}\n").as_bytes());
        context.update(headers.get(SYNTHETIC).map_or(&b""[..], HeaderValue::as_bytes));
        let mut text = format!("t={now},v1=");
        for byte in context.sign().as_ref() {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// Whether a header, in lower case, is one of the marks.
pub(crate) fn is_mark(name: &str) -> bool {
    [USER_AGENT, SYNTHETIC, TRACE_PARENT, BAGGAGE, SIGNATURE]
        .iter()
        .any(|mark| mark.as_str() == name)
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

    #[test]
    fn a_signature_is_what_any_other_hmac_makes_of_the_same_lines() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("shop.test"));
        headers.insert(SYNTHETIC, HeaderValue::from_static("login/00ff"));
        headers.insert(SIGNATURE, HeaderValue::from_static("t=0,v1=forged"));
        let signer = Signer::new(b"key");
        // openssl dgst -sha256 -hmac key, over "1700000000\nPOST\nshop.test\n/cart?a=1\nlogin/00ff"
        let expected =
            "t=1700000000,v1=c866d4fd65cd9f7c3c239c6a7906b6c1518cc9ef42a6a908b55f3540ef0f099d";
        let made = signer.signature(1_700_000_000, &headers, &Method::POST, "/cart?a=1");
        assert_eq!(made, expected);
        signer.sign(&mut headers, &Method::POST, "/cart?a=1");
        assert_eq!(headers.get_all(SIGNATURE).iter().count(), 1);
        assert_ne!(headers[SIGNATURE], "t=0,v1=forged");
        assert_eq!(format!("{signer:?}"), "Signer");
    }
}
