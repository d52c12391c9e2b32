//! The route table: everything a request needs to know, in one immutable value.

use crate::cohort::CohortSeed;
use crate::condition::{Asked, Conditions};
use crate::headers::HeaderChanges;
use crate::matcher::Matcher;
use crate::path::{PathChange, PathMatch};
use crate::redirect::Redirect;
use crate::{Variant, Weight};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Index of a service in its table; stable across weight changes, not across configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceIndex(pub u32);

/// Index of a route in its table; stable across weight changes, not across configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteIndex(pub u32);

/// What a user is recognised by, so that they keep their variant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sticky {
    /// Every request is assigned afresh.
    None,
    /// An identifier in a cookie, made on the first visit. It names the user, not the variant:
    /// a cookie that named the variant would keep users on the canary after the weight went down.
    #[default]
    Cookie,
    /// The client's address.
    ClientIp,
    /// The value of a request header, lower case.
    Header(String),
}

/// The endpoints of one variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The version that runs there.
    pub version: Arc<str>,
    /// `host:port` of each endpoint, never empty.
    pub endpoints: Arc<[Arc<str>]>,
}

/// A service with its split.
#[derive(Debug, Clone)]
pub struct Service {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The version that users had before.
    pub stable: Pool,
    /// The version on trial; without one the service is a plain proxy.
    pub canary: Option<Pool>,
    /// Share of users on the canary now.
    pub weight: Weight,
    /// How users are recognised.
    pub sticky: Sticky,
    /// Retry failed idempotent canary requests on stable.
    pub shield: bool,
    /// Say which variant answered in `x-serinus-variant`.
    pub expose_variant_header: bool,
}

impl Service {
    /// The seed of this release's cohorts.
    pub fn cohort_seed(&self) -> CohortSeed {
        let version = self.canary.as_ref().map_or("", |pool| &pool.version);
        CohortSeed::of_release(&self.name, version)
    }

    /// Whether any user can reach the canary: if not, no bucket need be computed.
    pub fn is_split(&self) -> bool {
        self.canary.is_some() && !self.weight.is_zero()
    }

    /// The pool of a variant; stable's where there is no canary.
    pub fn pool(&self, variant: Variant) -> &Pool {
        match (variant, &self.canary) {
            (Variant::Canary, Some(canary)) => canary,
            _ => &self.stable,
        }
    }
}

/// A match that leads somewhere, before the table is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// The name in the configuration.
    pub name: String,
    /// Lower-case host names without port; `*.example.com` matches any name below it, at any
    /// depth. Empty matches every host.
    pub hosts: Vec<String>,
    /// What of the path it matches.
    pub path: PathMatch,
    /// What else must hold.
    pub conditions: Conditions,
    /// Where it leads.
    pub target: Target,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a service.
    Service {
        /// Which.
        service: ServiceIndex,
        /// What the upstream is told in place of the path.
        path: PathChange,
        /// Changes on the way to the upstream.
        request_headers: HeaderChanges,
        /// Changes on the way to the client.
        response_headers: HeaderChanges,
    },
    /// The client is sent elsewhere.
    Redirect(Redirect),
}

impl Target {
    /// To a service, with nothing changed.
    pub fn service(service: ServiceIndex) -> Target {
        Target::Service {
            service,
            path: PathChange::None,
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
        }
    }
}

/// A route to a service in the table.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The service it leads to.
    pub service: ServiceIndex,
    /// What the upstream is told in place of the path.
    pub path: PathChange,
    /// Changes on the way to the upstream.
    pub request_headers: HeaderChanges,
    /// Changes on the way to the client.
    pub response_headers: HeaderChanges,
}

/// Index of a redirecting route in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RedirectIndex(pub u32);

/// What a request met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A route to a service.
    Route(RouteIndex),
    /// A route that sends it elsewhere.
    Redirect(RedirectIndex),
}

/// Two routes that match the same requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "routes '{first}' and '{second}' both match {} with {path}{}",
    host.as_deref().unwrap_or("every host"),
    if *conditional { " under the same conditions" } else { "" }
)]
pub struct RouteConflict {
    /// The route that was there first.
    pub first: String,
    /// The one that repeats it.
    pub second: String,
    /// The host both claim; none for every host.
    pub host: Option<String>,
    /// The paths both claim, in words.
    pub path: String,
    /// They ask more than host and path.
    pub conditional: bool,
}

/// Routes, services and weights as one request sees them, from its start to its end.
#[derive(Debug, Clone)]
pub struct RouteTable {
    matcher: Arc<Matcher>,
    routes: Arc<[Route]>,
    redirects: Arc<[(Arc<str>, Redirect)]>,
    services: Arc<[Service]>,
}

impl RouteTable {
    /// A table of `routes`, whose services are among `services`.
    ///
    /// # Errors
    /// Two routes that claim the same.
    pub fn new(specs: &[RouteSpec], services: Vec<Service>) -> Result<Self, RouteConflict> {
        let (mut routes, mut redirects, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for spec in specs {
            match &spec.target {
                Target::Service { service, path, request_headers, response_headers } => {
                    places.push(Place::Route(RouteIndex(routes.len() as u32)));
                    routes.push(Route {
                        name: spec.name.as_str().into(),
                        service: *service,
                        path: path.clone(),
                        request_headers: request_headers.clone(),
                        response_headers: response_headers.clone(),
                    });
                }
                Target::Redirect(redirect) => {
                    places.push(Place::Redirect(RedirectIndex(redirects.len() as u32)));
                    redirects.push((spec.name.as_str().into(), redirect.clone()));
                }
            }
        }
        Ok(RouteTable {
            matcher: Arc::new(Matcher::new(specs, &places)?),
            routes: routes.into(),
            redirects: redirects.into(),
            services: services.into(),
        })
    }

    /// What the most specific route does with a request: exact host before wildcard (the longest
    /// first) before any host; of those an exact path before a regular expression before a prefix,
    /// the longer first; of those the one that asks for a method before the one that takes any,
    /// then the one with more headers, then with more of the query, then with more values said in
    /// full; then the first of the configuration. One whose conditions do not hold is passed over.
    ///
    /// `host` may carry a port and capitals; `path` is without the query.
    pub fn find(&self, host: &str, path: &str, asked: &Asked<'_>) -> Option<Place> {
        self.matcher.find(host, path, &|conditions: &Conditions| conditions.hold(asked))
    }

    /// The redirect at `index` with its route's name; `index` must come from this table or one with
    /// other weights.
    pub fn redirect(&self, index: RedirectIndex) -> (&Arc<str>, &Redirect) {
        let (name, redirect) = &self.redirects[index.0 as usize];
        (name, redirect)
    }

    /// Names of the routes that send clients elsewhere, by index.
    pub fn redirects(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.redirects.iter().map(|(name, _)| name)
    }

    /// The route at `index`, which must come from this table or one with other weights.
    pub fn route(&self, index: RouteIndex) -> &Route {
        &self.routes[index.0 as usize]
    }

    /// The service at `index`, which must come from this table or one with other weights.
    pub fn service(&self, index: ServiceIndex) -> &Service {
        &self.services[index.0 as usize]
    }

    /// All routes to services, in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// All services, in the order of the configuration.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service of that name.
    pub fn service_named(&self, name: &str) -> Option<ServiceIndex> {
        let position = self.services.iter().position(|service| &*service.name == name)?;
        Some(ServiceIndex(position as u32))
    }

    /// This table with other weights: a new value, the old one stays as it is for those who hold it.
    pub fn with_weights(&self, weights: impl IntoIterator<Item = (ServiceIndex, Weight)>) -> Self {
        let mut services = self.services.to_vec();
        for (index, weight) in weights {
            services[index.0 as usize].weight = weight;
        }
        RouteTable { services: services.into(), ..self.clone() }
    }
}
