//! Which deployments are fitted on, and which are held out for choosing and calibrating.
//!
//! Rows of one deployment resemble each other, so a deployment is never on both sides.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::BTreeSet;

/// Parts of a cross-validation in random order.
const SHUFFLED: usize = 5;
/// Parts of one in time; the first is never held out.
const IN_TIME: usize = 5;

/// One round of a cross-validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fold {
    pub(super) train: BTreeSet<u64>,
    pub(super) test: BTreeSet<u64>,
}

/// Deployments in random order, dealt out to the folds: at least two, so that something is held out.
pub(super) fn shuffled(deployments: &BTreeSet<u64>, seed: u64) -> Vec<Fold> {
    let mut order: Vec<u64> = deployments.iter().copied().collect();
    order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
    let count = SHUFFLED.min(order.len());
    let mut tests = vec![BTreeSet::new(); count];
    for (position, deployment) in order.into_iter().enumerate() {
        tests[position % count].insert(deployment);
    }
    let fold = |test: BTreeSet<u64>| Fold { train: deployments - &test, test };
    tests.into_iter().map(fold).collect()
}

/// Forward-chaining: each part of the history is held out once and forecast from all that came before
/// it, as it will be when the model serves. Numbers are ranks in time.
pub(super) fn in_time(deployments: &BTreeSet<u64>) -> Vec<Fold> {
    let order: Vec<u64> = deployments.iter().copied().collect();
    let parts = IN_TIME.min(order.len());
    let end = |part: usize| part * order.len() / parts.max(1);
    let set = |from: usize, to: usize| order[from..to].iter().copied().collect();
    (1..parts)
        .map(|part| Fold { train: set(0, end(part)), test: set(end(part), end(part + 1)) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_apart(folds: &[Fold]) {
        assert!(folds.iter().all(|fold| fold.train.is_disjoint(&fold.test)), "{folds:?}");
    }

    #[test]
    fn shuffled_folds_keep_a_deployment_together_and_hold_each_out_once() {
        let deployments: BTreeSet<u64> = (0..23).collect();
        let folds = shuffled(&deployments, 3);
        check_apart(&folds);
        assert_eq!(folds.len(), SHUFFLED);
        assert_eq!(folds.iter().map(|fold| fold.test.len()).sum::<usize>(), 23);
        assert_eq!(
            folds.into_iter().flat_map(|fold| fold.test).collect::<BTreeSet<_>>(),
            deployments
        );
    }

    #[test]
    fn folds_in_time_never_fit_on_what_came_later() {
        let deployments: BTreeSet<u64> = (0..23).map(|rank| 3 * rank).collect();
        let folds = in_time(&deployments);
        check_apart(&folds);
        for Fold { train, test } in &folds {
            assert!(train.last() < test.first(), "{train:?} {test:?}");
        }
        let held_out: BTreeSet<u64> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
        assert_eq!(held_out, deployments.into_iter().skip(4).collect());
        assert_eq!(in_time(&[7].into()), []);
    }
}
