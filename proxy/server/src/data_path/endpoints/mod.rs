//! The endpoints of one variant: addresses known before a request asks, those that are well, and
//! whose turn it is.

mod checks;
mod instance;
mod line_up;
mod place;
mod status;

#[cfg(test)]
mod tests;

use super::shards::{Padded, Shard};
use super::upstream::Upstream;
use arc_swap::ArcSwap;
pub(crate) use checks::check_endpoints;
use instance::{Endpoint, Instance};
use line_up::LineUp;
pub(crate) use place::{Engaged, Unavailable};
use serinus_config::{
    BalanceSettings, ConcurrencySettings, EjectionSettings, HealthSettings, ServiceSettings,
};
use serinus_models::Outcome;
use serinus_routing::balance::{Balance, Condition, HashBy, eligible, may_eject};
pub use status::{EndpointState, EndpointStatus};
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Longest wait for one name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(4);

/// What a service asks of its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) balance: BalanceSettings,
    pub(crate) health: Option<HealthSettings>,
    pub(crate) ejection: Option<EjectionSettings>,
    pub(crate) limits: ConcurrencySettings,
}

impl Rules {
    pub(crate) fn of(service: &ServiceSettings) -> Rules {
        Rules {
            balance: service.balance.clone(),
            health: service.health.clone(),
            ejection: service.ejection,
            limits: service.limits,
        }
    }
}

/// The endpoints of one variant, shared by all threads and kept over reloads that do not touch them.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Keeps its idle connections apart from those of every other pool, earlier ones included.
    pub(crate) key: u64,
    /// How its endpoints are spoken to.
    pub(crate) upstream: Arc<Upstream>,
    service: Arc<str>,
    /// `host:port` as configured.
    names: Arc<[Arc<str>]>,
    weights: Box<[u32]>,
    endpoints: Box<[Arc<Endpoint>]>,
    rules: Rules,
    /// All addresses, where they never change and simply take turns: asked without a look at the
    /// line-up as long as nothing is `altered`.
    plain: Option<Box<[SocketAddr]>>,
    altered: AtomicBool,
    line_up: ArcSwap<LineUp>,
    /// What the line-up was made of; held by whoever makes the next one.
    assembled: Mutex<u64>,
    /// The line-up changes with time alone.
    restless: AtomicBool,
    /// Whose turn it is, per thread.
    turns: Box<[Padded<AtomicUsize>]>,
    /// Requests that wait for a place.
    pending: AtomicU32,
    freed: Notify,
}

impl Pool {
    /// `before` are the pools that the service had: endpoints that stay keep what is known of them,
    /// and the same endpoints their idle connections.
    pub(crate) fn new(
        service: &Arc<str>,
        names: &Arc<[Arc<str>]>,
        weights: &[u32],
        rules: Rules,
        upstream: Arc<Upstream>,
        threads: usize,
        before: &[&Arc<Pool>],
    ) -> Self {
        static NEXT_KEY: AtomicU64 = AtomicU64::new(1);
        let now = Instant::now();
        let came = (!before.is_empty()).then_some(now);
        let endpoint = |name: &Arc<str>| {
            let mut known = before.iter().flat_map(|pool| &pool.endpoints);
            known
                .find(|endpoint| endpoint.name == *name)
                .map_or_else(|| Arc::new(Endpoint::new(name, came)), Arc::clone)
        };
        let endpoints: Box<[_]> = names.iter().map(endpoint).collect();
        let same =
            before.iter().find(|pool| *pool.names == **names && pool.upstream.is_like(&upstream));
        // What was said of the same endpoints before a reload is not said again after it.
        let panic = before
            .iter()
            .any(|pool| pool.is_in_panic() && pool.names.iter().any(|name| names.contains(name)));
        let simple = rules.balance.method == Balance::RoundRobin
            && rules.ejection.is_none()
            && rules.limits.max_connections.is_none()
            && weights.windows(2).all(|pair| pair[0] == pair[1]);
        let literal: Option<Box<[SocketAddr]>> =
            names.iter().map(|name| name.parse().ok()).collect();
        let pool = Pool {
            key: same.map_or_else(|| NEXT_KEY.fetch_add(1, Ordering::Relaxed), |pool| pool.key),
            upstream,
            service: Arc::clone(service),
            names: Arc::clone(names),
            weights: weights.into(),
            endpoints,
            rules,
            plain: literal.filter(|_| simple),
            altered: AtomicBool::new(false),
            line_up: ArcSwap::from_pointee(LineUp::new(Vec::new(), panic)),
            assembled: Mutex::new(0),
            restless: AtomicBool::new(false),
            // Threads start at different endpoints, so that few requests are spread as well.
            turns: (0..Shard::needed(threads).max(1)).map(|at| Padded(at.into())).collect(),
            pending: AtomicU32::new(0),
            freed: Notify::new(),
        };
        pool.assemble(now);
        pool
    }

    /// Whether it is a pool of exactly these endpoints.
    pub(crate) fn is_of(&self, names: &[Arc<str>]) -> bool {
        *self.names == *names
    }

    /// ... with these weights and rules, spoken to like this.
    pub(crate) fn is(
        &self,
        names: &[Arc<str>],
        weights: &[u32],
        rules: &Rules,
        upstream: &Upstream,
    ) -> bool {
        self.is_of(names)
            && *self.weights == *weights
            && self.rules == *rules
            && self.upstream.is_like(upstream)
    }

    /// `host:port` of every endpoint, as configured.
    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// What a request is recognised by, where the same must reach the same endpoint.
    pub(crate) fn hashes_by(&self) -> Option<&HashBy> {
        match &self.rules.balance.method {
            Balance::Hash(by) => Some(by),
            _ => None,
        }
    }

    /// Whether there is another endpoint than the one that was tried.
    pub(crate) fn has_others(&self, tried: Option<SocketAddr>) -> bool {
        self.line_up.load().addresses().any(|address| Some(address) != tried)
    }

    /// Asks for the addresses of every name; a name that cannot be resolved keeps its last ones.
    pub(crate) async fn resolve(&self) {
        let mut changed = false;
        for endpoint in self.endpoints.iter().filter(|endpoint| !endpoint.is_literal()) {
            let lookup = tokio::net::lookup_host(&*endpoint.name);
            let failure = match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
                Ok(Ok(found)) => {
                    let mut found: Vec<_> = found.collect();
                    found.sort_unstable();
                    found.dedup();
                    if !found.is_empty() {
                        if endpoint.set_addresses(&found, Instant::now()) {
                            tracing::info!(endpoint = %endpoint.name, addresses = ?found, "resolved");
                            changed = true;
                        }
                        continue;
                    }
                    "it has no address".to_owned()
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            let endpoint = &endpoint.name;
            tracing::warn!(%endpoint, "cannot resolve, keeping the last addresses: {failure}");
        }
        if changed {
            self.assemble(Instant::now());
        }
    }

    /// Whether any name must be resolved.
    pub(crate) fn has_names(&self) -> bool {
        self.endpoints.iter().any(|endpoint| !endpoint.is_literal())
    }

    /// Every address with the name of its endpoint.
    fn instances(&self) -> Vec<(Arc<str>, Arc<Instance>)> {
        let of = |endpoint: &Arc<Endpoint>| {
            let name = Arc::clone(&endpoint.name);
            endpoint.instances().into_iter().map(move |instance| (Arc::clone(&name), instance))
        };
        self.endpoints.iter().flat_map(of).collect()
    }

    /// What time alone changes: ejections end, newcomers grow; and what other pools learned of the
    /// same endpoints. Called a few times a second.
    pub(crate) fn tend(&self, now: Instant) {
        let restless = self.restless.load(Ordering::Acquire);
        if restless {
            for (name, instance) in self.instances() {
                if instance.end_ejection(now) {
                    let (service, address) = (&*self.service, instance.address);
                    tracing::info!(service, endpoint = %name, %address, "back after an ejection");
                }
            }
        }
        if restless || *self.lock() != self.changes() {
            self.assemble(now);
        }
    }

    /// Takes in a health check.
    fn checked(
        &self,
        name: &Arc<str>,
        instance: &Arc<Instance>,
        health: &HealthSettings,
        result: Result<(), String>,
    ) {
        let now = Instant::now();
        let why = result.as_ref().err().cloned();
        if !instance.check(health.rule, result, now) {
            return;
        }
        let (service, address) = (&*self.service, instance.address);
        match why {
            None => tracing::info!(service, endpoint = %name, %address, "healthy"),
            Some(why) => tracing::warn!(service, endpoint = %name, %address, "unhealthy: {why}"),
        }
        self.assemble(now);
    }

    /// Leaves out an instance whose requests fail, the last one with `outcome`, if enough others are left.
    fn eject(
        &self,
        instance: &Arc<Instance>,
        settings: &EjectionSettings,
        outcome: Outcome,
        now: Instant,
    ) {
        instance.forget_failures();
        let assembled = self.lock();
        let all = self.conditions(now);
        let conditions: Vec<Condition> = all.iter().map(|(.., condition, _)| *condition).collect();
        let is_out = all
            .iter()
            .any(|(one, _, condition, _)| Arc::ptr_eq(one, instance) && condition.ejected);
        if is_out || !may_eject(&conditions, settings.most) {
            return;
        }
        let time = instance.eject(&settings.rule, now);
        let (service, address, seconds) = (&*self.service, instance.address, time.as_secs_f64());
        let last = outcome.as_str();
        tracing::warn!(service, %address, seconds, last, "ejected: its requests fail");
        self.assemble_locked(assembled, now);
    }

    /// Says why an address gave no answer, unless that was said a moment ago.
    pub(crate) fn complain(&self, address: SocketAddr, why: &impl Display, now: Instant) {
        for endpoint in &self.endpoints {
            let Some(more) = endpoint.complains(address, now) else { continue };
            let (service, endpoint) = (&*self.service, &*endpoint.name);
            tracing::warn!(
                target: "serinus::upstream",
                service, endpoint, %address, more, "no answer: {why}"
            );
        }
    }

    /// Takes an endpoint out, or lets it come back; false if it has none of that name or address.
    pub(crate) fn drain(&self, name: &str, draining: bool, now: Instant) -> bool {
        let Some(endpoint) = self.endpoint(name) else { return false };
        endpoint.drain(draining, now);
        self.assemble(now);
        true
    }

    /// Whether nobody would be left without the endpoint of that name or address.
    pub(crate) fn needs(&self, name: &str) -> bool {
        let Some(endpoint) = self.endpoint(name) else { return false };
        let mut others = self.endpoints.iter().filter(|other| !Arc::ptr_eq(other, endpoint));
        others.all(|other| other.is_draining())
    }

    fn endpoint(&self, name: &str) -> Option<&Arc<Endpoint>> {
        let address: Option<SocketAddr> = name.parse().ok();
        self.endpoints.iter().find(|endpoint| {
            let mut instances = endpoint.instances().into_iter();
            *endpoint.name == *name || instances.any(|instance| Some(instance.address) == address)
        })
    }

    /// Whether too few endpoints are well, so that all are asked.
    pub(crate) fn is_in_panic(&self) -> bool {
        self.line_up.load().panic
    }

    /// Grows with everything that matters to the line-up.
    fn changes(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.changes()).sum()
    }

    /// What speaks against an instance, by the rules of this pool, and its share of its weight.
    fn condition(&self, instance: &Instance, draining: bool, now: Instant) -> (Condition, f64) {
        let (mut condition, share) =
            instance.condition(draining, self.rules.balance.slow_start, now);
        condition.unhealthy &= self.rules.health.is_some();
        condition.ejected &= self.rules.ejection.is_some();
        (condition, share)
    }

    /// Every instance with the weight of its endpoint, what speaks against it, and its share of the weight.
    fn conditions(&self, now: Instant) -> Vec<(Arc<Instance>, u32, Condition, f64)> {
        let mut all = Vec::new();
        for (endpoint, weight) in self.endpoints.iter().zip(&self.weights) {
            let draining = endpoint.is_draining();
            for instance in endpoint.instances() {
                let (condition, share) = self.condition(&instance, draining, now);
                all.push((instance, *weight, condition, share));
            }
        }
        all
    }

    /// Makes the line-up of what is known now.
    fn assemble(&self, now: Instant) {
        self.assemble_locked(self.lock(), now);
    }

    fn assemble_locked(&self, mut assembled: MutexGuard<'_, u64>, now: Instant) {
        *assembled = self.changes();
        let all = self.conditions(now);
        let conditions: Vec<Condition> = all.iter().map(|(.., condition, _)| *condition).collect();
        let eligible = eligible(&conditions, self.rules.balance.panic_threshold);
        let members: Vec<_> = eligible
            .places
            .iter()
            .map(|place| {
                let (instance, weight, _, share) = &all[*place];
                (Arc::clone(instance), f64::from(*weight) * share)
            })
            .collect();
        let before = self.line_up.load().panic;
        if eligible.panic != before && !members.is_empty() {
            let (service, asked, endpoints) = (&*self.service, members.len(), &self.names);
            match eligible.panic {
                true => tracing::warn!(
                    service,
                    asked,
                    ?endpoints,
                    "too few endpoints are well: all are asked"
                ),
                false => {
                    tracing::info!(service, asked, ?endpoints, "enough endpoints are well again");
                }
            }
        }
        let growing = all.iter().any(|(.., share)| *share < 1.0);
        let ejected = conditions.iter().any(|condition| condition.ejected);
        self.restless.store(growing || ejected, Ordering::Release);
        let line_up = LineUp::new(members, eligible.panic);
        let is_plain = self
            .plain
            .as_ref()
            .is_some_and(|plain| !growing && line_up.addresses().eq(plain.iter().copied()));
        self.line_up.store(Arc::new(line_up));
        self.altered.store(!is_plain, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.assembled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
