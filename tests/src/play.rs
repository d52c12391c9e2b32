//! A simulated release in a simulated world, second by second.

use crate::simulation::{SimulatedService, Simulation};
use serinus_models::world::{ProbeRates, Scenario, ServiceShape, World};
use serinus_models::{Exposure, Predictor};
use serinus_rollout::{Phase, RolloutPolicy, Stage, Urgency};
use serinus_routing::Weight;
use std::sync::Arc;
use std::time::Duration;

/// A look of the controller.
pub const SECOND: Duration = Duration::from_secs(1);

/// Stages of so many percent and seconds.
///
/// # Panics
/// What is not a percentage.
pub fn stages(stages: &[(f64, u64)]) -> Vec<Stage> {
    let stage = |(percent, seconds): &(f64, u64)| Stage {
        weight: Weight::from_percent(*percent).expect("a percentage"),
        hold: Duration::from_secs(*seconds),
    };
    stages.iter().map(stage).collect()
}

/// The model that is shipped.
///
/// # Panics
/// It cannot be read.
pub fn shipped() -> Option<Arc<Predictor>> {
    Some(Arc::new(Predictor::shipped().expect("the shipped model")))
}

/// As the edge would run the probes.
fn probe_rates(simulation: &Simulation, name: &str) -> ProbeRates {
    match simulation.urgency(name) {
        Urgency::Routine => ProbeRates::own(0.5),
        Urgency::Raised => ProbeRates { own: 2.0, plain: 1.0 },
        Urgency::Suspicion => ProbeRates { own: 5.0, plain: 5.0 },
    }
}

/// Shows the controller what happened to a service in so much time.
pub fn see(simulation: &mut Simulation, name: &str, world: &mut World, span: Duration) {
    let status = simulation.status(name);
    let exposure = Exposure {
        weight: simulation.weight(name).ratio(),
        withdrawn: status.withdrawn || status.phase == Phase::RolledBack,
    };
    let tick = world.tick(span, exposure, probe_rates(simulation, name));
    simulation.observe(name, tick);
}

/// The shipped scenario of this name.
///
/// # Panics
/// There is none.
pub fn scenario(name: &str) -> &'static Scenario {
    Scenario::named(name).expect("a shipped scenario")
}

/// Runs one family at 100 requests per second without disturbances for so many seconds.
pub fn undisturbed(family: &str, seed: u64, seconds: u64, policy: RolloutPolicy) -> Simulation {
    let (mut simulation, mut world) = opened(family, seed, policy);
    for _ in 0..seconds {
        second(&mut simulation, &mut world);
    }
    simulation
}

/// A release of one family at 100 requests per second, before its first second.
pub fn opened(family: &str, seed: u64, policy: RolloutPolicy) -> (Simulation, World) {
    let shop = SimulatedService { name: "shop", canary: Some("2.0"), policy };
    (Simulation::new(vec![shop], shipped()), busy_world(family, seed))
}

/// A world of one family at 100 requests per second.
pub fn busy_world(family: &str, seed: u64) -> World {
    let drawn = World::of_scenario(scenario(family), seed);
    let mut shape = ServiceShape { requests_per_second: 100.0, ..drawn.service().clone() };
    if shape.probes.is_empty() {
        // Its stages begin without users: somebody has to look at it.
        shape.probes = (0..shape.routes()).map(|route| vec![route]).collect();
        let names = (0..shape.routes()).map(|n| format!("probe-{n}").into());
        shape.probe_names = names.chain(shape.probe_names).collect();
        shape.plain_routes.clear();
    }
    World::with_service(shape, scenario(family), seed)
}

/// One second of it, with a disk that works.
pub fn second(simulation: &mut Simulation, world: &mut World) {
    simulation.answer(usize::MAX, true);
    see(simulation, "shop", world, SECOND);
    simulation.pass(SECOND);
}
