//! Which probes run against what, from the configuration.

use crate::pace::Cadence;
use crate::target::{Target, TlsError};
use serinus_config::{
    Action, Body, DEFAULT_MAX_BODY, Expect, PoolSettings, ProbeDefinition, RouteSettings,
    ServiceSettings, Settings, SideEffect, Step, Template,
};
use std::sync::Arc;
use std::time::Duration;

/// Steps of a plain probe: a service of a hundred routes must not see five hundred GETs a second.
const MOST_PLAIN_STEPS: usize = 8;
/// Of a whole plain round.
const PLAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A service and what is run against it.
#[derive(Debug, Clone)]
pub struct ServiceProbes {
    /// The service's name.
    pub service: Arc<str>,
    /// Where stable runs.
    pub stable: Pool,
    /// Where the canary runs, if there is one.
    pub canary: Option<Pool>,
    /// As configured.
    pub probes: Vec<Arc<ProbeDefinition>>,
    /// Where evidence is wanted: GETs of the routes that none of them asks for.
    pub plain: Option<Arc<ProbeDefinition>>,
}

/// One variant's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The version; when it changes, rounds begun before no longer count.
    pub version: String,
    /// Taken in turns; nothing is run while it is empty.
    pub targets: Vec<Target>,
}

impl Pool {
    pub(crate) fn of(pool: &PoolSettings) -> Result<Pool, TlsError> {
        Ok(Pool { version: pool.version.clone(), targets: Target::all_of(pool)? })
    }
}

impl ServiceProbes {
    /// Every service of a configuration.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn of(settings: &Settings) -> Result<Vec<ServiceProbes>, TlsError> {
        let probes_of = |service: &ServiceSettings| {
            settings.probes.iter().filter(|probe| probe.service == service.name).cloned().collect()
        };
        settings
            .services
            .iter()
            .map(|service| {
                let probes: Vec<Arc<ProbeDefinition>> = probes_of(service);
                let plain = plain(&service.name, &settings.routes, &probes).map(Arc::new);
                let plain = plain.filter(|_| settings.probing.plain_requests);
                Ok(ServiceProbes {
                    service: service.name.as_str().into(),
                    stable: Pool::of(&service.stable)?,
                    canary: service.canary.as_ref().map(Pool::of).transpose()?,
                    probes,
                    plain,
                })
            })
            .collect()
    }
}

/// `SERVICE-plain`: a GET of the path, as the upstream sees it, of every route that none of these probes asks
/// for; it must answer below 500. None where no route is left.
fn plain(
    service: &str,
    routes: &[RouteSettings],
    probes: &[Arc<ProbeDefinition>],
) -> Option<ProbeDefinition> {
    let of_service = routes.iter().filter(|route| route.service() == Some(service));
    let places: Vec<(Option<String>, String)> =
        of_service.filter_map(|route| Some((host(route), route.plain_get()?))).collect();
    let asked: Vec<usize> = probes
        .iter()
        .flat_map(|probe| probe.steps.iter())
        .filter_map(|step| leads_to(step, &places))
        .collect();
    let mut steps: Vec<Step> = Vec::new();
    for (at, (host, path)) in places.iter().enumerate() {
        if asked.contains(&at) {
            continue;
        }
        let name = format!("get {}{path}", host.as_deref().unwrap_or_default());
        if steps.len() < MOST_PLAIN_STEPS && steps.iter().all(|step| step.name != name) {
            steps.push(plain_step(name, host.clone(), path));
        }
    }
    let definition = ProbeDefinition {
        name: format!("{service}-plain").into(),
        service: service.to_owned(),
        host: None,
        interval: Cadence::PLAIN.interval,
        timeout: PLAIN_TIMEOUT,
        side_effect: SideEffect::Safe,
        data: None,
        seasons: Vec::new(),
        max_body: DEFAULT_MAX_BODY,
        steps,
        browser: None,
        secrets: Vec::new(),
        columns: Vec::new(),
    };
    (!definition.steps.is_empty()).then_some(definition)
}

/// The place with the longest path that this step's begins with: the route that it takes, but for its host.
fn leads_to(step: &Step, places: &[(Option<String>, String)]) -> Option<usize> {
    let Action::Request { path: Template(path), .. } = &step.action else { return None };
    let known = path.split(['?', '{']).next().unwrap_or_default();
    let under = |prefix: &str| {
        let rest = known.strip_prefix(prefix.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let taken = places.iter().enumerate().filter(|(_, (_, path))| under(path));
    taken.max_by_key(|(_, (_, path))| path.len()).map(|(at, _)| at)
}

fn plain_step(name: String, host: Option<String>, path: &str) -> Step {
    Step {
        name,
        action: Action::Request {
            method: "GET".to_owned(),
            path: Template(path.to_owned()),
            body: Body::Empty,
        },
        headers: host.map(|host| ("host".to_owned(), Template(host))).into_iter().collect(),
        expect: Expect { status: (200..500).collect(), ..Expect::default() },
        captures: Vec::new(),
        always_run: false,
        timeout: None,
    }
}

/// A host that the route answers to; none where it answers to all.
fn host(route: &RouteSettings) -> Option<String> {
    let exact = route.hosts.iter().find(|host| !host.starts_with('*'));
    let wildcard = || route.hosts.first().map(|host| host.replacen('*', "serinus-probe", 1));
    exact.cloned().or_else(wildcard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(service: &str, hosts: &[&str], path: &str) -> RouteSettings {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        RouteSettings::of_prefix(&format!("{service}{path}"), hosts, path, service)
    }

    fn names(definition: &ProbeDefinition) -> Vec<&str> {
        definition.steps.iter().map(|step| step.name.as_str()).collect()
    }

    #[test]
    fn the_plain_probe_gets_each_route_of_its_service_once() {
        let routes = [
            route("shop", &["*.shop.test", "shop.test"], "/"),
            route("shop", &["*.wild.test"], "/api"),
            route("other", &[], "/"),
            route("shop", &[], "/"),
            route("shop", &["shop.test"], "/"),
        ];
        let plain = plain("shop", &routes, &[]).unwrap();
        assert_eq!(&*plain.name, "shop-plain");
        let expected = ["get shop.test/", "get serinus-probe.wild.test/api", "get /"];
        assert_eq!(names(&plain), expected);
        assert_eq!(plain.steps[1].headers[0].1.0, "serinus-probe.wild.test");
        assert!(plain.steps[0].expect.status.contains(&404));
        assert!(!plain.steps[0].expect.status.contains(&500));
    }

    #[test]
    fn a_route_that_a_probe_asks_for_gets_no_plain_request() {
        let routes: Vec<_> =
            ["/", "/cart", "/api/v1", "/api"].map(|path| route("shop", &[], path)).into();
        let probe = |paths: &[&str]| {
            let step = |path: &&str| plain_step((*path).to_owned(), None, path);
            let mut probe = plain("shop", &routes, &[]).unwrap();
            probe.steps = paths.iter().map(step).collect();
            vec![Arc::new(probe)]
        };
        let left = |paths: &[&str]| {
            let plain = plain("shop", &routes, &probe(paths));
            plain.map_or_else(Vec::new, |plain| {
                names(&plain).iter().map(|name| (*name).to_owned()).collect()
            })
        };
        assert_eq!(left(&[]), ["get /", "get /cart", "get /api/v1", "get /api"]);
        // The longest prefix has it, as in routing; a longer word is another path.
        assert_eq!(left(&["/cart/add?id=1"]), ["get /", "get /api/v1", "get /api"]);
        assert_eq!(left(&["/carts", "/api/v1/{{ id }}"]), ["get /cart", "get /api"]);
        assert_eq!(left(&["/", "/cart", "/api/v1", "/api/v2"]), Vec::<String>::new());
    }

    #[test]
    fn plain_requests_can_be_done_without() {
        let of = |probing: &str| {
            let text = format!(
                r#"{probing}
                [listener.web]
                address = "127.0.0.1:0"
                [route.shop]
                service = "shop"
                [service.shop.stable]
                version = "1"
                endpoints = ["127.0.0.1:1"]"#
            );
            let settings = serinus_config::parse(&text, std::path::Path::new("s.toml")).unwrap();
            ServiceProbes::of(&settings).unwrap().remove(0).plain
        };
        assert!(of("").is_some());
        assert!(of("[probing]\nplain_requests = false").is_none());
    }

    #[test]
    fn a_service_of_many_routes_gets_a_bounded_plain_probe_and_one_of_none_gets_none() {
        let routes: Vec<_> = (0..50).map(|n| route("shop", &[], &format!("/r{n}"))).collect();
        assert_eq!(plain("shop", &routes, &[]).unwrap().steps.len(), MOST_PLAIN_STEPS);
        assert!(plain("other", &routes, &[]).is_none());
    }
}
