//! Who may be asked at all: those that are well, unless that would leave too few.

use crate::Weight;

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// An operator has taken it out.
    pub draining: bool,
    /// It failed its health checks.
    pub unhealthy: bool,
    /// It failed requests, and is left out for a while.
    pub ejected: bool,
}

impl Condition {
    fn is_well(self) -> bool {
        !(self.draining || self.unhealthy || self.ejected)
    }
}

/// Who may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eligible {
    /// Places of the endpoints, in order.
    pub places: Vec<usize>,
    /// Too few are well, so all are asked: most of what failed may be the checks' own fault, and the
    /// few would break under the load of all. Their failures show what is wrong.
    pub panic: bool,
}

/// Who may be asked: all that are well; if those are fewer than `panic_below` percent of all that
/// no operator has taken out, all of these. Never nobody, where there is anybody.
pub fn eligible(conditions: &[Condition], panic_below: Weight) -> Eligible {
    let places = |is_in: &dyn Fn(&Condition) -> bool| -> Vec<usize> {
        let all = conditions.iter().enumerate();
        all.filter(|(_, condition)| is_in(condition)).map(|(place, _)| place).collect()
    };
    let mut serving = places(&|condition| !condition.draining);
    if serving.is_empty() {
        serving = places(&|_| true); // the configuration may have left nobody else
    }
    let well = places(&|condition| condition.is_well());
    let few = (well.len() as f64) < serving.len() as f64 * panic_below.ratio();
    if well.is_empty() || few {
        let panic = serving.len() != well.len();
        return Eligible { places: serving, panic };
    }
    Eligible { places: well, panic: false }
}

/// Whether one more may be ejected: at most `most` percent at a time, but one of two or more, and
/// never the last that is well.
pub fn may_eject(conditions: &[Condition], most: Weight) -> bool {
    let serving = conditions.iter().filter(|condition| !condition.draining);
    let ejected = serving.clone().filter(|condition| condition.ejected).count();
    let well = conditions.iter().filter(|condition| condition.is_well()).count();
    let limit = (serving.count() as f64 * most.ratio()).floor().max(1.0);
    well > 1 && (ejected as f64) < limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WELL: Condition = Condition { draining: false, unhealthy: false, ejected: false };
    const ILL: Condition = Condition { unhealthy: true, ..WELL };
    const EJECTED: Condition = Condition { ejected: true, ..WELL };
    const DRAINING: Condition = Condition { draining: true, ..WELL };

    fn percent(percent: f64) -> Weight {
        Weight::from_percent(percent).unwrap()
    }

    #[test]
    fn the_ill_are_left_out_until_too_few_are_well() {
        let asked = |conditions: &[Condition]| {
            let eligible = eligible(conditions, percent(50.0));
            (eligible.places, eligible.panic)
        };
        assert_eq!(asked(&[WELL, ILL, EJECTED, WELL]), (vec![0, 3], false));
        assert_eq!(asked(&[WELL, ILL, EJECTED]), (vec![0, 1, 2], true));
        assert_eq!(asked(&[ILL]), (vec![0], true));
        assert_eq!(asked(&[WELL, DRAINING, DRAINING]), (vec![0], false));
        assert_eq!(asked(&[DRAINING, DRAINING]), (vec![0, 1], true));
        assert_eq!(asked(&[]), (vec![], false));
    }

    #[test]
    fn ejection_has_a_floor() {
        for (conditions, most, may) in [
            (&[WELL][..], 100.0, false),
            (&[WELL, WELL], 10.0, true),
            (&[WELL, EJECTED], 100.0, false),
            (&[WELL, WELL, EJECTED], 50.0, false),
            (&[WELL, WELL, WELL, EJECTED], 50.0, true),
            (&[WELL, ILL, ILL, ILL], 50.0, false),
        ] {
            assert_eq!(may_eject(conditions, percent(most)), may, "{conditions:?}");
        }
    }

    fn condition() -> impl Strategy<Value = Condition> {
        (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(draining, unhealthy, ejected)| Condition { draining, unhealthy, ejected })
    }

    proptest! {
        #[test]
        fn somebody_is_always_asked(
            conditions in proptest::collection::vec(condition(), 1..12), below in 0u16..=10_000,
        ) {
            let asked = eligible(&conditions, percent(f64::from(below) / 100.0));
            prop_assert!(!asked.places.is_empty());
            let well = conditions.iter().filter(|condition| condition.is_well()).count();
            let ill = asked.places.iter().filter(|place| !conditions[**place].is_well()).count();
            prop_assert_eq!(ill > 0, asked.panic);
            // Whoever is well is asked, always.
            prop_assert_eq!(asked.places.len() - ill, well);
        }

        #[test]
        fn ejecting_as_long_as_it_is_allowed_leaves_somebody_well(
            mut conditions in proptest::collection::vec(condition(), 1..12), most in 0u16..=10_000,
        ) {
            let well_before = conditions.iter().any(|condition| condition.is_well());
            while may_eject(&conditions, percent(f64::from(most) / 100.0)) {
                let next = conditions.iter_mut().find(|condition| condition.is_well()).unwrap();
                next.ejected = true;
            }
            prop_assert_eq!(conditions.iter().any(|condition| condition.is_well()), well_before);
        }
    }
}
