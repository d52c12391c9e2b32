//! Every release of a benchmark, over all cores.

use super::ledger::Outcome;
use super::play::play;
use super::policy::Policy;
use serinus_models::Predictor;
use serinus_models::world::Scenario;
use serinus_models::world::seeds::Purpose;
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What is played.
pub(super) struct Benchmark<'a> {
    pub(super) scenarios: Vec<&'a Scenario>,
    pub(super) policies: Vec<Policy>,
    pub(super) seeds: Purpose,
    /// Number of the first seed.
    pub(super) first: u32,
    /// Releases of each scenario.
    pub(super) runs: u32,
    /// Threads.
    pub(super) jobs: usize,
}

/// Of one scenario: the outcomes by policy, in the order of the benchmark; each by seed.
pub(super) struct Family<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) outcomes: Vec<(Policy, Vec<Outcome>)>,
}

impl Family<'_> {
    /// Whether it is there to measure the detector's delay alone: it counts in no total.
    pub(super) fn is_yardstick(&self) -> bool {
        self.scenario.name().starts_with("yardstick_")
    }
}

impl<'a> Benchmark<'a> {
    /// Releases in all.
    pub(super) fn releases(&self) -> usize {
        self.scenarios.len() * self.runs as usize
    }

    /// Plays all of them; the same whatever the number of threads. `played` is called after each.
    ///
    /// # Errors
    /// See [`play`].
    pub(super) fn run(
        &self,
        predictor: Option<&Arc<Predictor>>,
        played: &(dyn Fn() + Sync),
    ) -> anyhow::Result<Vec<Family<'a>>> {
        let mut releases: Vec<(usize, u32)> = (0..self.scenarios.len())
            .flat_map(|scenario| (0..self.runs).map(move |run| (scenario, run)))
            .collect();
        // The longest first, so that no thread begins one when the others have finished.
        releases.sort_by_key(|(scenario, _)| Reverse(self.scenarios[*scenario].lasts()));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some((scenario, run)) = releases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let seed = self.seeds.seed(self.first + run);
                let outcomes = play(self.scenarios[*scenario], seed, &self.policies, predictor)?;
                done.push((*scenario, *run, outcomes));
                played();
            }
            anyhow::Ok(done)
        };
        let done: Vec<anyhow::Result<Vec<_>>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            let joined = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a play panicked")));
            joined.collect()
        });
        let mut all = Vec::with_capacity(self.releases());
        for of_thread in done {
            all.extend(of_thread?);
        }
        all.sort_by_key(|(scenario, run, _)| (*scenario, *run));
        let mut families: Vec<Family> = self
            .scenarios
            .iter()
            .map(|scenario| Family {
                scenario,
                outcomes: self.policies.iter().map(|policy| (*policy, Vec::new())).collect(),
            })
            .collect();
        for (scenario, _, outcomes) in all {
            for ((_, known), outcome) in families[scenario].outcomes.iter_mut().zip(outcomes) {
                known.push(outcome);
            }
        }
        Ok(families)
    }
}
