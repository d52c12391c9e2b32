//! The endpoint that has least to do.

use super::Schedule;

/// Of all `members` the one with the least `load`; of several that have it the first from `turn` on.
pub fn least_loaded(turn: usize, members: usize, load: impl Fn(usize) -> f64) -> Option<usize> {
    let in_turn = (0..members).map(|step| turn.wrapping_add(step) % members);
    in_turn.map(|member| (load(member), member)).reduce(less).map(|(_, member)| member)
}

/// Of two that are drawn by their share the one with less `load`; `dice` is 64 uniform random bits.
pub fn less_loaded_of_two(
    dice: u64,
    schedule: &Schedule,
    load: impl Fn(usize) -> f64,
) -> Option<usize> {
    let cycle = schedule.cycle();
    let draw = |bits: u32| schedule.member(((u64::from(bits) * cycle as u64) >> 32) as usize);
    let first = draw(dice as u32)?;
    let mut second = draw((dice >> 32) as u32)?;
    if second == first {
        // The same one twice is no choice: the next in turn that is another, if there is one.
        let start = ((u64::from((dice >> 32) as u32) * cycle as u64) >> 32) as usize;
        let others = (1..cycle).filter_map(|step| schedule.member(start + step));
        second = others.take(cycle).find(|other| *other != first).unwrap_or(first);
    }
    Some(less((load(first), first), (load(second), second)).1)
}

fn less(one: (f64, usize), two: (f64, usize)) -> (f64, usize) {
    if two.0 < one.0 { two } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_has_least_to_do_is_asked_and_equals_take_turns() {
        let loads = [3.0, 1.0, 2.0, 1.0];
        let least = |turn| least_loaded(turn, loads.len(), |at| loads[at]);
        assert_eq!([0, 1, 2, 3, 4].map(least), [1, 1, 3, 3, 1].map(Some));
        assert_eq!(least_loaded(7, 0, |_| 0.0), None);
    }

    #[test]
    fn two_choices_never_ask_the_one_that_has_most_to_do() {
        let schedule = Schedule::new(&[1.0, 1.0, 1.0]);
        let mut asked = [0u32; 3];
        for dice in 0..30_000u64 {
            let dice = dice.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let of_two = less_loaded_of_two(dice, &schedule, |at| [1.0, 2.0, 3.0][at]);
            asked[of_two.unwrap()] += 1;
        }
        assert_eq!(asked[2], 0);
        assert!(asked[0] > asked[1] && asked[1] > 5_000, "{asked:?}");
        let alone = Schedule::new(&[1.0]);
        assert_eq!(less_loaded_of_two(u64::MAX, &alone, |_| 1.0), Some(0));
    }

    proptest! {
        #[test]
        fn the_least_is_the_least(loads in proptest::collection::vec(0u32..5, 1..9), turn in any::<usize>()) {
            let chosen = least_loaded(turn, loads.len(), |at| f64::from(loads[at])).unwrap();
            prop_assert_eq!(loads[chosen], *loads.iter().min().unwrap());
        }
    }
}
