//! Spreading many requests over the latency buckets without a draw of the distribution for each.
//!
//! Rent or buy: latencies are drawn one by one from the distribution itself until that has cost as much
//! as a table of the buckets' probabilities would have; then the table is made and kept for as long
//! as this distribution is in use. From a table a latency takes one uniform draw; where many fall into
//! few buckets, they are shared out by halves, with a binomial draw each.

use super::dice::Dice;
use super::latency::Latency;
use crate::latency::{BUCKETS, LatencyCounts, bucket_of, highest_of};

/// Single draws that cost as much as one part of a table.
const TABLE_COSTS: u32 = 1500;
/// Single draws that cost as much as a binomial draw.
const SPLIT_COSTS: u32 = 16;
/// Distributions remembered per route. More are in use only where one changes all the time.
const REMEMBERED: usize = 8;
/// More parts than this are not put into a table.
const MOST_PARTS: usize = 16;
/// Probability that is ignored at either end of a table.
const TAIL: f64 = 1e-9;
/// Entries of a table's guide.
const GUIDE: usize = 512;

/// A distribution made of others: shares that sum to 1, and what their latency is multiplied by.
pub(super) type Blend = Vec<(f64, Latency, f64)>;

/// The distributions of one route, the latest used first.
#[derive(Debug, Clone, Default)]
pub(super) struct Spreads(Vec<Spread>);

#[derive(Debug, Clone)]
struct Spread {
    blend: Blend,
    drawn: u32,
    table: Option<Table>,
}

#[derive(Debug, Clone)]
struct Table {
    /// Its first bucket.
    first: u16,
    /// Probability of a latency in this bucket or one before.
    cumulative: Vec<f64>,
    /// By the first bits of a uniform number: where to begin to look.
    guide: Vec<u16>,
}

/// Counts by bucket while a sample is put together.
#[derive(Debug, Clone)]
pub(super) struct Tray {
    counts: Vec<u32>,
    /// Buckets that may hold something.
    used: (usize, usize),
}

impl Tray {
    pub(super) fn new() -> Tray {
        Tray { counts: vec![0; BUCKETS], used: (BUCKETS, 0) }
    }

    pub(super) fn add(&mut self, bucket: u16, count: u32) {
        let bucket = usize::from(bucket);
        self.counts[bucket] += count;
        self.used = (self.used.0.min(bucket), self.used.1.max(bucket + 1));
    }

    /// What was put in, and an empty tray again.
    pub(super) fn take(&mut self) -> LatencyCounts {
        let (first, end) = std::mem::replace(&mut self.used, (BUCKETS, 0));
        let mut taken = vec![];
        for bucket in first..end {
            let count = std::mem::take(&mut self.counts[bucket]);
            if count > 0 {
                taken.push((bucket as u16, count));
            }
        }
        LatencyCounts(taken)
    }
}

/// One latency in microseconds.
pub(super) fn draw(blend: &Blend, dice: &mut Dice) -> u64 {
    let mut chosen = 0;
    if blend.len() > 1 {
        let mut at = dice.between(0.0, 1.0);
        while chosen + 1 < blend.len() && at >= blend[chosen].0 {
            at -= blend[chosen].0;
            chosen += 1;
        }
    }
    blend.get(chosen).map_or(0, |(_, latency, times)| (latency.draw(dice) * times) as u64)
}

impl Spreads {
    /// Puts `n` latencies into the tray.
    pub(super) fn spread(&mut self, n: u32, blend: Blend, dice: &mut Dice, tray: &mut Tray) {
        if n == 0 {
            return;
        }
        match self.0.iter().position(|known| known.blend == blend) {
            Some(at) => self.0[..=at].rotate_right(1),
            None => {
                self.0.truncate(REMEMBERED - 1);
                self.0.insert(0, Spread { blend, drawn: 0, table: None });
            }
        }
        let spread = &mut self.0[0];
        spread.drawn = spread.drawn.saturating_add(n);
        let parts = spread.blend.len();
        let pays = parts <= MOST_PARTS && spread.drawn / TABLE_COSTS >= parts as u32;
        if spread.table.is_none() && pays {
            spread.table = Some(Table::of(&spread.blend));
        }
        match &spread.table {
            Some(table) => table.spread(n, dice, tray),
            None => (0..n).for_each(|_| tray.add(bucket_of(draw(&spread.blend, dice)), 1)),
        }
    }
}

impl Table {
    fn of(blend: &Blend) -> Table {
        // A whole number of microseconds is counted: what lies below the next one.
        let up_to = |bucket: u16| -> f64 {
            let end = (highest_of(bucket) + 1) as f64;
            blend.iter().map(|(share, latency, times)| share * latency.below(end / times)).sum()
        };
        let last = BUCKETS as u16 - 1;
        let first_above = |limit: f64| {
            let (mut low, mut high) = (0, last);
            while low < high {
                let middle = (low + high) / 2;
                if up_to(middle) > limit { high = middle } else { low = middle + 1 }
            }
            low
        };
        let (first, end) = (first_above(TAIL), first_above(1.0 - TAIL));
        let mut cumulative: Vec<f64> = (first..=end).map(up_to).collect();
        if let Some(last) = cumulative.last_mut() {
            *last = 1.0;
        }
        let after = |limit: f64| cumulative.partition_point(|up_to| *up_to <= limit) as u16;
        let guide = (0..GUIDE).map(|step| after(step as f64 / GUIDE as f64)).collect();
        Table { first, cumulative, guide }
    }

    fn spread(&self, n: u32, dice: &mut Dice, tray: &mut Tray) {
        self.share_out(n, (0, self.cumulative.len()), (0.0, 1.0), dice, tray);
    }

    /// Shares `n` latencies out over the table's places `from..to`, which have the cumulative
    /// probabilities from `low` to `high`.
    fn share_out(
        &self,
        n: u32,
        (from, to): (usize, usize),
        (low, high): (f64, f64),
        dice: &mut Dice,
        tray: &mut Tray,
    ) {
        if n == 0 {
            return;
        }
        if to - from == 1 {
            tray.add(self.first + from as u16, n);
        } else if (n / SPLIT_COSTS) as usize <= to - from {
            for _ in 0..n {
                let at = dice.between(low, high);
                let mut place = usize::from(self.guide[(at * GUIDE as f64) as usize % GUIDE]);
                while place + 1 < to && self.cumulative[place] <= at {
                    place += 1;
                }
                tray.add(self.first + place as u16, 1);
            }
        } else {
            let half = (from + to) / 2;
            let middle = self.cumulative[half - 1];
            // A stretch without any probability gets nothing.
            let lower = if high > low { (middle - low) / (high - low) } else { 1.0 };
            let below = dice.hits(n, lower);
            self.share_out(below, (from, half), (low, middle), dice, tray);
            self.share_out(n - below, (half, to), (middle, high), dice, tray);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Mean and variance over `rounds` of the number of `n` latencies at or below each bucket.
    fn moments(rounds: u32, marks: &[u16], mut spread: impl FnMut(&mut Tray)) -> Vec<(f64, f64)> {
        let mut tray = Tray::new();
        let mut sums = vec![(0.0, 0.0); marks.len()];
        for _ in 0..rounds {
            spread(&mut tray);
            let counts = tray.take();
            for (sum, mark) in sums.iter_mut().zip(marks) {
                let below: u32 =
                    counts.0.iter().filter(|(bucket, _)| bucket <= mark).map(|(_, n)| n).sum();
                sum.0 += f64::from(below);
                sum.1 += f64::from(below) * f64::from(below);
            }
        }
        let rounds = f64::from(rounds);
        let of = |(sum, squares): (f64, f64)| {
            (sum / rounds, squares / rounds - (sum / rounds) * (sum / rounds))
        };
        sums.into_iter().map(of).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        /// One by one, from the table, and by halves: the counts of any bucket have the binomial's
        /// mean and variance.
        #[test]
        fn splitting_agrees_with_drawing_each(
            seed: u64, median in 500.0f64..200e3, sigma in 0.02f64..1.0,
            share in 0.05f64..0.95, times in 0.3f64..20.0
        ) {
            let latency = Latency::log_normal(median, sigma);
            let blend: Blend = vec![(1.0 - share, latency, 1.0), (share, latency, times)];
            let table = Table::of(&blend);
            let crowd = SPLIT_COSTS * (table.cumulative.len() as u32 + 1);
            let quantiles = [0.03, 0.3, 0.6, 0.97];
            let at = |q: f64| table.cumulative.partition_point(|up_to| *up_to < q);
            let marks = quantiles.map(|q| table.first + at(q) as u16);
            let mut dice = Dice::new(seed);
            let single = moments(400, &marks, |tray| {
                (0..300).for_each(|_| tray.add(bucket_of(draw(&blend, &mut dice)), 1));
            });
            let tabled = moments(400, &marks, |tray| table.spread(300, &mut dice, tray));
            let split = moments(400, &marks, |tray| table.spread(crowd, &mut dice, tray));
            for (way, n, found) in [("each", 300, single), ("table", 300, tabled), ("split", crowd, split)] {
                for (mark, (mean, variance)) in marks.iter().zip(found) {
                    let p = table.cumulative[usize::from(mark - table.first)];
                    let (n, spread) = (f64::from(n), f64::from(n) * p * (1.0 - p));
                    let off = (mean - n * p).abs() / (spread / 400.0).sqrt().max(1e-3);
                    prop_assert!(off < 5.5, "{way}: mean {mean} for {} of {n}", n * p);
                    // A variance of 400 rounds has a relative deviation of sqrt(2/400) = 7%.
                    if spread > 5.0 {
                        let ratio = variance / spread;
                        prop_assert!((0.62..1.5).contains(&ratio), "{way}: variance {ratio} at {p}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_table_is_made_when_it_pays_and_kept_while_it_is_used() {
        let blend = |median| vec![(1.0, Latency::log_normal(median, 0.5), 1.0)];
        let (mut spreads, mut dice, mut tray) = (Spreads::default(), Dice::new(1), Tray::new());
        spreads.spread(TABLE_COSTS - 1, blend(10e3), &mut dice, &mut tray);
        assert!(spreads.0[0].table.is_none());
        spreads.spread(1, blend(10e3), &mut dice, &mut tray);
        assert!(spreads.0[0].table.is_some());
        for n in 0..100 {
            spreads.spread(1, blend(f64::from(n) + 20e3), &mut dice, &mut tray);
            spreads.spread(1, blend(10e3), &mut dice, &mut tray);
        }
        assert!(spreads.0[0].table.is_some());
        assert!(spreads.0.len() <= REMEMBERED);
        assert_eq!(tray.take().total(), u64::from(TABLE_COSTS) + 200);
        assert_eq!(tray.take().total(), 0);
    }
}
