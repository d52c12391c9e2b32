//! How an attempt ends, and the cumulative counts that the metrics page shows.

use serinus_models::Outcome;
use serinus_models::latency::highest_of;

/// How one attempt at a variant ended, as fine as the metrics and the judgement need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// 1xx: a connection handed over to another protocol.
    Informational,
    /// 2xx
    Success,
    /// 3xx
    Redirect,
    /// 4xx
    ClientError,
    /// 5xx, or an answer that was no HTTP.
    ServerError,
    /// No connection could be made.
    ConnectError,
    /// The connection ended inside the answer.
    Reset,
    /// No answer in time.
    Timeout,
}

/// How many endings there are.
pub(super) const ENDINGS: usize = 8;

impl Ending {
    pub(super) const ALL: [Ending; ENDINGS] = [
        Ending::Informational,
        Ending::Success,
        Ending::Redirect,
        Ending::ClientError,
        Ending::ServerError,
        Ending::ConnectError,
        Ending::Reset,
        Ending::Timeout,
    ];

    /// The ending of an answer with this status.
    pub const fn of_status(status: u16) -> Ending {
        match status {
            ..=199 => Ending::Informational,
            200..=299 => Ending::Success,
            300..=399 => Ending::Redirect,
            400..=499 => Ending::ClientError,
            500.. => Ending::ServerError,
        }
    }

    /// The ending of a gRPC call with this status, whose HTTP status is 200 all the same: what tells of
    /// the server is its failure, what tells of the request is the client's.
    pub(super) fn of_grpc(status: &[u8]) -> Ending {
        match status {
            b"0" => Ending::Success,
            b"4" => Ending::Timeout, // DEADLINE_EXCEEDED
            // UNKNOWN, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
            b"2" | b"12" | b"13" | b"14" | b"15" => Ending::ServerError,
            // CANCELLED, INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED (which is HTTP's 429), ...
            b"1" | b"3" | b"5" | b"6" | b"7" | b"8" | b"9" | b"10" | b"11" | b"16" => {
                Ending::ClientError
            }
            _ => Ending::ServerError, // no status that there is
        }
    }

    /// The class it counts as in the judgement.
    pub const fn outcome(self) -> Outcome {
        match self {
            Ending::Informational | Ending::Success | Ending::Redirect => Outcome::Ok,
            Ending::ClientError => Outcome::ClientError,
            Ending::ServerError => Outcome::ServerError,
            Ending::ConnectError => Outcome::ConnectError,
            Ending::Reset => Outcome::Reset,
            Ending::Timeout => Outcome::Timeout,
        }
    }

    /// Position of its status class, 0 for 1xx to 4 for 5xx; failures without an answer are 5xx,
    /// because that is what a user gets for them.
    pub(super) const fn code_class(self) -> usize {
        let index = self as usize;
        if index > 4 { 4 } else { index }
    }
}

/// Upper bounds of the duration histogram, in seconds.
pub const DURATION_BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Cumulative durations: what a Prometheus histogram needs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Durations {
    /// Requests per bound of [`DURATION_BOUNDS`], each in the first bound that holds it.
    pub counts: [u64; DURATION_BOUNDS.len()],
    /// Requests slower than the last bound.
    pub beyond: u64,
    /// Seconds of all of them together, to the precision of the recording (1%).
    pub sum_seconds: f64,
}

impl Durations {
    pub(super) fn add(&mut self, bucket: u16, count: u32) {
        let seconds = highest_of(bucket) as f64 / 1e6;
        self.sum_seconds += seconds * f64::from(count);
        match self.counts.get_mut(DURATION_BOUNDS.partition_point(|bound| *bound < seconds)) {
            Some(counts) => *counts += u64::from(count),
            None => self.beyond += u64::from(count),
        }
    }
}

/// Cumulative counts of one variant on one route.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Requests by class, 1xx to 5xx; those without an answer are among the 5xx.
    pub codes: [u64; 5],
    /// How long they took.
    pub durations: Durations,
    /// Bytes of the answers' bodies.
    pub bytes: u64,
    /// Failures that a user did not see because stable answered instead.
    pub shielded: u64,
}
