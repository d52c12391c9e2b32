//! From TOML text to validated settings.
//!
//! Pure: the text and the name of its file come in; settings, or every error of the file with its
//! line and a caret, come out. Whether files and addresses exist is the edge's business.

mod access;
mod change;
mod collection;
mod error;
mod guard;
mod intake;
mod net;
mod network;
mod number;
mod pattern;
mod plan;
mod probe;
mod read;
mod reader;
mod schema;
mod settings;
mod suggest;
mod table;

pub use change::changed_policy;
pub use error::{ConfigError, ConfigErrors};
pub use guard::*;
pub use intake::*;
pub use network::Network;
pub use probe::*;
pub use schema::schema;
pub use settings::*;

use std::path::Path;

/// Reads a configuration.
///
/// `file` names it in messages, and its folder is what relative paths in it start from.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, file: &Path) -> Result<Settings, ConfigErrors> {
    read::parse(text, file)
}
