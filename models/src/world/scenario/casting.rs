//! From a scenario and dice to one release.

use super::Scenario;
use super::check::quantile;
use super::file::{Classes, CourseWord, FaultTable, LatencyTable, Service};
use super::number::Cast;
use crate::outcome::Outcome;
use crate::world::dice::Dice;
use crate::world::traffic::{Spike, Traffic};
use crate::world::{Course, Effect, Fault, Latency, ServiceShape, Truth, World};
use std::time::Duration;

impl Scenario {
    /// One release, on a given service or on one that is drawn, too.
    pub(in crate::world) fn cast(&self, service: Option<ServiceShape>, dice: Dice) -> World {
        let mut cast = Cast::new(&self.file.draw, dice);
        let service = service.unwrap_or_else(|| self.service(&mut cast));
        let traffic = self.traffic(&mut cast);
        let tables = self.file.fault.iter();
        let faults: Vec<Fault> =
            tables.flat_map(|table| faults(table, &service, &mut cast)).collect();
        let truth = self.file.truth.map_or_else(|| Truth::of(&faults), Truth::from);
        World::of(service, faults, truth, traffic, cast.dice)
    }

    fn service<'s>(&'s self, cast: &mut Cast<'s>) -> ServiceShape {
        let file = &self.file.service;
        let (probes, resources) = (&self.file.probes, &self.file.resources);
        let routes = match file.route.len() {
            0 => cast.given(&file.routes).map(|routes| routes as usize),
            listed => Some(listed),
        };
        let probe_rate = cast.given(&probes.rate);
        let own_probes = probe_rate.map(|rate| rate > 0.0);
        let mut service = ServiceShape::draw(&mut cast.dice, routes, own_probes);
        let set = |amount: &mut f64, given: Option<f64>| *amount = given.unwrap_or(*amount);
        set(&mut service.requests_per_second, cast.given(&file.requests_per_second));
        set(&mut service.weight, cast.given(&file.weight));
        set(&mut service.error_rate, cast.given(&file.errors));
        set(&mut service.client_error_rate, cast.given(&file.client_errors));
        set(&mut service.idempotent, cast.given(&file.idempotent));
        set(&mut service.probe_rate, probe_rate);
        set(&mut service.cpu_per_request, cast.given(&resources.cpu_per_request));
        set(&mut service.memory, cast.given(&resources.memory));
        if let Some(timeout) = cast.given(&file.timeout) {
            service.timeout = Duration::from_secs_f64(timeout);
        }
        if let Some(bytes) = cast.given(&file.bytes) {
            service.bytes = bytes as u64;
        }
        service.probes_assert = probes.assertions.unwrap_or(service.probes_assert);
        service.tells_resources = resources.known.unwrap_or(service.tells_resources);
        if let Some(classes) = &file.classes {
            service.error_classes = shares(classes, cast);
        }
        self.routes(&mut service, file, cast);
        service
    }

    fn routes<'s>(&self, service: &mut ServiceShape, file: &'s Service, cast: &mut Cast<'s>) {
        if let Some(table) = &file.latency {
            for route in &mut service.latencies {
                *route = latency(table.get_ref(), cast);
            }
        }
        for (at, route) in file.route.iter().map(|route| route.get_ref()).enumerate() {
            service.route_names[at] = route.name.as_str().into();
            if let Some(share) = cast.given(&route.share) {
                service.route_shares[at] = share;
            }
            if let Some(table) = &route.latency {
                service.latencies[at] = latency(table.get_ref(), cast);
            }
        }
        let total: f64 = service.route_shares.iter().sum();
        service.route_shares.iter_mut().for_each(|share| *share /= total);
    }

    fn traffic<'s>(&'s self, cast: &mut Cast<'s>) -> Traffic {
        let file = &self.file.traffic;
        let spike = |spike: &'s super::file::SpikeTable| {
            let begins = cast.draw(spike.begins.get_ref());
            let ends = begins + cast.draw(spike.lasts.get_ref());
            Spike { begins, ends, times: cast.draw(spike.times.get_ref()) }
        };
        Traffic {
            spikes: file.spike.iter().map(spike).collect(),
            swing: cast.given(&file.swing).unwrap_or(0.0),
            period: cast.given(&file.period).unwrap_or(Traffic::STEADY.period),
            phase: cast.given(&file.phase).unwrap_or(0.0),
        }
    }
}

/// The faults of one table: one, or one for each class of failure.
fn faults<'s>(table: &'s FaultTable, service: &ServiceShape, cast: &mut Cast<'s>) -> Vec<Fault> {
    let begins = cast.given(&table.begins).unwrap_or(0.0);
    let lasts = cast.given(&table.lasts).unwrap_or(f64::INFINITY);
    let endpoints = cast.given(&table.endpoints).unwrap_or(1.0);
    let failures = cast.given(&table.failures).unwrap_or(0.0) * endpoints;
    let outcome = match &table.class {
        Some(class) => class.draw(&mut cast.dice).into(),
        None => Outcome::ServerError,
    };
    let factor = cast.given(&table.slow_factor);
    let changed = table.latency.as_ref().map(|table| latency(table.get_ref(), cast));
    let all = if factor.is_some() || changed.is_some() { 1.0 } else { 0.0 };
    let effect = Effect {
        slow_share: cast.given(&table.slow_share).unwrap_or(all) * endpoints,
        slow_factor: factor.unwrap_or(1.0),
        latency: changed,
        wrong: cast.given(&table.wrong).unwrap_or(0.0) * endpoints,
        cpu: cast.given(&table.cpu).unwrap_or(1.0),
        network: cast.given(&table.network).unwrap_or(1.0),
        memory_per_minute: cast.given(&table.memory_per_minute).unwrap_or(0.0),
        restarts: table.restarts,
        ..Effect::failing(failures, outcome)
    };
    let course =
        table.course.as_ref().map_or(Course::Constant, |word| course(word.get_ref(), cast));
    let route = table.route.as_ref().map(|names| names.get_ref().draw(&mut cast.dice));
    let usual_load = service.requests_per_second * service.weight;
    let fault = Fault {
        reach: table.reach.into(),
        route: match route.as_deref() {
            None | Some("all") => None,
            Some("any") => Some(cast.dice.whole(0, service.routes() - 1)),
            Some(name) => service.route_names.iter().position(|route| **route == *name),
        },
        needs_load: cast.given(&table.needs_load).map(|part| part * usual_load),
        ..Fault::passing(begins, lasts, effect).with(course)
    };
    let Some(classes) = &table.classes else { return vec![fault] };
    let of_class = |(at, (share, outcome)): (usize, &(f64, Outcome))| {
        let failing = Effect::failing(failures * share, *outcome);
        // All else that it does, it does once.
        let effect = if at == 0 {
            Effect { failures: failing.failures, outcome: *outcome, ..effect }
        } else {
            failing
        };
        Fault { effect, ..fault }
    };
    shares(classes, cast).iter().enumerate().map(of_class).collect()
}

fn shares<'s>(classes: &'s Classes, cast: &mut Cast<'s>) -> Vec<(f64, Outcome)> {
    let drawn: Vec<(f64, Outcome)> = classes
        .iter()
        .map(|(class, share)| (cast.draw(share.get_ref()), Outcome::from(*class)))
        .collect();
    let total: f64 = drawn.iter().map(|(share, _)| share).sum();
    drawn.into_iter().map(|(share, outcome)| (share / total, outcome)).collect()
}

fn course<'s>(word: &'s CourseWord, cast: &mut Cast<'s>) -> Course {
    match word {
        CourseWord::Step => Course::Constant,
        CourseWord::Growing(over) => Course::Growing { over: cast.draw(over) },
        CourseWord::Shrinking(over) => Course::Shrinking { over: cast.draw(over) },
        CourseWord::Fading(tau) => Course::Fading { tau: cast.draw(tau) },
        CourseWord::Sawtooth(period) => Course::Sawtooth { period: cast.draw(period) },
        CourseWord::Waving(period) => Course::Waving { period: cast.draw(period) },
        CourseWord::Pulsing { period, on } => {
            Course::Pulsing { period: cast.draw(period), on: cast.draw(on) }
        }
        CourseWord::OneOf(words) => {
            let chosen = cast.dice.whole(0, words.len() - 1);
            course(&words[chosen], cast)
        }
    }
}

fn latency<'s>(table: &'s LatencyTable, cast: &mut Cast<'s>) -> Latency {
    if let Some(parts) = &table.mixture {
        let parts: Vec<(f64, f64, f64)> = parts
            .iter()
            .map(|part| {
                let (share, median) =
                    (cast.draw(part.share.get_ref()), cast.draw(part.median.get_ref()));
                (share, median * 1e6, cast.draw(part.sigma.get_ref()))
            })
            .collect();
        return Latency::mixture(&parts);
    }
    if let Some(given) = &table.quantiles {
        let mut knots: Vec<(f64, f64)> = given
            .iter()
            .filter_map(|(name, seconds)| {
                Some((quantile(name)?, cast.draw(seconds.get_ref()) * 1e6))
            })
            .collect();
        knots.sort_by(|a, b| a.0.total_cmp(&b.0));
        // A drawn quantile may come out below a smaller one's: then it is just above it.
        for at in 1..knots.len() {
            knots[at].1 = knots[at].1.max(knots[at - 1].1 * 1.001);
        }
        return Latency::quantiles(&knots);
    }
    let median = cast.given(&table.median).unwrap_or(0.01);
    Latency::log_normal(median * 1e6, cast.given(&table.sigma).unwrap_or(0.5))
}
