//! Always at alarm: the release is taken back for good at the detector's first alarm. No rollback can
//! be earlier than this one by the same evidence, and none asks less whether the failure lasts.
//!
//! Serinus in observe mode says when; the rollout is aborted in the same look.

use super::Conduct;
use serinus_rollout::{Mode, OnAnomaly};
use std::time::Duration;

pub(super) const CONDUCT: Conduct = Conduct {
    predictor: false,
    on_anomaly: OnAnomaly::Withdraw,
    mode: Mode::Observe,
    abort_after: Some(Duration::ZERO),
};
