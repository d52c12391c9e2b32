//! What one request sees from its start to its end: the route table and, beside it, the pools and
//! recorders that its indices mean.

use super::access::AccessLog;
use super::endpoints::{Pool, Rules};
use super::guard::Guard;
use super::load::Hearing;
use super::mirror::Mirror;
use super::recorder::{Recorder, Totals};
use super::shield::RetryBudget;
use super::traces::{Counts, Exporter};
use super::upstream::Upstream;
use serinus_config::{PoolSettings, RetrySettings, Settings, TimeoutSettings};
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
    /// By redirect index.
    pub(crate) redirects: Vec<Arc<Tally>>,
    /// By service index.
    pub(crate) services: Vec<ServiceSetup>,
    /// By route index; none where the route asks nothing.
    pub(crate) guards: Vec<Option<Arc<Guard>>>,
    /// One line per request.
    pub(crate) access_log: Option<Arc<AccessLog>>,
    /// Where traces go.
    pub(crate) exporter: Option<Arc<Exporter>>,
    /// The same for all setups of a data path.
    pub(crate) spans: Arc<Counts>,
    /// The same for all setups of a data path.
    pub(crate) loads: LoadReports,
}

/// How many clients a route has sent elsewhere.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) route: Arc<str>,
    count: AtomicU64,
}

impl Tally {
    pub(crate) fn count(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// What happened to requests of a service besides their answers, by variant.
#[derive(Debug, Default)]
pub(crate) struct ServiceCounters {
    /// Asked of another endpoint of the same variant.
    retries: [AtomicU64; 2],
    /// Turned away because every endpoint was full.
    refused: [AtomicU64; 2],
}

impl ServiceCounters {
    pub(crate) fn count_retry(&self, variant: Variant) {
        self.retries[variant as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self, variant: Variant) {
        self.refused[variant as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Retries and requests that were turned away.
    pub(crate) fn read(&self, variant: Variant) -> (u64, u64) {
        let of = |counters: &[AtomicU64; 2]| counters[variant as usize].load(Ordering::Relaxed);
        (of(&self.retries), of(&self.refused))
    }
}

/// One service of a configuration.
#[derive(Debug)]
pub(crate) struct ServiceSetup {
    pub(crate) name: Arc<str>,
    pub(crate) stable: Arc<Pool>,
    pub(crate) canary: Option<Arc<Pool>>,
    pub(crate) timeouts: TimeoutSettings,
    pub(crate) seed: CohortSeed,
    /// What stable may be asked in place of the canary.
    pub(crate) budget: Arc<RetryBudget>,
    /// Hears what answers tell of their load; none where nobody asks.
    pub(crate) hearing: Option<Hearing>,
    /// What is copied to the canary; none where nothing is.
    pub(crate) mirror: Option<Mirror>,
    /// What another endpoint of the same variant is asked for.
    pub(crate) retry: Option<RetrySettings>,
    pub(crate) retry_budget: Arc<RetryBudget>,
    pub(crate) counters: Arc<ServiceCounters>,
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

    /// Stable's and, if there is one, the canary's.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        std::iter::once(&self.stable).chain(&self.canary)
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
        let redirects = table.redirects().map(|route| {
            let mut old = before.into_iter().flat_map(|setup| &setup.redirects);
            old.find(|old| old.route == *route).map_or_else(
                || Arc::new(Tally { route: Arc::clone(route), count: AtomicU64::new(0) }),
                Arc::clone,
            )
        });
        let redirects = redirects.collect();
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
            let old_pools: Vec<_> = old.into_iter().flat_map(ServiceSetup::pools).collect();
            let rules = Rules::of(found);
            let pool = |names: &Arc<[Arc<str>]>, pool: &PoolSettings| {
                let weights: Vec<u32> = pool.endpoints.iter().map(|one| one.weight).collect();
                let upstream = Upstream::read(&pool.transport)?;
                let same =
                    old_pools.iter().find(|pool| pool.is(names, &weights, &rules, &upstream));
                anyhow::Ok(same.map_or_else(
                    || {
                        let rules = rules.clone();
                        Arc::new(Pool::new(
                            &service.name,
                            names,
                            &weights,
                            rules,
                            Arc::new(upstream),
                            threads,
                            &old_pools,
                        ))
                    },
                    |same| Arc::clone(same),
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
                retry: found.retry.clone(),
                hearing: Hearing::of(found, &loads),
                mirror: canary.and_then(|_| {
                    Mirror::new(found.mirror, old.and_then(|old| old.mirror.as_ref()))
                }),
                seed: service.cohort_seed(),
                budget: old.map_or_else(
                    || Arc::new(RetryBudget::new(now, 0)),
                    |old| Arc::clone(&old.budget),
                ),
                retry_budget: old.map_or_else(
                    || Arc::new(RetryBudget::new(now, 0)),
                    |old| Arc::clone(&old.retry_budget),
                ),
                counters: old.map_or_else(Arc::default, |old| Arc::clone(&old.counters)),
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
        let spans = before.map_or_else(Arc::default, |before| Arc::clone(&before.spans));
        let old_exporter = before.and_then(|before| before.exporter.as_ref());
        let exporter = match &settings.otlp {
            Some(wanted) => Some(Exporter::new(wanted, old_exporter, &spans)?),
            None => None,
        };
        Ok(Setup { recorders, redirects, services, guards, access_log, exporter, spans, loads })
    }

    /// The place of a route.
    fn place_of(&self, route: &str) -> Option<usize> {
        self.recorders.iter().position(|pair| *pair.stable.route == *route)
    }

    /// Every pool.
    pub(crate) fn pools(&self) -> Vec<&Arc<Pool>> {
        self.services.iter().flat_map(ServiceSetup::pools).collect()
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
            && table.redirects().eq(setup.redirects.iter().map(|tally| &tally.route))
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
