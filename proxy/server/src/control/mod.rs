//! From observations to published tables: the thread that owns the controller, and its journal.

pub(crate) mod journal;
