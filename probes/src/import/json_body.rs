//! JSON bodies of requests.

use super::draft::{DraftStep, json_as_toml, literal, quoted};
use serde_json::Value;

/// Puts a JSON body on a step: as a table where TOML can say it, else as text.
pub(super) fn set(step: &mut DraftStep, value: &Value) {
    // A JSON text that is one expression takes its type from it, so a table says the same.
    match json_as_toml(value) {
        Some(toml) => step.body = Some(("json", toml)),
        None => {
            step.body = Some(("body", quoted(&value.to_string())));
            let told = step.headers.iter().any(|(name, _)| name == "content-type");
            if !told {
                step.headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
        }
    }
}

/// Every text of a JSON value, and every number as text, through `change`; numbers stay unless it changes them.
pub(super) fn map_leaves(value: &Value, change: &mut impl FnMut(&str) -> Option<String>) -> Value {
    match value {
        Value::String(text) => change(text).unwrap_or_else(|| literal(text)).into(),
        Value::Number(number) => {
            change(&number.to_string()).map_or_else(|| value.clone(), Value::from)
        }
        Value::Array(items) => items.iter().map(|item| map_leaves(item, change)).collect(),
        Value::Object(entries) => {
            let entry =
                |(name, value): (&String, &Value)| (name.clone(), map_leaves(value, change));
            Value::Object(entries.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}
