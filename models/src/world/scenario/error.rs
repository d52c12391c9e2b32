//! What is wrong with a scenario file, shown where it is wrong.

use super::number::HELP;
use std::fmt;
use std::ops::Range;

/// The first mistake in a scenario file, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
    /// The line as it stands in the file.
    source_line: String,
    /// Characters to underline, at least 1.
    width: usize,
}

/// A mistake before it is shown: where, what, and what would be right.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

impl Mistake {
    pub(super) fn new(
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Mistake {
        Mistake { span, message: message.into(), help: help.into() }
    }

    /// From a message that brings its help along.
    pub(super) fn told(span: Range<usize>, told: &str) -> Mistake {
        let (message, help) = told.split_once(HELP).unwrap_or((told, ""));
        Mistake::new(span, message, help)
    }

    /// What the reader of TOML says, in the words of the other mistakes.
    pub(super) fn of_toml(error: &toml::de::Error) -> Mistake {
        let span = error.span().unwrap_or(0..0);
        let told = error.message();
        if told.contains(HELP) {
            return Mistake::told(span, told);
        }
        // Serde's own messages: "unknown field `a`, expected one of `b`, `c`".
        let quoted: Vec<&str> = told.split('`').skip(1).step_by(2).collect();
        let (found, known) = (quoted.first().copied().unwrap_or_default(), quoted.get(1..));
        let known = known.unwrap_or_default();
        let suggestion = || match meant(found, known) {
            Some(help) => help,
            None => format!("write one of: {}", known.join(", ")),
        };
        if told.starts_with("unknown field") {
            return Mistake::new(span, format!("there is no key '{found}' here"), suggestion());
        }
        if told.starts_with("unknown variant") {
            return Mistake::new(span, format!("there is no choice '{found}' here"), suggestion());
        }
        if told.starts_with("missing field") {
            let help = format!("add {found} = ..");
            return Mistake::new(span, format!("the key '{found}' is missing"), help);
        }
        match told.split_once(", expected ") {
            Some((wrong, expected)) => Mistake::new(span, wrong, format!("write {expected}")),
            None => Mistake::new(span, told, "this is not TOML: see https://toml.io"),
        }
    }
}

/// Which of the known words was probably meant.
pub(super) fn meant(word: &str, known: &[&str]) -> Option<String> {
    let likeness = |known: &&str| strsim::jaro_winkler(word, known);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > 0.8).then(|| format!("did you mean '{best}'?"))
}

impl ScenarioError {
    /// A mistake in the text of a file.
    pub(super) fn new(file: &str, text: &str, mistake: Mistake) -> Self {
        let Mistake { span, message, help } = mistake;
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = floor(text, span.end).clamp(start, line_end);
        // A terminal must show what is in the file, not obey it.
        let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
        let line = text[line_start..line_end].trim_end();
        ScenarioError {
            file: file.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message,
            help,
            source_line: line.chars().map(visible).collect(),
            width: text[start..end].trim_end().chars().count().max(1),
        }
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScenarioError { file, line, column, message, help, source_line, width } = self;
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        let gutter = " ".repeat(line.to_string().len());
        // Tabs stay tabs, so that the caret lands under its character whatever their width.
        let before = source_line.chars().chain(std::iter::repeat(' ')).take(column - 1);
        let indent: String = before.map(|c| if c == '\t' { c } else { ' ' }).collect();
        writeln!(f, "  {line} | {source_line}")?;
        writeln!(f, "  {gutter} | {indent}{}", "^".repeat(*width))?;
        write!(f, "  {gutter} = help: {help}")
    }
}
