//! Certificates that a CA issues by itself (ACME, RFC 8555).
//!
//! One thread, the [`Agent`], asks and renews; what it gets it puts on the disk ([`Store`]) before
//! listeners show it, and every attempt is written down before it is made, so that a proxy that
//! crashes again and again does not ask again and again. Listeners answer the CA's questions from
//! [`Challenges`], and know nothing else of it.

mod agent;
mod challenges;
mod issue;
mod progress;
mod schedule;
mod store;

pub(crate) use agent::Agent;
pub(crate) use challenges::{Challenges, PROTOCOL};
pub(crate) use progress::{NameStatus, Progress, written};
pub(crate) use store::Store;
