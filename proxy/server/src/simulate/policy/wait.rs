//! Wait a minute: at the alarm nothing is done; the release is taken back if the anomaly is still open
//! 60 s later, by Serinus' own test of whether it has cleared. Users stay on the canary meanwhile.
//!
//! Serinus in observe mode says what is open; an anomaly that clears within the minute is forgotten.

use super::Conduct;
use serinus_rollout::{Mode, OnAnomaly};
use std::time::Duration;

pub(super) const CONDUCT: Conduct = Conduct {
    predictor: false,
    on_anomaly: OnAnomaly::Withdraw,
    mode: Mode::Observe,
    abort_after: Some(Duration::from_secs(60)),
};
