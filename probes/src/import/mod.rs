//! Journeys that were written down elsewhere, as `[probe.NAME]` of a configuration.
//!
//! Text comes in, text goes out; what could not be carried over is named, never dropped in silence.

mod correlate;
mod draft;
mod har;
mod hurl;
mod json_body;
mod recorder;

pub use draft::Imported;
pub(crate) use draft::{key, literal, quoted};

use url::Url;

/// What a file was written by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// HTTP Archive 1.2, from a browser's network panel or a proxy.
    Har,
    /// The JSON of Chrome DevTools' Recorder.
    Recorder,
    /// A subset of Hurl.
    Hurl,
}

/// Why nothing could be imported.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImportError {
    /// Not what it should be.
    #[error("line {line}, column {column}: {reason}")]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// In words.
        reason: String,
    },
    /// Well formed, and nothing in it that a probe could do.
    #[error("{0}")]
    Empty(String),
}

impl ImportError {
    fn json(error: &serde_json::Error) -> ImportError {
        let text = error.to_string();
        // The library appends the place, which is told in front here.
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        ImportError::Malformed {
            line: error.line().max(1),
            column: error.column().max(1),
            reason: format!("not the JSON of such a file: {reason}"),
        }
    }
}

/// How the probe is to be called, and what it is for.
#[derive(Debug, Clone)]
pub struct Naming {
    /// `NAME` of `[probe.NAME]`.
    pub probe: String,
    /// The service of the configuration.
    pub service: String,
    /// The host to keep; default: the one of the first request.
    pub host: Option<String>,
}

/// Host and port of a URL as a Host header has them.
fn site(url: &Url) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let host = url
        .host_str()
        .filter(|host| !host.is_empty() && !host.ends_with('.') && host.chars().all(plain))?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Turns the text of a file into a probe.
///
/// # Errors
/// [`ImportError`] with line and column where the text is malformed, or in words where it holds nothing to do.
pub fn import(source: Source, text: &str, naming: &Naming) -> Result<Imported, ImportError> {
    match source {
        Source::Har => har::import(text, naming),
        Source::Recorder => recorder::import(text, naming),
        Source::Hurl => hurl::import(text, naming),
    }
}
