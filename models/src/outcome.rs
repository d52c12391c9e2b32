//! How a request ended, and whose fault that was.

use serde::{Deserialize, Serialize};

/// The class of one finished request. A client's own fault (abort, slow upload, malformed request)
/// has no class here: it is not an observation of any variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered below 400.
    Ok,
    /// Answered 4xx: mostly the client's doing, but a canary that answers 404 to everybody shows here.
    ClientError,
    /// Answered 5xx.
    ServerError,
    /// No connection could be made.
    ConnectError,
    /// The connection ended inside the answer.
    Reset,
    /// No answer in time.
    Timeout,
    /// Answered, but not what the probe expected.
    Assertion,
}

impl Outcome {
    /// All classes, in the order of [`OutcomeCounts`].
    pub const ALL: [Outcome; 7] = [
        Outcome::Ok,
        Outcome::ClientError,
        Outcome::ServerError,
        Outcome::ConnectError,
        Outcome::Reset,
        Outcome::Timeout,
        Outcome::Assertion,
    ];

    /// Whether the variant failed its user.
    pub const fn is_failure(self) -> bool {
        !matches!(self, Outcome::Ok | Outcome::ClientError)
    }

    /// Position in [`OutcomeCounts`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The class of an answer with this status.
    pub const fn of_status(status: u16) -> Outcome {
        match status {
            500.. => Outcome::ServerError,
            400..=499 => Outcome::ClientError,
            _ => Outcome::Ok,
        }
    }

    /// The name used in labels and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::ClientError => "client_error",
            Outcome::ServerError => "server_error",
            Outcome::ConnectError => "connect_error",
            Outcome::Reset => "reset",
            Outcome::Timeout => "timeout",
            Outcome::Assertion => "assertion",
        }
    }
}

/// Finished requests by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutcomeCounts(pub [u32; 7]);

impl OutcomeCounts {
    /// Adds `count` requests of one class.
    pub fn add(&mut self, outcome: Outcome, count: u32) {
        self.0[outcome.index()] = self.0[outcome.index()].saturating_add(count);
    }

    /// Adds another tick's or route's counts.
    pub fn merge(&mut self, other: &OutcomeCounts) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// Requests of one class.
    pub fn of(&self, outcome: Outcome) -> u64 {
        u64::from(self.0[outcome.index()])
    }

    /// All finished requests.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// Requests that failed their user.
    pub fn failures(&self) -> u64 {
        Outcome::ALL.iter().filter(|o| o.is_failure()).map(|o| self.of(*o)).sum()
    }
}
