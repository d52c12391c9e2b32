//! The matcher against the rule of the documentation, tried on every route.

use super::*;
use crate::ServiceIndex;
use crate::condition::{Asked, HeaderCondition, QueryCondition, ValueCheck};
use crate::path::PathPattern;
use crate::table::{RouteIndex, Target};
use http::{HeaderMap, HeaderName, Method};
use proptest::prelude::*;

fn spec(name: &str, hosts: &[&str], path: PathMatch) -> RouteSpec {
    RouteSpec {
        name: name.into(),
        hosts: hosts.iter().map(|host| host.to_string()).collect(),
        path,
        conditions: Conditions::default(),
        target: Target::service(ServiceIndex(0)),
    }
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.to_owned())
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.to_owned())
}

fn pattern(text: &str) -> PathMatch {
    PathMatch::Pattern(PathPattern::new(text).unwrap())
}

fn matcher(specs: &[RouteSpec]) -> Result<Matcher, RouteConflict> {
    let places: Vec<Place> =
        (0..specs.len()).map(|at| Place::Route(RouteIndex(at as u32))).collect();
    Matcher::new(specs, &places)
}

fn position(place: Option<Place>) -> Option<usize> {
    match place? {
        Place::Route(route) => Some(route.0 as usize),
        Place::Redirect(_) => None,
    }
}

/// Builds a matcher from `(name, hosts, prefix)` rows and says which name `host path` meets.
fn check(routes: &[(&str, &[&str], &str)], request: (&str, &str), expect: Option<&str>) {
    let specs: Vec<_> = routes.iter().map(|(n, h, p)| spec(n, h, prefix(p))).collect();
    let found = matcher(&specs).unwrap().find(request.0, request.1, &|_| false);
    assert_eq!(position(found).map(|at| routes[at].0), expect, "{request:?}");
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
fn an_exact_path_comes_before_a_pattern_before_a_prefix() {
    let specs = [
        spec("prefix", &[], prefix("/user/7")),
        spec("short", &[], pattern("/user/.*")),
        spec("long", &[], pattern("/user/[0-9]+")),
        spec("exact", &[], exact("/user/7")),
    ];
    let matcher = matcher(&specs).unwrap();
    for (path, expect) in [
        ("/user/7", Some("exact")),
        ("/user/8", Some("long")),
        ("/user/x", Some("short")),
        ("/user", None),
    ] {
        let found = position(matcher.find("", path, &|_| false));
        assert_eq!(found.map(|at| &*specs[at].name), expect, "{path}");
    }
}

fn header(name: &'static str, check: ValueCheck) -> HeaderCondition {
    HeaderCondition { name: HeaderName::from_static(name), check }
}

fn query(name: &str, check: ValueCheck) -> QueryCondition {
    QueryCondition { name: name.to_owned(), check }
}

fn equals(value: &str) -> ValueCheck {
    ValueCheck::Equals(value.to_owned())
}

#[test]
fn the_route_that_asks_more_comes_first_and_is_passed_over_where_it_does_not_hold() {
    let with = |name: &str, path: &str, conditions: Conditions| RouteSpec {
        conditions,
        ..spec(name, &["shop.test"], prefix(path))
    };
    let specs = [
        with("all", "/", Conditions::default()),
        with(
            "beta",
            "/",
            Conditions { headers: vec![header("x-beta", equals("1"))], ..Conditions::default() },
        ),
        with(
            "asked",
            "/",
            Conditions {
                queries: vec![query("beta", ValueCheck::Exists)],
                ..Conditions::default()
            },
        ),
        with(
            "write",
            "/",
            Conditions { methods: vec![Method::POST, Method::PUT], ..Conditions::default() },
        ),
        with("api", "/api", Conditions::default()),
    ];
    let matcher = matcher(&specs).unwrap();
    let mut beta = HeaderMap::new();
    beta.insert("x-beta", "1".parse().unwrap());
    let none = HeaderMap::new();
    for (method, headers, query, path, expect) in [
        (Method::GET, &none, None, "/x", "all"),
        (Method::GET, &none, Some("beta"), "/x", "asked"),
        (Method::GET, &beta, Some("beta"), "/x", "beta"),
        (Method::PUT, &beta, Some("beta"), "/x", "write"),
        (Method::PUT, &beta, None, "/api/x", "api"), // the longer path counts for more
    ] {
        let asked = Asked { method: &method, headers, query };
        let found = matcher.find("shop.test", path, &|conditions| conditions.hold(&asked));
        assert_eq!(specs[position(found).unwrap()].name, expect, "{method} {path} {query:?}");
    }
}

#[test]
fn two_routes_for_the_same_requests_are_a_conflict() {
    let routes =
        [spec("a", &["x.org"], prefix("/api")), spec("b", &["y.org", "x.org"], prefix("/api"))];
    assert_eq!(
        matcher(&routes).unwrap_err().to_string(),
        "routes 'a' and 'b' both match x.org with path prefix '/api'"
    );
    let on = |name: &str, methods: &[Method]| RouteSpec {
        conditions: Conditions {
            methods: methods.to_vec(),
            headers: vec![header("a", ValueCheck::Exists), header("b", equals("1"))],
            ..Conditions::default()
        },
        ..spec(name, &[], pattern("/x.*"))
    };
    assert!(matcher(&[on("a", &[Method::GET]), on("b", &[Method::PUT])]).is_ok());
    assert!(matcher(&[on("a", &[Method::GET]), on("b", &[])]).is_ok());
    let mut other = on("b", &[Method::PUT, Method::GET]);
    other.conditions.headers.reverse();
    assert_eq!(
        matcher(&[on("a", &[Method::GET]), other]).unwrap_err().to_string(),
        "routes 'a' and 'b' both match every host with path regex '/x.*' under the same conditions"
    );
}

/// The rule of the documentation, slow and obvious. All that tells two routes apart, in its order.
fn naive(routes: &[RouteSpec], host: &str, path: &str, asked: &Asked<'_>) -> Option<usize> {
    let rank = |route: &RouteSpec| {
        let host_rank = if route.hosts.is_empty() {
            Some(0)
        } else {
            let of_pattern = |pattern: &String| match pattern.strip_prefix('*') {
                Some(end) => (host.len() > end.len() && host.ends_with(end)).then_some(end.len()),
                None => (pattern == host).then_some(1_000),
            };
            route.hosts.iter().filter_map(of_pattern).max()
        };
        let path_rank = match &route.path {
            PathMatch::Exact(exact) => (path == exact).then_some(20_000 + exact.len()),
            PathMatch::Pattern(pattern) => {
                let whole = regex::Regex::new(pattern.as_str()).unwrap();
                let found = whole.find_iter(path).any(|found| found.as_str() == path);
                found.then_some(10_000 + pattern.as_str().len())
            }
            PathMatch::Prefix(prefix) => {
                let segments = prefix.trim_end_matches('/');
                (path == prefix || path.starts_with(&format!("{segments}/")))
                    .then_some(prefix.len())
            }
        };
        let Conditions { methods, headers, queries } = &route.conditions;
        let beta = asked.headers.get("x-beta").and_then(|value| value.to_str().ok());
        let held = (methods.is_empty() || methods.contains(asked.method))
            && headers.iter().all(|header| match &header.check {
                ValueCheck::Equals(wanted) => beta == Some(wanted),
                _ => beta.is_some(),
            })
            && (queries.is_empty() || asked.query == Some("v=1"));
        let full = headers.iter().filter(|header| matches!(header.check, ValueCheck::Equals(_)));
        let order = (!methods.is_empty(), headers.len(), queries.len(), full.count());
        held.then_some((host_rank?, path_rank?, order))
    };
    let ranked = (0..routes.len()).filter_map(|at| Some((rank(&routes[at])?, usize::MAX - at)));
    ranked.max().map(|(_, at)| usize::MAX - at)
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let methods = proptest::sample::subsequence(vec![Method::GET, Method::POST], 0..2);
    let check = proptest::sample::select(vec![ValueCheck::Exists, equals("1"), equals("2")]);
    let headers = proptest::collection::vec(check.prop_map(|check| header("x-beta", check)), 0..2);
    (methods, headers, any::<bool>()).prop_map(|(methods, headers, asks)| Conditions {
        methods,
        headers,
        queries: if asks { vec![query("v", equals("1"))] } else { Vec::new() },
    })
}

fn path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        proptest::sample::select(vec!["/", "/p", "/p/", "/p/q", "/pq"]).prop_map(prefix),
        proptest::sample::select(vec!["/p", "/p/q", "/z"]).prop_map(exact),
        proptest::sample::select(vec!["/p.*", "/[a-z]", "/p/?q"]).prop_map(pattern),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_trying_every_route(
        routes in proptest::collection::vec(
            (proptest::sample::subsequence(vec!["a.x", "*.x", "b.a.x", "*.a.x", "y"], 0..3), path(), conditions()),
            1..8),
        host in proptest::sample::select(vec!["a.x", "b.a.x", "c.b.a.x", "x", "y", "z.y"]),
        path in proptest::sample::select(vec!["/", "/p", "/p/", "/p/q", "/pq", "/pq/r", "/z"]),
        method in proptest::sample::select(vec![Method::GET, Method::POST, Method::PUT]),
        beta in proptest::sample::select(vec!["", "1", "2"]),
        query in proptest::sample::select(vec![None, Some("v=1"), Some("v=2")]),
    ) {
        let specs: Vec<_> = routes.into_iter().enumerate()
            .map(|(at, (hosts, path, conditions))| RouteSpec { conditions, ..spec(&at.to_string(), &hosts, path) })
            .collect();
        let mut headers = HeaderMap::new();
        if !beta.is_empty() {
            headers.insert("x-beta", beta.parse().unwrap());
        }
        let asked = Asked { method: &method, headers: &headers, query };
        if let Ok(matcher) = matcher(&specs) {
            let found = matcher.find(host, path, &|conditions| conditions.hold(&asked));
            prop_assert_eq!(position(found), naive(&specs, host, path, &asked));
        }
    }

    #[test]
    fn what_nothing_tells_apart_is_told_or_decided_by_the_order_of_the_file(
        one in conditions(), two in conditions(), at in path(),
    ) {
        let specs = [
            RouteSpec { conditions: one.clone(), ..spec("one", &[], at.clone()) },
            RouteSpec { conditions: two.clone(), ..spec("two", &[], at) },
        ];
        let same = one.claim_what(&two);
        prop_assert_eq!(same, two.claim_what(&one));
        prop_assert_eq!(matcher(&specs).is_err(), same);
    }
}
