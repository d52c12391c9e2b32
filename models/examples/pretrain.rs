//! Makes the shipped prior again: `cargo run -p serinus-models --example pretrain`.
//!
//! Writes `models/pretrained/prior.model` and prints how good it is on releases that it was not
//! fitted on. The same source gives the same bytes; a test holds it to that.

#![expect(
    clippy::disallowed_methods,
    reason = "an example is an edge: it writes the file and reads the clock"
)]

use serinus_models::{FEATURE_COUNT, FeatureVector, pretrain};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

/// Forecasts that are timed.
const FORECASTS: u32 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("pretrained/prior.model");
    let predictor = pretrain::prior()?;
    let bytes = predictor.to_bytes();
    std::fs::write(&file, &bytes)?;
    println!("{} bytes, from {:?}\n", bytes.len(), predictor.provenance());
    print!("{}", pretrain::report(&predictor));

    let features = FeatureVector(vec![Some(0.5); FEATURE_COUNT]);
    let begun = Instant::now();
    for _ in 0..FORECASTS {
        black_box(predictor.forecast(black_box(&features)));
    }
    println!("\n{:.1?} per forecast with contributions", begun.elapsed() / FORECASTS);
    Ok(())
}
