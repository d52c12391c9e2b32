//! What the proxy took, written down as it goes on, and whether it grows.

use super::load::Tally;
use super::subject::Sample;
use anyhow::Result;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;

/// The first row of the file.
pub const COLUMNS: &str = "seconds,rss_kib,pss_kib,descriptors,threads,journal_bytes,journal_ahead_bytes,cpu_seconds,begun,good,mishaps,load_average,anonymous_kib,huge_kib";

/// Writes one row.
///
/// # Errors
/// The disk is full.
pub fn write_sample(file: &mut File, at: f64, sample: &Sample, tally: &Tally) -> Result<()> {
    let Sample { rss, pss, anonymous, huge, descriptors, threads, journal, journal_ahead, cpu } =
        sample;
    let (begun, good, mishaps) = (tally.begun(), tally.good(), tally.mishaps().len());
    writeln!(
        file,
        "{at:.1},{rss},{pss},{descriptors},{threads},{journal},{journal_ahead},{cpu:.2},{begun},{good},{mishaps},{},{anonymous},{huge}",
        load_average()
    )?;
    Ok(())
}

/// Over the last half: the least squares slope per hour beside the mean.
pub fn flatness(samples: &[(f64, Sample)]) -> Value {
    let half = samples.get(samples.len() / 2..).unwrap_or_default();
    let slope = |value: fn(&Sample) -> u64| {
        let n = half.len() as f64;
        let mean_at = half.iter().map(|(at, _)| at).sum::<f64>() / n;
        let mean = half.iter().map(|(_, sample)| value(sample) as f64).sum::<f64>() / n;
        let covariance: f64 =
            half.iter().map(|(at, s)| (at - mean_at) * (value(s) as f64 - mean)).sum();
        let variance: f64 = half.iter().map(|(at, _)| (at - mean_at).powi(2)).sum();
        let most = half.iter().map(|(_, sample)| value(sample)).max();
        let per_hour = covariance / variance * 3_600.0;
        json!({ "mean": mean, "most": most, "slope_per_hour": per_hour, "per_hour_of_mean": per_hour / mean })
    };
    json!({
        "rss_kib": slope(|sample| sample.rss),
        "pss_kib": slope(|sample| sample.pss),
        "anonymous_kib": slope(|sample| sample.anonymous),
        "huge_kib": slope(|sample| sample.huge),
        "descriptors": slope(|sample| sample.descriptors),
        "threads": slope(|sample| sample.threads),
        "journal_bytes": slope(|sample| sample.journal),
        "journal_ahead_bytes": slope(|sample| sample.journal_ahead),
    })
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// What the machine is busy with.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}
