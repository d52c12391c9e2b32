//! What a step's answer is checked against and captured from.

use crate::client::Answer;
use crate::phases::Phases;
use crate::secrets::Secrets;
use scraper::Html;
use serde_json::Value;
use serde_json_path::JsonPath;
use std::borrow::Cow;
use std::cell::OnceCell;

/// Characters of an answer that a message shows.
const EXCERPT: usize = 120;

/// A whole answer with what was measured of it.
pub(crate) struct Received<'a> {
    pub(crate) answer: &'a Answer,
    /// Where its time went, redirects included.
    pub(crate) phases: Phases,
    pub(crate) secrets: &'a Secrets,
    json: OnceCell<Option<Value>>,
    document: OnceCell<Html>,
}

impl<'a> Received<'a> {
    pub(crate) fn new(answer: &'a Answer, phases: Phases, secrets: &'a Secrets) -> Self {
        Received { answer, phases, secrets, json: OnceCell::new(), document: OnceCell::new() }
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.answer.body)
    }

    /// The body as a page, parsed once whatever number of rules look at it.
    pub(crate) fn document(&self) -> &Html {
        self.document.get_or_init(|| Html::parse_document(&self.text()))
    }

    /// Values at an RFC 9535 path.
    ///
    /// # Errors
    /// What came instead, in words.
    pub(crate) fn at(&self, path: &str) -> Result<Vec<&Value>, String> {
        let json = self.json.get_or_init(|| serde_json::from_slice(&self.answer.body).ok());
        let Some(json) = json else {
            return Err(format!("a body that is not JSON: {}", self.excerpt(&self.text())));
        };
        let path =
            JsonPath::parse(path).map_err(|error| format!("a path that is none: {error}"))?;
        Ok(path.query(json).all())
    }

    /// Values of a header as text.
    pub(crate) fn header(&self, name: &str) -> Vec<Cow<'_, str>> {
        let values = self.answer.headers.get_all(name);
        values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect()
    }

    /// The beginning of a text from outside, fit for a message: quoted, control characters escaped,
    /// and redacted before it is cut, so that no part of a secret is left at the cut.
    pub(crate) fn excerpt(&self, text: &str) -> String {
        let text = self.secrets.redact(text);
        match text.char_indices().nth(EXCERPT) {
            Some((cut, _)) => format!("{:?}... ({} bytes)", &text[..cut], text.len()),
            None => format!("{text:?}"),
        }
    }

    /// A text for a message, whole.
    pub(crate) fn redacted<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.secrets.redact(text)
    }

    /// A JSON value for a message.
    pub(crate) fn shown(&self, value: &Value) -> String {
        let text = self.secrets.redact(&value.to_string()).into_owned();
        match text.char_indices().nth(EXCERPT) {
            Some((cut, _)) => format!("{}...", &text[..cut]),
            None => text,
        }
    }
}
