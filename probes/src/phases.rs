//! Where the time of one step went.

use std::time::{Duration, Instant};

/// A part of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Name to address.
    Resolve,
    /// TCP.
    Connect,
    /// Handshake.
    Tls,
    /// From handing over the request to the end of the answer's header.
    Processing,
    /// From there to the last byte of the body.
    Transfer,
}

impl Phase {
    /// All, in the order in which they happen.
    pub const ALL: [Phase; 5] =
        [Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Processing, Phase::Transfer];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Resolve => "resolve",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::Processing => "processing",
            Phase::Transfer => "transfer",
        }
    }

    /// What was going on, for messages.
    pub(crate) const fn doing(self) -> &'static str {
        match self {
            Phase::Resolve => "resolving the name",
            Phase::Connect => "connecting",
            Phase::Tls => "in the TLS handshake",
            Phase::Processing => "waiting for the answer",
            Phase::Transfer => "reading the body",
        }
    }
}

/// Time per phase, redirects included. A phase that did not happen (TLS on plain HTTP; resolve,
/// connect and TLS on a connection kept from the step before) is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases([Duration; 5]);

impl Phases {
    /// Time spent in one phase.
    pub const fn of(&self, phase: Phase) -> Duration {
        self.0[phase as usize]
    }

    /// Every phase with its time.
    pub fn each(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        Phase::ALL.into_iter().map(|phase| (phase, self.of(phase)))
    }

    /// Time that nobody has divided: what a browser does in a step is many exchanges, and its own work.
    pub(crate) fn undivided(took: Duration) -> Phases {
        let mut phases = Phases::default();
        phases.0[Phase::Processing as usize] = took;
        phases
    }

    /// What the variant is answerable for: everything but the name lookup.
    pub fn latency(&self) -> Duration {
        self.0[1..].iter().sum()
    }
}

/// Adds up phases while they happen, so that a step cut short still shows how far it came.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    phases: Phases,
    running: Option<(Phase, Instant)>,
}

impl Stopwatch {
    /// Ends the phase that runs, if any, and begins this one.
    pub(crate) fn enter(&mut self, phase: Phase) {
        let now = Instant::now();
        self.end(now);
        self.running = Some((phase, now));
    }

    /// Ends the phase that runs; says which it was.
    pub(crate) fn stop(&mut self) -> Option<Phase> {
        self.end(Instant::now())
    }

    fn end(&mut self, now: Instant) -> Option<Phase> {
        let (phase, since) = self.running.take()?;
        self.phases.0[phase as usize] += now - since;
        Some(phase)
    }

    pub(crate) fn phases(&self) -> Phases {
        self.phases
    }
}
