//! Captures and asserts of Hurl in the words of a probe.

use super::toml_value;
use crate::import::draft::{DraftStep, inline, is_header, literal, quoted};
use serde_json::Value;

/// What is looked at.
enum Query {
    Status,
    Body,
    Duration,
    Json(String),
    Header(String),
    Cookie(String),
    Regex(String),
}

/// What must be true of it.
enum Predicate {
    Exists(bool),
    Equals(Value),
    Matches(String),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Count(u64),
    Type(&'static str),
    Less(f64),
    Greater(f64),
}

/// The source of a capture, as an inline table; none for what a probe cannot do.
pub(super) fn capture(text: &str) -> Option<String> {
    let (query, rest) = query(text)?;
    if !rest.is_empty() {
        return None; // filters
    }
    let source = match query {
        Query::Status => ("status", "true".to_owned()),
        Query::Json(path) => ("json", quoted(&path)),
        Query::Header(name) if is_header(&name) => ("header", quoted(&name.to_lowercase())),
        Query::Cookie(name) => ("cookie", quoted(&name)),
        Query::Regex(pattern) => ("regex", quoted(&pattern)),
        Query::Header(_) | Query::Body | Query::Duration => return None,
    };
    Some(inline([source].into_iter()))
}

/// Adds an assert to a step; none for what a probe cannot do.
pub(super) fn add(text: &str, step: &mut DraftStep) -> Option<()> {
    let (query, rest) = query(text)?;
    match (query, predicate(rest)?) {
        (Query::Status, Predicate::Equals(status)) => {
            let status = status.as_u64().filter(|status| (100..600).contains(status))?;
            step.expect.retain(|(key, _)| *key != "status");
            step.expect.push(("status", status.to_string()));
        }
        (Query::Duration, Predicate::Less(millis)) if (1.0..=60_000.0).contains(&millis) => {
            step.expect.push(("max_latency", quoted(&format!("{}ms", millis as u64))));
        }
        (Query::Json(path), predicate) => {
            let rule = rule(predicate, true)?;
            step.rules.push(("json", inline([("path", quoted(&path)), rule].into_iter())));
        }
        (Query::Header(name), predicate) if is_header(&name) => {
            let rule = rule(predicate, false)?;
            let name = ("name", quoted(&name.to_lowercase()));
            step.rules.push(("header", inline([name, rule].into_iter())));
        }
        (Query::Body, Predicate::Contains(part)) => {
            once(step, "body_contains", quoted(&literal(&part)))?;
        }
        (Query::Body, Predicate::Matches(pattern)) => {
            once(step, "body_matches", quoted(&pattern))?;
        }
        (Query::Regex(pattern), Predicate::Exists(true)) => {
            once(step, "body_matches", quoted(&pattern))?;
        }
        _ => return None,
    }
    Some(())
}

/// A key with a list: the next one joins the first.
fn once(step: &mut DraftStep, key: &'static str, value: String) -> Option<()> {
    match step.expect.iter_mut().find(|(known, _)| *known == key) {
        Some((_, list)) => {
            let inner = list.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
            *list = format!("[{}, {value}]", inner.unwrap_or(list));
        }
        None => step.expect.push((key, value)),
    }
    Some(())
}

/// A rule as key and value.
fn rule(predicate: Predicate, json: bool) -> Option<(&'static str, String)> {
    let escaped = |text: &str| regex::escape(text);
    Some(match predicate {
        Predicate::Exists(there) => ("exists", there.to_string()),
        Predicate::Equals(Value::String(text)) => ("equals", quoted(&literal(&text))),
        Predicate::Equals(Value::Null) if json => ("type", quoted("null")),
        Predicate::Equals(value) if json => ("equals", toml_value(&value)?),
        Predicate::Equals(value) => ("equals", quoted(&value.to_string())),
        Predicate::Matches(pattern) => ("matches", quoted(&pattern)),
        Predicate::Contains(part) => ("matches", quoted(&escaped(&part))),
        Predicate::StartsWith(part) => ("matches", quoted(&format!("^{}", escaped(&part)))),
        Predicate::EndsWith(part) => ("matches", quoted(&format!("{}$", escaped(&part)))),
        Predicate::Count(number) if json => ("count", number.to_string()),
        Predicate::Type(name) if json => ("type", quoted(name)),
        Predicate::Less(bound) if json => ("less", number(bound)),
        Predicate::Greater(bound) if json => ("greater", number(bound)),
        _ => return None,
    })
}

fn number(bound: f64) -> String {
    if bound.fract() == 0.0 { format!("{bound:.0}") } else { bound.to_string() }
}

/// A query, and what stands after it.
fn query(text: &str) -> Option<(Query, &str)> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let quoted = |make: fn(String) -> Query| string(rest).map(|(text, rest)| (make(text), rest));
    match word {
        "status" => Some((Query::Status, rest)),
        "body" => Some((Query::Body, rest)),
        "duration" => Some((Query::Duration, rest)),
        "jsonpath" => {
            let (path, rest) = string(rest)?;
            serde_json_path::JsonPath::parse(&path).ok()?;
            Some((Query::Json(path), rest))
        }
        "header" => quoted(Query::Header),
        "cookie" => quoted(Query::Cookie),
        "regex" => {
            let (pattern, rest) = pattern(rest)?;
            Some((Query::Regex(pattern), rest))
        }
        _ => None,
    }
}

fn predicate(text: &str) -> Option<Predicate> {
    let (not, text) = match text.strip_prefix("not ") {
        Some(rest) => (true, rest.trim()),
        None => (false, text),
    };
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let text_of = |rest| string(rest).map(|(text, _)| text).filter(|text| !text.contains("{{"));
    let found = match word {
        "exists" => return Some(Predicate::Exists(!not)),
        "==" | "equals" => Predicate::Equals(value(rest)?),
        "count" => {
            let number = rest.strip_prefix("==").unwrap_or(rest).trim().parse().ok()?;
            Predicate::Count(number)
        }
        "matches" => Predicate::Matches(pattern(rest)?.0),
        "contains" | "includes" => Predicate::Contains(text_of(rest)?),
        "startsWith" => Predicate::StartsWith(text_of(rest)?),
        "endsWith" => Predicate::EndsWith(text_of(rest)?),
        "<" | "lessThan" => Predicate::Less(rest.parse().ok()?),
        ">" | "greaterThan" => Predicate::Greater(rest.parse().ok()?),
        "isString" => Predicate::Type("string"),
        "isInteger" => Predicate::Type("integer"),
        "isFloat" | "isNumber" => Predicate::Type("number"),
        "isBoolean" => Predicate::Type("boolean"),
        "isCollection" | "isList" => Predicate::Type("array"),
        "isObject" => Predicate::Type("object"),
        _ => return None,
    };
    // Only the absence of a value has a word of ours.
    (!not).then_some(found)
}

/// A value that is compared with; templates are left to people.
fn value(text: &str) -> Option<Value> {
    if text.starts_with('"') {
        let (text, rest) = string(text)?;
        return (rest.is_empty() && !text.contains("{{")).then(|| text.into());
    }
    serde_json::from_str(text).ok()
}

/// A quoted string and what stands after it.
fn string(text: &str) -> Option<(String, &str)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let found = stream.next()?.ok()?;
    let rest = text.get(stream.byte_offset()..)?.trim();
    Some((found, rest))
}

/// `/pattern/` or `"pattern"`, valid here, and what stands after it.
fn pattern(text: &str) -> Option<(String, &str)> {
    let (pattern, rest) = match text.strip_prefix('/') {
        Some(rest) => {
            let bytes = rest.as_bytes();
            let end = (0..bytes.len()).find(|at| {
                let slashes = bytes[..*at].iter().rev().take_while(|byte| **byte == b'\\').count();
                bytes[*at] == b'/' && slashes % 2 == 0
            })?;
            (rest[..end].replace("\\/", "/"), rest[end + 1..].trim())
        }
        None => string(text)?,
    };
    regex::Regex::new(&pattern).ok()?;
    Some((pattern, rest))
}
