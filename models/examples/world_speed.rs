//! What a tick of the simulated world costs: `cargo run --release -p serinus-models --example world_speed`.

#![expect(clippy::disallowed_methods, reason = "an example is an edge: it reads the clock")]

use serinus_models::Exposure;
use serinus_models::world::{ProbeRates, Scenario, ServiceShape, World};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Lets a world pass in ticks of a second and gives the mean cost of one.
fn played(world: &mut World, ticks: u32) -> Duration {
    let exposure = Exposure { weight: world.service().weight, withdrawn: false };
    let rates = ProbeRates::own(world.service().probe_rate);
    let begun = Instant::now();
    for _ in 0..ticks {
        black_box(world.tick(Duration::from_secs(1), exposure, rates));
    }
    begun.elapsed() / ticks
}

fn main() {
    let Some(healthy) = Scenario::named("healthy") else { return };
    println!("One route, 5% of its requests on the canary:\n");
    println!("| requests/s | a tick of one second |\n|---|---|");
    for requests_per_second in [2.0, 20.0, 200.0, 2e3, 2e4, 2e5] {
        let shape = ServiceShape {
            requests_per_second,
            weight: 0.05,
            route_shares: vec![1.0],
            ..ServiceShape::shop()
        };
        let mut world = World::with_service(shape, healthy, 1);
        played(&mut world, 2000);
        println!("| {requests_per_second} | {:.1?} |", played(&mut world, 2000));
    }
    println!("\n| scenario | a tick, mean of 20 seeds | a whole play |\n|---|---|---|");
    for scenario in Scenario::shipped() {
        let ticks = 1800;
        let worlds = (0..20).map(|seed| World::of_scenario(scenario, seed));
        let tick = worlds.map(|mut world| played(&mut world, ticks)).sum::<Duration>() / 20;
        let whole = tick * scenario.lasts().as_secs() as u32;
        println!("| {} | {tick:.1?} | {whole:.0?} |", scenario.name());
    }
}
