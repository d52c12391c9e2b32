//! One line of an access log as a request.

use serde_json::Value;
use std::borrow::Cow;

/// What the route is called where a log has none.
pub(super) const UNNAMED: &str = "all";

/// What a line tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'l> {
    /// The route's name; [`UNNAMED`] where the log has none.
    pub(super) route: Cow<'l, str>,
    pub(super) method: Cow<'l, str>,
    /// As it was asked for.
    pub(super) path: Cow<'l, str>,
    pub(super) status: u16,
}

/// The request of a line; none for other lines, and for requests of probes.
pub(super) fn request(line: &str) -> Option<Request<'_>> {
    let line = line.trim();
    if line.contains("serinus-probe/") {
        return None;
    }
    match line.find('{').filter(|_| line.ends_with('}')) {
        Some(at) => of_json(&line[at..]),
        None => of_combined(line),
    }
}

/// `{"time":"...","method":"GET","path":"/","status":200,"route":"shop",...}`; what was turned away is no demand.
fn of_json(text: &str) -> Option<Request<'static>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let text = |name: &str| value[name].as_str().map(|text| Cow::Owned(text.to_owned()));
    if !value["rejected"].is_null() {
        return None;
    }
    Some(Request {
        route: text("route").unwrap_or(UNNAMED.into()),
        method: text("method")?,
        path: text("path")?,
        status: u16::try_from(value["status"].as_u64()?).ok()?,
    })
}

/// `1.2.3.4 - - [26/Nov/2026:14:00:00 +0000] "GET /a?b HTTP/1.1" 200 512 "-" "Mozilla/5.0"`
fn of_combined(line: &str) -> Option<Request<'_>> {
    let (_, rest) = line.split_once("] \"")?;
    let (asked, rest) = rest.split_once("\" ")?;
    let mut words = asked.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    if !path.starts_with('/') || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let status = rest.split(' ').next()?.parse().ok()?;
    Some(Request { route: UNNAMED.into(), method: method.into(), path: path.into(), status })
}
