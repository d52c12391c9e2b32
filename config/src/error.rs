//! What is wrong with a configuration file, shown where it is wrong.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Everything that is wrong with a file, in its order; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// The file, as it was named.
    pub file: PathBuf,
    /// The errors, from the top of the file to its end.
    pub errors: Vec<ConfigError>,
}

/// One thing that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
    /// The line as it stands in the file.
    source: String,
    /// Characters to underline, at least 1.
    width: usize,
}

impl ConfigError {
    /// An error about the bytes `span` of `text`.
    pub(crate) fn new(text: &str, span: Range<usize>, message: String, help: String) -> Self {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let end = floor(text, span.end).clamp(start, line_end);
        // A terminal must show what is in the file, not obey it.
        let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
        ConfigError {
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message,
            help,
            source: text[line_start..line_end]
                .trim_end_matches('\r')
                .chars()
                .map(visible)
                .collect(),
            width: text[start..end].trim_end().chars().count().max(1),
        }
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl ConfigErrors {
    fn write(&self, error: &ConfigError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { line, column, message, help, source, width } = error;
        writeln!(f, "{}:{line}:{column}: {message}", Path::display(&self.file))?;
        let gutter = " ".repeat(line.to_string().len());
        // Tabs stay tabs, so that the caret lands under its character whatever their width.
        let indent: String = source
            .chars()
            .chain(std::iter::repeat(' '))
            .take(column - 1)
            .map(|c| if c == '\t' { c } else { ' ' })
            .collect();
        writeln!(f, "  {line} | {}", source.trim_end())?;
        writeln!(f, "  {gutter} | {indent}{}", "^".repeat(*width))?;
        writeln!(f, "  {gutter} = help: {help}")
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.errors.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            self.write(error, f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_inside_a_character_or_behind_the_end_is_moved_to_one_that_can_be_shown() {
        let at = |span| {
            let error = ConfigError::new("ab\nßx", span, String::new(), String::new());
            (error.line, error.column, error.width)
        };
        assert_eq!(at(4..5), (2, 1, 1));
        assert_eq!(at(3..6), (2, 1, 2));
        assert_eq!(at(900..901), (2, 3, 1));
        assert_eq!(at(0..6), (1, 1, 2)); // no further than the line
    }
}
