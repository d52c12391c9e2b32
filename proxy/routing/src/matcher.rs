//! From a request to a route: by its host, in time that depends on the length of the name only, then
//! by what the routes of that host ask, the most specific first.

use crate::condition::Conditions;
use crate::path::PathMatch;
use crate::table::{Place, RouteConflict, RouteSpec};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Longest host name that is looked up (RFC 1035 allows 253 bytes).
const MAX_HOST: usize = 255;

/// What the routes of one host ask, the most specific first.
type Rules = Vec<Rule>;

#[derive(Debug)]
struct Rule {
    path: PathMatch,
    /// None where host and path are all that counts.
    conditions: Option<Box<Conditions>>,
    place: Place,
    /// Position of the route among all.
    position: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Matcher {
    exact: HostMap,
    /// Keyed by what follows the `*`, with its dot: `.example.com`.
    wildcard: HostMap,
    any_host: Rules,
}

/// Host names sorted by hash: a lookup touches one cache line or two and never allocates.
#[derive(Debug, Default)]
struct HostMap(Vec<(u64, Box<str>, Rules)>);

impl HostMap {
    fn get(&self, host: &[u8]) -> Option<&Rules> {
        let hash = xxh3_64(host);
        let start = self.0.partition_point(|(other, ..)| *other < hash);
        self.0[start..]
            .iter()
            .take_while(|(other, ..)| *other == hash)
            .find(|(_, name, _)| name.as_bytes() == host)
            .map(|(.., rules)| rules)
    }

    fn from_names(names: BTreeMap<String, Rules>) -> Self {
        let mut hosts: Vec<_> = names
            .into_iter()
            .map(|(name, rules)| (xxh3_64(name.as_bytes()), name.into_boxed_str(), in_order(rules)))
            .collect();
        hosts.sort_by_key(|(hash, ..)| *hash);
        HostMap(hosts)
    }
}

/// The most specific first; what nothing tells apart stays in the order of the configuration.
fn in_order(mut rules: Rules) -> Rules {
    let conditions = |rule: &Rule| rule.conditions.as_ref().map(|conditions| conditions.rank());
    rules.sort_by_key(|rule| std::cmp::Reverse((rule.path.rank(), conditions(rule))));
    rules
}

impl Matcher {
    /// `places` says where each of `routes` leads.
    pub(crate) fn new(routes: &[RouteSpec], places: &[Place]) -> Result<Self, RouteConflict> {
        let mut exact: BTreeMap<String, Rules> = BTreeMap::new();
        let mut wildcard: BTreeMap<String, Rules> = BTreeMap::new();
        let mut any_host = Rules::new();
        for (position, (route, place)) in routes.iter().zip(places).enumerate() {
            let claim = |rules: &mut Rules, host: Option<&str>| {
                let first = rules.iter().map(|rule| &routes[rule.position]).find(|first| {
                    first.path == route.path && first.conditions.claim_what(&route.conditions)
                });
                if let Some(first) = first {
                    return Err(RouteConflict {
                        first: first.name.clone(),
                        second: route.name.clone(),
                        host: host.map(str::to_owned),
                        path: route.path.to_string(),
                        conditional: !route.conditions.are_none(),
                    });
                }
                let conditions = Some(&route.conditions).filter(|asked| !asked.are_none());
                rules.push(Rule {
                    path: route.path.clone(),
                    conditions: conditions.cloned().map(Box::new),
                    place: *place,
                    position,
                });
                Ok(())
            };
            if route.hosts.is_empty() {
                claim(&mut any_host, None)?;
            }
            for host in &route.hosts {
                let rules = match host.strip_prefix('*') {
                    Some(suffix) => wildcard.entry(suffix.to_owned()).or_default(),
                    None => exact.entry(host.clone()).or_default(),
                };
                claim(rules, Some(host))?;
            }
        }
        Ok(Matcher {
            exact: HostMap::from_names(exact),
            wildcard: HostMap::from_names(wildcard),
            any_host: in_order(any_host),
        })
    }

    /// `holds` is asked of conditions only.
    pub(crate) fn find(
        &self,
        host: &str,
        path: &str,
        holds: &impl Fn(&Conditions) -> bool,
    ) -> Option<Place> {
        if !self.exact.0.is_empty() || !self.wildcard.0.is_empty() {
            let mut lowered = [0u8; MAX_HOST];
            if let Some(host) = lower_without_port(host, &mut lowered) {
                let named = self.exact.get(host).and_then(|rules| first(rules, path, holds));
                if let Some(place) = named.or_else(|| self.find_wildcard(host, path, holds)) {
                    return Some(place);
                }
            }
        }
        first(&self.any_host, path, holds)
    }

    /// From the longest suffix to the shortest: `a.b.example.com` tries `.b.example.com`,
    /// then `.example.com`, then `.com`.
    fn find_wildcard(
        &self,
        host: &[u8],
        path: &str,
        holds: &impl Fn(&Conditions) -> bool,
    ) -> Option<Place> {
        if self.wildcard.0.is_empty() {
            return None;
        }
        host.iter()
            .enumerate()
            .skip(1) // `*` stands for at least one character
            .filter(|(_, byte)| **byte == b'.')
            .find_map(|(dot, _)| first(self.wildcard.get(&host[dot..])?, path, holds))
    }
}

/// The first rule that the request meets.
fn first(rules: &Rules, path: &str, holds: &impl Fn(&Conditions) -> bool) -> Option<Place> {
    let meets = |rule: &&Rule| {
        rule.path.covers(path) && rule.conditions.as_ref().is_none_or(|asked| holds(asked))
    };
    rules.iter().find(meets).map(|rule| rule.place)
}

/// The host in lower case, without port and trailing dot; `None` where it is too long to be one.
fn lower_without_port<'a>(host: &str, buffer: &'a mut [u8; MAX_HOST]) -> Option<&'a [u8]> {
    let name = match host.strip_prefix('[') {
        Some(rest) => &host[..rest.find(']')? + 2], // an IPv6 literal keeps its brackets
        None => host.split(':').next().unwrap_or(host),
    };
    let name = name.strip_suffix('.').unwrap_or(name).as_bytes();
    let lowered = buffer.get_mut(..name.len())?;
    for (to, from) in lowered.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
    }
    Some(lowered)
}

#[cfg(test)]
mod tests;
