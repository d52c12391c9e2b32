//! What can go wrong with the shop.

use super::counts::Counts;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Nothing goes wrong: the release is promoted.
    #[default]
    None,
    /// Every fifth request is answered with 500.
    Errors,
    /// Everything takes eight times as long.
    Slow,
    /// One request in ten takes half a second more: only the high quantiles move.
    Tail,
    /// The process aborts, again and again: whoever watches over it starts it anew, and it aborts again.
    Crash,
    /// Every request leaves memory behind, and the more there is the slower it gets.
    Leak,
    /// Answers 200 with the wrong content: only probes can see it.
    Corrupt,
    /// Accepts requests and never answers.
    Hang,
    /// Two seconds in which half of the requests fail, then all is well.
    Blip,
    /// A dependency of both versions fails: half of the requests to either of them.
    Shared,
    /// Closes connections without an answer.
    Reset,
    /// Slow, and sometimes failing, for the first eight seconds; better by the second.
    ColdStart,
    /// Fails for as long as there are more than forty requests a second: with fewer all is well.
    Overload,
}

impl FaultKind {
    /// Share of the requests that it hits when nobody says otherwise.
    const fn usual_rate(self) -> f64 {
        match self {
            FaultKind::Errors | FaultKind::ColdStart => 0.2,
            FaultKind::Tail => 0.1,
            FaultKind::Blip | FaultKind::Shared => 0.5,
            _ => 1.0,
        }
    }

    /// How long it lasts when nobody says otherwise; none for ever.
    const fn usual_time(self) -> Option<Duration> {
        match self {
            FaultKind::Blip => Some(Duration::from_secs(2)),
            FaultKind::ColdStart => Some(Duration::from_secs(8)),
            _ => None,
        }
    }
}

/// A fault as it is ordered: `{"kind": "errors", "rate": 0.2, "after_ms": 0, "for_ms": 2000}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultOrder {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Share of the requests that it hits, 0 to 1; default by kind.
    #[serde(default)]
    pub rate: Option<f64>,
    /// Milliseconds until it begins.
    #[serde(default)]
    pub after_ms: u64,
    /// Milliseconds that it lasts; default by kind.
    #[serde(default)]
    pub for_ms: Option<u64>,
}

/// How one request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Answer,
    Fail,
    Corrupt,
    /// The connection is closed.
    Drop,
    Hang,
}

/// What the fault does to one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Effect {
    /// Factor on the time to answer.
    pub(super) slower: f64,
    /// On top of it.
    pub(super) extra: Duration,
    pub(super) ending: Ending,
}

const HARMLESS: Effect = Effect { slower: 1.0, extra: Duration::ZERO, ending: Ending::Answer };

struct Fault {
    kind: FaultKind,
    rate: f64,
    begins: Instant,
    ends: Option<Instant>,
    /// What a leak has left behind.
    leaked: Vec<Vec<u8>>,
    /// Requests of the last second, older ones fading, and when that was told.
    busy: (f64, Instant),
}

/// Bytes that each request leaves behind in a leak, and where the leak stops for the machine's sake.
const LEAK: usize = 256 << 10;
const MOST_LEAKS: usize = 1000;
/// Requests per second beyond which an overload shows.
const MOST_BUSY: f64 = 40.0;

impl Fault {
    fn is_on(&self, now: Instant) -> bool {
        self.kind != FaultKind::None && now >= self.begins && self.ends.is_none_or(|end| now < end)
    }

    /// What is left of it, 1 at its beginning and 0 at its end.
    fn remaining(&self, now: Instant) -> f64 {
        let Some(end) = self.ends else { return 1.0 };
        let whole = end.saturating_duration_since(self.begins).as_secs_f64();
        end.saturating_duration_since(now).as_secs_f64() / whole.max(f64::MIN_POSITIVE)
    }

    fn effect(&mut self, now: Instant, dice: &mut fastrand::Rng) -> Effect {
        if !self.is_on(now) {
            self.leaked.clear();
            return HARMLESS;
        }
        let since = now.saturating_duration_since(self.busy.1).as_secs_f64();
        self.busy = (self.busy.0 * (-since).exp() + 1.0, now);
        let hit = dice.f64() < self.rate;
        let ending = |ending| Effect { ending, ..HARMLESS };
        match self.kind {
            FaultKind::ColdStart => {
                let cold = self.remaining(now);
                let failed = dice.f64() < self.rate * cold;
                let ending = if failed { Ending::Fail } else { Ending::Answer };
                Effect { slower: 1.0 + 15.0 * cold, ending, ..HARMLESS }
            }
            _ if !hit => HARMLESS,
            FaultKind::Errors | FaultKind::Blip | FaultKind::Shared => ending(Ending::Fail),
            FaultKind::Overload if self.busy.0 < MOST_BUSY => HARMLESS,
            FaultKind::Overload => ending(Ending::Fail),
            FaultKind::Slow => Effect { slower: 8.0, ..HARMLESS },
            FaultKind::Tail => {
                Effect { extra: Duration::from_millis(dice.u64(400..600)), ..HARMLESS }
            }
            FaultKind::Leak => {
                if self.leaked.len() < MOST_LEAKS {
                    self.leaked.push(vec![1; LEAK]);
                }
                // Ten megabytes double the time to answer.
                Effect { slower: 1.0 + self.leaked.len() as f64 / 40.0, ..HARMLESS }
            }
            FaultKind::Corrupt => ending(Ending::Corrupt),
            FaultKind::Hang => ending(Ending::Hang),
            FaultKind::Reset => ending(Ending::Drop),
            // Nobody is answered any more: the process ends in this moment.
            FaultKind::Crash | FaultKind::None => HARMLESS,
        }
    }
}

/// The fault in force, changed by order.
pub(super) struct FaultSwitch {
    fault: Arc<Mutex<Fault>>,
    counts: Arc<Counts>,
}

impl FaultSwitch {
    /// Nothing is wrong. `counts` are saved before a crash.
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        let fault = Fault {
            kind: FaultKind::None,
            rate: 0.0,
            begins: Instant::now(),
            ends: None,
            leaked: Vec::new(),
            busy: (0.0, Instant::now()),
        };
        FaultSwitch { fault: Arc::new(Mutex::new(fault)), counts }
    }

    /// Puts a fault in force, in place of any other. Must be called inside a runtime.
    pub(super) fn order(&self, order: FaultOrder) {
        let begins = Instant::now() + Duration::from_millis(order.after_ms);
        let lasting = order.for_ms.map(Duration::from_millis).or(order.kind.usual_time());
        *self.locked() = Fault {
            kind: order.kind,
            rate: order.rate.unwrap_or(order.kind.usual_rate()).clamp(0.0, 1.0),
            begins,
            ends: lasting.map(|time| begins + time),
            leaked: Vec::new(),
            busy: (0.0, begins),
        };
        if order.kind == FaultKind::Crash {
            let (fault, counts) = (Arc::clone(&self.fault), Arc::clone(&self.counts));
            tokio::spawn(async move {
                tokio::time::sleep_until(begins.into()).await;
                let fault = fault.lock().unwrap_or_else(PoisonError::into_inner);
                if fault.kind == FaultKind::Crash && fault.begins == begins {
                    counts.save();
                    std::process::abort();
                }
            });
        }
    }

    /// What happens to a request that arrives now.
    pub(super) fn effect(&self, now: Instant, dice: &mut fastrand::Rng) -> Effect {
        self.locked().effect(now, dice)
    }

    /// Waits until nothing is wrong.
    pub(super) async fn over(&self) {
        while self.locked().is_on(Instant::now()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind, rate: f64, seconds: Option<u64>) -> (Fault, Instant) {
        let begins = Instant::now();
        let ends = seconds.map(|time| begins + Duration::from_secs(time));
        (Fault { kind, rate, begins, ends, leaked: Vec::new(), busy: (0.0, begins) }, begins)
    }

    #[test]
    fn a_fifth_of_the_requests_fails_at_rate_a_fifth() {
        let (mut fault, now) = fault(FaultKind::Errors, 0.2, None);
        let mut dice = fastrand::Rng::with_seed(1);
        let failed =
            (0..10_000).filter(|_| fault.effect(now, &mut dice).ending == Ending::Fail).count();
        // 4 sigma of a binomial(10000, 0.2) are 160.
        assert!((1840..2160).contains(&failed), "{failed}");
    }

    #[test]
    fn an_overload_is_there_while_the_load_is() {
        let (mut fault, begins) = fault(FaultKind::Overload, 1.0, None);
        let mut dice = fastrand::Rng::with_seed(1);
        let mut failed = |from: u64, rate: u64| {
            let at =
                |turn| begins + Duration::from_secs(from) + Duration::from_secs(turn) / rate as u32;
            let asked = (0..5 * rate).map(|turn| fault.effect(at(turn), &mut dice).ending);
            asked.skip(rate as usize * 3).filter(|ending| *ending == Ending::Fail).count()
        };
        assert_eq!((failed(0, 20), failed(5, 80), failed(10, 20)), (0, 160, 0));
    }

    #[test]
    fn a_blip_ends_by_itself() {
        let (mut fault, begins) = fault(FaultKind::Blip, 1.0, Some(2));
        let mut dice = fastrand::Rng::with_seed(1);
        let at = |seconds: f64| begins + Duration::from_secs_f64(seconds);
        assert_eq!(fault.effect(at(1.9), &mut dice).ending, Ending::Fail);
        assert_eq!(fault.effect(at(2.1), &mut dice), HARMLESS);
    }

    #[test]
    fn a_cold_start_gets_faster_by_the_second() {
        let (mut fault, begins) = fault(FaultKind::ColdStart, 0.0, Some(8));
        let mut dice = fastrand::Rng::with_seed(1);
        let slower: Vec<f64> = (0..=8)
            .map(|second| fault.effect(begins + Duration::from_secs(second), &mut dice).slower)
            .collect();
        assert!(slower.is_sorted_by(|a, b| a > b), "{slower:?}");
        assert_eq!(slower.last(), Some(&1.0));
    }

    #[test]
    fn a_leak_slows_down_with_every_request() {
        let (mut fault, now) = fault(FaultKind::Leak, 1.0, None);
        let mut dice = fastrand::Rng::with_seed(1);
        let first = fault.effect(now, &mut dice).slower;
        for _ in 0..38 {
            fault.effect(now, &mut dice);
        }
        assert!(fault.effect(now, &mut dice).slower > 1.9 && first < 1.1);
    }
}
