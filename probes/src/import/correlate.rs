//! Values that a server made and the client sent back: they become captures, or a replay would send
//! yesterday's token.

use scraper::{Html, Selector};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Characters from which on an equal value is taken for the same value.
const SHORTEST: usize = 6;

/// Where a value can be found again.
#[derive(Debug, Clone)]
struct Place {
    /// Index of the step.
    step: usize,
    /// What it is called there.
    hint: String,
    /// The capture, as an inline table.
    capture: String,
}

/// What servers have said so far, and which of it was sent back.
#[derive(Debug, Default)]
pub(super) struct Correlations {
    places: BTreeMap<String, Place>,
    /// Values with the names under which they are captured.
    used: BTreeMap<String, String>,
    names: BTreeSet<String>,
    /// Captures to add: step, name, inline table.
    found: Vec<(usize, String, String)>,
    /// What the client sent before any server said it: not the server's.
    own: BTreeSet<String>,
}

impl Correlations {
    /// Remembers what an answer held. The latest place of a value wins.
    pub(super) fn answer(
        &mut self,
        step: usize,
        mime: &str,
        body: &str,
        headers: &[(String, String)],
    ) {
        if mime.contains("json") {
            if let Ok(value) = serde_json::from_str::<Value>(body) {
                self.json(step, &value, "$", "value");
            }
        } else if mime.contains("html") {
            self.html(step, body);
        }
        const TELLING: [&str; 4] = ["etag", "x-csrf-token", "x-request-token", "x-auth-token"];
        for (name, value) in headers.iter().filter(|(name, _)| TELLING.contains(&name.as_str())) {
            let capture = format!("{{ header = {} }}", super::draft::quoted(name));
            self.remember(step, value, name, capture);
        }
    }

    fn json(&mut self, step: usize, value: &Value, path: &str, hint: &str) {
        match value {
            Value::Object(entries) => {
                for (name, value) in entries {
                    let simple = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                    let path = match simple {
                        true => format!("{path}.{name}"),
                        false => {
                            format!("{path}['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))
                        }
                    };
                    self.json(step, value, &path, name);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.json(step, item, &format!("{path}[{index}]"), hint);
                }
            }
            Value::String(_) | Value::Number(_) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let capture = format!("{{ json = {} }}", super::draft::quoted(path));
                self.remember(step, &text, hint, capture);
            }
            _ => {}
        }
    }

    fn html(&mut self, step: usize, body: &str) {
        let document = Html::parse_document(body);
        for (selector, attribute) in
            [("input[name][value]", "value"), ("meta[name][content]", "content")]
        {
            let Ok(parsed) = Selector::parse(selector) else { continue };
            for element in document.select(&parsed) {
                let (Some(name), Some(value)) = (element.attr("name"), element.attr(attribute))
                else {
                    continue;
                };
                let tag = element.value().name();
                let found =
                    format!("{tag}[name=\"{}\"]", name.replace('\\', "\\\\").replace('"', "\\\""));
                if Selector::parse(&found).is_err() {
                    continue;
                }
                let capture = format!(
                    "{{ css = {}, attribute = \"{attribute}\" }}",
                    super::draft::quoted(&found)
                );
                self.remember(step, value, name, capture);
            }
        }
    }

    fn remember(&mut self, step: usize, value: &str, hint: &str, capture: String) {
        let id = hint.eq_ignore_ascii_case("id")
            || hint.to_lowercase().ends_with("_id")
            || hint.ends_with("Id");
        let long = value.chars().count() >= SHORTEST || id && !value.is_empty();
        if long && !self.own.contains(value) && !self.used.contains_key(value) {
            let place = Place { step, hint: hint.to_owned(), capture };
            self.places.insert(value.to_owned(), place);
        }
    }

    /// The name under which a value that is sent now was captured; none if no server said it before.
    pub(super) fn sent(&mut self, value: &str) -> Option<String> {
        if let Some(name) = self.used.get(value) {
            return Some(name.clone());
        }
        let Some(place) = self.places.get(value).cloned() else {
            self.own.insert(value.to_owned());
            return None;
        };
        let name = self.free_name(&place.hint);
        self.used.insert(value.to_owned(), name.clone());
        self.found.push((place.step, name.clone(), place.capture));
        Some(name)
    }

    /// A name of letters, digits and `_` that is not taken.
    fn free_name(&mut self, hint: &str) -> String {
        let mut name: String =
            hint.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        name = name.trim_matches('_').to_lowercase();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            name = format!("value_{name}").trim_end_matches('_').to_owned();
        }
        // Words of the template language come with a number, which makes them names.
        const TAKEN: [&str; 13] = [
            "secret", "random", "true", "false", "none", "not", "and", "or", "in", "is", "if",
            "else", "loop",
        ];
        let free = |name: &str| !TAKEN.contains(&name) && !self.names.contains(name);
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        let chosen = std::iter::once(name.clone()).chain(numbered).find(|name| free(name));
        let chosen = chosen.unwrap_or(name);
        self.names.insert(chosen.clone());
        chosen
    }

    /// Captures to add: step, name, inline table.
    pub(super) fn captures(self) -> Vec<(usize, String, String)> {
        self.found
    }
}
