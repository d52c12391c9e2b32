//! Betting: whether one forecaster is better than another, valid however often one looks.
//!
//! A gambler who believes that the difference of losses `d` favours one side stakes a share of the
//! capital on it at every label: `K = prod(1 + lambda d / B)`, `B` the most that `d` can be. If there is no
//! difference `K` is expected to stay where it is, and by Ville's inequality it passes 20 with a
//! probability of at most one in twenty, whenever one stops. Nobody knows the best stake, so the
//! capital is shared out over several.

/// Shares of the capital that are staked.
const STAKES: [f64; 6] = [0.05, 0.1, 0.2, 0.4, 0.6, 0.9];
/// Capital at which the bet is won.
pub(super) const WON: f64 = 20.0;

/// The capital of one bet, by stake.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bet {
    capital: [f64; STAKES.len()],
}

impl Bet {
    /// A capital of one.
    pub(super) fn new() -> Self {
        Bet { capital: [1.0; STAKES.len()] }
    }

    /// Takes in a difference, as a share of the most that it can be: -1 to 1.
    pub(super) fn see(&mut self, share: f64) {
        let share = if share.is_finite() { share.clamp(-1.0, 1.0) } else { 0.0 };
        for (capital, stake) in self.capital.iter_mut().zip(STAKES) {
            // Bounded, so that a long good time cannot overflow.
            *capital = (*capital * (1.0 + stake * share)).min(1e12);
        }
    }

    /// As [`Bet::see`], but what was lost before is forgiven: so it notices when things *begin* to
    /// go one way. Its alarms are rarer than one in `K` labels where they do not.
    pub(super) fn see_change(&mut self, share: f64) {
        self.capital.iter_mut().for_each(|capital| *capital = capital.max(1.0));
        self.see(share);
    }

    /// The capital: the mean over the stakes.
    pub(super) fn capital(&self) -> f64 {
        self.capital.iter().sum::<f64>() / STAKES.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn without_a_difference_it_is_won_in_at_most_one_of_twenty_whenever_one_stops() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        let won = (0..2000).filter(|_| {
            let mut bet = Bet::new();
            (0..400).any(|_| {
                bet.see(rng.random_range(-0.6..0.6));
                bet.capital() >= WON
            })
        });
        let won = won.count();
        assert!(won <= 100, "{won} of 2000");
    }

    #[test]
    fn a_difference_wins_it_and_its_opposite_does_not() {
        let labels = |mean: f64| {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
            let mut bet = Bet::new();
            (0..300).position(|_| {
                bet.see(mean + rng.random_range(-0.4..0.4));
                bet.capital() >= WON
            })
        };
        assert!(labels(0.15).is_some_and(|at| at < 100), "{:?}", labels(0.15));
        assert_eq!(labels(-0.15), None);
    }

    #[test]
    fn a_change_is_noticed_soon_after_a_long_good_time() {
        let mut bet = Bet::new();
        (0..1000).for_each(|_| bet.see_change(-0.3));
        let noticed = (0..200).position(|_| {
            bet.see_change(0.3);
            bet.capital() >= 100.0
        });
        assert!(noticed.is_some_and(|at| at < 40), "{noticed:?}");
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        let mut bet = Bet::new();
        bet.see(f64::NAN);
        assert_eq!(bet, Bet::new());
    }
}
