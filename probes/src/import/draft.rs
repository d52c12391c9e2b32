//! A probe that is being put together, and how it is written as TOML.

use super::{ImportError, Naming};
use crate::marks::is_mark;
use serde_json::Value;
use std::fmt::Write;

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// `[probe.NAME]` with its steps.
    pub toml: String,
    /// What was left out or guessed, and what is left to do; one line each.
    pub remarks: Vec<String>,
}

/// A probe so far.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) host: Option<String>,
    pub(super) steps: Vec<DraftStep>,
    pub(super) remarks: Vec<String>,
}

/// A step so far. Texts are templates already; see [`literal`].
#[derive(Debug, Default)]
pub(super) struct DraftStep {
    /// `get`, `click`, ..., and what stands behind it, as TOML.
    pub(super) action: (&'static str, String),
    /// `json`, `form` or `body`, and what stands behind it, as TOML.
    pub(super) body: Option<(&'static str, String)>,
    pub(super) headers: Vec<(String, String)>,
    /// Keys of `expect` with their TOML.
    pub(super) expect: Vec<(&'static str, String)>,
    /// Rules of `expect.json`, `.header` and `.css`, as inline tables.
    pub(super) rules: Vec<(&'static str, String)>,
    /// Names with inline tables.
    pub(super) captures: Vec<(String, String)>,
}

impl Draft {
    pub(super) fn new() -> Draft {
        Draft { host: None, steps: Vec::new(), remarks: Vec::new() }
    }

    /// Nothing came of it: `what` is missing, and what was remarked tells why.
    pub(super) fn empty(&self, what: &str) -> ImportError {
        ImportError::Empty(match self.remarks[..] {
            [] => what.to_owned(),
            _ => format!("{what} ({})", self.remarks.join("; ")),
        })
    }

    /// Says something once.
    pub(super) fn remark(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    pub(super) fn finish(mut self, naming: &Naming) -> Imported {
        self.check_headers();
        let mut toml =
            format!("[probe.{}]\nservice = {}\n", key(&naming.probe), quoted(&naming.service));
        if let Some(host) = &self.host {
            let _ = writeln!(toml, "host = {}", quoted(host));
        }
        for step in &self.steps {
            let _ = write!(toml, "\n[[probe.{}.step]]\n{}", key(&naming.probe), step.toml());
        }
        Imported { toml, remarks: self.remarks }
    }
}

impl Draft {
    /// Leaves out headers that cannot be sent, and those that a probe sets itself.
    fn check_headers(&mut self) {
        let mut refused: Vec<String> = Vec::new();
        for step in &mut self.steps {
            step.headers.retain(|(name, _)| {
                let right = is_header(name) && !is_mark(name);
                if !right {
                    refused.push(name.clone());
                }
                right
            });
        }
        for name in refused {
            self.remark(format!("left out: header `{name}`, which a probe cannot send"));
        }
    }
}

/// Whether this can be the name of a header.
pub(super) fn is_header(name: &str) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok()
}

impl DraftStep {
    pub(super) fn new(action: &'static str, target: &str) -> DraftStep {
        DraftStep { action: (action, quoted(target)), ..DraftStep::default() }
    }

    fn toml(&self) -> String {
        let mut text = format!("{} = {}\n", self.action.0, self.action.1);
        if let Some((name, body)) = &self.body {
            let _ = writeln!(text, "{name} = {body}");
        }
        if !self.headers.is_empty() {
            let headers = self.headers.iter().map(|(name, value)| (name.as_str(), quoted(value)));
            let _ = writeln!(text, "headers = {}", inline(headers));
        }
        let mut expect: Vec<(&str, String)> =
            self.expect.iter().map(|(name, value)| (*name, value.clone())).collect();
        for kind in ["json", "header", "css"] {
            let rules = self.rules.iter().filter(|(of, _)| *of == kind);
            let rules: Vec<&str> = rules.map(|(_, rule)| rule.as_str()).collect();
            if !rules.is_empty() {
                expect.push((kind, format!("[{}]", rules.join(", "))));
            }
        }
        if !expect.is_empty() {
            let _ = writeln!(text, "expect = {}", inline(expect.into_iter()));
        }
        if !self.captures.is_empty() {
            let captures = self.captures.iter().map(|(name, from)| (name.as_str(), from.clone()));
            let _ = writeln!(text, "capture = {}", inline(captures));
        }
        text
    }
}

/// `{ a = 1, "b c" = 2 }`
pub(super) fn inline<'a>(entries: impl Iterator<Item = (&'a str, String)>) -> String {
    let entries: Vec<String> =
        entries.map(|(name, value)| format!("{} = {value}", key(name))).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// A text in quotes: single ones where that spares the reader escapes, else as in JSON, whose escapes are TOML's.
pub(crate) fn quoted(text: &str) -> String {
    let plain = !text.chars().any(|c| c.is_control() || c == '\'');
    if plain && text.contains(['"', '\\']) {
        return format!("'{text}'");
    }
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A key, in quotes where it needs them.
pub(crate) fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

/// A text as a template that renders to it.
pub(crate) fn literal(text: &str) -> String {
    let mut template = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = ["{{", "{%", "{#"].iter().filter_map(|open| rest.find(open)).min() {
        let _ = write!(template, "{}{{{{ '{}' }}}}", &rest[..at], &rest[at..at + 2]);
        rest = &rest[at + 2..];
    }
    template + rest
}

/// JSON as inline TOML, its strings as they stand; none where TOML has no word for it (null).
pub(super) fn json_as_toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(switch) => switch.to_string(),
        Value::Number(number) if number.is_u64() && number.as_i64().is_none() => return None,
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(json_as_toml).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Object(entries) => {
            let entries: Option<Vec<(&str, String)>> = entries
                .iter()
                .map(|(name, value)| Some((name.as_str(), json_as_toml(value)?)))
                .collect();
            inline(entries?.into_iter())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_renders_to_itself() {
        for text in ["plain", "a {{ b }} c", "{% if %}", "{#x#}", "{{{", "} {", "{{{{"] {
            let jinja = minijinja::Environment::new();
            assert_eq!(jinja.render_str(&literal(text), ()).unwrap(), text, "{}", literal(text));
        }
    }
}
