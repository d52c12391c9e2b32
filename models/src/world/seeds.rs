//! Seeds of worlds by what they are for: ranges that cannot meet.

/// What worlds are played for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// The shipped prior is fitted on them.
    Train,
    /// Settings and methods are chosen by them.
    Tune,
    /// Only reported on.
    Test,
}

impl Purpose {
    /// Seed number `n` of this purpose: no other `n` and no other purpose gives the same.
    pub const fn seed(self, n: u32) -> u64 {
        ((self as u64 + 1) << 32) | n as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_do_not_meet() {
        for (before, after) in [(Purpose::Train, Purpose::Tune), (Purpose::Tune, Purpose::Test)] {
            assert!(before.seed(u32::MAX) < after.seed(0));
            assert!(before.seed(0) < before.seed(u32::MAX));
        }
    }
}
