//! The demo in plain lines, for pipes and for those who like to scroll.

use super::scene::{Scene, now};
use super::tally::{Recent, Side};
use std::time::{Duration, Instant};

/// Prints one line a second, and one for each event.
pub(super) struct Lines {
    /// Events printed.
    told: usize,
    last: Option<Instant>,
    struck: bool,
}

impl Lines {
    pub(super) fn new() -> Self {
        Lines { told: 0, last: None, struck: false }
    }

    /// Prints what is new. Always false: nobody can ask a pipe to end.
    pub(super) fn show(&mut self, scene: &Scene) -> bool {
        let seconds = |at: u64| at.saturating_sub(scene.began_at) as f64 / 1000.0;
        if let Some(struck_at) = scene.struck_at
            && !self.struck
        {
            self.struck = true;
            println!(
                "{:6.1}s  >> {}",
                seconds(struck_at),
                super::story::fault_in_words(scene.fault)
            );
        }
        for event in scene.watcher.events.iter().skip(self.told) {
            println!("{:6.1}s  ** {}: {}", seconds(event.at), event.kind, event.headline);
        }
        self.told = scene.watcher.events.len();
        if self.last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            self.last = Some(Instant::now());
            println!("{:6.1}s  {}", seconds(now()), line(scene));
        }
        false
    }
}

fn line(scene: &Scene) -> String {
    let status = &scene.watcher.status;
    let withdrawn = if status.withdrawn { " (withdrawn)" } else { "" };
    let forecast = status.failure_probability.map_or("-".to_owned(), |p| format!("{p:.2}"));
    format!(
        "{}{withdrawn} {:>3.0}% | stable {} | canary {} | anomaly {:.3} forecast {forecast}",
        status.phase,
        status.weight,
        side(scene.tally.recent(Side::Stable)),
        side(scene.tally.recent(Side::Canary)),
        status.anomaly_score,
    )
}

fn side(recent: Recent) -> String {
    format!(
        "{:3.0}/s, {:.1} failed/s, p50 {}, p99 {}",
        recent.requests,
        recent.failures,
        milliseconds(recent.p50),
        milliseconds(recent.p99)
    )
}

/// `12 ms`, or a dash.
pub(super) fn milliseconds(latency: Option<Duration>) -> String {
    latency.map_or("-".to_owned(), |time| format!("{:.0} ms", time.as_secs_f64() * 1000.0))
}
