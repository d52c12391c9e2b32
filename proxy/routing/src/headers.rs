//! Headers that a route sets, adds and takes off.

use http::{HeaderName, HeaderValue};

/// Changes to the headers of a message: first what is taken off, then what is set, then what is added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderChanges {
    /// All values of these go.
    pub remove: Vec<HeaderName>,
    /// The only value from then on.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// One value more.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderChanges {
    /// Whether nothing changes.
    pub fn are_none(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}
