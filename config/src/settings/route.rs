//! `[route.NAME]`: which requests go where, and changed how.

use crate::guard::GuardSettings;
use serinus_routing::Asked;
use serinus_routing::Conditions;
use serinus_routing::HeaderChanges;
use serinus_routing::PathChange;
use serinus_routing::PathMatch;
use serinus_routing::Redirect;

/// A match that leads somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// The name in the configuration.
    pub name: String,
    /// Lower case; empty for every host.
    pub hosts: Vec<String>,
    /// What of the path it matches.
    pub path: PathMatch,
    /// What else must hold.
    pub conditions: Conditions,
    /// Where it leads.
    pub target: RouteTarget,
    /// Limits, access, CORS, compression.
    pub guard: GuardSettings,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// To a service.
    Service {
        /// Its name.
        service: String,
        /// What the upstream is told in place of the path.
        path: PathChange,
        /// Changes on the way to the upstream.
        request_headers: HeaderChanges,
        /// Changes on the way to the client.
        response_headers: HeaderChanges,
    },
    /// Clients are sent elsewhere.
    Redirect(Redirect),
}

impl RouteTarget {
    /// To a service, with nothing changed.
    pub fn service(name: &str) -> RouteTarget {
        RouteTarget::Service {
            service: name.to_owned(),
            path: PathChange::None,
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
        }
    }
}

impl RouteSettings {
    /// A route by hosts and prefix to a service, with nothing else.
    pub fn of_prefix(name: &str, hosts: Vec<String>, path_prefix: &str, service: &str) -> Self {
        RouteSettings {
            name: name.to_owned(),
            hosts,
            path: PathMatch::Prefix(path_prefix.to_owned()),
            conditions: Conditions::default(),
            target: RouteTarget::service(service),
            guard: GuardSettings::default(),
        }
    }

    /// What a GET without headers and query makes the upstream see; none where the route is not for
    /// such a one, or where only a pattern says what its paths look like.
    pub fn plain_get(&self) -> Option<String> {
        let path = match &self.path {
            PathMatch::Exact(path) | PathMatch::Prefix(path) => path,
            PathMatch::Pattern(_) => return None,
        };
        let (method, headers) = (http::Method::GET, http::HeaderMap::new());
        let asked = Asked { method: &method, headers: &headers, query: None };
        match &self.target {
            RouteTarget::Service { path: change, .. } if self.conditions.hold(&asked) => {
                Some(change.of(path).into_owned())
            }
            _ => None,
        }
    }

    /// The service that it leads to, if it leads to one.
    pub fn service(&self) -> Option<&str> {
        match &self.target {
            RouteTarget::Service { service, .. } => Some(service),
            RouteTarget::Redirect(_) => None,
        }
    }
}
