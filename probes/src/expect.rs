//! Whether an answer is what a step expects.

use crate::received::Received;
use crate::template::Templates;
use serde_json::Value;
use serinus_config::{Expect, HeaderAssertion, JsonAssertion, ValueCheck};
use serinus_models::Outcome;

/// Why a step failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    /// What was expected and what came.
    pub(crate) message: String,
}

impl Failure {
    /// Answered, but not as expected.
    pub(crate) fn assertion(message: impl Into<String>) -> Failure {
        Failure { outcome: Outcome::Assertion, message: message.into() }
    }

    /// With a remark.
    pub(crate) fn and(self, remark: &str) -> Failure {
        Failure { message: format!("{} ({remark})", self.message), ..self }
    }
}

/// Checks the status first: with the wrong one the rest says nothing.
///
/// # Errors
/// The first expectation that does not hold. An unexpected 5xx is `server_error`; any other
/// deviation, an unexpected 4xx too, is `assertion`: the probe knows what it asked for, so a 4xx is
/// no client's fault here.
pub(crate) fn check(
    expect: &Expect,
    received: &Received<'_>,
    templates: &Templates,
) -> Result<(), Failure> {
    status(expect, received.answer.status.as_u16())?;
    rest(expect, received, templates).map_err(Failure::assertion)
}

fn status(expect: &Expect, came: u16) -> Result<(), Failure> {
    let expected = if expect.status.is_empty() {
        if came < 400 {
            return Ok(());
        }
        "a status below 400".to_owned()
    } else {
        if expect.status.contains(&came) {
            return Ok(());
        }
        format!("status {}", ranges(&expect.status))
    };
    let outcome = if came >= 500 { Outcome::ServerError } else { Outcome::Assertion };
    Err(Failure { outcome, message: format!("expected {expected}, got {came}") })
}

fn rest(expect: &Expect, received: &Received<'_>, templates: &Templates) -> Result<(), String> {
    for assertion in &expect.headers {
        header(assertion, received, templates)?;
    }
    let text = received.text();
    for part in &expect.body_contains {
        let part = templates.text(&part.0)?;
        if !text.contains(&part) {
            return Err(format!(
                "expected a body that contains {part:?}, got {}",
                received.excerpt(&text)
            ));
        }
    }
    for pattern in &expect.body_matches {
        if !pattern.is_match(&text) {
            return Err(format!(
                "expected a body that matches `{pattern}`, got {}",
                received.excerpt(&text)
            ));
        }
    }
    for assertion in &expect.json {
        json(assertion, received, templates)?;
    }
    match expect.max_latency {
        Some(limit) if received.latency > limit => Err(format!(
            "expected the answer within {limit:?}, got it after {:.1?}",
            received.latency
        )),
        _ => Ok(()),
    }
}

fn header(
    assertion: &HeaderAssertion,
    received: &Received<'_>,
    templates: &Templates,
) -> Result<(), String> {
    let values = received.header(&assertion.name);
    let (wanted, holds) = match &assertion.check {
        ValueCheck::Exists => ("exist".to_owned(), !values.is_empty()),
        ValueCheck::Equals(value) => {
            let value = plain(&templates.json(value)?);
            (format!("equal {value:?}"), values.iter().any(|came| *came == value))
        }
        ValueCheck::Matches(pattern) => {
            (format!("match `{pattern}`"), values.iter().any(|came| pattern.is_match(came)))
        }
    };
    if holds {
        return Ok(());
    }
    let came: Vec<String> = values.iter().map(|value| received.excerpt(value)).collect();
    let came = if came.is_empty() { "none".to_owned() } else { came.join(", ") };
    Err(format!("expected header `{}` to {wanted}, got {came}", assertion.name))
}

fn json(
    assertion: &JsonAssertion,
    received: &Received<'_>,
    templates: &Templates,
) -> Result<(), String> {
    let path = &assertion.path;
    // Rendered once: what `random.*` gives differs from mention to mention.
    let expected = match &assertion.check {
        ValueCheck::Equals(value) => templates.json(value)?,
        _ => Value::Null,
    };
    let wanted = match &assertion.check {
        ValueCheck::Exists => "exist".to_owned(),
        ValueCheck::Equals(_) => format!("equal {}", received.shown(&expected)),
        ValueCheck::Matches(pattern) => format!("match `{pattern}`"),
    };
    let refuse = |came: String| Err(format!("expected json `{path}` to {wanted}, got {came}"));
    let values = match received.at(path) {
        Ok(values) => values,
        Err(came) => return refuse(came),
    };
    let holds = match &assertion.check {
        ValueCheck::Exists => !values.is_empty(),
        ValueCheck::Equals(_) => values.iter().any(|came| same(came, &expected)),
        ValueCheck::Matches(pattern) => values.iter().any(|came| pattern.is_match(&plain(came))),
    };
    if holds {
        return Ok(());
    }
    match values.as_slice() {
        [] => refuse("none".to_owned()),
        [one] => refuse(received.shown(one)),
        many => refuse(format!("{} values, the first {}", many.len(), received.shown(many[0]))),
    }
}

/// A value as text: strings without their quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Equality in which 1 and 1.0 are the same number; whole numbers are compared to the last digit.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// `200`, `200 or 302`, `200 to 499`
fn ranges(statuses: &[u16]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    let mut sorted = statuses.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    for status in sorted {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == status => *end = status,
            _ => runs.push((status, status)),
        }
    }
    let shown: Vec<String> = runs
        .iter()
        .map(|(start, end)| match end - start {
            0 => format!("{start}"),
            1 => format!("{start} or {end}"),
            _ => format!("{start} to {end}"),
        })
        .collect();
    shown.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn statuses_are_told_in_runs() {
        assert_eq!(ranges(&[201]), "201");
        assert_eq!(ranges(&[302, 200]), "200 or 302");
        assert_eq!(ranges(&(200..500).collect::<Vec<_>>()), "200 to 499");
        assert_eq!(ranges(&[200, 201, 202, 302, 303]), "200 to 202 or 302 or 303");
    }

    #[test]
    fn numbers_are_the_same_whatever_their_form() {
        assert!(same(&json!({"a": [1, 2.5]}), &json!({"a": [1.0, 2.5]})));
        assert!(!same(&json!({"a": [1]}), &json!({"a": [1, 2]})));
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!same(&json!("1"), &json!(1)));
        assert!(!same(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
    }
}
