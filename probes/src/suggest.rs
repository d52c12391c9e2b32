//! Probes that live traffic suggests: what users ask for most, by route, with a pace that follows its share.
//!
//! Reads lines of an access log: Serinus's own (JSON), or the combined format of nginx and Apache.
//! Queries are dropped, and no body is ever seen.

mod lines;

use crate::import::{key, literal, quoted};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Paths kept per route at most; the rest counts together.
const MOST_PATHS: usize = 10_000;
/// The most that is suggested for one route.
const MOST_STEPS: usize = 5;
/// Paths with a smaller share of their route are not worth a step.
const LEAST_SHARE: f64 = 0.02;
/// The route with the most traffic is probed so often, in seconds.
const SHORTEST_INTERVAL: f64 = 5.0;
/// No suggestion is slower, in seconds.
const LONGEST_INTERVAL: f64 = 300.0;

/// Requests by route.
#[derive(Debug, Default)]
pub struct Traffic {
    routes: BTreeMap<String, RouteTraffic>,
    requests: u64,
    /// Lines that were no requests.
    pub unread: u64,
}

#[derive(Debug, Default)]
struct RouteTraffic {
    requests: u64,
    shapes: BTreeMap<Shape, ShapeTraffic>,
}

/// A method and a path whose numbers and ids are left open: `/product/*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    method: String,
    path: String,
}

#[derive(Debug, Default)]
struct ShapeTraffic {
    requests: u64,
    /// Answers below 400, by the path as it was asked for.
    good: BTreeMap<String, u64>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// `[probe.NAME]` tables.
    pub toml: String,
    /// What was seen and cannot be suggested, one line each.
    pub remarks: Vec<String>,
}

impl Traffic {
    /// Counts a line of an access log.
    pub fn read(&mut self, line: &str) {
        match lines::request(line) {
            Some(request) => self.count(request),
            None if line.trim().is_empty() => {}
            None => self.unread += 1,
        }
    }

    fn count(&mut self, request: lines::Request<'_>) {
        let path = request.path.split(['?', '#', ';']).next().unwrap_or_default();
        let is_plain = |text: &str| !text.contains(|c: char| c.is_control());
        if ![path, &request.route, &request.method].into_iter().all(is_plain) {
            self.unread += 1;
            return;
        }
        self.requests += 1;
        let route = self.routes.entry(request.route.into_owned()).or_default();
        route.requests += 1;
        let shape = Shape { method: request.method.into_owned(), path: shape(path) };
        if route.shapes.len() >= MOST_PATHS && !route.shapes.contains_key(&shape) {
            return;
        }
        let traffic = route.shapes.entry(shape).or_default();
        traffic.requests += 1;
        let is_known = traffic.good.contains_key(path);
        if request.status < 400 && (is_known || traffic.good.len() < MOST_PATHS) {
            *traffic.good.entry(path.to_owned()).or_default() += 1;
        }
    }

    /// A probe for each route, most asked for first. `service_of` answers for a route's name; `least` is the
    /// number of requests below which a route says nothing.
    pub fn suggest(&self, least: u64, service_of: impl Fn(&str) -> Option<String>) -> Suggestion {
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_by_key(|(name, route)| (std::cmp::Reverse(route.requests), name.as_str()));
        let busiest = routes.first().map_or(1, |(_, route)| route.requests.max(1));
        let mut suggestion = Suggestion { toml: String::new(), remarks: Vec::new() };
        for (name, route) in routes {
            if route.requests < least {
                let text = format!("route {name}: {} requests are too few", route.requests);
                suggestion.remarks.push(text);
                continue;
            }
            let Some(service) = service_of(name) else {
                suggestion.remarks.push(match name.as_str() {
                    lines::UNNAMED => format!(
                        "{} requests of a log that names no route: say which it is with --route NAME",
                        route.requests
                    ),
                    name => format!("route {name} is not in the configuration"),
                });
                continue;
            };
            let share = route.requests as f64 / busiest as f64;
            let interval = (SHORTEST_INTERVAL / share).min(LONGEST_INTERVAL).round();
            route.suggest(name, &service, interval, self.requests, &mut suggestion);
        }
        suggestion
    }
}

impl RouteTraffic {
    fn suggest(
        &self,
        name: &str,
        service: &str,
        interval: f64,
        all: u64,
        suggestion: &mut Suggestion,
    ) {
        let mut shapes: Vec<_> = self.shapes.iter().collect();
        shapes.sort_by_key(|(shape, traffic)| (std::cmp::Reverse(traffic.requests), *shape));
        let share = |requests: u64, of: u64| 100.0 * requests as f64 / of.max(1) as f64;
        let (mut steps, mut count) = (String::new(), 0);
        let probe = key(&format!("{name}-top"));
        for (shape, traffic) in shapes {
            let part = share(traffic.requests, self.requests);
            if part < 100.0 * LEAST_SHARE {
                break;
            }
            let told = format!("{part:.0}% {} {}", shape.method, shape.path);
            if shape.method != "GET" {
                let text = format!("route {name}: {told}: record it (serinus import har)");
                suggestion.remarks.push(text);
                continue;
            }
            let best = traffic
                .good
                .iter()
                .max_by_key(|(path, number)| (**number, std::cmp::Reverse(*path)));
            let Some((path, _)) = best.filter(|_| count < MOST_STEPS) else { continue };
            count += 1;
            // Writing to a string does not fail.
            let _ = write!(
                steps,
                "\n[[probe.{probe}.step]] # {told}\nget = {}\n",
                quoted(&literal(path))
            );
        }
        if count == 0 {
            suggestion.remarks.push(format!("route {name}: no GET that is answered well"));
            return;
        }
        let _ = write!(
            suggestion.toml,
            "{}[probe.{probe}] # {:.0}% of {all} requests\nservice = {}\ninterval = \"{interval}s\"\n{steps}",
            if suggestion.toml.is_empty() { "" } else { "\n" },
            share(self.requests, all),
            quoted(service),
        );
    }
}

/// The path with `*` for segments that look like numbers, ids or hashes.
fn shape(path: &str) -> String {
    let open = |segment: &str| {
        let digits = segment.bytes().filter(u8::is_ascii_digit).count();
        let hexadecimal = segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let mostly = digits * 2 >= segment.len() && segment.len() >= 4;
        digits > 0 && (digits == segment.len() || mostly || hexadecimal && segment.len() >= 8)
            || segment.len() > 40
    };
    let segments = path.split('/').map(|segment| if open(segment) { "*" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests;
