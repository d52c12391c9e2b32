//! What both variants share must stay silent, whatever it is.

use crate::dataset::Dataset;
use crate::metrics::Row;
use crate::record::{Judge, Null, nulls};
use crate::tests::{FAULT, ILL, WELL, data_set, metrics, target};
use crate::trial::{Control, Play, Watch, play};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serinus_models::{Predictor, pretrain};

fn judge() -> Judge {
    let predictor = Predictor::shipped().unwrap();
    Judge { settings: pretrain::settings(), predictor, draws: 1, seed: 1 }
}

/// A recording as calm ones are not: traffic that jumps, outages of up to nine in ten, latencies five
/// times as long, rows that were not recorded.
fn troubled(rows: usize, dice: &mut Xoshiro256PlusPlus) -> Vec<Row> {
    let usual = 50.0 + 1000.0 * dice.random::<f64>();
    let row = |at: usize| {
        let (trouble, chance): (f64, f64) = (dice.random(), dice.random());
        let slower = if trouble < 0.1 { 1.0 + 4.0 * chance } else { 1.0 + 0.2 * chance };
        let failing = if trouble > 0.9 { 0.9 * chance } else { 0.01 * chance };
        let requests = (usual * dice.random_range(0.5..1.5)) as u64;
        let missing = dice.random::<f64>() < 0.05;
        Row {
            begins: 1_681_000_000 + at as u64 * 300,
            requests: (!missing).then_some(requests),
            failures: Some((requests as f64 * failing) as u64),
            mean: None,
            quantiles: Some([0.04, 0.25, 0.3, 0.5].map(|seconds| seconds * slower)),
        }
    };
    (0..rows).map(row).collect()
}

/// Each of these deployments may raise a false alarm with a probability of 0.001 at the most, so a
/// hundred of them, always the same, are expected to raise none.
#[test]
fn a_healthy_release_shares_its_troubles_and_stays_silent() {
    let judge = judge();
    for seed in 0..100 {
        let rows = troubled(12, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
        let setup = Play {
            node: "Front",
            rows: &rows,
            control: Control::Split,
            watch: if seed % 2 == 0 { Watch::Recording } else { Watch::Probes },
            fault_at: u64::MAX,
            mended_after: None,
            seed,
        };
        let alarms = play(&setup, judge.settings, Some(&judge.predictor));
        assert_eq!(alarms, [], "seed {seed}: {rows:?}");
    }
}

#[test]
fn a_calm_recording_is_a_null_in_three_ways() {
    let directory = data_set(&metrics(&[WELL, WELL, ILL, ILL, ILL]), &target(FAULT));
    let calm = directory.path().join("dataset/low_traffic/noissue");
    std::fs::create_dir_all(&calm).unwrap();
    // A day, another hour that is well, and one in which the node fails.
    let rows = [vec![WELL; 300], vec![ILL; 12]].concat();
    std::fs::write(calm.join("metrics.csv"), metrics(&rows)).unwrap();
    let dataset = Dataset::read(directory.path()).unwrap();
    let found = |null: Null| nulls(&dataset, null, Watch::Recording, &judge()).unwrap().remove(0);

    let split = found(Null::Split);
    assert_eq!((split.deployments, split.hours, split.alarms.len()), (1, 26.0, 0));
    let windows = found(Null::FirstRow);
    assert_eq!((windows.deployments, windows.alarms.len()), (62, 0), "{windows:?}");
    // Against the day before the failing hour is an incident; each rollback begins a new deployment.
    let day_before = found(Null::DayBefore);
    assert!(day_before.deployments > 6 && day_before.hours == 2.0, "{day_before:?}");
    assert!(day_before.alarms.iter().all(|alarm| alarm.alarm.rolled_back_after.is_some()));
    assert_eq!(day_before.alarms[0].first_row, 288);
}
