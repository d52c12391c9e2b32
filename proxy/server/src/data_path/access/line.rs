//! One line of the access log.

use crate::data_path::rejection::Reason;
use crate::wall_time;
use http::Version;
use serde_json::{Value, json};
use serinus_config::AccessField;
use serinus_models::Timestamp;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most bytes of what a client chose that are shown of one field.
pub(super) const LONGEST: usize = 1024;

/// What is known of one request.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) client: Option<IpAddr>,
    pub(super) method: &'a str,
    pub(super) host: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) protocol: &'a str,
    pub(super) status: u16,
    pub(super) rejected: Option<Reason>,
    pub(super) route: Option<&'a str>,
    pub(super) variant: Option<&'a str>,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) shielded: bool,
    pub(super) duration: Option<Duration>,
    pub(super) bytes: u64,
    pub(super) tls: bool,
    pub(super) client_gone: bool,
    pub(super) user_agent: Option<&'a str>,
    pub(super) referer: Option<&'a str>,
    pub(super) request_id: Option<&'a str>,
    pub(super) trace_id: Option<&'a str>,
}

impl Line<'_> {
    /// As a JSON object with these fields; what is not known is left out.
    pub(super) fn json(&self, fields: &[AccessField]) -> String {
        let mut line = String::with_capacity(384);
        for field in fields {
            let value = self.value(*field);
            if !value.is_null() {
                let before = if line.is_empty() { '{' } else { ',' };
                // Writing to a string does not fail.
                let _ = write!(line, "{before}\"{}\":{value}", field.as_str());
            }
        }
        line.push_str(if line.is_empty() { "{}\n" } else { "}\n" });
        line
    }

    fn value(&self, field: AccessField) -> Value {
        let text = |text: Option<&str>| text.map_or(Value::Null, |text| json!(cut(text)));
        match field {
            AccessField::Time => json!(wall_time::rfc3339(now())),
            AccessField::Client => text(self.client.map(|client| client.to_string()).as_deref()),
            AccessField::Method => json!(cut(self.method)),
            AccessField::Host => text(self.host),
            AccessField::Path => json!(cut(self.path)),
            AccessField::Protocol => json!(cut(self.protocol)),
            AccessField::Status => json!(self.status),
            AccessField::Rejected => text(self.rejected.map(Reason::as_str)),
            AccessField::Route => text(self.route),
            AccessField::Variant => text(self.variant),
            AccessField::Endpoint => text(self.endpoint.map(|at| at.to_string()).as_deref()),
            AccessField::Shielded => json!(self.shielded),
            AccessField::DurationMs => self.duration.map_or(Value::Null, |duration| {
                json!((duration.as_secs_f64() * 1e6).round() / 1e3)
            }),
            AccessField::Bytes => json!(self.bytes),
            AccessField::Tls => json!(self.tls),
            AccessField::ClientGone => json!(self.client_gone),
            AccessField::UserAgent => text(self.user_agent),
            AccessField::Referer => text(self.referer),
            AccessField::RequestId => text(self.request_id),
            AccessField::TraceId => text(self.trace_id),
        }
    }

    /// As Apache and nginx write it.
    pub(super) fn combined(&self) -> String {
        let mut line = String::with_capacity(256);
        // Writing to a string does not fail.
        let _ = match self.client {
            Some(client) => write!(line, "{client}"),
            None => write!(line, "-"),
        };
        let _ = write!(line, " - - [{}] \"", clf_time(&wall_time::rfc3339(now())));
        escape(self.method, &mut line);
        line.push(' ');
        escape(self.path, &mut line);
        line.push(' ');
        escape(self.protocol, &mut line);
        let _ = write!(line, "\" {} {} \"", self.status, self.bytes);
        escape(self.referer.unwrap_or("-"), &mut line);
        line.push_str("\" \"");
        escape(self.user_agent.unwrap_or("-"), &mut line);
        line.push_str("\"\n");
        line
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

/// What HTTP/1.1 and the others are called.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// The beginning, up to a whole letter.
fn cut(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Nothing that could end the field or the line, or speak to a terminal.
fn escape(text: &str, line: &mut String) {
    for letter in cut(text).chars() {
        match letter {
            '"' | '\\' => {
                line.push('\\');
                line.push(letter);
            }
            letter if letter.is_control() => {
                let _ = write!(line, "\\x{:02x}", u32::from(letter));
            }
            letter => line.push(letter),
        }
    }
}

/// `2026-11-23T00:44:52.007Z` as `23/Nov/2026:00:44:52 +0000`.
fn clf_time(rfc3339: &str) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let part = |from: usize, to: usize| rfc3339.get(from..to).unwrap_or("");
    let month =
        part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    let (day, month, year) = (part(8, 10), month.unwrap_or(&"---"), part(0, 4));
    format!("{day}/{month}/{year}:{} +0000", part(11, 19))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line<'static> {
        Line {
            client: Some("192.0.2.1".parse().unwrap()),
            method: "GET",
            host: Some("shop.test"),
            path: "/a\"b",
            protocol: "HTTP/1.1",
            status: 200,
            route: Some("shop"),
            duration: Some(Duration::from_micros(1_234)),
            bytes: 7,
            user_agent: Some("evil\" \n\u{1b}[31m"),
            ..Line::default()
        }
    }

    #[test]
    fn a_json_line_has_the_chosen_fields() {
        let fields = [
            AccessField::Status,
            AccessField::DurationMs,
            AccessField::Rejected,
            AccessField::Path,
        ];
        let written = line().json(&fields);
        assert_eq!(written, "{\"status\":200,\"duration_ms\":1.234,\"path\":\"/a\\\"b\"}\n");
        let whole: Value = serde_json::from_str(&line().json(AccessField::ALL)).unwrap();
        assert_eq!((&whole["client"], &whole["variant"]), (&json!("192.0.2.1"), &Value::Null));
    }

    #[test]
    fn a_combined_line_is_one_line_whatever_the_client_says() {
        let written = line().combined();
        let (before, after) = written.split_once('[').unwrap();
        let (time, after) = after.split_once(']').unwrap();
        assert_eq!((before, time.len()), ("192.0.2.1 - - ", 26));
        assert_eq!(after, " \"GET /a\\\"b HTTP/1.1\" 200 7 \"-\" \"evil\\\" \\x0a\\x1b[31m\"\n");
        assert_eq!(clf_time("2026-11-23T00:44:52.007Z"), "23/Nov/2026:00:44:52 +0000");
    }

    #[test]
    fn long_fields_are_cut_at_a_letter() {
        assert_eq!(cut(&"ä".repeat(600)).len(), 1024);
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&format!("a{}", "ä".repeat(600))).len(), 1023);
    }
}
