//! Signals of a running proxy, received by a thread that waits for them.
//!
//! They are blocked before anything else starts, so that none is lost and none ends the process
//! before somebody listens (the default of SIGHUP is death). Threads inherit the mask.

use nix::sys::signal::{SigSet, Signal};

/// The signals that a proxy answers to, blocked in this thread and all that it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signals(SigSet);

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR2: start the next process and hand over to it.
    Upgrade,
    /// SIGTERM or SIGINT: finish what is in flight and end.
    Stop,
}

impl Signals {
    /// Blocks them: to be called while there is one thread only.
    ///
    /// # Errors
    /// The kernel refuses, which it does not.
    pub(super) fn block() -> nix::Result<Signals> {
        let signals: SigSet = [Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGTERM, Signal::SIGINT]
            .into_iter()
            .collect();
        signals.thread_block()?;
        Ok(Signals(signals))
    }

    /// Waits for the next one.
    ///
    /// # Errors
    /// As [`Signals::block`].
    pub(super) fn wait(self) -> nix::Result<Asked> {
        Ok(match self.0.wait()? {
            Signal::SIGHUP => Asked::Reload,
            Signal::SIGUSR2 => Asked::Upgrade,
            _ => Asked::Stop,
        })
    }
}
