//! What an episode turned out to be, observed on probes (and on users, where they came back) in the
//! label window.

use crate::evaluation::{EventEvidence, Label};
use crate::kernel::Count;
use crate::persistence::{Background, Look, Pairs, excess_of, is_about_time, log_ratio};
use crate::sample::Pair;
use crate::time::Timestamp;
use std::time::Duration;

/// Right after the alarm: what probes see of the excess then is what may persist on them.
const EARLY: Duration = Duration::from_secs(20);
/// So many bad rounds show that the probes can see it.
const EARLY_BAD: u64 = 3;
/// Where the probes have not shown the excess it is tested as if it were at most this on them.
const UNSEEN_EXCESS: f64 = 0.3;
/// Below this log-likelihood ratio either way the evidence decides nothing.
const DECIDED: f64 = 1.0;
/// The canary's CPU per request, against stable's, from which on it counts as saturated.
const SATURATED: f64 = 2.0;

/// Evidence for the label of one episode.
#[derive(Debug, Clone)]
pub(crate) struct LabelEvidence {
    alarm_at: Timestamp,
    window: (Duration, Duration),
    excess: f64,
    early: Look,
    probes: Look,
    probe_background: Background,
    /// Of the step that was slower, where it was one.
    pairs: Pairs,
    live: Look,
    live_background: Background,
    /// Failures of stable in the window, live and probes; of the canary likewise.
    failures: Pair<Count>,
    /// Stable's failure rate above which it is not its usual self.
    stable_outage: f64,
    /// CPU per request against stable's at the alarm.
    pub(crate) cpu_ratio: Option<f64>,
    /// The same event fired again on live traffic after users came back.
    pub(crate) came_back: bool,
}

impl LabelEvidence {
    pub(crate) fn new(
        alarm_at: Timestamp,
        fired: &EventEvidence,
        window: (Duration, Duration),
        stable_outage: f64,
    ) -> Self {
        LabelEvidence {
            alarm_at,
            window,
            excess: excess_of(fired).max(0.01),
            early: Look::default(),
            probes: Look::default(),
            probe_background: Background::new(is_about_time(fired.event)),
            pairs: Pairs::default(),
            live: Look::default(),
            live_background: Background::new(is_about_time(fired.event)),
            failures: Pair::default(),
            stable_outage,
            cpu_ratio: None,
            came_back: false,
        }
    }

    /// Whether the label window is over.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now.since(self.alarm_at) >= self.window.1
    }

    fn in_window(&self, now: Timestamp) -> bool {
        let age = now.since(self.alarm_at);
        self.window.0 <= age && age <= self.window.1
    }

    /// What probes saw: the canary alone, stable alone.
    pub(crate) fn take_probes(&mut self, now: Timestamp, look: Look, stable: Count) {
        if now.since(self.alarm_at) <= EARLY {
            self.early.bad += look.bad;
            self.early.clean += look.clean;
        }
        if self.in_window(now) {
            self.probes.bad += look.bad;
            self.probes.clean += look.clean;
            self.probe_background.add(stable);
        }
    }

    /// What probes saw of the step that was slower.
    pub(crate) fn take_pairs(&mut self, now: Timestamp, pairs: Pairs) {
        if self.in_window(now) {
            self.pairs.add(pairs);
        }
    }

    /// What users saw of the event that fired.
    pub(crate) fn take_live(&mut self, now: Timestamp, counts: Pair<Count>) {
        if self.in_window(now) {
            self.live.bad += counts.canary.hits;
            self.live.clean += counts.canary.trials - counts.canary.hits;
            self.live_background.add(counts.stable);
        }
    }

    /// Failures of both, live and probes, whatever fired.
    pub(crate) fn take_failures(&mut self, now: Timestamp, failures: Pair<Count>) {
        if self.in_window(now) {
            self.failures.stable.add(failures.stable);
            self.failures.canary.add(failures.canary);
        }
    }

    /// The excess that may persist on probes.
    fn probe_excess(&self) -> f64 {
        let early = self.early.bad + self.early.clean;
        if self.early.bad >= EARLY_BAD {
            (self.early.bad as f64 / early as f64).clamp(0.01, 1.0)
        } else {
            self.excess.min(UNSEEN_EXCESS)
        }
    }

    /// Log-likelihood ratio of "at least half of the excess persists" against "at most a tenth".
    fn log_ratio(&self) -> f64 {
        log_ratio(self.probes, self.probe_excess(), self.probe_background.rate())
            + log_ratio(self.live, self.excess, self.live_background.rate())
            + self.pairs.log_ratio()
    }

    /// The label and why, in plain words.
    pub(crate) fn decide(&self) -> (Label, String) {
        let bad = self.probes.bad + self.live.bad + self.pairs.canary;
        let clean = self.probes.clean + self.live.clean;
        let seen = bad + clean + self.pairs.total() - self.pairs.canary;
        let window =
            format!("{} to {} s after the alarm", self.window.0.as_secs(), self.window.1.as_secs());
        if let (Some(stable), Some(canary)) =
            (self.failures.stable.rate(), self.failures.canary.rate())
            && stable > self.stable_outage
            && stable >= canary / 2.0
        {
            let text = format!(
                "stable failed too, {:.1}% against the canary's {:.1}%, {window}",
                stable * 100.0,
                canary * 100.0
            );
            return (Label::Shared, text);
        }
        if seen == 0 {
            return (Label::Unclear, format!("nothing was seen of the canary {window}"));
        }
        let ratio = self.log_ratio();
        let figures =
            format!("{bad} of {seen} observations bad {window} (log-likelihood ratio {ratio:.1})");
        if ratio.abs() < DECIDED {
            return (Label::Unclear, figures);
        }
        if ratio > 0.0 {
            return (Label::Sustained, figures);
        }
        if self.came_back {
            let text = format!("gone without load, back with the users: {figures}");
            return (Label::Censored, text);
        }
        match self.cpu_ratio {
            Some(ratio) if ratio >= SATURATED => {
                let text = format!(
                    "gone without load; at the alarm the canary used {ratio:.1} times stable's CPU per request: {figures}"
                );
                (Label::Censored, text)
            }
            _ => (Label::Transient, figures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Event;
    use std::sync::Arc;

    fn evidence(canary: (u64, u64)) -> LabelEvidence {
        let fired = EventEvidence {
            stream: Arc::from("shop"),
            event: Event::Failure,
            e_value: 1e4,
            trials: Pair { stable: 500, canary: canary.0 },
            hits: Pair { stable: 1, canary: canary.1 },
        };
        let window = (Duration::from_secs(60), Duration::from_secs(300));
        LabelEvidence::new(Timestamp(0), &fired, window, 0.05)
    }

    /// One probe round every two seconds; whether the canary fails alone at that second.
    fn watched(mut evidence: LabelEvidence, bad: impl Fn(u64) -> bool) -> LabelEvidence {
        for second in (2..=300).step_by(2) {
            let look =
                if bad(second) { Look { bad: 1, clean: 0 } } else { Look { bad: 0, clean: 1 } };
            evidence.take_probes(Timestamp(second * 1000), look, Count::new(1, 0));
        }
        evidence
    }

    #[test]
    fn what_persists_is_sustained_and_what_is_gone_transient() {
        assert_eq!(watched(evidence((50, 40)), |_| true).decide().0, Label::Sustained);
        assert_eq!(watched(evidence((50, 40)), |s| s < 30).decide().0, Label::Transient);
        assert_eq!(watched(evidence((50, 40)), |_| false).decide().0, Label::Transient);
    }

    #[test]
    fn a_fault_on_one_of_seven_paths_is_measured_by_what_probes_saw_of_it() {
        assert_eq!(watched(evidence((50, 50)), |s| s % 6 == 0).decide().0, Label::Sustained);
    }

    #[test]
    fn before_the_window_nothing_counts() {
        let evidence = watched(evidence((50, 40)), |s| s < 60);
        assert_eq!(evidence.decide().0, Label::Transient, "{evidence:?}");
    }

    #[test]
    fn without_a_look_or_with_few_it_is_unclear() {
        assert_eq!(evidence((50, 40)).decide().0, Label::Unclear);
        let mut few = evidence((50, 40));
        few.take_probes(Timestamp(100_000), Look { bad: 0, clean: 3 }, Count::new(3, 0));
        assert_eq!(few.decide().0, Label::Unclear);
    }

    #[test]
    fn stable_failing_alike_makes_it_shared() {
        let mut evidence = watched(evidence((50, 40)), |_| true);
        let both = Count::new(100, 60);
        evidence.take_failures(Timestamp(100_000), Pair { stable: both, canary: both });
        assert_eq!(evidence.decide().0, Label::Shared);
    }

    #[test]
    fn what_left_with_the_load_is_censored() {
        let mut gone = watched(evidence((50, 40)), |_| false);
        gone.came_back = true;
        assert_eq!(gone.decide().0, Label::Censored);
        let mut hot = watched(evidence((50, 40)), |_| false);
        hot.cpu_ratio = Some(4.0);
        assert_eq!(hot.decide().0, Label::Censored);
    }
}
