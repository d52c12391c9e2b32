//! A labelled episode, as it is learned from.

use crate::episode::Episode;
use crate::evaluation::Label;
use crate::features::{FEATURES, FeatureVector};
use crate::fit::TrainingRow;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an episode teaches.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// Its number in the journal.
    pub id: u64,
    /// Whose release it was.
    pub service: Arc<str>,
    /// When the release began: episodes of one release are never split between fit and test.
    pub deployed: Timestamp,
    /// When the alarm was.
    pub alarm_at: Timestamp,
    /// When its label was observed.
    pub labelled_at: Timestamp,
    /// Whether the failure lasted.
    pub sustained: bool,
    /// Whether a person said so.
    pub corrected: bool,
    /// What was known so many seconds after the alarm.
    pub looks: Vec<(u32, FeatureVector)>,
}

/// Why an episode teaches nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLearned {
    /// Its label says nothing of how long such failures last.
    #[error("it is {}, which says nothing of how long such failures last", .0.as_str())]
    Label(Label),
    /// No features were kept.
    #[error("no features were kept")]
    NoFeatures,
    /// Features of another version.
    #[error("{found} features in place of {expected}: another version kept them")]
    Width {
        /// In the episode.
        found: usize,
        /// What this version extracts.
        expected: usize,
    },
    /// NaN or infinity.
    #[error("{0} is not a finite number")]
    NotFinite(&'static str),
}

impl Lesson {
    /// Of an episode with its number, of the release of `service` that began at `deployed`.
    /// What a person says of it (`corrected`) wins over the observed label.
    ///
    /// # Errors
    /// [`NotLearned`]: the episode teaches nothing, and why.
    pub fn of(
        episode: &Episode,
        (id, service, deployed): (u64, Arc<str>, Timestamp),
        labelled_at: Timestamp,
        corrected: Option<Label>,
    ) -> Result<Lesson, NotLearned> {
        let sustained = match corrected.unwrap_or(episode.label) {
            Label::Sustained => true,
            Label::Transient => false,
            label => return Err(NotLearned::Label(label)),
        };
        if episode.checkpoints.is_empty() {
            return Err(NotLearned::NoFeatures);
        }
        for (_, features) in &episode.checkpoints {
            let (found, expected) = (features.0.len(), FEATURES.len());
            if found != expected {
                return Err(NotLearned::Width { found, expected });
            }
            let odd = features.0.iter().position(|value| value.is_some_and(|v| !v.is_finite()));
            if let Some(odd) = odd {
                return Err(NotLearned::NotFinite(FEATURES[odd]));
            }
        }
        Ok(Lesson {
            id,
            service,
            deployed,
            alarm_at: episode.alarm_at,
            labelled_at,
            sustained,
            corrected: corrected.is_some(),
            looks: episode.checkpoints.clone(),
        })
    }

    /// The release that it is of.
    pub(super) fn release(&self) -> (Timestamp, &str) {
        (self.deployed, &self.service)
    }
}

/// Training rows, and where each comes from: the number of its lesson and the place of its look there.
pub(super) struct Rows {
    pub(super) rows: Vec<TrainingRow>,
    pub(super) places: Vec<(usize, usize)>,
}

/// Training rows of numbered lessons, the releases numbered in the order in which they began. Where there are
/// more than `most`, each lesson gives up some of its looks, those of its neighbours others.
pub(super) fn rows(lessons: &[(usize, &Lesson)], most: usize) -> Rows {
    let mut ranks: BTreeMap<(Timestamp, &str), u64> =
        lessons.iter().map(|(_, lesson)| (lesson.release(), 0)).collect();
    for (rank, number) in ranks.values_mut().enumerate() {
        *number = rank as u64;
    }
    let looks: usize = lessons.iter().map(|(_, lesson)| lesson.looks.len()).sum();
    let every = looks.div_ceil(most.max(1)).max(1);
    let (mut rows, mut places) = (Vec::new(), Vec::new());
    for (turn, (number, lesson)) in lessons.iter().enumerate() {
        let looks = lesson.looks.iter().enumerate().skip(turn % every).step_by(every);
        for (look, (_, features)) in looks {
            places.push((*number, look));
            rows.push(TrainingRow {
                deployment: ranks[&lesson.release()],
                features: features.clone(),
                sustained: lesson.sustained,
            });
        }
    }
    Rows { rows, places }
}
