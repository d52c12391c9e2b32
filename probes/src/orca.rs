//! What an upstream tells of its load in an answer (ORCA): `endpoint-load-metrics: TEXT ...` or `JSON ...`,
//! and the binary form of gRPC, `endpoint-load-metrics-bin` or `endpoint-load-metrics: BIN ...`.
//!
//! A report that contradicts itself or holds no number (NaN, infinity, a value told twice) is refused as a
//! whole: half of it would be a guess.

mod binary;
mod reports;

pub(crate) use reports::RecentLoad;
pub use reports::{LoadReports, Reports};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

const TEXT: HeaderName = HeaderName::from_static("endpoint-load-metrics");
const BINARY: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");

/// A longer report than this, in bytes, is none.
const LONGEST: usize = 4096;

/// What one answer told of its process. What it did not tell is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LoadReport {
    /// Share of the CPU that is in use; above 1 beyond what was asked for.
    pub cpu_utilization: Option<f64>,
    /// Share of the memory that is in use.
    pub memory_utilization: Option<f64>,
    /// Requests per second that the process answers.
    pub requests_per_second: Option<f64>,
    /// CPU seconds that this request cost: `request_cost` under `cpu_seconds`. Of a run the mean over its
    /// requests; of live traffic it is not taken.
    pub cpu_seconds: Option<f64>,
    /// Resident bytes: `named_metrics` under `memory_bytes`.
    pub memory_bytes: Option<f64>,
}

/// Why a report is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadReportError {
    /// Two headers, or a value twice in one.
    #[error("`{0}` is told twice")]
    Twice(String),
    /// NaN, an infinity, a negative number or none.
    #[error("`{0}` is no finite number from 0 on")]
    NoNumber(String),
    /// Neither TEXT, JSON nor BIN, or what follows is not of that form.
    #[error("not a report: {0}")]
    Format(&'static str),
}

/// The report of an answer; none where it tells of no load.
pub fn of(headers: &HeaderMap) -> Option<Result<LoadReport, LoadReportError>> {
    let texts = headers.get_all(&TEXT).into_iter().map(|value| (false, value));
    let mut values = texts.chain(headers.get_all(&BINARY).into_iter().map(|value| (true, value)));
    let (binary, value) = values.next()?;
    if values.next().is_some() {
        return Some(Err(LoadReportError::Twice(TEXT.to_string())));
    }
    Some(parse(binary, value))
}

/// Takes the report off before the answer goes to a client.
pub fn strip(headers: &mut HeaderMap) {
    headers.remove(&TEXT);
    headers.remove(&BINARY);
}

/// Names of the headers, lower case.
pub const HEADERS: [&str; 2] = ["endpoint-load-metrics", "endpoint-load-metrics-bin"];

fn parse(binary: bool, value: &HeaderValue) -> Result<LoadReport, LoadReportError> {
    if value.len() > LONGEST {
        return Err(LoadReportError::Format("it is too long"));
    }
    let text = value.to_str().map_err(|_| LoadReportError::Format("it is no text"))?.trim();
    if binary {
        return binary::parse(text);
    }
    match text.split_once(' ') {
        Some(("TEXT", rest)) => of_text(rest),
        Some(("JSON", rest)) => of_json(rest),
        Some(("BIN", rest)) => binary::parse(rest.trim()),
        _ => Err(LoadReportError::Format("it begins with neither TEXT, JSON nor BIN")),
    }
}

/// Collects the values of a report, each once.
#[derive(Default)]
struct Collected {
    report: LoadReport,
    seen: Vec<String>,
    /// `rps`, which `rps_fractional` goes before.
    whole_rate: Option<f64>,
}

impl Collected {
    /// `group` is `named_metrics`, `request_cost` or `utilization`; empty for what the format itself names.
    fn take(&mut self, group: &str, name: &str, value: f64) -> Result<(), LoadReportError> {
        let full = if group.is_empty() { name.to_owned() } else { format!("{group}.{name}") };
        if !value.is_finite() || value < 0.0 {
            return Err(LoadReportError::NoNumber(full));
        }
        if self.seen.contains(&full) {
            return Err(LoadReportError::Twice(full));
        }
        let report = &mut self.report;
        let place = match full.as_str() {
            "cpu_utilization" => Some(&mut report.cpu_utilization),
            "mem_utilization" => Some(&mut report.memory_utilization),
            "rps_fractional" => Some(&mut report.requests_per_second),
            "rps" => Some(&mut self.whole_rate),
            "request_cost.cpu_seconds" => Some(&mut report.cpu_seconds),
            "named_metrics.memory_bytes" => Some(&mut report.memory_bytes),
            _ => None,
        };
        if let Some(place) = place {
            *place = Some(value);
        }
        self.seen.push(full);
        Ok(())
    }

    fn finish(self) -> LoadReport {
        let rate = self.report.requests_per_second.or(self.whole_rate);
        LoadReport { requests_per_second: rate, ..self.report }
    }
}

/// `cpu_utilization=0.3, mem_utilization=0.8, named_metrics.queue=3`
fn of_text(text: &str) -> Result<LoadReport, LoadReportError> {
    let mut collected = Collected::default();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) =
            pair.split_once('=').ok_or(LoadReportError::Format("expected name=value"))?;
        let (name, value) = (name.trim(), value.trim());
        let number = value.parse().map_err(|_| LoadReportError::NoNumber(name.to_owned()))?;
        match name.split_once('.') {
            Some((group, name)) => collected.take(group, name, number)?,
            None => collected.take("", name, number)?,
        }
    }
    Ok(collected.finish())
}

fn of_json(text: &str) -> Result<LoadReport, LoadReportError> {
    let wrong = |_| LoadReportError::Format("the JSON is broken");
    let mut reader = serde_json::Deserializer::from_str(text);
    let entries = reader.deserialize_map(Entries).map_err(wrong)?;
    reader.end().map_err(wrong)?;
    let mut collected = Collected::default();
    for (name, value) in entries {
        // The two spellings that protobuf's JSON allows.
        let name = snake(&name);
        match value {
            Entry::Group(values) => {
                for (key, value) in values {
                    let number =
                        value.as_f64().ok_or_else(|| LoadReportError::NoNumber(key.clone()))?;
                    collected.take(&name, &key, number)?;
                }
            }
            Entry::Value(value) => {
                // Whole 64-bit numbers are strings there.
                let number = match &value {
                    Value::String(text) => text.parse().ok(),
                    value => value.as_f64(),
                };
                let number = number.ok_or_else(|| LoadReportError::NoNumber(name.clone()))?;
                collected.take("", &name, number)?;
            }
        }
    }
    Ok(collected.finish())
}

/// `memUtilization` as `mem_utilization`.
fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// Entries of an object in their order, those that are there twice included.
struct Entries;

enum Entry {
    Value(Value),
    Group(Vec<(String, Value)>),
}

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, Entry)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((name, entry)) = map.next_entry::<String, Entry>()? {
            entries.push((name, entry));
        }
        Ok(entries)
    }
}

impl<'de> serde::Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or an object of numbers")
    }

    fn visit_f64<E>(self, number: f64) -> Result<Entry, E> {
        Ok(Entry::Value(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Entry, E> {
        Ok(Entry::Value(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Entry, E> {
        Ok(Entry::Value(number.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Entry, E> {
        Ok(Entry::Value(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut values = Vec::new();
        while let Some(entry) = map.next_entry()? {
            values.push(entry);
        }
        Ok(Entry::Group(values))
    }
}

#[cfg(test)]
mod tests;
