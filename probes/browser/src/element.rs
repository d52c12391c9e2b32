//! Finding elements: by CSS, XPath, text, the name that a screen reader says, and through shadow roots.

use crate::job::Step;
use serde::Deserialize;
use serde_json::{Value, json};

const SCRIPT: &str = include_str!("element.js");

/// What is to be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Nothing: where is it?
    Place,
    /// Get ready to be typed into, or take the value.
    Change,
    /// Send its form.
    Submit,
    /// Scroll in it.
    Scroll,
    /// Wait for elements.
    Wait,
}

/// What came of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Found {
    pub(crate) done: bool,
    /// Instead of what was expected.
    pub(crate) came: Option<String>,
    /// In the page's viewport.
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Whether it waits for keys.
    pub(crate) typed: bool,
}

/// The script that looks for the step's element for at most `budget` milliseconds.
pub(crate) fn script(step: &Step, act: Act, budget: u128) -> String {
    let action = match act {
        Act::Place => "place",
        Act::Change => "change",
        Act::Submit => "submit",
        Act::Scroll => "scroll",
        Act::Wait => "wait",
    };
    let selectors = match &step.selectors {
        Value::Array(alternatives) => Value::Array(alternatives.clone()),
        Value::Null => json!([]),
        one => json!([one]),
    };
    let asked = json!({
        "action": action, "budget": budget as u64, "selectors": selectors, "frame": step.frame,
        "x": step.offset_x, "y": step.offset_y, "value": step.value,
        "left": step.x.unwrap_or(0.0), "top": step.y.unwrap_or(0.0),
        "operator": step.operator, "count": step.count, "visible": step.visible,
        "attributes": step.attributes, "properties": step.properties,
    });
    format!("({SCRIPT})({asked})")
}

/// The selectors as a message shows them.
pub(crate) fn shown(step: &Step) -> String {
    let path = |one: &Value| match one {
        Value::Array(path) => {
            path.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" >> ")
        }
        one => one.as_str().unwrap_or_default().to_owned(),
    };
    match &step.selectors {
        Value::Array(alternatives) => {
            alternatives.iter().map(path).collect::<Vec<_>>().join("` or `")
        }
        one => path(one),
    }
}
