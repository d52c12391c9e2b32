//! When an endpoint counts as ill, how long it is left out, and how it comes back.

use std::time::Duration;

/// How many results in a row change one's mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthRule {
    /// Failed checks in a row after which an endpoint is unhealthy.
    pub unhealthy_after: u32,
    /// Passed checks in a row after which it is healthy again.
    pub healthy_after: u32,
}

/// What the active checks of one endpoint have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    unhealthy: bool,
    /// Results in a row that say otherwise.
    contrary: u32,
    /// A first result decides alone: until it is there, nothing is known.
    known: bool,
}

impl Health {
    /// Takes in a result; true if the endpoint changed sides.
    ///
    /// | is | result | becomes |
    /// |---|---|---|
    /// | not checked yet | either | what the result says |
    /// | healthy | `unhealthy_after` failures in a row | unhealthy |
    /// | unhealthy | `healthy_after` passes in a row | healthy |
    pub fn check(&mut self, rule: HealthRule, passed: bool) -> bool {
        if passed != self.unhealthy {
            (self.contrary, self.known) = (0, true);
            return false;
        }
        self.contrary += 1;
        let needed = if self.unhealthy { rule.healthy_after } else { rule.unhealthy_after };
        if self.contrary < needed && self.known {
            return false;
        }
        *self = Health { unhealthy: !self.unhealthy, contrary: 0, known: true };
        true
    }

    /// Whether it is left out.
    pub fn is_unhealthy(&self) -> bool {
        self.unhealthy
    }
}

/// What gets an endpoint ejected, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectionRule {
    /// Failed requests in a row.
    pub failures: u32,
    /// Connections in a row that could not be made.
    pub connect_failures: u32,
    /// How long the first ejection lasts; the second in a row twice as long, the third three times.
    pub time: Duration,
    /// No ejection lasts longer.
    pub longest: Duration,
}

/// The ejections of one endpoint. Times are since some fixed moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ejection {
    until: Option<Duration>,
    /// Ejections in a row; one is forgotten for every `time` without another.
    row: u32,
    ended: Duration,
}

impl Ejection {
    /// Leaves it out from `now` on; says until when.
    pub fn eject(&mut self, rule: &EjectionRule, now: Duration) -> Duration {
        let quiet = now.saturating_sub(self.ended).as_nanos();
        let forgotten = quiet / rule.time.as_nanos().max(1);
        let row = self.row.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX)) + 1;
        let until = now + rule.time.saturating_mul(row).min(rule.longest);
        *self = Ejection { until: Some(until), row, ended: until };
        until
    }

    /// Whether it is left out.
    pub fn is_ejected(&self) -> bool {
        self.until.is_some()
    }

    /// Lets it come back if its time is over; true if it does.
    pub fn end(&mut self, now: Duration) -> bool {
        let over = self.until.is_some_and(|until| until <= now);
        if over {
            self.until = None;
        }
        over
    }

    /// When it comes back, if it is out.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }
}

/// The share of its weight that an endpoint gets which came (back) `age` ago: from a tenth to all of
/// it over `window`.
pub fn newcomer_share(age: Duration, window: Duration) -> f64 {
    const LEAST: f64 = 0.1;
    if age >= window {
        return 1.0;
    }
    LEAST + (1.0 - LEAST) * age.as_secs_f64() / window.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULE: HealthRule = HealthRule { unhealthy_after: 3, healthy_after: 2 };
    const SECOND: Duration = Duration::from_secs(1);
    const EJECTION: EjectionRule = EjectionRule {
        failures: 5,
        connect_failures: 3,
        time: Duration::from_secs(10),
        longest: Duration::from_secs(25),
    };

    /// `+` is a passed check, `-` a failed one; after each, whether the endpoint is unhealthy.
    fn check(results: &str, unhealthy: &str) {
        let mut health = Health::default();
        let said: String = results
            .chars()
            .map(|result| {
                let before = health.is_unhealthy();
                let changed = health.check(RULE, result == '+');
                assert_eq!(changed, before != health.is_unhealthy());
                if health.is_unhealthy() { 'u' } else { 'h' }
            })
            .collect();
        assert_eq!(said, unhealthy, "{results}");
    }

    #[test]
    fn the_first_result_decides_alone_and_later_ones_in_a_row() {
        check("+--+---+-++", "hhhhhhuuuuh");
        check("-++---", "uuhhhu");
        check("-+-+-++", "uuuuuuh");
    }

    #[test]
    fn ejections_grow_to_a_limit_and_are_forgotten() {
        let mut ejection = Ejection::default();
        assert_eq!(ejection.eject(&EJECTION, 100 * SECOND), 110 * SECOND);
        assert!(!ejection.end(109 * SECOND) && ejection.is_ejected());
        assert!(ejection.end(110 * SECOND) && !ejection.is_ejected());
        assert_eq!(ejection.eject(&EJECTION, 111 * SECOND), 131 * SECOND);
        ejection.end(131 * SECOND);
        assert_eq!(ejection.eject(&EJECTION, 132 * SECOND), 157 * SECOND); // 30 s, but for the limit
        ejection.end(157 * SECOND);
        assert_eq!(ejection.eject(&EJECTION, 180 * SECOND), 200 * SECOND); // two are forgotten
        ejection.end(200 * SECOND);
        assert_eq!(ejection.eject(&EJECTION, 1_000 * SECOND), 1_010 * SECOND);
    }

    #[test]
    fn a_newcomer_grows_into_its_share() {
        assert_eq!(newcomer_share(Duration::ZERO, 10 * SECOND), 0.1);
        assert_eq!(newcomer_share(5 * SECOND, 10 * SECOND), 0.55);
        assert_eq!(newcomer_share(10 * SECOND, 10 * SECOND), 1.0);
        assert_eq!(newcomer_share(Duration::ZERO, Duration::ZERO), 1.0);
    }

    proptest! {
        #[test]
        fn no_side_is_changed_without_enough_results_in_a_row(results in proptest::collection::vec(any::<bool>(), 1..60)) {
            let mut health = Health::default();
            for (at, passed) in results.iter().enumerate() {
                if health.check(RULE, *passed) && at > 0 {
                    let needed = if health.is_unhealthy() { RULE.unhealthy_after } else { RULE.healthy_after } as usize;
                    let row = &results[(at + 1).saturating_sub(needed)..=at];
                    prop_assert!(row.len() == needed && row.iter().all(|one| one == passed));
                }
            }
        }

        #[test]
        fn an_ejection_always_ends(times in proptest::collection::vec(0u32..100, 1..20)) {
            let mut ejection = Ejection::default();
            let mut now = Duration::ZERO;
            for wait in times {
                now += wait * SECOND;
                let until = ejection.eject(&EJECTION, now);
                prop_assert!(until >= now + EJECTION.time && until <= now + EJECTION.longest);
                now = until;
                prop_assert!(ejection.end(now));
            }
        }
    }
}
