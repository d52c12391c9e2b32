//! One line of an access log as a request.

use serde_json::Value;
use std::borrow::Cow;

/// What a line tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'l> {
    /// The route's name; `all` where the log has none.
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
        None => of_text(line).or_else(|| of_combined(line)),
    }
}

/// `{"target":"access","method":"GET","path":"/","status":200,"route":"shop",...}`, or with these in `fields`.
fn of_json(text: &str) -> Option<Request<'static>> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    if value["target"] != "access" {
        return None;
    }
    if value["fields"].is_object() {
        value = value["fields"].take();
    }
    let text = |name: &str| value[name].as_str().map(|text| Cow::Owned(text.to_owned()));
    Some(Request {
        route: text("route")?,
        method: text("method")?,
        path: text("path")?,
        status: u16::try_from(value["status"].as_u64()?).ok()?,
    })
}

/// `2026-11-26T14:00:00Z  INFO access: method="GET" path="/" status=200 route="shop" ...`
fn of_text(line: &str) -> Option<Request<'_>> {
    let (_, fields) = line.split_once(" access: ")?;
    let field = |name: &str| {
        let (_, rest) = fields.split_once(&format!("{name}="))?;
        match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest.split(' ').next(),
        }
    };
    Some(Request {
        route: field("route")?.into(),
        method: field("method")?.into(),
        path: field("path")?.into(),
        status: field("status")?.parse().ok()?,
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
    Some(Request { route: "all".into(), method: method.into(), path: path.into(), status })
}
