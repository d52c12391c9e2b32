//! Learning in a running proxy: lessons from the journal, a thread that trains, and the files of models.
//!
//! What is learned is decided in `serinus_models::learn`; here is what touches the disk and the clock.

mod lessons;
mod news;
mod store;
mod teacher;

pub(crate) use lessons::{Correction, Lessons, correction};
pub(crate) use news::News;
pub(crate) use store::{ModelStore, write_atomically};
pub(crate) use teacher::{Report, SEED, Teacher};
