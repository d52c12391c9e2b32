//! What is wrong with a scenario file, shown where it is wrong.

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

impl ScenarioError {
    /// An error about the bytes `span` of `text`.
    pub(super) fn new(
        file: &str,
        text: &str,
        span: Range<usize>,
        message: String,
        help: String,
    ) -> Self {
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
