//! Serinus: withdraw at the alarm, judge by probes and forecast, roll back or restore
//! (models/README.md), with the defaults of the configuration; and two settings of it.

use super::Conduct;
use serinus_rollout::{Mode, OnAnomaly};

/// As it comes.
pub(in crate::simulate) const DEFAULT: Conduct = Conduct {
    predictor: true,
    on_anomaly: OnAnomaly::Withdraw,
    mode: Mode::Enforce,
    abort_after: None,
};

/// The model is missing: the stricter rule of the detector alone takes its place.
pub(super) const WITHOUT_PREDICTOR: Conduct = Conduct { predictor: false, ..DEFAULT };

/// Users stay on the canary until the forecast decides.
pub(super) const HOLD: Conduct = Conduct { on_anomaly: OnAnomaly::Hold, ..DEFAULT };
