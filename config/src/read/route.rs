//! `[route.NAME]`

use crate::collection::Map;
use crate::net::{HostPattern, Name, PathPrefix};
use crate::pattern::PathRegex;
use crate::plan::spec;
use crate::read::Surroundings;
use crate::read::condition::{MethodName, RouteHeaderFile, RouteQueryFile, methods};
use crate::read::guard::{self, AccessFile, CompressionFile, CorsFile, RouteLimitsFile};
use crate::read::headers::HeadersFile;
use crate::read::redirect::{RedirectFile, replaced};
use crate::read::rule::one_of;
use crate::reader::{At, Reader, Span, fault};
use crate::settings::{RouteSettings, RouteTarget};
use crate::table::table;
use serinus_routing::{
    Conditions, PathChange, PathMatch, RouteSpec, RouteTable, ServiceIndex, Target,
};
use std::collections::{BTreeMap, BTreeSet};

table! {
    /// What leads requests to a service, or elsewhere. The most specific route wins: an exact host
    /// before a wildcard before every host, then an exact path before a regular expression before
    /// a prefix, then the one that asks more of method, headers and query.
    RouteFile {
        /// Host names, in lower case and without port; `*.example.com` is every name below.
        /// Without it, every host.
        hosts: Vec<At<HostPattern>>,
        /// The start of the path, by whole segments: `/api` matches `/api/x`, not `/apix`.
        path_prefix: PathPrefix = "/",
        /// The whole path, instead of path_prefix.
        path: PathPrefix,
        /// Regular expression that the whole path must match, instead of path_prefix.
        path_regex: PathRegex,
        /// Methods, like ["GET", "HEAD"]. Without it, every method.
        methods: Vec<At<MethodName>>,
        /// Headers that must hold, all of them.
        header: Vec<At<RouteHeaderFile>>,
        /// Parameters of the query that must hold, all of them.
        query: Vec<At<RouteQueryFile>>,
        /// Name of the service that it leads to.
        service: Name,
        /// Where clients are sent, instead of a service.
        redirect: RedirectFile,
        /// Take path_prefix off before the upstream sees the path.
        strip_prefix: bool = false,
        /// What the upstream sees in place of path_prefix.
        replace_prefix: PathPrefix,
        /// Changes to the headers that the upstream sees.
        request_headers: HeadersFile,
        /// Changes to the headers that the client sees.
        response_headers: HeadersFile,
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
    let entries = routes.entries.into_iter();
    let routes: Vec<(RouteSettings, Places)> =
        entries.filter_map(|(name, file)| route(name, file?, surroundings, reader)).collect();
    check_conflicts(&routes, reader);
    routes.into_iter().map(|(route, _)| route).collect()
}

fn route(
    name: At<Name>,
    file: At<RouteFile>,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Option<(RouteSettings, Places)> {
    let header = file.span;
    let mut file = file.value;
    let hosts = hosts(&file, reader);
    let (limits, access) = (file.limits.take(), file.access.take());
    let (cors, compression) = (file.cors.take(), file.compression.take());
    let guard = guard::settle(limits, access, cors, compression, reader);
    let path = path(&mut file, reader);
    let conditions = conditions(&mut file, reader);
    // A conflict is shown at what sets the route apart from others, if anything.
    let place = path.as_ref().map_or(&header, |(_, place)| place.as_ref().unwrap_or(&header));
    let places = Places {
        hosts: file.hosts.take().map(|hosts| hosts.value).unwrap_or_default(),
        other: place.clone(),
    };
    let matched = path.map(|(path, _)| path);
    let target = target(&name, &header, file, matched.as_ref(), surroundings, reader);
    let route = RouteSettings {
        name: name.value.0,
        hosts: hosts?,
        path: matched?,
        conditions: conditions?,
        target: target?,
        guard: guard.unwrap_or_default(),
    };
    Some((route, places))
}

/// What of the path it matches, and where that is said if it is.
fn path(file: &mut RouteFile, reader: &mut Reader) -> Option<(PathMatch, Option<Span>)> {
    let prefix = file.path_prefix.take();
    if ["path", "path_regex", "path_prefix"].iter().any(|key| {
        file.present.contains(key)
            && match *key {
                "path" => file.path.is_none(),
                "path_regex" => file.path_regex.is_none(),
                _ => prefix.is_none(),
            }
    }) {
        return None; // it is there, and wrong
    }
    let mut said = Vec::new();
    said.extend(
        prefix
            .filter(|prefix| prefix.given)
            .map(|at| (at.key, "path_prefix", (PathMatch::Prefix(at.value.0), Some(at.span)))),
    );
    said.extend(
        file.path.take().map(|at| (at.key, "path", (PathMatch::Exact(at.value.0), Some(at.span)))),
    );
    said.extend(
        file.path_regex
            .take()
            .map(|at| (at.key, "path_regex", (PathMatch::Pattern(at.value.0), Some(at.span)))),
    );
    Some(one_of(said, reader)?.unwrap_or_default())
}

fn conditions(file: &mut RouteFile, reader: &mut Reader) -> Option<Conditions> {
    let wrong = (file.present.contains(&"methods") && file.methods.is_none())
        || (file.present.contains(&"header") && file.header.is_none())
        || (file.present.contains(&"query") && file.query.is_none());
    let methods = methods(file.methods.take(), reader);
    let headers = file.header.take().map(|headers| headers.value).unwrap_or_default();
    let headers: Vec<_> = headers.into_iter().map(|at| at.value.settle(reader)).collect();
    let queries = file.query.take().map(|queries| queries.value).unwrap_or_default();
    let queries: Vec<_> = queries.into_iter().map(|at| at.value.settle(reader)).collect();
    let conditions = Conditions {
        methods: methods?,
        headers: headers.into_iter().collect::<Option<_>>()?,
        queries: queries.into_iter().collect::<Option<_>>()?,
    };
    (!wrong).then_some(conditions)
}

/// Where it leads; `matched`: what of the path it matches.
fn target(
    name: &At<Name>,
    header: &Span,
    file: RouteFile,
    matched: Option<&PathMatch>,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Option<RouteTarget> {
    let both = file.present.contains(&"service") && file.present.contains(&"redirect");
    if let (Some(redirect), true) = (&file.redirect, both) {
        let help = "keep one of the two";
        let message = "'service' and 'redirect' exclude each other";
        return reader.fault(&redirect.key, fault(message, help));
    }
    if file.present.contains(&"redirect") {
        for key in [
            "strip_prefix",
            "replace_prefix",
            "request_headers",
            "response_headers",
            "limits",
            "access",
            "cors",
            "compression",
        ] {
            if file.present.contains(&key) {
                let message =
                    format!("route '{}' has a redirect: nobody sees '{key}'", name.value.0);
                let help = "leave it out; redirect.replace_prefix changes where clients are sent";
                return reader.fault(header, fault(message, help));
            }
        }
        let redirect = file.redirect?;
        if !redirect.value.leads_away() {
            let message = "clients would be sent where they came from";
            let help = "add scheme, host, port, path or replace_prefix";
            return reader.fault(&redirect.span, fault(message, help));
        }
        return redirect.value.settle(matched?, reader).map(RouteTarget::Redirect);
    }
    if !file.present.contains(&"service") {
        let message = format!("missing key 'service' in [route.{}]", name.value.0);
        let help = "add service = ...: Name of the service that it leads to, or redirect = { ... }";
        return reader.fault(header, fault(message, help));
    }
    let service = file.service?;
    surroundings.check_service(&service, reader);
    let path = match (file.strip_prefix?, file.replace_prefix) {
        (strip, Some(replace)) if strip.given && strip.value => {
            let later = if strip.key.start > replace.key.start { strip.key } else { replace.key };
            let message = "'strip_prefix' and 'replace_prefix' exclude each other";
            return reader.fault(&later, fault(message, "keep one of the two"));
        }
        (strip, None) if strip.value => {
            let At { span, key, given, .. } = strip;
            let root = At { value: PathPrefix("/".to_owned()), span, key, given };
            replaced(Some(root), matched?, reader)?
        }
        (_, replace) if file.present.contains(&"replace_prefix") => {
            replaced(Some(replace?), matched?, reader)?
        }
        _ => PathChange::None,
    };
    let request_headers = headers(file.request_headers, "request_headers", &file.present, reader);
    let response_headers =
        headers(file.response_headers, "response_headers", &file.present, reader);
    Some(RouteTarget::Service {
        service: service.value.0,
        path,
        request_headers: request_headers?,
        response_headers: response_headers?,
    })
}

fn headers(
    file: Option<At<HeadersFile>>,
    key: &str,
    present: &[&'static str],
    reader: &mut Reader,
) -> Option<serinus_routing::HeaderChanges> {
    match file {
        Some(file) => file.value.settle(reader),
        None => (!present.contains(&key)).then(Default::default),
    }
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
    let nowhere = || Target::service(ServiceIndex(0));
    let all = routes.iter().map(|(route, _)| spec(route, nowhere())).collect::<Vec<_>>();
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
