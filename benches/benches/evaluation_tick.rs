//! What one look at everything costs: 100 services with ten routes each, all on trial, judged by the
//! controller that serves traffic; and whether its memory grows with time.

#![expect(clippy::expect_used, reason = "the set-up of a benchmark")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serinus_models::world::{ProbeRates, Scenario, ServiceShape, World};
use serinus_models::{Exposure, Predictor, ServiceTick, Timestamp};
use serinus_rollout::{Controller, Input, Output};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SERVICES: usize = 100;
const ROUTES: usize = 10;
const SECOND: Duration = Duration::from_secs(1);
/// Looks that are made before anything is measured: baselines and windows are full by then.
const WARM_UP: usize = 90;

fn name(service: usize) -> Arc<str> {
    format!("service-{service}").into()
}

/// The services as an operator writes them, with a fifth of the users on each canary.
fn controller() -> (Controller, Vec<Output>) {
    let mut text = "[listener.web]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for service in 0..SERVICES {
        let name = name(service);
        let _ = writeln!(
            text,
            "[route.{name}]\nhosts = [\"{name}.test\"]\nservice = \"{name}\"\n\
             [service.{name}.stable]\nversion = \"1\"\nendpoints = [\"127.0.0.1:1\"]\n\
             [service.{name}.canary]\nversion = \"2\"\nendpoints = [\"127.0.0.1:2\"]\n\
             [service.{name}.rollout]\nstages = [{{ weight = 20, hold = \"100h\" }}]"
        );
    }
    let settings = serinus_config::parse(&text, Path::new("bench.toml")).expect("it is right");
    let predictor = Predictor::shipped().expect("it is shipped");
    Controller::new(Timestamp(0), settings.plan(), Vec::new(), Some(Arc::new(predictor)))
}

/// Everything at one moment.
struct Bench {
    controller: Controller,
    worlds: Vec<World>,
    now: Timestamp,
}

impl Bench {
    /// So many requests per second on each route, both variants together.
    fn new(requests_per_route: f64) -> Bench {
        let (controller, outputs) = controller();
        let healthy = Scenario::named("healthy").expect("it is shipped");
        let worlds = (0..SERVICES as u64).map(|seed| {
            let shape = ServiceShape {
                requests_per_second: requests_per_route * ROUTES as f64,
                weight: 0.2,
                error_rate: 0.002,
                route_shares: vec![1.0 / ROUTES as f64; ROUTES],
                route_names: (0..ROUTES).map(|route| format!("route-{route}").into()).collect(),
                latencies: vec![ServiceShape::shop().latencies[0]; ROUTES],
                ..ServiceShape::shop()
            };
            World::with_service(shape, healthy, seed)
        });
        let mut bench = Bench { controller, worlds: worlds.collect(), now: Timestamp(0) };
        bench.written(outputs);
        for _ in 0..WARM_UP {
            let ticks = bench.second();
            bench.look(ticks);
        }
        bench
    }

    /// The disk has taken what it was given.
    fn written(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            if let Output::Append { ticket, .. } = output {
                let more = self.controller.handle(self.now, Input::Durable(ticket));
                self.written(more);
            }
        }
    }

    fn second(&mut self) -> Vec<ServiceTick> {
        let exposure = Exposure { weight: 0.2, withdrawn: false };
        self.worlds
            .iter_mut()
            .map(|world| world.tick(SECOND, exposure, ProbeRates::own(0.5)))
            .collect()
    }

    fn look(&mut self, ticks: Vec<ServiceTick>) {
        self.now = self.now + SECOND;
        for (service, tick) in ticks.into_iter().enumerate() {
            let input = Input::Observed { service: name(service), tick };
            let outputs = self.controller.handle(self.now, input);
            self.written(outputs);
        }
        let outputs = self.controller.handle(self.now, Input::Tick);
        self.written(outputs);
    }
}

/// Resident memory of this process in MiB.
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<f64>().ok());
    pages.unwrap_or_default() * 4096.0 / f64::from(1 << 20)
}

fn looks(criterion: &mut Criterion) {
    for rate in [20.0, 200.0] {
        let mut bench = Bench::new(rate);
        // One bench makes the ticks, the other takes them in: only that is timed.
        let mut source = Bench::new(rate);
        criterion.bench_function(
            &format!("look/{SERVICES} services of {ROUTES} routes at {rate}/s"),
            |b| {
                b.iter_batched(
                    || source.second(),
                    |ticks| bench.look(ticks),
                    BatchSize::PerIteration,
                );
            },
        );
    }
    let mut bench = Bench::new(20.0);
    for hour in 0..3 {
        println!("resident after {hour} hours of looks: {:.1} MiB", resident());
        for _ in 0..if hour < 2 { 3600 } else { 0 } {
            let ticks = bench.second();
            bench.look(ticks);
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).without_plots();
    targets = looks
}
criterion_main!(benches);
