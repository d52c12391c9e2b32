//! The service that a release is made on: its traffic, its speed, its probes.

use super::dice::Dice;
use super::latency::Latency;
use crate::outcome::Outcome;
use std::sync::Arc;
use std::time::Duration;

/// Requests of users per second that the canary gets at the least.
const LEAST_CANARY: f64 = 0.2;

/// Steps of the plain probe, as in the product.
const MOST_PLAIN_STEPS: usize = 8;

/// What a service is like while nothing is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceShape {
    /// Requests of users per second, both variants together.
    pub requests_per_second: f64,
    /// Share of users that the release begins with, 0 to 1.
    pub weight: f64,
    /// Probability that a request fails.
    pub error_rate: f64,
    /// How it then fails: shares that sum to 1.
    pub error_classes: Vec<(f64, Outcome)>,
    /// Probability that a request is answered with 4xx.
    pub client_error_rate: f64,
    /// Share of the traffic by route; they sum to 1.
    pub route_shares: Vec<f64>,
    /// Names of the routes.
    pub route_names: Vec<Arc<str>>,
    /// How long answers take, by route.
    pub latencies: Vec<Latency>,
    /// When the proxy gives up on an answer.
    pub timeout: Duration,
    /// Bytes of an answer.
    pub bytes: u64,
    /// Routes that the steps of each of its own probes go to.
    pub probes: Vec<Vec<usize>>,
    /// Routes that none of them goes to: the plain probe does, when evidence is wanted.
    pub plain_routes: Vec<usize>,
    /// Names of the probes, the plain one's last.
    pub probe_names: Vec<Arc<str>>,
    /// Whether its own probes look at more than the status: else they cannot see a wrong body.
    pub probes_assert: bool,
    /// Rounds per second, over all of its own probes, while nothing is suspected; 0 without any.
    pub probe_rate: f64,
    /// Whether CPU, memory and restarts are known.
    pub tells_resources: bool,
    /// CPU seconds per request.
    pub cpu_per_request: f64,
    /// Resident bytes.
    pub memory: f64,
    /// Share of requests that can be sent again without doing anything twice: those that the shield
    /// retries on stable.
    pub idempotent: f64,
}

impl ServiceShape {
    /// A web shop of 200 requests per second on three routes with one probe, a tenth of its users on
    /// the canary: the service that the product's own targets are stated for.
    pub fn shop() -> ServiceShape {
        ServiceShape {
            requests_per_second: 200.0,
            weight: 0.1,
            error_rate: 0.001,
            client_error_rate: 0.01,
            route_shares: vec![0.6, 0.3, 0.1],
            error_classes: vec![(1.0, Outcome::ServerError)],
            latencies: [8e3, 15e3, 30e3].map(|median| Latency::log_normal(median, 0.4)).to_vec(),
            timeout: Duration::from_secs(10),
            bytes: 2048,
            probes: vec![vec![0, 1]],
            plain_routes: vec![],
            probes_assert: true,
            probe_rate: 0.5,
            tells_resources: false,
            cpu_per_request: 0.001,
            memory: 100e6,
            idempotent: 0.8,
            route_names: vec![],
            probe_names: vec![],
        }
        .named()
    }

    /// Routes that the steps of a probe go to, in order; the plain one comes after the service's own.
    pub(super) fn probe_steps(&self, probe: usize) -> &[usize] {
        self.probes.get(probe).unwrap_or(&self.plain_routes)
    }

    /// Number of routes.
    pub fn routes(&self) -> usize {
        self.route_shares.len()
    }

    /// A service of some kind, with so many routes and with or without probes of its own, where that
    /// is given.
    pub(super) fn draw(
        dice: &mut Dice,
        routes: Option<usize>,
        own_probes: Option<bool>,
    ) -> ServiceShape {
        let routes = routes.unwrap_or_else(|| dice.pick(1, &[1, 2, 3, 5, 7]));
        let shares: Vec<f64> = (0..routes).map(|_| dice.scale(1.0, 8.0)).collect();
        let total: f64 = shares.iter().sum();
        let (median, sigma) = (dice.scale(2e3, 150e3), dice.between(0.2, 0.9));
        // Some services have no probes of their own.
        let own_probes = own_probes.unwrap_or_else(|| dice.chance(0.7));
        let probes = if own_probes {
            let steps = |dice: &mut Dice| {
                (0..dice.whole(1, 3)).map(|_| dice.whole(0, routes - 1)).collect()
            };
            (0..dice.whole(1, 3)).map(|_| steps(dice)).collect()
        } else {
            vec![]
        };
        let latency = |dice: &mut Dice| Latency::log_normal(median * dice.scale(0.5, 3.0), sigma);
        let requests_per_second = dice.scale(2.0, 400.0);
        let weight: f64 = dice.pick(0.01, &[0.02, 0.05, 0.1, 0.1, 0.25, 0.5]);
        ServiceShape {
            requests_per_second,
            // With less nothing can be said in half an hour, whoever says it.
            weight: weight.max(LEAST_CANARY / requests_per_second),
            error_rate: dice.scale(0.0005, 0.006),
            error_classes: vec![(1.0, Outcome::ServerError)],
            client_error_rate: dice.scale(0.001, 0.05),
            route_shares: shares.iter().map(|share| share / total).collect(),
            latencies: (0..routes).map(|_| latency(dice)).collect(),
            timeout: Duration::from_secs(dice.whole(3, 30) as u64),
            bytes: dice.scale(200.0, 50e3) as u64,
            probe_rate: if own_probes { dice.scale(0.1, 1.0) } else { 0.0 },
            probes_assert: own_probes,
            probes,
            plain_routes: vec![],
            tells_resources: dice.chance(0.5),
            cpu_per_request: dice.scale(0.0002, 0.02),
            memory: dice.scale(20e6, 2e9),
            idempotent: dice.between(0.5, 1.0),
            route_names: vec![],
            probe_names: vec![],
        }
        .named()
    }

    fn named(mut self) -> ServiceShape {
        self.route_names = (0..self.routes()).map(|n| format!("route-{n}").into()).collect();
        self.probe_names = (0..self.probes.len()).map(|n| format!("probe-{n}").into()).collect();
        self.probe_names.push("plain".into());
        let asked = |route: &usize| self.probes.iter().any(|steps| steps.contains(route));
        let plain =
            (0..self.routes()).filter(|route| !asked(route)).take(MOST_PLAIN_STEPS).collect();
        self.plain_routes = plain;
        self
    }
}
