//! An episode: from the alarm to its label. What the predictor learns from.

use crate::baseline::Rate;
use crate::evaluation::{EventEvidence, Label};
use crate::features::FeatureVector;
use crate::kernel::Count;
use crate::label::LabelEvidence;
use crate::outcome::OutcomeCounts;
use crate::persistence::{Persistence, excess_of, is_about_time};
use crate::sample::Pair;
use crate::time::Timestamp;
use crate::window::excess;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Seconds after the alarm at which features are kept for learning: close to each other early, when it is hard
/// and much is decided; and later still close enough that it shows how long the failures of a
/// service take which pass: with nothing between one minute and three, all that lasts longer than a minute
/// would look as if it lasted for ever.
pub const CHECKPOINTS: [u32; 11] = [0, 2, 5, 10, 20, 40, 60, 80, 100, 140, 180];

/// One anomaly and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// When the detector's score passed its threshold.
    pub alarm_at: Timestamp,
    /// The strongest event then, with its counts since the deviation began.
    pub fired: EventEvidence,
    /// When users were taken off the canary; none if they never were.
    pub withdrawn_at: Option<Timestamp>,
    /// When users came back; none if they did not while the episode was watched.
    pub returned_at: Option<Timestamp>,
    /// What it turned out to be.
    pub label: Label,
    /// Why that label, in plain words with figures.
    pub why: String,
    /// Features by seconds after the alarm: those of [`CHECKPOINTS`] that were reached while it was open.
    pub checkpoints: Vec<(u32, FeatureVector)>,
}

/// The episode that is open: users are protected and the verdict is out.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) alarm_at: Timestamp,
    pub(crate) fired: EventEvidence,
    pub(crate) persistence: Persistence,
    /// Probe rounds since the alarm, and those that failed.
    pub(crate) probes: Pair<Count>,
    /// What the canary's requests and probe rounds since the alarm ended in.
    pub(crate) outcomes: OutcomeCounts,
    /// Where the canary served everybody and was held against stable's past: what stable itself shows.
    pub(crate) present: Option<Present>,
}

/// Stable's own share of the event that fired, seen again since users are back on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present {
    /// What was usual before, 0 to 1.
    pub(crate) usual: f64,
    pub(crate) rate: Rate,
}

/// So many of stable's requests, and so many with the event, are enough to say that it has it too.
const PRESENT_FROM: f64 = 20.0;
const PRESENT_HITS: f64 = 3.0;
/// They are forgotten as quickly as an outage ends.
const PRESENT_MEMORY: Duration = Duration::from_secs(10);

impl Present {
    /// Takes in a tick of stable's.
    pub(crate) fn add(&mut self, stable: Count, span: Duration) {
        self.rate.add(stable.hits, stable.trials);
        self.rate.fade(span, PRESENT_MEMORY);
    }
}

impl Open {
    pub(crate) fn new(alarm_at: Timestamp, fired: EventEvidence) -> Self {
        let persistence = Persistence::new(alarm_at, excess_of(&fired), is_about_time(fired.event));
        Open {
            alarm_at,
            fired,
            persistence,
            probes: Pair::default(),
            outcomes: OutcomeCounts::default(),
            present: None,
        }
    }

    /// The canary served everybody: its excess is that over what was `usual` (0 to 1) for stable before.
    pub(crate) fn hold_against_the_past(&mut self, usual: f64) {
        let EventEvidence { trials, hits, event, .. } = &self.fired;
        let canary = Count::new(trials.canary, hits.canary).rate().unwrap_or_default();
        self.present = Some(Present { usual, rate: Rate::default() });
        let excess = (canary - usual).max(0.0);
        self.persistence =
            Persistence::new(self.alarm_at, excess, is_about_time(*event)).by_probes();
    }

    /// Whether stable, held against its own past, is now at least half as much worse as the canary was.
    pub(crate) fn is_shared(&self) -> bool {
        let Some(Present { usual, rate }) = self.present else { return false };
        let canary = Count::new(self.fired.trials.canary, self.fired.hits.canary).rate();
        let enough = |rate: f64, weight| weight >= PRESENT_FROM && rate * weight >= PRESENT_HITS;
        match (rate.mean(), canary) {
            (Some(stable), Some(canary)) if enough(stable, rate.weight()) => {
                stable - usual >= (canary - usual) / 2.0
            }
            _ => false,
        }
    }

    /// What probes saw fail since the alarm, against the excess of failures that raised it.
    pub(crate) fn probe_gap(&self) -> Option<f64> {
        let comparable = !is_about_time(self.fired.event);
        excess(self.probes).filter(|_| comparable).map(|probes| probes - excess_of(&self.fired))
    }
}

/// An episode whose label is not known yet; it may be open or over.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) episode: Episode,
    pub(crate) evidence: LabelEvidence,
}

impl Watched {
    pub(crate) fn new(alarm_at: Timestamp, fired: EventEvidence, evidence: LabelEvidence) -> Self {
        let episode = Episode {
            alarm_at,
            fired,
            withdrawn_at: None,
            returned_at: None,
            label: Label::Unclear,
            why: String::new(),
            checkpoints: Vec::with_capacity(CHECKPOINTS.len()),
        };
        Watched { episode, evidence }
    }

    /// The checkpoint that is due and not yet kept.
    pub(crate) fn checkpoint_due(&self, now: Timestamp) -> Option<u32> {
        let passed = now.since(self.episode.alarm_at).as_secs();
        let due = CHECKPOINTS.into_iter().rfind(|at| u64::from(*at) <= passed)?;
        let kept = self.episode.checkpoints.last().is_some_and(|(at, _)| *at >= due);
        (!kept).then_some(due)
    }

    /// The finished episode.
    pub(crate) fn labelled(mut self) -> Episode {
        (self.episode.label, self.episode.why) = self.evidence.decide();
        self.episode
    }
}
