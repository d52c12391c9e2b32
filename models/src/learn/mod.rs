//! Learning: from labelled episodes to a better predictor, and never to a worse one.
//!
//! [`Lesson`]s are labelled episodes in the order of their labels. [`train`] fits a challenger to them;
//! a [`Roster`] keeps it beside the champion, lets both forecast every episode before its label exists,
//! and says when one takes the other's place. All of it is a function of lessons and models: the proxy,
//! `serinus train` and the bench run the same code and come to the same end.

mod bet;
mod doubt;
mod figures;
mod frozen;
mod lesson;
mod roster;
mod say;
mod train;
mod trial;

pub use doubt::doubted;
pub use figures::{CalibrationRow, Figures, calibration_table, figures};
pub use frozen::Frozen;
pub use lesson::{Lesson, NotLearned};
pub use roster::{Finding, RETRAIN_AFTER, Roster};
pub use train::{MOST_LESSONS, Progress, train};
pub use trial::{Standing, Verdict};

#[cfg(test)]
mod tests;
