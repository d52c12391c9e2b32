//! How long after the alarm a rollback waits for evidence, by what is seen since.
//!
//! With users withdrawn nobody is at risk, so waiting costs minutes of a bad release's life, while a hasty
//! rollback costs a good release. What tells how long faults of a kind take to pass by themselves is how the canary fails.

use crate::outcome::{Outcome, OutcomeCounts};
use std::time::Duration;

/// A process that is up and answers everything with failures: nothing starts up that way for long.
const DEAD: Patience = Patience {
    wait: Duration::from_secs(3),
    why: "the canary answers, and next to everything with failures",
};
/// Some requests fail: a cold start does that, or a neighbour's burst.
const PARTLY_FAILING: Patience = Patience {
    wait: Duration::from_secs(15),
    why: "only a part of the canary's answers are failures, which may pass",
};
/// Nothing to tell those apart by.
const HARDLY_SEEN: Patience = Patience {
    wait: Duration::from_secs(15),
    why: "hardly anything was seen of the canary since, and what failed may pass",
};
/// Refused, reset, unanswered: restarts and networks do that, for up to a minute and more.
const UNANSWERED: Patience = Patience {
    wait: Duration::from_secs(60),
    why: "the canary does not answer, as in a restart, which may pass",
};
/// Answers come late, whether or not some fail as well: caches and compilers take minutes to get warm.
const SLOW: Patience = Patience {
    wait: Duration::from_secs(90),
    why: "the canary is slow, as when it warms up, which may pass",
};

/// Users are still on it: every second harms them.
const EXPOSED: Patience = Patience { wait: Duration::from_secs(3), why: "less would be a guess" };
/// The same where they are harmed by slowness only.
const EXPOSED_TO_SLOWNESS: Patience =
    Patience { wait: Duration::from_secs(12), why: "it is only slow, which may pass" };

/// Share of the observations since the alarm from which on the canary counts as dead.
const DEAD_SHARE: f64 = 0.9;
/// So many of them at the least.
const DEAD_FROM: u64 = 5;

/// A time to wait after the alarm, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) wait: Duration,
    pub(crate) why: &'static str,
}

/// What `since_alarm`, the canary's requests and probe rounds, asks for; `of_time`: latency raised the alarm;
/// `slow`: it is slow as well; `exposed`: users were left on the canary.
pub(crate) fn patience(
    since_alarm: OutcomeCounts,
    of_time: bool,
    slow: bool,
    exposed: bool,
) -> Patience {
    let of = |class| since_alarm.of(class);
    let unanswered = of(Outcome::ConnectError) + of(Outcome::Reset) + of(Outcome::Timeout);
    let answered = since_alarm.failures() - unanswered;
    if since_alarm.total() >= DEAD_FROM
        && answered as f64 >= DEAD_SHARE * since_alarm.total() as f64
    {
        DEAD
    } else if exposed {
        if of_time { EXPOSED_TO_SLOWNESS } else { EXPOSED }
    } else if of_time || slow {
        SLOW
    } else if unanswered > answered {
        UNANSWERED
    } else if since_alarm.total() < DEAD_FROM {
        HARDLY_SEEN
    } else {
        PARTLY_FAILING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(counts: &[(Outcome, u32)]) -> OutcomeCounts {
        let mut outcomes = OutcomeCounts::default();
        counts.iter().for_each(|(outcome, count)| outcomes.add(*outcome, *count));
        outcomes
    }

    #[test]
    fn the_clearer_the_failure_the_shorter_the_wait() {
        use Outcome::{Assertion, ConnectError, Ok, Reset, ServerError};
        for (counts, of_time, expected) in [
            (&[(ServerError, 12), (Ok, 1)][..], false, DEAD),
            (&[(Assertion, 12)], false, DEAD),
            (&[(ServerError, 12)], true, DEAD),
            (&[(ServerError, 4)], false, HARDLY_SEEN),
            (&[(ServerError, 4), (Ok, 1)], false, PARTLY_FAILING),
            (&[(ServerError, 12), (Ok, 3)], false, PARTLY_FAILING),
            (&[(ConnectError, 12)], false, UNANSWERED),
            (&[(Reset, 3), (ServerError, 2), (Ok, 30)], false, UNANSWERED),
            (&[(Ok, 30)], true, SLOW),
            (&[], false, HARDLY_SEEN),
        ] {
            assert_eq!(patience(seen(counts), of_time, false, false), expected, "{counts:?}");
        }
        let partly = seen(&[(ServerError, 4), (Ok, 30)]);
        assert_eq!(patience(partly, false, true, false), SLOW, "it may be warming up");
        let dead = seen(&[(ServerError, 12)]);
        assert_eq!(patience(dead, false, true, false), DEAD);
    }

    #[test]
    fn with_users_on_it_a_failure_is_waited_for_no_longer_than_seconds() {
        let resets = seen(&[(Outcome::Reset, 12), (Outcome::Ok, 30)]);
        assert_eq!(patience(resets, false, false, true), EXPOSED);
        assert_eq!(patience(resets, true, false, true), EXPOSED_TO_SLOWNESS);
    }
}
