//! One release under Serinus, up to its label.

use super::ledger::Outcome;
use super::policy::serinus::DEFAULT;
use super::proxy::{Proxy, TakenBack};
use serinus_models::world::Scenario;
use serinus_models::{Episode, Predictor};
use std::sync::Arc;
use std::time::Duration;

/// An alarm is waited for so long after the deployment.
const PATIENCE: Duration = Duration::from_secs(8 * 60);
/// So long after it everything is over: the label is out, and `withdraw_limit` is past.
const SETTLED: Duration = Duration::from_secs(11 * 60);

/// What became of it.
pub(super) struct Played {
    pub(super) outcome: Outcome,
    pub(super) labelled: Vec<Episode>,
    pub(super) taken_back: Option<TakenBack>,
}

/// Plays the release of this scenario and seed with this model.
///
/// # Errors
/// See [`Proxy::deploy`].
pub(super) fn play_one(
    scenario: &Scenario,
    seed: u64,
    model: Arc<Predictor>,
) -> anyhow::Result<Played> {
    let mut proxy = Proxy::deploy(scenario, seed, Some(model), DEFAULT)?;
    while !proxy.is_over() {
        let now = proxy.elapsed();
        let waits = match proxy.first_alarm() {
            None => now < PATIENCE,
            Some(alarm) => now < alarm + SETTLED,
        };
        if !waits {
            break;
        }
        proxy.step();
    }
    Ok(Played {
        outcome: proxy.outcome(),
        labelled: proxy.episodes().to_vec(),
        taken_back: proxy.taken_back().cloned(),
    })
}
