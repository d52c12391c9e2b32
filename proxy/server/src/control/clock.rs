//! Time for the pure crates: milliseconds since 1970 that never go back.

use serinus_models::Timestamp;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A monotonic clock that was set by the wall clock once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
    began_ms: u64,
}

impl Clock {
    /// A clock that is right now.
    pub(crate) fn set() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { began: Instant::now(), began_ms: since_1970.as_millis() as u64 }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.began_ms + self.began.elapsed().as_millis() as u64)
    }
}
