//! Turns by weight, evenly spread.

/// Longest cycle of turns: weights are rounded to it.
const LONGEST: u32 = 1_000;

/// In which order the members of a group take their turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    members: usize,
    /// One cycle; empty where all have the same share and simply follow each other.
    turns: Box<[u16]>,
}

impl Schedule {
    /// Turns for members of these shares, each above zero; what shares are measured in does not matter.
    pub fn new(shares: &[f64]) -> Schedule {
        let counts = counts(shares);
        let mut schedule = Schedule { members: shares.len(), turns: Box::default() };
        if counts.windows(2).any(|pair| pair[0] != pair[1]) {
            schedule.turns = smooth(&counts);
        }
        schedule
    }

    /// Whose turn the `turn`-th is; none where there are no members.
    pub fn member(&self, turn: usize) -> Option<usize> {
        if self.members == 0 {
            return None;
        }
        match self.turns.get(turn % self.turns.len().max(1)) {
            Some(member) => Some(usize::from(*member)),
            None => Some(turn % self.members),
        }
    }

    /// Turns of one cycle.
    pub fn cycle(&self) -> usize {
        if self.turns.is_empty() { self.members } else { self.turns.len() }
    }
}

/// Turns of each member in one cycle, at least one.
fn counts(shares: &[f64]) -> Vec<u32> {
    let mille: Vec<u32> = shares.iter().map(|share| (share * 1_000.0).round() as u32).collect();
    let divisor = mille.iter().fold(0, |divisor, count| greatest_common(divisor, *count)).max(1);
    let exact: Vec<u32> = mille.iter().map(|count| (count / divisor).max(1)).collect();
    let total: u64 = exact.iter().map(|count| u64::from(*count)).sum();
    if total <= u64::from(LONGEST) {
        return exact;
    }
    let scale = f64::from(LONGEST) / total as f64;
    exact.iter().map(|count| ((f64::from(*count) * scale).round() as u32).max(1)).collect()
}

fn greatest_common(one: u32, two: u32) -> u32 {
    if two == 0 { one } else { greatest_common(two, one % two) }
}

/// Smooth weighted round robin, as nginx has it: everybody earns their count in each turn, and who
/// has earned most takes it and pays for all.
fn smooth(counts: &[u32]) -> Box<[u16]> {
    let total: i64 = counts.iter().map(|count| i64::from(*count)).sum();
    let mut earned = vec![0i64; counts.len()];
    let turn = |_| {
        for (earned, count) in earned.iter_mut().zip(counts) {
            *earned += i64::from(*count);
        }
        // Of several the first.
        let next = (0..earned.len()).rev().max_by_key(|at| earned[*at]).unwrap_or(0);
        earned[next] -= total;
        next as u16
    };
    (0..total).map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turns(shares: &[f64]) -> Vec<usize> {
        let schedule = Schedule::new(shares);
        (0..schedule.cycle()).filter_map(|turn| schedule.member(turn)).collect()
    }

    #[test]
    fn heavy_members_come_more_often_and_not_in_a_row() {
        assert_eq!(turns(&[5.0, 1.0, 1.0]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[2.0, 3.0]), [1, 0, 1, 0, 1]);
        assert_eq!(turns(&[7.0, 7.0, 7.0]), [0, 1, 2]);
        assert_eq!(turns(&[0.5, 1.0]), [1, 0, 1]);
        assert_eq!(Schedule::new(&[]).member(3), None);
    }

    proptest! {
        #[test]
        fn in_every_stretch_each_has_about_its_share(
            weights in proptest::collection::vec(1u32..20, 1..8), from in 0usize..100, length in 1usize..200,
        ) {
            let shares: Vec<f64> = weights.iter().map(|weight| f64::from(*weight)).collect();
            let schedule = Schedule::new(&shares);
            let total: f64 = shares.iter().sum();
            for (member, share) in shares.iter().enumerate() {
                let got = (from..from + length).filter(|turn| schedule.member(*turn) == Some(member)).count();
                let due = length as f64 * share / total;
                prop_assert!((got as f64 - due).abs() <= weights.len() as f64, "{got} turns for {due}");
            }
        }

        #[test]
        fn a_cycle_is_short_and_forgets_nobody(shares in proptest::collection::vec(0.001f64..1_000.0, 1..50)) {
            let schedule = Schedule::new(&shares);
            prop_assert!(schedule.cycle() <= LONGEST as usize + 2 * shares.len());
            for member in 0..shares.len() {
                prop_assert!((0..schedule.cycle()).any(|turn| schedule.member(turn) == Some(member)));
            }
        }
    }
}
