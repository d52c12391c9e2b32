//! From settings to what the controller and the route table are made of.

use crate::settings::{PoolSettings, RouteSettings, ServiceSettings, Settings};
use serinus_rollout::{Plan, ServicePlan};
use serinus_routing::{Pool, RouteConflict, RouteSpec, RouteTable, Service, ServiceIndex, Weight};
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
            let service = services.iter().position(|service| service.name == route.service)?;
            Some(RouteSpec {
                name: route.name.clone(),
                hosts: route.hosts.clone(),
                path_prefix: route.path_prefix.clone(),
                service: ServiceIndex(u32::try_from(service).ok()?),
            })
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

fn pool(settings: &PoolSettings) -> Pool {
    let endpoints: Arc<[Arc<str>]> =
        settings.endpoints.iter().map(|endpoint| endpoint.as_str().into()).collect();
    Pool { version: settings.version.as_str().into(), endpoints }
}
