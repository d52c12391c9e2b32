//! Spreading counters over threads, so that two of them never write the same cache line.

use std::ops::Deref;

/// A value on cache lines of its own (128 bytes: x86 fetches lines in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded<T>(pub T);

impl<T> Deref for Padded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Most shards of any counter: beyond it threads share, so that memory does not grow with cores.
const MOST: usize = 8;

/// Which shard of every counter a thread writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard(usize);

impl Shard {
    /// The shard of the `thread`-th thread.
    pub const fn of_thread(thread: usize) -> Self {
        Shard(thread % MOST)
    }

    /// How many shards `threads` threads need.
    pub const fn needed(threads: usize) -> usize {
        if threads > MOST { MOST } else { threads }
    }

    /// This thread's place in `shards`, which must not be empty.
    pub(crate) fn of<T>(self, shards: &[T]) -> &T {
        &shards[self.0 % shards.len()]
    }
}
