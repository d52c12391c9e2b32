//! Spans as OTLP writes them in JSON: ids in hexadecimal digits, 64-bit numbers as text.

use super::{Attempt, Finished};
use crate::data_path::totals::Ending;
use http::Version;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// SPAN_KIND_SERVER, SPAN_KIND_CLIENT
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// STATUS_CODE_ERROR
const ERROR: u8 = 2;

/// The message for all of these requests.
pub(super) fn message(service_name: &str, finished: &[Finished]) -> Vec<u8> {
    let spans: Vec<Value> = finished.iter().flat_map(spans).collect();
    let resource = [text("service.name", service_name), text("service.version", VERSION)];
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{
            "scope": { "name": "serinus", "version": VERSION },
            "spans": spans,
        }],
    }] })
    .to_string()
    .into_bytes()
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Spans of one request.
pub(super) fn count(finished: &Finished) -> u64 {
    1 + finished.attempts.len() as u64
}

fn spans(finished: &Finished) -> Vec<Value> {
    let server = server(finished);
    let attempts = finished.attempts.iter().enumerate();
    std::iter::once(server)
        .chain(attempts.map(|(at, attempt)| client(finished, at, attempt)))
        .collect()
}

fn server(finished: &Finished) -> Value {
    let method = finished.method.as_str();
    let mut attributes = vec![
        text("http.request.method", method),
        text("url.scheme", if finished.tls { "https" } else { "http" }),
        text("url.path", &finished.path),
        text("network.protocol.version", version(finished.version)),
    ];
    if let Some(host) = &finished.host {
        let (name, port) = split_port(host);
        attributes.push(text("server.address", name));
        attributes.extend(port.map(|port| number("server.port", port)));
    }
    attributes.extend(finished.client.map(|client| text("client.address", &client.to_string())));
    let agent = finished.user_agent.as_ref().and_then(|agent| agent.to_str().ok());
    attributes.extend(agent.map(|agent| text("user_agent.original", agent)));
    if finished.status > 0 {
        attributes.push(number("http.response.status_code", finished.status));
    }
    if let Some((route, service)) = &finished.route {
        attributes.push(text("serinus.route", route));
        attributes.push(text("serinus.service", service));
    }
    attributes.extend(finished.variant.map(|variant| text("serinus.variant", variant.as_str())));
    attributes.extend(finished.rejected.map(|why| text("serinus.rejected", why.as_str())));
    if finished.shielded {
        attributes.push(truth("serinus.shielded"));
    }
    if finished.client_gone {
        attributes.push(truth("serinus.client_gone"));
    }
    // A fault of the client is none of the server's.
    let failed = finished.status >= 500;
    if failed {
        attributes.push(text("error.type", &finished.status.to_string()));
    }
    let name = match &finished.route {
        Some((route, _)) => format!("{method} {route}"),
        None => method.to_owned(),
    };
    let times = (finished.began.1, finished.ended);
    let mut span = span(finished, finished.span, finished.parent, &name, SERVER, times);
    span["attributes"] = Value::Array(attributes);
    if let Some(state) = finished.state.as_ref().and_then(|state| state.to_str().ok()) {
        span["traceState"] = json!(state);
    }
    if failed {
        span["status"] = json!({ "code": ERROR });
    }
    span
}

fn client(finished: &Finished, at: usize, attempt: &Attempt) -> Value {
    let method = finished.method.as_str();
    let mut attributes = vec![
        text("http.request.method", method),
        text("serinus.variant", attempt.variant.as_str()),
    ];
    if let Some(endpoint) = attempt.endpoint {
        attributes.push(text("server.address", &endpoint.ip().to_string()));
        attributes.push(number("server.port", endpoint.port()));
    }
    if at > 0 {
        attributes.push(number("http.request.resend_count", at.try_into().unwrap_or(u16::MAX)));
    }
    attributes.extend(attempt.status.map(|status| number("http.response.status_code", status)));
    let kind = match attempt.ending {
        Some(Ending::ConnectError) => Some("connect_error".to_owned()),
        Some(Ending::Reset) => Some("reset".to_owned()),
        Some(Ending::Timeout) => Some("timeout".to_owned()),
        _ => attempt.status.filter(|status| *status >= 400).map(|status| status.to_string()),
    };
    let times = (attempt.began, attempt.ended);
    let mut span = span(finished, attempt.span, Some(finished.span), method, CLIENT, times);
    if let Some(kind) = kind {
        attributes.push(text("error.type", &kind));
        span["status"] = json!({ "code": ERROR });
    }
    span["attributes"] = Value::Array(attributes);
    span
}

fn span(
    finished: &Finished,
    id: u64,
    parent: Option<u64>,
    name: &str,
    kind: u8,
    (from, to): (Instant, Instant),
) -> Value {
    let (wall, clock) = finished.began;
    let at = |moment: Instant| nanos(wall, moment.saturating_duration_since(clock));
    let mut span = json!({
        "traceId": format!("{:032x}", finished.trace),
        "spanId": format!("{id:016x}"),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": at(from),
        "endTimeUnixNano": at(to.max(from)),
    });
    if let Some(parent) = parent {
        span["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    span
}

fn nanos(begin: SystemTime, later: Duration) -> String {
    let since = begin.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since + later).as_nanos().to_string()
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u16) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn truth(key: &str) -> Value {
    json!({ "key": key, "value": { "boolValue": true } })
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// `shop.test:8080`, `[::1]:80`
fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            (name, port.parse().ok())
        }
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_without_its_port() {
        for (host, parts) in [
            ("shop.test", ("shop.test", None)),
            ("shop.test:8080", ("shop.test", Some(8080))),
            ("[::1]:80", ("[::1]", Some(80))),
            ("[::1]", ("[::1]", None)),
        ] {
            assert_eq!(split_port(host), parts, "{host}");
        }
    }
}
