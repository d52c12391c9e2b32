//! Keeping parts of an answer for later steps.

use crate::cookies::Jar;
use crate::page::text_of;
use crate::received::Received;
use serde_json::Value;
use serinus_config::Capture;

/// Takes one value out of an answer. JSON keeps its type; everything else is text, and the status a
/// number.
///
/// # Errors
/// What was expected and what came, in words.
pub(crate) fn capture(
    capture: &Capture,
    received: &Received<'_>,
    jar: &Jar,
) -> Result<Value, String> {
    match capture {
        Capture::Status => Ok(received.answer.status.as_u16().into()),
        Capture::Json(path) => {
            let values = received.at(path);
            let values =
                values.map_err(|came| format!("expected a value at json `{path}`, got {came}"))?;
            let first = values.first().copied().cloned();
            first.ok_or_else(|| {
                let body = received.excerpt(&received.text());
                format!("expected a value at json `{path}`, got none in {body}")
            })
        }
        Capture::Header(name) => match received.header(name).first() {
            Some(value) => Ok(value.as_ref().into()),
            None => Err(format!("expected header `{name}`, got none")),
        },
        Capture::Cookie(name) => jar
            .fresh(name)
            .map(Value::from)
            .ok_or_else(|| format!("expected the answer to set cookie `{name}`, it did not")),
        Capture::Regex(pattern) => {
            let text = received.text();
            let found = pattern.captures(&text).and_then(|groups| groups.get(1).or(groups.get(0)));
            found.map(|found| found.as_str().into()).ok_or_else(|| {
                format!("expected a body that matches `{pattern}`, got {}", received.excerpt(&text))
            })
        }
        Capture::Css { selector, attribute } => {
            text_of(received.document(), selector, attribute.as_deref()).map(Value::from)
        }
    }
}
