//! From host and path to a route, in time that depends on the length of the names only.

use crate::table::{RouteConflict, RouteIndex, RouteSpec};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Longest host name that is looked up (RFC 1035 allows 253 bytes).
const MAX_HOST: usize = 255;

/// Path prefixes of one host, longest first.
type Prefixes = Vec<(Box<str>, RouteIndex)>;

#[derive(Debug, Default)]
pub(crate) struct Matcher {
    exact: HostMap,
    /// Keyed by what follows the `*`, with its dot: `.example.com`.
    wildcard: HostMap,
    any_host: Prefixes,
}

/// Host names sorted by hash: a lookup touches one cache line or two and never allocates.
#[derive(Debug, Default)]
struct HostMap(Vec<(u64, Box<str>, Prefixes)>);

impl HostMap {
    fn get(&self, host: &[u8]) -> Option<&Prefixes> {
        let hash = xxh3_64(host);
        let start = self.0.partition_point(|(other, ..)| *other < hash);
        self.0[start..]
            .iter()
            .take_while(|(other, ..)| *other == hash)
            .find(|(_, name, _)| name.as_bytes() == host)
            .map(|(.., prefixes)| prefixes)
    }

    fn from_names(names: BTreeMap<String, Prefixes>) -> Self {
        let mut hosts: Vec<_> = names
            .into_iter()
            .map(|(name, prefixes)| (xxh3_64(name.as_bytes()), name.into_boxed_str(), prefixes))
            .collect();
        hosts.sort_by_key(|(hash, ..)| *hash);
        HostMap(hosts)
    }
}

impl Matcher {
    pub(crate) fn new(routes: &[RouteSpec]) -> Result<Self, RouteConflict> {
        let mut exact: BTreeMap<String, Prefixes> = BTreeMap::new();
        let mut wildcard: BTreeMap<String, Prefixes> = BTreeMap::new();
        let mut any_host = Prefixes::new();
        for (position, route) in routes.iter().enumerate() {
            let index = RouteIndex(position as u32);
            let claim = |prefixes: &mut Prefixes, host: Option<&str>| {
                if let Some((_, first)) =
                    prefixes.iter().find(|(prefix, _)| **prefix == *route.path_prefix)
                {
                    return Err(RouteConflict {
                        first: routes[first.0 as usize].name.clone(),
                        second: route.name.clone(),
                        host: host.map(str::to_owned),
                        path_prefix: route.path_prefix.clone(),
                    });
                }
                prefixes.push((route.path_prefix.as_str().into(), index));
                prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
                Ok(())
            };
            if route.hosts.is_empty() {
                claim(&mut any_host, None)?;
            }
            for host in &route.hosts {
                let prefixes = match host.strip_prefix('*') {
                    Some(suffix) => wildcard.entry(suffix.to_owned()).or_default(),
                    None => exact.entry(host.clone()).or_default(),
                };
                claim(prefixes, Some(host))?;
            }
        }
        Ok(Matcher {
            exact: HostMap::from_names(exact),
            wildcard: HostMap::from_names(wildcard),
            any_host,
        })
    }

    pub(crate) fn find(&self, host: &str, path: &str) -> Option<RouteIndex> {
        if !self.exact.0.is_empty() || !self.wildcard.0.is_empty() {
            let mut lowered = [0u8; MAX_HOST];
            if let Some(host) = lower_without_port(host, &mut lowered) {
                let named = self.exact.get(host).and_then(|prefixes| longest(prefixes, path));
                if let Some(route) = named.or_else(|| self.find_wildcard(host, path)) {
                    return Some(route);
                }
            }
        }
        longest(&self.any_host, path)
    }

    /// From the longest suffix to the shortest: `a.b.example.com` tries `.b.example.com`,
    /// then `.example.com`, then `.com`.
    fn find_wildcard(&self, host: &[u8], path: &str) -> Option<RouteIndex> {
        if self.wildcard.0.is_empty() {
            return None;
        }
        host.iter()
            .enumerate()
            .skip(1) // `*` stands for at least one character
            .filter(|(_, byte)| **byte == b'.')
            .find_map(|(dot, _)| longest(self.wildcard.get(&host[dot..])?, path))
    }
}

fn longest(prefixes: &Prefixes, path: &str) -> Option<RouteIndex> {
    prefixes.iter().find(|(prefix, _)| covers(prefix, path)).map(|(_, route)| *route)
}

/// Whether `path` is `prefix` or lies below it, by whole segments.
fn covers(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
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
mod tests {
    use super::*;
    use crate::ServiceIndex;
    use proptest::prelude::*;

    fn spec(name: &str, hosts: &[&str], path_prefix: &str) -> RouteSpec {
        RouteSpec {
            name: name.into(),
            hosts: hosts.iter().map(|host| host.to_string()).collect(),
            path_prefix: path_prefix.into(),
            service: ServiceIndex(0),
        }
    }

    /// Builds a matcher from `(name, hosts, prefix)` rows and says which name `host path` meets.
    fn check(routes: &[(&str, &[&str], &str)], request: (&str, &str), expect: Option<&str>) {
        let specs: Vec<_> = routes.iter().map(|(n, h, p)| spec(n, h, p)).collect();
        let found = Matcher::new(&specs).unwrap().find(request.0, request.1);
        assert_eq!(found.map(|index| routes[index.0 as usize].0), expect, "{request:?}");
    }

    const SHOP: &[(&str, &[&str], &str)] = &[
        ("any", &[], "/"),
        ("shop", &["shop.example.com"], "/"),
        ("shop-api", &["shop.example.com"], "/api"),
        ("below", &["*.example.com"], "/"),
        ("deep", &["*.eu.example.com"], "/"),
        ("images", &[], "/images/"),
    ];

    #[test]
    fn the_most_specific_route_wins() {
        check(SHOP, ("shop.example.com", "/"), Some("shop"));
        check(SHOP, ("shop.example.com", "/api/cart"), Some("shop-api"));
        check(SHOP, ("www.example.com", "/api"), Some("below"));
        check(SHOP, ("a.eu.example.com", "/"), Some("deep"));
        check(SHOP, ("a.b.eu.example.com", "/"), Some("deep"));
        check(SHOP, ("example.com", "/"), Some("any"));
        check(SHOP, ("other.org", "/images/x.png"), Some("images"));
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        check(SHOP, ("shop.example.com", "/apix"), Some("shop"));
        check(SHOP, ("shop.example.com", "/api"), Some("shop-api"));
        check(SHOP, ("other.org", "/images"), Some("any"));
    }

    #[test]
    fn ports_capitals_and_the_root_dot_do_not_matter() {
        check(SHOP, ("SHOP.Example.COM:8080", "/api"), Some("shop-api"));
        check(SHOP, ("shop.example.com.", "/"), Some("shop"));
        check(&[("six", &["[::1]"], "/")], ("[::1]:8080", "/"), Some("six"));
    }

    #[test]
    fn a_host_that_is_no_host_still_meets_the_routes_of_every_host() {
        let long = "x".repeat(300);
        check(SHOP, (&long, "/"), Some("any"));
        check(SHOP, ("[", "/"), Some("any"));
        check(SHOP, ("", "/"), Some("any"));
        check(&[("shop", &["shop.example.com"], "/")], ("", "/"), None);
    }

    #[test]
    fn two_routes_for_the_same_requests_are_a_conflict() {
        let routes = [spec("a", &["x.org"], "/api"), spec("b", &["y.org", "x.org"], "/api")];
        let conflict = Matcher::new(&routes).unwrap_err();
        assert_eq!(
            conflict.to_string(),
            "routes 'a' and 'b' both match x.org with path prefix '/api'"
        );
    }

    /// The rule of the documentation, tried on every route: slow and obvious.
    fn naive(routes: &[RouteSpec], host: &str, path: &str) -> Option<usize> {
        let rank = |route: &RouteSpec| -> Option<(usize, usize)> {
            let segments = route.path_prefix.trim_end_matches('/');
            let covered = path == route.path_prefix || path.starts_with(&format!("{segments}/"));
            let host_rank = if route.hosts.is_empty() {
                Some(0)
            } else {
                route
                    .hosts
                    .iter()
                    .filter_map(|pattern| match pattern.strip_prefix('*') {
                        Some(end) => {
                            (host.len() > end.len() && host.ends_with(end)).then_some(end.len())
                        }
                        None => (pattern == host).then_some(1_000),
                    })
                    .max()
            };
            covered.then_some((host_rank?, route.path_prefix.len()))
        };
        (0..routes.len())
            .filter_map(|index| Some((rank(&routes[index])?, index)))
            .max()
            .map(|(_, index)| index)
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_route(
            routes in proptest::collection::vec(
                (proptest::sample::subsequence(vec!["a.x", "*.x", "b.a.x", "*.a.x", "y"], 0..3),
                 proptest::sample::select(vec!["/", "/p", "/p/", "/p/q", "/pq"])), 1..8),
            host in proptest::sample::select(vec!["a.x", "b.a.x", "c.b.a.x", "x", "y", "z.y"]),
            path in proptest::sample::select(vec!["/", "/p", "/p/", "/p/q", "/pq", "/pq/r", "/z"]),
        ) {
            let specs: Vec<_> = routes.iter().enumerate()
                .map(|(i, (hosts, prefix))| spec(&i.to_string(), hosts, prefix)).collect();
            if let Ok(matcher) = Matcher::new(&specs) {
                prop_assert_eq!(
                    matcher.find(host, path).map(|index| index.0 as usize),
                    naive(&specs, host, path)
                );
            }
        }
    }
}
