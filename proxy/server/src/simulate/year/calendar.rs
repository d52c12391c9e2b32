//! Who releases what on which day.

use fastrand::Rng;
use serinus_models::Timestamp;
use serinus_models::world::Scenario;
use serinus_models::world::seeds::Purpose;

/// When the year begins: any time will do.
const EPOCH: u64 = 1_700_000_000_000;
const DAY_MS: u64 = 86_400_000;

/// Three ordinary services, and two that have their own ways.
const ORDINARY: [&str; 3] = ["cart", "search", "account"];

/// A blip here takes a minute or two: long enough for the prior to be sure that it lasts.
const LONG_BLIPS: &str = r#"
about = "Blips of a minute or two, as this service has them"
[draw]
long = { between = ["40s", "110s"] }
[service]
requests_per_second = 120
weight = 0.1
[[fault]]
begins = { between = [0, "30s"] }
lasts = "long"
failures = { between = [0.25, 0.9] }
class = "server_error"
"#;

/// A cold start here answers with errors until its caches are full.
const LOUD_COLD_STARTS: &str = r#"
about = "Cold starts that look like failures, as this service has them"
[draw]
warming = { between = ["40s", "110s"] }
[service]
requests_per_second = 80
weight = 0.1
[[fault]]
lasts = "warming"
failures = { between = [0.3, 0.95] }
class = { one_of = ["server_error", "timeout"] }
slow_factor = { between = [2, 8] }
"#;

/// What also happens to both: a failure that lasts.
const LASTING: &str = r#"
about = "A release that fails for good"
[service]
requests_per_second = 100
weight = 0.1
[[fault]]
begins = { between = [0, "30s"] }
failures = { between = [0.2, 1.0] }
class = "server_error"
"#;

/// One release.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deployment<'a> {
    pub(super) service: &'static str,
    pub(super) is_odd: bool,
    pub(super) scenario: &'a Scenario,
    pub(super) seed: u64,
    /// Its place within the day.
    pub(super) place: u32,
}

/// The year.
pub(super) struct Calendar {
    pub(super) days: u32,
    seeds: Purpose,
    first: u32,
    odd: Vec<(&'static str, Scenario)>,
    lasting: Scenario,
}

impl Calendar {
    pub(super) fn new(days: u32, seeds: Purpose, first: u32) -> Calendar {
        let scenario = |name: &str, text: &str| {
            // A test parses them.
            Scenario::parse(&format!("{name}.toml"), text).unwrap_or_else(|e| panic!("{e}"))
        };
        Calendar {
            days,
            seeds,
            first,
            odd: vec![
                ("payments", scenario("long_blips", LONG_BLIPS)),
                ("recommend", scenario("loud_cold_starts", LOUD_COLD_STARTS)),
            ],
            lasting: scenario("lasting", LASTING),
        }
    }

    /// When the release at that place of the day begins.
    pub(super) fn time(&self, day: u32, place: u32) -> Timestamp {
        Timestamp(EPOCH + u64::from(day) * DAY_MS + u64::from(place) * 3_600_000)
    }

    /// The releases of a day: the same for the same seed, whoever judges.
    pub(super) fn of(&self, day: u32) -> Vec<Deployment<'_>> {
        let mut deployments = Vec::new();
        for place in 0..(ORDINARY.len() + self.odd.len()) as u32 {
            let seed = self.seeds.seed(self.first + day * 16 + place);
            let mut rng = Rng::with_seed(seed);
            let at = place as usize;
            let (service, is_odd, scenario) = match ORDINARY.get(at) {
                Some(service) => (*service, false, of_the_mix(&mut rng)),
                None => {
                    let (service, own) = &self.odd[at - ORDINARY.len()];
                    // One in five fails for good, one in five is well.
                    let healthy = Scenario::named("healthy").unwrap_or(own);
                    let scenario = match rng.u32(0..5) {
                        0 => &self.lasting,
                        1 => healthy,
                        _ => own,
                    };
                    (*service, true, scenario)
                }
            };
            deployments.push(Deployment { service, is_odd, scenario, seed, place });
        }
        deployments
    }
}

/// One of the shipped scenarios, by their shares.
fn of_the_mix(rng: &mut Rng) -> &'static Scenario {
    let mix = Scenario::shipped();
    let mut at = rng.u32(0..mix.iter().map(Scenario::share).sum());
    for scenario in mix {
        if at < scenario.share() {
            return scenario;
        }
        at -= scenario.share();
    }
    &mix[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_models::world::Truth;

    #[test]
    fn the_odd_services_have_failures_that_pass_and_failures_that_last() {
        let calendar = Calendar::new(365, Purpose::Tune, 0);
        for (_, scenario) in &calendar.odd {
            assert_eq!(scenario.truth(), Some(Truth::Transient), "{}", scenario.name());
        }
        assert_eq!(calendar.lasting.truth(), Some(Truth::Sustained));
        let seeds = |day| calendar.of(day).iter().map(|release| release.seed).collect::<Vec<_>>();
        assert_eq!(seeds(7), seeds(7));
        assert!(seeds(7).iter().all(|seed| !seeds(8).contains(seed)));
    }
}
