//! `[route.NAME]`

use crate::collection::Map;
use crate::net::{HostPattern, Name, PathPrefix};
use crate::read::Surroundings;
use crate::read::guard::{self, AccessFile, CompressionFile, CorsFile, RouteLimitsFile};
use crate::reader::{At, Reader, Span, fault};
use crate::settings::RouteSettings;
use crate::table::table;
use serinus_routing::{RouteSpec, RouteTable, ServiceIndex};
use std::collections::{BTreeMap, BTreeSet};

table! {
    /// What leads requests to a service. The most specific route wins: an exact host before a
    /// wildcard before every host, then the longest path.
    RouteFile {
        /// Host names, in lower case and without port; `*.example.com` is every name below.
        /// Without it, every host.
        hosts: Vec<At<HostPattern>>,
        /// The start of the path, by whole segments: `/api` matches `/api/x`, not `/apix`.
        path_prefix: PathPrefix = "/",
        /// Name of the service that it leads to.
        @required service: Name,
        /// How much the route takes.
        limits: RouteLimitsFile = {},
        /// Who may come.
        access: AccessFile = {},
        /// What pages of other origins may do. Without it, the service's own answers say so.
        cors: CorsFile,
        /// Whether answers are compressed. Without it, they are not.
        compression: CompressionFile,
    }
}

/// The first exact host that leads to each service: what its probes say as Host.
pub(crate) fn exact_hosts(routes: &Map<Name, RouteFile>) -> BTreeMap<String, String> {
    let mut hosts = BTreeMap::new();
    for route in routes.entries.iter().filter_map(|(_, route)| Some(&route.as_ref()?.value)) {
        let exact = route.hosts.iter().flat_map(|hosts| &hosts.value);
        let exact = exact.map(|host| &host.value.0).find(|host| !host.starts_with('*'));
        if let (Some(service), Some(host)) = (&route.service, exact) {
            hosts.entry(service.value.0.clone()).or_insert_with(|| host.clone());
        }
    }
    hosts
}

/// Where a route says what it matches.
struct Places {
    hosts: Vec<At<HostPattern>>,
    /// Its path, or else its header.
    other: Span,
}

/// All routes that are right.
pub(crate) fn settle(
    routes: Map<Name, RouteFile>,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Vec<RouteSettings> {
    let routes: Vec<(RouteSettings, Places)> = routes
        .entries
        .into_iter()
        .filter_map(|(name, file)| {
            let mut file = file?;
            let hosts = hosts(&file.value, reader);
            let RouteFile { limits, access, cors, compression, .. } = &mut file.value;
            let (limits, access) = (limits.take(), access.take());
            let guard = guard::settle(limits, access, cors.take(), compression.take(), reader);
            let service = file.value.service?;
            surroundings.check_service(&service, reader);
            let prefix = file.value.path_prefix?;
            // A conflict is shown at what sets the route apart from others, if anything.
            let place = if prefix.given { prefix.span } else { file.span };
            let hosts_at = file.value.hosts.map(|hosts| hosts.value).unwrap_or_default();
            let places = Places { hosts: hosts_at, other: place };
            let route = RouteSettings {
                name: name.value.0,
                hosts: hosts?,
                path_prefix: prefix.value.0,
                service: service.value.0,
                guard: guard.unwrap_or_default(),
            };
            Some((route, places))
        })
        .collect();
    check_conflicts(&routes, reader);
    routes.into_iter().map(|(route, _)| route).collect()
}

fn hosts(file: &RouteFile, reader: &mut Reader) -> Option<Vec<String>> {
    let Some(hosts) = &file.hosts else {
        return (!file.present.contains(&"hosts")).then(Vec::new);
    };
    if hosts.value.is_empty() {
        let help = "leave out 'hosts' to match every host";
        return reader.fault(&hosts.span, fault("no host matches an empty list", help));
    }
    let mut seen = BTreeSet::new();
    for host in &hosts.value {
        if !seen.insert(&host.value.0) {
            let message = format!("\"{}\" is here twice", host.value.0);
            return reader.fault(&host.span, fault(message, "keep one of the two"));
        }
    }
    Some(hosts.value.iter().map(|host| host.value.0.clone()).collect())
}

/// Reports every route that matches what one before it matches.
fn check_conflicts(routes: &[(RouteSettings, Places)], reader: &mut Reader) {
    let mut accepted: Vec<RouteSpec> = Vec::new();
    let all = routes.iter().map(|(route, _)| spec(route)).collect::<Vec<_>>();
    if RouteTable::new(&all, Vec::new()).is_ok() {
        return;
    }
    // Only where there is a conflict: one by one, to find all of them.
    for (spec, (_, places)) in all.into_iter().zip(routes) {
        accepted.push(spec);
        if let Err(conflict) = RouteTable::new(&accepted, Vec::new()) {
            accepted.pop();
            let help = "give one of them another host or path, or delete it";
            let host =
                places.hosts.iter().find(|host| Some(&host.value.0) == conflict.host.as_ref());
            let place = host.map_or(&places.other, |host| &host.span);
            reader.fault::<()>(place, fault(conflict.to_string(), help));
        }
    }
}

/// What of a route matters to its match.
fn spec(route: &RouteSettings) -> RouteSpec {
    RouteSpec {
        name: route.name.clone(),
        hosts: route.hosts.clone(),
        path_prefix: route.path_prefix.clone(),
        service: ServiceIndex(0),
    }
}
