//! From settings to what the controller and the route table are made of.

use crate::settings::{PoolSettings, RouteSettings, RouteTarget, ServiceSettings, Settings};
use serinus_rollout::{Plan, ServicePlan};
use serinus_routing::{
    Pool, RouteConflict, RouteSpec, RouteTable, Service, ServiceIndex, Target, Weight,
};
use std::sync::Arc;

pub(crate) fn plan(settings: &Settings) -> Plan {
    #[expect(clippy::expect_used, reason = "reading refuses a file whose routes conflict")]
    let table = table(&settings.routes, &settings.services).expect("routes were checked");
    let services = (0u32..).zip(&settings.services).map(|(index, service)| ServicePlan {
        name: service.name.as_str().into(),
        index: ServiceIndex(index),
        stable_version: service.stable.version.as_str().into(),
        canary_version: service.canary.as_ref().map(|canary| canary.version.as_str().into()),
        policy: service.policy.clone(),
        probed: settings.probes.iter().any(|probe| probe.service == service.name),
    });
    Plan { table, services: services.collect(), config_hash: settings.hash.clone() }
}

/// Routes and services with every weight at zero. A route to a service that is not there is left out.
pub(crate) fn table(
    routes: &[RouteSettings],
    services: &[ServiceSettings],
) -> Result<RouteTable, RouteConflict> {
    let specs: Vec<RouteSpec> = routes
        .iter()
        .filter_map(|route| {
            let target = match &route.target {
                RouteTarget::Service { service, path, request_headers, response_headers } => {
                    let position = services.iter().position(|known| known.name == *service)?;
                    Target::Service {
                        service: ServiceIndex(u32::try_from(position).ok()?),
                        path: path.clone(),
                        request_headers: request_headers.clone(),
                        response_headers: response_headers.clone(),
                    }
                }
                RouteTarget::Redirect(redirect) => Target::Redirect(redirect.clone()),
            };
            Some(spec(route, target))
        })
        .collect();
    let services = services.iter().map(|service| Service {
        name: service.name.as_str().into(),
        stable: pool(&service.stable),
        canary: service.canary.as_ref().map(pool),
        weight: Weight::ZERO,
        sticky: service.sticky.clone(),
        shield: service.shield,
        expose_variant_header: service.expose_variant_header,
    });
    RouteTable::new(&specs, services.collect())
}

/// A route as the matcher takes it.
pub(crate) fn spec(route: &RouteSettings, target: Target) -> RouteSpec {
    RouteSpec {
        name: route.name.clone(),
        hosts: route.hosts.clone(),
        path: route.path.clone(),
        conditions: route.conditions.clone(),
        target,
    }
}

fn pool(settings: &PoolSettings) -> Pool {
    let endpoints: Arc<[Arc<str>]> = settings.addresses().map(Into::into).collect();
    Pool { version: settings.version.as_str().into(), endpoints }
}
