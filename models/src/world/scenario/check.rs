//! What a scenario file must not say, whatever is drawn.

use super::error::Mistake;
use super::file::{
    Amount, Classes, CourseWord, FaultTable, File, LatencyTable, ReachWord, RouteTable, Service,
};
use super::number::{Draws, Number, range};
use crate::world::Truth;
use crate::world::latency::{KNOTS, PARTS};
use std::ops::Range;
use toml::Spanned;

/// Most faults of a release, and most routes of a service.
const MOST_FAULTS: usize = 16;
const MOST_ROUTES: f64 = 32.0;
/// Longest play and latest begin, in seconds: a month.
const MONTH: f64 = 31.0 * 86_400.0;

/// Values that a number may have, and how to say so.
struct Allowed(f64, f64, &'static str);

const SHARE: Allowed = Allowed(0.0, 1.0, "a share from 0 to 1");
const FACTOR: Allowed = Allowed(0.01, 1000.0, "a factor from 0.01 to 1000");
const TIME: Allowed = Allowed(0.0, MONTH, "a time up to a month, like \"30s\"");
const LENGTH: Allowed = Allowed(0.001, MONTH, "a time above zero up to a month, like \"30s\"");
const LATENCY: Allowed = Allowed(1e-6, 60.0, "a latency from 1 us to a minute, like \"20ms\"");
const SIGMA: Allowed = Allowed(0.01, 3.0, "a deviation of the logarithm, like 0.5");
const RATE: Allowed = Allowed(0.0, 1e6, "a rate per second");
const AMOUNT: Allowed = Allowed(0.0, 1e15, "an amount");
const MARGIN: Allowed = Allowed(1.0, 10.0, "an odds ratio from 1 to 10");
const PROPORTION: Allowed = Allowed(1e-6, 1e6, "a proportion above zero");

struct Check<'f> {
    draws: &'f Draws,
}

type Checked = Result<(), Mistake>;

/// Checks a file; gives what is true of its releases, if that is the same for all.
pub(super) fn check(file: &File) -> Result<Option<Truth>, Mistake> {
    let check = Check { draws: &file.draw };
    for (name, number) in &file.draw {
        if name == "forever" || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let message = format!("'{name}' cannot be the name of a draw");
            return Err(Mistake::new(number.span(), message, "begin it with a letter"));
        }
        check.range(number.get_ref(), number.span())?;
    }
    let same = "all plays of a scenario last equally long";
    check.fixed(&file.lasts, &LENGTH, same, "write a duration, like \"30m\"")?;
    let same = "all releases of a scenario are judged by the same margin";
    check.fixed(&file.margin, &MARGIN, same, "write a number, like 1.25")?;
    check.service(&file.service)?;
    check.amount(&file.traffic.swing, &SHARE)?;
    check.amount(&file.traffic.period, &LENGTH)?;
    check.amount(&file.traffic.phase, &SHARE)?;
    for spike in &file.traffic.spike {
        check.one(&spike.begins, &TIME)?;
        check.one(&spike.lasts, &LENGTH)?;
        check.one(&spike.times, &FACTOR)?;
    }
    check.amount(&file.probes.rate, &RATE)?;
    check.amount(&file.resources.cpu_per_request, &AMOUNT)?;
    check.amount(&file.resources.memory, &AMOUNT)?;
    if file.fault.len() > MOST_FAULTS {
        let message = format!("a release has at most {MOST_FAULTS} faults");
        return Err(Mistake::new(file.about.span(), message, "leave some out"));
    }
    file.fault.iter().try_for_each(|fault| check.fault(fault, &file.service))?;
    match file.truth {
        Some(truth) => Ok(Some(truth.into())),
        None => check.truth(&file.fault),
    }
}

impl Check<'_> {
    fn range(&self, number: &Number, span: Range<usize>) -> Result<(f64, f64), Mistake> {
        range(number, self.draws, &mut vec![]).map_err(|told| Mistake::told(span, &told))
    }

    fn within(&self, number: &Number, span: Range<usize>, allowed: &Allowed) -> Checked {
        let (low, high) = self.range(number, span.clone())?;
        let &Allowed(least, most, what) = allowed;
        let wrong = if low < least { low } else { high };
        if least <= low && high <= most {
            return Ok(());
        }
        let shown = if wrong.is_finite() { wrong.to_string() } else { "\"forever\"".to_owned() };
        Err(Mistake::new(span, format!("{shown} is out of range"), format!("write {what}")))
    }

    fn one(&self, number: &Spanned<Number>, allowed: &Allowed) -> Checked {
        self.within(number.get_ref(), number.span(), allowed)
    }

    fn amount(&self, amount: &Amount, allowed: &Allowed) -> Checked {
        amount.as_ref().map_or(Ok(()), |number| self.one(number, allowed))
    }

    /// The same for all plays.
    fn fixed(&self, amount: &Amount, allowed: &Allowed, why: &str, help: &str) -> Checked {
        let Some(number) = amount else { return Ok(()) };
        self.one(number, allowed)?;
        match number.get_ref() {
            Number::Fixed(_) => Ok(()),
            _ => Err(Mistake::new(number.span(), why, help)),
        }
    }

    fn service(&self, service: &Service) -> Checked {
        self.amount(&service.requests_per_second, &RATE)?;
        self.amount(&service.weight, &SHARE)?;
        self.amount(&service.errors, &SHARE)?;
        self.amount(&service.client_errors, &SHARE)?;
        self.amount(&service.timeout, &LENGTH)?;
        self.amount(&service.bytes, &AMOUNT)?;
        self.amount(&service.idempotent, &SHARE)?;
        let routes = Allowed(1.0, MOST_ROUTES, "a number of routes from 1 to 32");
        self.amount(&service.routes, &routes)?;
        self.classes(&service.classes)?;
        self.latency(&service.latency)?;
        if let (Some(number), false) = (&service.routes, service.route.is_empty()) {
            let message = "the routes are counted and listed";
            return Err(Mistake::new(number.span(), message, "leave routes out"));
        }
        for (at, route) in service.route.iter().enumerate() {
            let name = &route.get_ref().name;
            let same = |other: &Spanned<RouteTable>| other.get_ref().name == *name;
            if ["all", "any"].contains(&name.as_str()) || service.route[..at].iter().any(same) {
                let message = format!("'{name}' cannot be the name of this route");
                return Err(Mistake::new(route.span(), message, "give it a name of its own"));
            }
            self.amount(&route.get_ref().share, &PROPORTION)?;
            self.latency(&route.get_ref().latency)?;
        }
        Ok(())
    }

    fn classes(&self, classes: &Option<Classes>) -> Checked {
        let shares = classes.iter().flatten();
        shares.map(|(_, share)| share).try_for_each(|share| self.one(share, &PROPORTION))
    }

    fn latency(&self, latency: &Option<Spanned<LatencyTable>>) -> Checked {
        let Some(latency) = latency else { return Ok(()) };
        let LatencyTable { median, sigma, quantiles, mixture } = latency.get_ref();
        let wrong = |message: &str, help: &str| Err(Mistake::new(latency.span(), message, help));
        match (median, sigma, quantiles, mixture) {
            (Some(median), Some(sigma), None, None) => {
                self.one(median, &LATENCY)?;
                self.one(sigma, &SIGMA)
            }
            (None, None, Some(quantiles), None) => {
                if !(2..=KNOTS).contains(&quantiles.len()) {
                    return wrong("two to eight quantiles are needed", "write p50 and p99");
                }
                for (name, micros) in quantiles {
                    if quantile(name).is_none() {
                        let message = format!("'{name}' is no quantile");
                        let help = "write p50, p90, \"p99.9\"";
                        return Err(Mistake::new(micros.span(), message, help));
                    }
                    self.one(micros, &LATENCY)?;
                }
                Ok(())
            }
            (None, None, None, Some(parts)) => {
                if !(1..=PARTS).contains(&parts.len()) {
                    return wrong("a mixture has one to four parts", "leave some out");
                }
                for part in parts {
                    self.one(&part.share, &PROPORTION)?;
                    self.one(&part.median, &LATENCY)?;
                    self.one(&part.sigma, &SIGMA)?;
                }
                Ok(())
            }
            _ => wrong(
                "a latency is told in one of three ways",
                "write { median, sigma }, { quantiles = { p50, p99 } } or { mixture = [ .. ] }",
            ),
        }
    }

    fn fault(&self, fault: &FaultTable, service: &Service) -> Checked {
        self.amount(&fault.begins, &TIME)?;
        let forever = Allowed(0.001, f64::INFINITY, "a time above zero, or \"forever\"");
        self.amount(&fault.lasts, &forever)?;
        for share in [&fault.failures, &fault.slow_share, &fault.wrong, &fault.endpoints] {
            self.amount(share, &SHARE)?;
        }
        self.amount(&fault.slow_factor, &FACTOR)?;
        self.amount(&fault.cpu, &FACTOR)?;
        self.amount(&fault.network, &FACTOR)?;
        self.amount(&fault.memory_per_minute, &AMOUNT)?;
        let load = Allowed(0.0, 1e3, "a part of the canary's usual load, like 0.5");
        self.amount(&fault.needs_load, &load)?;
        self.latency(&fault.latency)?;
        self.classes(&fault.classes)?;
        if let Some(course) = &fault.course {
            self.course(course.get_ref(), course.span(), fault)?;
        }
        if let Some(route) = &fault.route {
            let names = service.route.iter().map(|route| route.get_ref().name.as_str());
            let mut known: Vec<&str> = names.collect();
            known.extend(["all", "any"]);
            for name in route.get_ref().words() {
                if !known.contains(&name.as_str()) {
                    let message = format!("there is no route '{name}'");
                    let help = super::error::meant(name, &known)
                        .unwrap_or_else(|| format!("write one of: {}", known.join(", ")));
                    return Err(Mistake::new(route.span(), message, help));
                }
            }
        }
        Ok(())
    }

    fn course(&self, course: &CourseWord, span: Range<usize>, fault: &FaultTable) -> Checked {
        let ends = match &fault.lasts {
            Some(lasts) => self.range(lasts.get_ref(), lasts.span())?.1.is_finite(),
            None => false,
        };
        match course {
            CourseWord::Step => Ok(()),
            CourseWord::Growing(time) | CourseWord::Sawtooth(time) | CourseWord::Waving(time) => {
                self.within(time, span, &LENGTH)
            }
            CourseWord::Shrinking(time) | CourseWord::Fading(time) => {
                if !ends {
                    let message = "what shrinks or fades has an end";
                    return Err(Mistake::new(
                        span,
                        message,
                        "give the fault a length: lasts = \"1m\"",
                    ));
                }
                self.within(time, span, &LENGTH)
            }
            CourseWord::Pulsing { period, on } => {
                self.within(period, span.clone(), &LENGTH)?;
                self.within(on, span, &LENGTH)
            }
            CourseWord::OneOf(courses) => {
                if courses.is_empty() {
                    return Err(Mistake::new(
                        span,
                        "there is nothing to choose from",
                        "write \"step\"",
                    ));
                }
                courses.iter().try_for_each(|course| self.course(course, span.clone(), fault))
            }
        }
    }

    /// Whether the canary's own faults end, if that is not drawn.
    fn truth(&self, faults: &[FaultTable]) -> Result<Option<Truth>, Mistake> {
        let (mut truth, mut drawn) = (Truth::Null, false);
        for fault in faults.iter().filter(|fault| fault.reach == ReachWord::Canary) {
            let (least, most) = match &fault.lasts {
                Some(lasts) => self.range(lasts.get_ref(), lasts.span())?,
                None => (f64::INFINITY, f64::INFINITY),
            };
            if least.is_infinite() {
                return Ok(Some(Truth::Sustained));
            }
            drawn |= most.is_infinite();
            truth = Truth::Transient;
        }
        Ok((!drawn).then_some(truth))
    }
}

/// The quantile that a key like `p99` names.
pub(super) fn quantile(name: &str) -> Option<f64> {
    let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
    (percent > 0.0 && percent < 100.0).then_some(percent / 100.0)
}
