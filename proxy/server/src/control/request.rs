//! What others ask of the control loop.

use super::journal::Answer;
use crate::learning::{Correction, News, Report};
use serinus_rollout::{Command, CommandError};
use tokio::sync::oneshot;

/// A message to the control loop.
#[derive(Debug)]
pub(crate) enum Request {
    /// A person wants something.
    Command {
        service: String,
        command: Command,
        /// Answered once it is durable, or refused; what takes users off is done at once, and
        /// answered without the journal if that does not work.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// A person says what an episode was.
    Label {
        correction: Correction,
        /// Answered once it is durable, or refused.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// What was learned.
    Learned(Vec<News>, Report),
    /// The listeners are open.
    Serve,
    /// A person wants a new certificate for this name now.
    Renew {
        name: String,
        /// Whether a CA is asked for it.
        reply: oneshot::Sender<bool>,
    },
    /// Read the configuration file again.
    Reload,
    /// The journal has an answer.
    Journal(Answer),
    /// Decide nothing more.
    Stop,
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("it could not be written down, so it was not done: {0}")]
    NotDurable(String),
    #[error("the judgement is out of order: {0}")]
    OutOfOrder(String),
}
