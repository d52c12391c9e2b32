//! When the next round of a probe is due.

use crate::seasons;
use serinus_config::{ProbeDefinition, Season, SideEffect};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How badly evidence is wanted; a later one is more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Urgency {
    /// As configured.
    #[default]
    Routine,
    /// Evidence is short: ten times as often, up to once a second, and plain GETs once a second.
    Raised,
    /// An anomaly is open: ten times as often, and plain GETs five times a second.
    Suspicion,
}

/// No probe is sped up beyond one round in this time ...
const SHORTEST: Duration = Duration::from_millis(200);
/// ... and in this while evidence is merely short.
const SHORTEST_RAISED: Duration = Duration::from_secs(1);
/// A browser takes seconds of a core just to begin.
const SHORTEST_OF_BROWSERS: Duration = Duration::from_secs(10);

impl Urgency {
    /// Time between two rounds of a probe whose interval this is; never longer than that. What leaves
    /// something behind is sped up less, and what charges not at all.
    pub fn interval(self, configured: Duration, side_effect: SideEffect) -> Duration {
        let times = match (side_effect, self) {
            (SideEffect::Charges, _) | (_, Urgency::Routine) => 1,
            (SideEffect::Creates, Urgency::Raised) => 1,
            (SideEffect::Creates, Urgency::Suspicion) => 2,
            (SideEffect::Safe, Urgency::Raised | Urgency::Suspicion) => 10,
        };
        let shortest = if self == Urgency::Raised { SHORTEST_RAISED } else { SHORTEST };
        (configured / times).max(shortest).min(configured)
    }
}

/// How often a probe runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Cadence {
    /// At routine.
    pub interval: Duration,
    /// Of the plain probe: at no interval at routine.
    pub plain: bool,
    /// What a run leaves behind.
    side_effect: SideEffect,
    /// Times of the week with a pace of their own.
    seasons: Vec<Season>,
    /// No interval is sped up below this.
    shortest: Duration,
}

impl Cadence {
    /// Of the plain probe, which asks for the routes that no other does.
    pub const PLAIN: Cadence = Cadence {
        interval: SHORTEST,
        plain: true,
        side_effect: SideEffect::Safe,
        seasons: Vec::new(),
        shortest: SHORTEST,
    };

    /// Of a safe probe without seasons.
    pub fn every(interval: Duration) -> Cadence {
        Cadence { interval, plain: false, ..Cadence::PLAIN }
    }

    /// Of a probe as it is configured.
    pub(crate) fn of(probe: &ProbeDefinition, plain: bool) -> Cadence {
        Cadence {
            plain,
            side_effect: probe.side_effect,
            seasons: probe.seasons.clone(),
            shortest: if probe.browser.is_some() { SHORTEST_OF_BROWSERS } else { SHORTEST },
            ..Cadence::every(probe.interval)
        }
    }

    /// Time between two rounds; none for no rounds at all. Under suspicion no season slows rounds down, and
    /// whatever the season, more urgency never means fewer of them.
    pub fn at(&self, urgency: Urgency) -> Option<Duration> {
        if self.plain {
            return match urgency {
                Urgency::Routine => None,
                Urgency::Raised => Some(self.interval.max(SHORTEST_RAISED)),
                Urgency::Suspicion => Some(self.interval),
            };
        }
        let shortest = self.shortest.min(self.interval);
        let rate = seasons::rate(&self.seasons, SystemTime::now());
        let routine =
            if rate == 1.0 { self.interval } else { self.interval.div_f64(rate).max(shortest) };
        let usual = match (self.side_effect, urgency) {
            (SideEffect::Safe | SideEffect::Creates, Urgency::Suspicion) => self.interval,
            (SideEffect::Charges, _) | (_, Urgency::Routine | Urgency::Raised) => routine,
        };
        Some(urgency.interval(usual, self.side_effect).max(shortest).min(routine))
    }
}

/// A round that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Rounds left out since the one before.
    pub(crate) left_out: u64,
    /// When it was due; it is begun later by what the machine was too busy for.
    pub(crate) at: Instant,
    /// How long it may wait for a place.
    pub(crate) patience: Duration,
}

/// Says when the rounds of one probe are due. Only one round goes on at a time: grid points that
/// pass while a round lasts are left out, and counted.
///
/// The first round comes after `offset`, a share (0 to 1) of the interval; further ones lie on a grid
/// from there, each up to a tenth of the interval late, at random, so that probes of one interval do
/// not march in step. When the urgency rises, a round is due at once.
pub(crate) struct Pace {
    cadence: Cadence,
    generator: fastrand::Rng,
    urgency: watch::Receiver<Urgency>,
    current: Urgency,
    /// The grid point that comes next; none while there are no rounds.
    due: Option<Instant>,
}

impl Pace {
    /// Begins now.
    pub(crate) fn new(
        cadence: Cadence,
        offset: f64,
        generator: fastrand::Rng,
        mut urgency: watch::Receiver<Urgency>,
    ) -> Pace {
        let current = *urgency.borrow_and_update();
        let due = cadence.at(current).map(|interval| Instant::now() + interval.mul_f64(offset));
        Pace { cadence, generator, urgency, current, due }
    }

    /// Waits until a round is due. None once the urgency's sender is gone.
    pub(crate) async fn next(&mut self) -> Option<Due> {
        let left_out = self.pass_by();
        let mut at = match (self.due, self.cadence.at(self.current)) {
            (Some(due), Some(interval)) => {
                Some(due + interval.mul_f64(self.generator.f64() / 10.0))
            }
            _ => None,
        };
        let at = loop {
            let until = at.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                changed = self.urgency.changed() => {
                    changed.ok()?;
                    self.turn();
                    at = self.due;
                }
                () = sleep_until(until), if at.is_some() => break until,
            }
        };
        // The next grid point follows this one.
        let interval = self.cadence.at(self.current);
        self.due = self.due.zip(interval).map(|(due, interval)| due + interval);
        Some(Due { left_out, at, patience: interval.unwrap_or_default() / 10 })
    }

    /// Leaves out the grid points that are past.
    fn pass_by(&mut self) -> u64 {
        let (Some(due), Some(interval)) = (self.due, self.cadence.at(self.current)) else {
            return 0;
        };
        let late = Instant::now().saturating_duration_since(due);
        if late.is_zero() || interval.is_zero() {
            return 0;
        }
        let passed =
            u32::try_from(late.as_nanos().div_ceil(interval.as_nanos())).unwrap_or(u32::MAX);
        self.due = Some(due + interval * passed);
        u64::from(passed)
    }

    /// Takes up a new urgency: a rise makes a round due now, a fall at the calmer pace at the latest.
    fn turn(&mut self) {
        let next = *self.urgency.borrow_and_update();
        let now = Instant::now();
        self.due = match self.cadence.at(next) {
            None => None,
            Some(_) if next > self.current => Some(now),
            Some(interval) => Some(self.due.map_or(now + interval, |due| due.min(now + interval))),
        };
        self.current = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(interval: Duration, plain: bool) -> (watch::Sender<Urgency>, Pace) {
        let (sender, receiver) = watch::channel(Urgency::Routine);
        let cadence = Cadence { plain, ..Cadence::every(interval) };
        (sender, Pace::new(cadence, 0.5, fastrand::Rng::with_seed(1), receiver))
    }

    async fn left_out(pace: &mut Pace) -> Option<u64> {
        let due = pace.next().await?;
        // The clock of tests moves in milliseconds.
        assert!(Instant::now() - due.at <= Duration::from_millis(1));
        assert_eq!(due.patience, pace.cadence.interval / 10);
        Some(due.left_out)
    }

    /// Rounds that are due within `span`, each ending at once.
    async fn rounds(pace: &mut Pace, span: Duration) -> u32 {
        let end = Instant::now() + span;
        let mut rounds = 0;
        while tokio::time::timeout_at(end, pace.next()).await.is_ok() {
            rounds += 1;
        }
        rounds
    }

    #[test]
    fn urgency_shortens_the_interval_but_not_below_the_shortest_and_never_lengthens_it() {
        let millis = Duration::from_millis;
        let table = [(2000, 2000, 1000, 200), (20_000, 20_000, 2000, 2000), (300, 300, 300, 200)];
        for (configured, routine, raised, suspicion) in
            table.into_iter().chain([(100, 100, 100, 100)])
        {
            let safe = |urgency: Urgency| urgency.interval(millis(configured), SideEffect::Safe);
            assert_eq!(safe(Urgency::Routine), millis(routine));
            assert_eq!(safe(Urgency::Raised), millis(raised));
            assert_eq!(safe(Urgency::Suspicion), millis(suspicion));
        }
    }

    #[test]
    fn what_leaves_something_behind_is_sped_up_less_and_what_charges_never() {
        let interval = |side_effect| {
            [Urgency::Routine, Urgency::Raised, Urgency::Suspicion]
                .map(|urgency| urgency.interval(20 * SECOND, side_effect).as_secs())
        };
        assert_eq!(interval(SideEffect::Creates), [20, 20, 10]);
        assert_eq!(interval(SideEffect::Charges), [20, 20, 20]);
    }

    #[test]
    fn a_season_sets_the_pace_but_not_under_suspicion() {
        let always = |rate| Season { days: [true; 7], from: 0, to: 24, rate };
        let at = |side_effect, rate, urgency| {
            let seasons = vec![always(rate)];
            Cadence { side_effect, seasons, ..Cadence::every(20 * SECOND) }.at(urgency).unwrap()
        };
        use SideEffect::{Charges, Creates, Safe};
        assert_eq!(at(Safe, 2.0, Urgency::Routine), 10 * SECOND);
        assert_eq!(at(Safe, 0.25, Urgency::Raised), 8 * SECOND);
        assert_eq!(at(Safe, 0.25, Urgency::Suspicion), 2 * SECOND);
        assert_eq!(at(Charges, 0.25, Urgency::Suspicion), 80 * SECOND);
        assert_eq!(at(Safe, 100.0, Urgency::Suspicion), SHORTEST, "no slower than at routine");
        assert_eq!(at(Creates, 4.0, Urgency::Suspicion), 5 * SECOND, "nor this one");
        assert_eq!(
            at(Safe, 10.0, Urgency::Raised),
            SHORTEST_RAISED,
            "no quicker than once a second"
        );
        let browser = Cadence {
            seasons: vec![always(10.0)],
            shortest: SHORTEST_OF_BROWSERS,
            ..Cadence::every(10 * SECOND)
        };
        assert_eq!(browser.at(Urgency::Routine), Some(SHORTEST_OF_BROWSERS));
        assert_eq!(browser.at(Urgency::Suspicion), Some(SHORTEST_OF_BROWSERS));
        let brief = Cadence { seasons: vec![always(100.0)], ..Cadence::every(SECOND) };
        assert_eq!(brief.at(Urgency::Routine), Some(SHORTEST));
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_keep_to_their_grid_with_some_jitter() {
        let (_sender, mut pace) = pace(2 * SECOND, false);
        let start = Instant::now();
        let mut lateness = Vec::new();
        for round in 0..50 {
            pace.next().await.unwrap();
            let grid = SECOND + 2 * SECOND * round;
            lateness.push(start.elapsed().checked_sub(grid).expect("never early"));
        }
        // The clock of tests moves in milliseconds.
        assert!(lateness.iter().all(|late| *late <= Duration::from_millis(201)), "{lateness:?}");
        lateness.sort();
        lateness.dedup();
        assert!(lateness.len() > 25, "no jitter: {lateness:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rise_makes_a_round_due_at_once_and_speeds_up_the_next_ones() {
        let (sender, mut pace) = pace(20 * SECOND, false);
        assert_eq!(rounds(&mut pace, 100 * SECOND).await, 5);
        sender.send(Urgency::Suspicion).unwrap();
        let before = Instant::now();
        pace.next().await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(rounds(&mut pace, 100 * SECOND).await, 49);
        sender.send(Urgency::Routine).unwrap();
        assert!((4..=6).contains(&rounds(&mut pace, 100 * SECOND).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_overruns_leaves_out_others_instead_of_piling_them_up() {
        let (_sender, mut pace) = pace(SECOND, false);
        assert_eq!(left_out(&mut pace).await, Some(0));
        tokio::time::sleep(Duration::from_millis(3500)).await;
        let woken = Instant::now();
        assert!(matches!(left_out(&mut pace).await, Some(3 | 4)));
        assert!(woken.elapsed() > Duration::ZERO, "the next grid point is waited for");
        assert_eq!(left_out(&mut pace).await, Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rise_during_a_round_counts_when_the_round_ends() {
        let (sender, mut pace) = pace(20 * SECOND, false);
        pace.next().await.unwrap();
        sender.send(Urgency::Suspicion).unwrap();
        tokio::time::sleep(SECOND).await;
        let ended = Instant::now();
        pace.next().await.unwrap();
        assert_eq!(ended.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_plain_probe_runs_only_where_evidence_is_wanted() {
        let (sender, mut pace) = pace(Duration::from_millis(200), true);
        assert_eq!(rounds(&mut pace, 100 * SECOND).await, 0);
        sender.send(Urgency::Suspicion).unwrap();
        assert!((50..=51).contains(&rounds(&mut pace, 10 * SECOND).await));
        sender.send(Urgency::Raised).unwrap();
        assert!((9..=11).contains(&rounds(&mut pace, 10 * SECOND).await));
        sender.send(Urgency::Routine).unwrap();
        assert_eq!(rounds(&mut pace, 100 * SECOND).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_ends_with_its_sender() {
        let (sender, mut pace) = pace(SECOND, false);
        drop(sender);
        assert_eq!(pace.next().await, None);
    }
}
