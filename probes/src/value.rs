//! Whether single values of an answer are what a step expects: headers, JSON, elements of a page.
//!
//! Where there are several values, one must hold.

use crate::received::Received;
use crate::template::Templates;
use scraper::{ElementRef, Selector};
use serde_json::Value;
use serinus_config::{CssAssertion, HeaderAssertion, JsonAssertion, JsonSchema, ValueCheck};

/// A header.
///
/// # Errors
/// What was expected and what came, in words.
pub(crate) fn header(
    assertion: &HeaderAssertion,
    received: &Received<'_>,
    templates: &Templates,
) -> Result<(), String> {
    let values = received.header(&assertion.name);
    let texts: Vec<Value> = values.iter().map(|value| Value::from(value.as_ref())).collect();
    let rule = Rule::of(&assertion.check, templates, true)?;
    if rule.holds(&texts.iter().collect::<Vec<_>>()) {
        return Ok(());
    }
    let came: Vec<String> = values.iter().map(|value| received.excerpt(value)).collect();
    let came = if came.is_empty() { "none".to_owned() } else { came.join(", ") };
    Err(format!("expected header `{}` to {}, got {came}", assertion.name, rule.wanted(received)))
}

/// The values at a JSONPath.
///
/// # Errors
/// What was expected and what came, in words.
pub(crate) fn json(
    assertion: &JsonAssertion,
    received: &Received<'_>,
    templates: &Templates,
) -> Result<(), String> {
    let rule = Rule::of(&assertion.check, templates, false)?;
    let refuse = |came: String| {
        let wanted = rule.wanted(received);
        Err(format!("expected json `{}` to {wanted}, got {came}", assertion.path))
    };
    let mut values = match received.at(&assertion.path) {
        Ok(values) => values,
        Err(came) => return refuse(came),
    };
    // Who counts what is at `$.items` means the items.
    if let (ValueCheck::Count(_), [Value::Array(items)]) = (rule.check, values.as_slice()) {
        values = items.iter().collect();
    }
    if rule.holds(&values) {
        return Ok(());
    }
    match values.as_slice() {
        [] => refuse("none".to_owned()),
        [one] => refuse(received.shown(one)),
        many => refuse(format!("{} values, the first {}", many.len(), received.shown(many[0]))),
    }
}

/// The whole body, by its schema.
///
/// # Errors
/// The first place that does not conform.
pub(crate) fn json_schema(schema: &JsonSchema, received: &Received<'_>) -> Result<(), String> {
    let body = received
        .at("$")
        .map_err(|came| format!("expected a body that conforms to the schema, got {came}"))?;
    let Some(body) = body.first() else { return Ok(()) };
    schema.validator.validate(body).map_err(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "/".to_owned() } else { place };
        let what = error.to_string();
        let what = received.redacted(&what);
        format!("expected a body that conforms to the schema, at `{place}` {what}")
    })
}

/// Elements of the page, or one of their attributes.
///
/// # Errors
/// What was expected and what came, in words.
pub(crate) fn css(
    assertion: &CssAssertion,
    received: &Received<'_>,
    templates: &Templates,
) -> Result<(), String> {
    let CssAssertion { selector, attribute, check } = assertion;
    let parsed = Selector::parse(selector)
        .map_err(|error| format!("`{selector}` is no CSS selector: {error}"))?;
    let text = |element: ElementRef<'_>| match attribute {
        Some(name) => element.attr(name).map(Value::from),
        None => Some(Value::from(element.text().collect::<String>().trim())),
    };
    let values: Vec<Value> = received.document().select(&parsed).filter_map(text).collect();
    let rule = Rule::of(check, templates, true)?;
    if rule.holds(&values.iter().collect::<Vec<_>>()) {
        return Ok(());
    }
    let what = match attribute {
        Some(name) => format!("attribute `{name}` of css `{selector}`"),
        None => format!("css `{selector}`"),
    };
    let shown = |value: &Value| received.excerpt(&plain(value));
    let came = match values.as_slice() {
        [] => "none".to_owned(),
        [one] => shown(one),
        many => format!("{} elements, the first {}", many.len(), shown(&many[0])),
    };
    Err(format!("expected {what} to {}, got {came}", rule.wanted(received)))
}

/// A check with its templates filled in: once, since what `random.*` gives differs from mention to mention.
struct Rule<'a> {
    check: &'a ValueCheck,
    /// What `equals` asks for.
    expected: Value,
}

impl<'a> Rule<'a> {
    /// `textual`: what is compared is text, whatever `equals` looks like.
    fn of(check: &'a ValueCheck, templates: &Templates, textual: bool) -> Result<Rule<'a>, String> {
        let expected = match check {
            ValueCheck::Equals(value) => templates.json(value)?,
            _ => Value::Null,
        };
        let expected = if textual { plain(&expected).into() } else { expected };
        Ok(Rule { check, expected })
    }

    fn holds(&self, values: &[&Value]) -> bool {
        let any = |rule: &dyn Fn(&Value) -> bool| values.iter().any(|value| rule(value));
        match self.check {
            ValueCheck::Exists => !values.is_empty(),
            ValueCheck::Absent => values.is_empty(),
            ValueCheck::Equals(_) => any(&|value| same(value, &self.expected)),
            ValueCheck::Matches(pattern) => any(&|value| pattern.is_match(&plain(value))),
            ValueCheck::Type(wanted) => any(&|value| wanted.holds(value)),
            ValueCheck::Count(wanted) => values.len() == *wanted as usize,
            ValueCheck::Less(bound) => any(&|value| value.as_f64().is_some_and(|n| n < *bound)),
            ValueCheck::Greater(bound) => any(&|value| value.as_f64().is_some_and(|n| n > *bound)),
        }
    }

    /// What was expected, after "to".
    fn wanted(&self, received: &Received<'_>) -> String {
        match self.check {
            ValueCheck::Exists => "exist".to_owned(),
            ValueCheck::Absent => "be absent".to_owned(),
            ValueCheck::Equals(_) => format!("equal {}", received.shown(&self.expected)),
            ValueCheck::Matches(pattern) => format!("match `{pattern}`"),
            ValueCheck::Type(wanted) => format!("be of type {}", wanted.as_str()),
            ValueCheck::Count(wanted) => format!("be there {wanted} times"),
            ValueCheck::Less(bound) => format!("be less than {bound}"),
            ValueCheck::Greater(bound) => format!("be greater than {bound}"),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_the_same_whatever_their_form() {
        assert!(same(&json!({"a": [1, 2.5]}), &json!({"a": [1.0, 2.5]})));
        assert!(!same(&json!({"a": [1]}), &json!({"a": [1, 2]})));
        assert!(!same(&json!({"a": 1}), &json!({"b": 1})));
        assert!(!same(&json!("1"), &json!(1)));
        assert!(!same(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992_u64)));
    }
}
