//! What one request sees from its start to its end: the route table and, beside it, the pools and
//! recorders that its indices mean.

use super::access::AccessLog;
use super::endpoints::Pool;
use super::guard::Guard;
use super::load::Hearing;
use super::recorder::{Recorder, Totals};
use super::shield::RetryBudget;
use super::upstream::Upstream;
use serinus_config::{PoolSettings, Settings, TimeoutSettings};
use serinus_models::Pair;
use serinus_probes::orca::LoadReports;
use serinus_routing::{CohortSeed, RouteTable, ServiceIndex, Variant};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A waiting request is looked at when it is at least this old.
const LEAST_LOOKOUT: Duration = Duration::from_secs(1);
/// ... and this many times as old as nine in ten of stable's answers take.
const LOOKOUT_FACTOR: u64 = 4;

/// One route table with everything it needs.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) table: RouteTable,
    pub(crate) setup: Arc<Setup>,
}

/// What a configuration adds to its route tables; the same for all of its weights.
#[derive(Debug)]
pub(crate) struct Setup {
    /// By route index.
    pub(crate) recorders: Vec<Pair<Arc<Recorder>>>,
    /// By service index.
    pub(crate) services: Vec<ServiceSetup>,
    /// By route index; none where the route asks nothing.
    pub(crate) guards: Vec<Option<Arc<Guard>>>,
    /// One line per request.
    pub(crate) access_log: Option<Arc<AccessLog>>,
    /// The same for all setups of a data path.
    pub(crate) loads: LoadReports,
}

/// One service of a configuration.
#[derive(Debug)]
pub(crate) struct ServiceSetup {
    pub(crate) name: Arc<str>,
    pub(crate) stable: Arc<Pool>,
    pub(crate) canary: Option<Arc<Pool>>,
    pub(crate) timeouts: TimeoutSettings,
    pub(crate) seed: CohortSeed,
    pub(crate) budget: Arc<RetryBudget>,
    /// Hears what answers tell of their load; none where nobody asks.
    pub(crate) hearing: Option<Hearing>,
    /// Age at which a waiting request counts as slow, in microseconds.
    lookout: AtomicU64,
}

impl ServiceSetup {
    /// The pool of a variant; stable's where there is no canary.
    pub(crate) fn pool(&self, variant: Variant) -> &Arc<Pool> {
        match (variant, &self.canary) {
            (Variant::Canary, Some(canary)) => canary,
            _ => &self.stable,
        }
    }

    /// Age at which a waiting request counts as slow.
    pub(crate) fn lookout(&self) -> Duration {
        Duration::from_micros(self.lookout.load(Ordering::Relaxed))
    }

    /// Learns from the slowest route of stable since the last look what waiting is normal here: a
    /// request must not be looked at while its fellows on stable are still waiting too, or a
    /// canary twice as slow as a slow stable version would look the same. Falls slowly.
    pub(crate) fn learn_lookout(&self, stable_q90_micros: u64) {
        let least = LEAST_LOOKOUT.as_micros() as u64;
        let faded = self.lookout.load(Ordering::Relaxed) / 100 * 99;
        let lookout = faded.max(stable_q90_micros.saturating_mul(LOOKOUT_FACTOR)).max(least);
        self.lookout.store(lookout, Ordering::Relaxed);
    }
}

impl Setup {
    /// The setup of `settings` for `table`, taking over what `before` has of it.
    ///
    /// # Errors
    /// `table` is not a table of `settings`, or a file that they name cannot be used.
    pub(crate) fn new(
        settings: &Settings,
        table: &RouteTable,
        threads: usize,
        before: Option<&Setup>,
        now: Instant,
    ) -> anyhow::Result<Setup> {
        let mut next_id = before
            .into_iter()
            .flat_map(|setup| &setup.recorders)
            .flat_map(|pair| [pair.stable.id, pair.canary.id])
            .max()
            .unwrap_or(0);
        let mut recorders = Vec::with_capacity(table.routes().len());
        for route in table.routes() {
            let service = table.service(route.service);
            let mut recorder = |variant: Variant| {
                let version = &service.pool(variant).version;
                let old =
                    before.and_then(|setup| setup.recorder_of(&route.name, &service.name, variant));
                if let Some(old) = old.filter(|old| old.version == *version) {
                    return Arc::clone(old);
                }
                next_id += 1;
                let names = (Arc::clone(&route.name), Arc::clone(&service.name));
                let inherited = old.map_or_else(Totals::default, |old| old.totals());
                let version = Arc::clone(version);
                Arc::new(Recorder::new(next_id, names, variant, version, threads, inherited))
            };
            recorders.push(Pair {
                stable: recorder(Variant::Stable),
                canary: recorder(Variant::Canary),
            });
        }
        let loads = before.map_or_else(LoadReports::default, |before| before.loads.clone());
        let mut services = Vec::with_capacity(table.services().len());
        for service in table.services() {
            let Some(found) = settings.service(&service.name) else {
                anyhow::bail!(
                    "the route table has a service '{}' that the settings lack",
                    service.name
                );
            };
            let old =
                before.and_then(|setup| setup.services.iter().find(|old| old.name == service.name));
            let pool = |names: &Arc<[Arc<str>]>, settings: &PoolSettings| {
                let upstream = Upstream::read(&settings.transport)?;
                let mut pools = before.into_iter().flat_map(Setup::pools);
                let old = pools.find(|pool| pool.is_of(names) && pool.upstream.is_like(&upstream));
                anyhow::Ok(old.map_or_else(
                    || Arc::new(Pool::new(Arc::clone(names), Arc::new(upstream), threads)),
                    Arc::clone,
                ))
            };
            let canary = service.canary.as_ref().zip(found.canary.as_ref());
            services.push(ServiceSetup {
                name: Arc::clone(&service.name),
                stable: pool(&service.stable.endpoints, &found.stable)?,
                canary: canary
                    .map(|(canary, settings)| pool(&canary.endpoints, settings))
                    .transpose()?,
                timeouts: found.timeouts,
                hearing: Hearing::of(found, &loads),
                seed: service.cohort_seed(),
                budget: old.map_or_else(
                    || Arc::new(RetryBudget::new(now, 0)),
                    |old| Arc::clone(&old.budget),
                ),
                lookout: AtomicU64::new(
                    old.map_or(LEAST_LOOKOUT, ServiceSetup::lookout).as_micros() as u64,
                ),
            });
        }
        let guards = table.routes().iter().map(|route| {
            let at = before.and_then(|setup| setup.place_of(&route.name));
            let old = at.and_then(|at| before.and_then(|setup| setup.guards[at].as_ref()));
            let now = settings.routes.iter().find(|now| *now.name == *route.name)?;
            Guard::new(&now.guard, old)
        });
        let guards = guards.collect();
        let old_log = before.and_then(|setup| setup.access_log.as_ref());
        let access_log = match &settings.log.access {
            Some(wanted) => Some(AccessLog::new(wanted, old_log)?),
            None => None,
        };
        Ok(Setup { recorders, services, guards, access_log, loads })
    }

    /// The place of a route.
    fn place_of(&self, route: &str) -> Option<usize> {
        self.recorders.iter().position(|pair| *pair.stable.route == *route)
    }

    /// Every pool.
    pub(crate) fn pools(&self) -> Vec<&Arc<Pool>> {
        self.services
            .iter()
            .flat_map(|service| std::iter::once(&service.stable).chain(&service.canary))
            .collect()
    }

    /// The recorders of one service, by route.
    pub(crate) fn recorders_of<'a, 'b>(
        &'a self,
        service: &'b str,
    ) -> impl Iterator<Item = &'a Pair<Arc<Recorder>>> + use<'a, 'b> {
        self.recorders.iter().filter(move |pair| *pair.stable.service == *service)
    }

    /// Finished attempts of one service.
    pub(crate) fn finished(&self, service: ServiceIndex) -> u64 {
        let name = &self.services[service.0 as usize].name;
        self.recorders_of(name).map(|pair| pair.stable.finished() + pair.canary.finished()).sum()
    }

    fn recorder_of(&self, route: &str, service: &str, variant: Variant) -> Option<&Arc<Recorder>> {
        let pair = self.recorders_of(service).find(|pair| *pair.stable.route == *route)?;
        Some(match variant {
            Variant::Stable => &pair.stable,
            Variant::Canary => &pair.canary,
        })
    }
}

impl View {
    /// Whether `table` has the routes and services of this setup, in the same places.
    pub(crate) fn fits(setup: &Setup, table: &RouteTable) -> bool {
        table.routes().len() == setup.recorders.len()
            && table.services().len() == setup.services.len()
            && table.routes().iter().zip(&setup.recorders).all(|(route, pair)| {
                route.name == pair.stable.route
                    && table.service(route.service).name == pair.stable.service
            })
            && table.services().iter().zip(&setup.services).all(|(service, known)| {
                service.name == known.name
                    && known.stable.is_of(&service.stable.endpoints)
                    && match (&service.canary, &known.canary) {
                        (Some(canary), Some(pool)) => pool.is_of(&canary.endpoints),
                        (canary, pool) => canary.is_none() && pool.is_none(),
                    }
            })
    }
}
