//! What learning costs: `cargo run --release -p serinus-models --example learning_speed`.
//!
//! Fits a challenger to 5,000 episodes of simulated releases on one core, and times forecasts of it.

#![expect(clippy::disallowed_methods, reason = "an example is an edge: it reads the clock")]

use serinus_models::learn::{Frozen, Lesson, train};
use serinus_models::{CHECKPOINTS, FEATURE_COUNT, FeatureVector, Predictor, Timestamp, pretrain};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Episodes, of which so many different ones are played; the others repeat them under other names.
const EPISODES: u64 = 5_000;
const PLAYED: u64 = 1_500;
/// Forecasts that are timed.
const FORECASTS: u32 = 10_000;

/// What this thread has had of a core: on a busy machine less than the time that went by. Linux tells.
fn worked() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

fn main() -> Result<(), Box<dyn Error>> {
    let played = pretrain::episodes(1 << 40, PLAYED);
    let lessons: Vec<Lesson> = (0..EPISODES)
        .map(|at| {
            let episode = &played[at as usize % played.len()];
            let looks = CHECKPOINTS
                .iter()
                .filter_map(|age| Some((*age, episode.at(u64::from(*age))?.features.clone())));
            let begun = Timestamp(at * 600_000);
            Lesson {
                id: at,
                service: format!("service {}", at % 10).into(),
                deployed: begun,
                alarm_at: begun,
                labelled_at: Timestamp(begun.0 + 300_000),
                sustained: episode.sustained(),
                corrected: false,
                looks: looks.collect(),
            }
        })
        .collect();
    let prior = Predictor::shipped()?;
    let begun = Instant::now();
    let frozen = Frozen::play();
    println!("{:.1?} to play the frozen scenarios", begun.elapsed());
    let (begun, worked) = (Instant::now(), worked());
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    let learned = train(&lessons, (&prior, &prior), &frozen, 1, &mut |_| {
        longest = longest.max(last.elapsed());
        last = Instant::now();
        true
    })?;
    println!(
        "{:.1?} to train on {EPISODES} episodes of 10 services, {:.1?} of them on a core ({} bytes); at most {longest:.1?} between two chances to cancel",
        begun.elapsed(),
        self::worked().saturating_sub(worked),
        learned.to_bytes().len()
    );
    let (learned, features) =
        (learned.of_service("service 3"), FeatureVector(vec![Some(0.5); FEATURE_COUNT]));
    let begun = Instant::now();
    for _ in 0..FORECASTS {
        black_box(learned.forecast(black_box(&features)));
    }
    println!(
        "{:.1?} per forecast of three pooled models, contributions included",
        begun.elapsed() / FORECASTS
    );
    println!(
        "\n{}",
        pretrain::report(&prior).to_string().lines().take(8).collect::<Vec<_>>().join("\n")
    );
    Ok(())
}
