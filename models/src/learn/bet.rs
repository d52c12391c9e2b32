//! Betting: whether one forecaster is better than another, valid however often one looks.
//!
//! A gambler who believes that the difference of losses `d` favours one side stakes a share of the
//! capital on it at every label: `K = prod(1 + lambda d / B)`, `B` the most that `d` can be. If there is no
//! difference `K` is expected to stay where it is, and by Ville's inequality it passes 20 with a
//! probability of at most one in twenty, whenever one stops. Nobody knows the best stake, so the
//! capital is shared out over several.
//!
//! A stake is what is won or lost per unit of the difference, as far as the most that it can be at this label allows: so
//! where the two hardly differ little is at stake, whoever is right, and where they differ much the stake is not held
//! down by what they might differ by elsewhere.

/// Stakes per unit of the difference, as multiples of the capital.
const STAKES: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// Of the capital no more than this share is ever at stake.
const MOST_AT_STAKE: f64 = 0.9;
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

    /// Takes in a difference, of which `most` is the most that it can be either way: known before it is.
    pub(super) fn see(&mut self, difference: f64, most: f64) {
        if !difference.is_finite() || !most.is_finite() {
            return;
        }
        let difference = difference.clamp(-most, most);
        for (capital, stake) in self.capital.iter_mut().zip(STAKES) {
            let stake = stake.min(MOST_AT_STAKE / most);
            // Bounded, so that a long good time cannot overflow.
            *capital = (*capital * (1.0 + stake * difference)).min(1e12);
        }
    }

    /// As [`Bet::see`], but what was lost before is forgiven: so it notices when things *begin* to
    /// go one way. Its alarms are rarer than one in `K` labels where they do not.
    pub(super) fn see_change(&mut self, difference: f64, most: f64) {
        self.capital.iter_mut().for_each(|capital| *capital = capital.max(1.0));
        self.see(difference, most);
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
                bet.see(rng.random_range(-0.6..0.6), 1.0);
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
                bet.see(mean + rng.random_range(-0.4..0.4), 1.0);
                bet.capital() >= WON
            })
        };
        assert!(labels(0.15).is_some_and(|at| at < 100), "{:?}", labels(0.15));
        assert_eq!(labels(-0.15), None);
    }

    #[test]
    fn a_change_is_noticed_soon_after_a_long_good_time() {
        let mut bet = Bet::new();
        (0..1000).for_each(|_| bet.see_change(-0.3, 1.0));
        let noticed = (0..200).position(|_| {
            bet.see_change(0.3, 1.0);
            bet.capital() >= 100.0
        });
        assert!(noticed.is_some_and(|at| at < 40), "{noticed:?}");
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        let mut bet = Bet::new();
        bet.see(f64::NAN, 1.0);
        bet.see(0.5, f64::NAN);
        bet.see(0.0, 0.0);
        assert_eq!(bet, Bet::new());
    }

    #[test]
    fn much_on_a_few_and_a_little_on_all_are_both_found_out_and_all_is_never_lost() {
        // Two are as good on nine labels in ten, and one is much better on the tenth; or a little on each.
        for (of_ten, difference, most) in [(1, 0.5, 0.9), (10, 0.05, 0.1)] {
            let mut bet = Bet::new();
            let won = (0..200).position(|at| {
                let counts = at % 10 < of_ten;
                bet.see(if counts { difference } else { 0.0 }, if counts { most } else { 0.02 });
                bet.capital() >= WON
            });
            assert!(won.is_some_and(|at| at < 100), "{won:?}");
        }
        let mut lost = Bet::new();
        lost.see(-1.0, 1.0);
        assert!(lost.capital() > 0.09, "{lost:?}");
    }
}
