//! What is wrong with the data, and where.

use std::path::{Path, PathBuf};

/// A file of the data set that cannot be taken as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// It cannot be read at all.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Something about the file or directory as a whole.
    #[error("{}: {what}", file.display())]
    File {
        /// The file or directory.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Something in one line.
    #[error("{}:{line}: {what}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

impl ReadError {
    pub(crate) fn io(file: &Path, source: std::io::Error) -> ReadError {
        ReadError::Io { file: file.to_owned(), source }
    }

    pub(crate) fn file(file: &Path, what: impl Into<String>) -> ReadError {
        ReadError::File { file: file.to_owned(), what: what.into() }
    }

    pub(crate) fn at(file: &Path, line: usize, what: impl Into<String>) -> ReadError {
        ReadError::Line { file: file.to_owned(), line, what: what.into() }
    }

    /// The text of a file that has some.
    pub(crate) fn text(file: &Path) -> Result<String, ReadError> {
        let text = std::fs::read_to_string(file).map_err(|source| ReadError::io(file, source))?;
        if text.trim().is_empty() {
            return Err(ReadError::file(file, "is empty"));
        }
        Ok(text)
    }
}
