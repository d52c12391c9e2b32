//! What is known of one endpoint, over reloads: whether it is drained, the addresses that its name
//! leads to, and of each address whether it is well.

use super::super::shards::Padded;
use crate::complaints::Complaints;
use serinus_routing::balance::{
    Condition, Ejection, EjectionRule, EndpointKey, Health, HealthRule, newcomer_share,
};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of an endpoint that gives no answers the log tells as often as this.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// An endpoint of the configuration.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `host:port` as configured.
    pub(crate) name: Arc<str>,
    /// An operator has taken it out.
    draining: AtomicBool,
    instances: Mutex<Vec<Arc<Instance>>>,
    /// Grows with every change to the endpoint itself.
    changes: AtomicU32,
}

impl Endpoint {
    /// `came`: it joins others that are there already.
    pub(crate) fn new(name: &Arc<str>, came: Option<Instant>) -> Self {
        let literal = name.parse().ok().map(|address| Arc::new(Instance::new(name, address, came)));
        Endpoint {
            name: Arc::clone(name),
            draining: AtomicBool::new(false),
            instances: Mutex::new(literal.into_iter().collect()),
            changes: AtomicU32::new(0),
        }
    }

    /// Whether its name is an address.
    pub(crate) fn is_literal(&self) -> bool {
        self.name.parse::<SocketAddr>().is_ok()
    }

    /// Whether to say in the log why this address of it gave no answer; see [`Complaints::due`].
    pub(crate) fn complains(&self, address: SocketAddr, now: Instant) -> Option<u64> {
        let instances = self.lock();
        instances.iter().find(|instance| instance.address == address)?.complaints.due(now)
    }

    pub(crate) fn instances(&self) -> Vec<Arc<Instance>> {
        self.lock().clone()
    }

    /// These are its addresses from now on; those that stay keep what is known of them. Says
    /// whether anything changed.
    pub(crate) fn set_addresses(&self, addresses: &[SocketAddr], now: Instant) -> bool {
        let mut instances = self.lock();
        if instances.iter().map(|instance| instance.address).eq(addresses.iter().copied()) {
            return false;
        }
        // The first addresses of all are no newcomers.
        let came = (!instances.is_empty()).then_some(now);
        let next = addresses.iter().map(|address| {
            let known = instances.iter().find(|instance| instance.address == *address);
            known.map_or_else(|| Arc::new(Instance::new(&self.name, *address, came)), Arc::clone)
        });
        *instances = next.collect();
        self.changes.fetch_add(1, Ordering::AcqRel);
        true
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Takes it out, or lets it come back.
    pub(crate) fn drain(&self, draining: bool, now: Instant) {
        if self.draining.swap(draining, Ordering::AcqRel) == draining {
            return;
        }
        if !draining {
            self.lock().iter().for_each(|instance| instance.state().came = Some(now));
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Grows with every change to it and its instances.
    pub(crate) fn changes(&self) -> u64 {
        let of_instances: u64 = self.lock().iter().map(|instance| instance.changes()).sum();
        u64::from(self.changes.load(Ordering::Acquire)) + of_instances
    }

    /// Never held while waiting; a panic of a holder left a complete value.
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Instance>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One address of an endpoint.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    /// What it draws lots with.
    pub(crate) key: EndpointKey,
    /// Requests at it now, where anybody asks.
    active: Padded<AtomicU32>,
    /// Failed requests in a row.
    failures: AtomicU32,
    /// Connections in a row that could not be made.
    connect_failures: AtomicU32,
    state: Mutex<State>,
    changes: AtomicU32,
    ejections: AtomicU64,
    /// Health checks that passed and failed.
    checks: [AtomicU64; 2],
    complaints: Complaints,
    /// What times are measured from.
    epoch: Instant,
}

/// What changes seldom.
#[derive(Debug, Default)]
struct State {
    health: Health,
    ejection: Ejection,
    /// When it came or came back; none for those that were there from the start.
    came: Option<Instant>,
    last_check: Option<Instant>,
    /// What the last failed check said.
    why: Option<String>,
}

/// What an instance looks like from outside.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Look {
    pub(crate) active: u32,
    pub(crate) ejections: u64,
    pub(crate) checks_passed: u64,
    pub(crate) checks_failed: u64,
    /// Time until an ejection is over.
    pub(crate) ejected_for: Option<Duration>,
    pub(crate) why: Option<String>,
}

impl Instance {
    fn new(name: &Arc<str>, address: SocketAddr, came: Option<Instant>) -> Self {
        let written = address.to_string();
        let key = if *written == **name {
            EndpointKey::of(name)
        } else {
            EndpointKey::of(&format!("{name} {written}"))
        };
        Instance {
            address,
            key,
            active: Padded::default(),
            failures: AtomicU32::new(0),
            connect_failures: AtomicU32::new(0),
            state: Mutex::new(State { came, ..State::default() }),
            changes: AtomicU32::new(0),
            ejections: AtomicU64::new(0),
            checks: Default::default(),
            complaints: Complaints::every(TOLD_EVERY),
            epoch: Instant::now(),
        }
    }

    pub(crate) fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// One more request, if it then has no more than `most`.
    pub(crate) fn engage(&self, most: Option<u32>) -> bool {
        let before = self.active.fetch_add(1, Ordering::AcqRel);
        let has_room = most.is_none_or(|most| before < most);
        if !has_room {
            self.active.fetch_sub(1, Ordering::AcqRel);
        }
        has_room
    }

    pub(crate) fn release(&self) {
        self.active.fetch_sub(1, Ordering::AcqRel);
    }

    /// Takes in how a request ended; true if it has failed often enough to be ejected.
    pub(crate) fn note(&self, rule: &EjectionRule, failed: bool, connected: bool) -> bool {
        if !failed {
            // Mostly there is nothing to forget, and a look costs less than a write.
            for row in [&self.failures, &self.connect_failures] {
                if row.load(Ordering::Relaxed) != 0 {
                    row.store(0, Ordering::Relaxed);
                }
            }
            return false;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let connect_failures = if connected {
            self.connect_failures.store(0, Ordering::Relaxed);
            0
        } else {
            self.connect_failures.fetch_add(1, Ordering::Relaxed) + 1
        };
        failures >= rule.failures || connect_failures >= rule.connect_failures
    }

    /// Begins a new row of failures.
    pub(crate) fn forget_failures(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.connect_failures.store(0, Ordering::Relaxed);
    }

    /// Leaves it out; says for how long.
    pub(crate) fn eject(&self, rule: &EjectionRule, now: Instant) -> Duration {
        let at = self.time(now);
        let until = self.state().ejection.eject(rule, at);
        self.ejections.fetch_add(1, Ordering::Relaxed);
        self.changed();
        until.saturating_sub(at)
    }

    /// Lets it come back if its time is over; true if it does.
    pub(crate) fn end_ejection(&self, now: Instant) -> bool {
        let at = self.time(now);
        let mut state = self.state();
        let over = state.ejection.end(at);
        if over {
            state.came = Some(now);
            self.changed();
        }
        over
    }

    /// Whether the last health check was begun `interval` ago; then another one begins.
    pub(crate) fn is_check_due(&self, now: Instant, interval: Duration) -> bool {
        let mut state = self.state();
        let due =
            state.last_check.is_none_or(|last| now.saturating_duration_since(last) >= interval);
        if due {
            state.last_check = Some(now);
        }
        due
    }

    /// Takes in a health check; true if the instance changed sides.
    pub(crate) fn check(&self, rule: HealthRule, result: Result<(), String>, now: Instant) -> bool {
        let passed = result.is_ok();
        self.checks[usize::from(!passed)].fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.why = result.err();
        let changed = state.health.check(rule, passed);
        if changed {
            if passed {
                state.came = Some(now);
            }
            self.changed();
        }
        changed
    }

    /// What speaks against it, and its share of its weight; `draining` is its endpoint's.
    pub(crate) fn condition(
        &self,
        draining: bool,
        slow_start: Duration,
        now: Instant,
    ) -> (Condition, f64) {
        let state = self.state();
        let condition = Condition {
            draining,
            unhealthy: state.health.is_unhealthy(),
            ejected: state.ejection.is_ejected(),
        };
        let age = state.came.map(|came| now.saturating_duration_since(came));
        (condition, age.map_or(1.0, |age| newcomer_share(age, slow_start)))
    }

    pub(crate) fn look(&self, now: Instant) -> Look {
        let state = self.state();
        let until = state.ejection.until();
        Look {
            active: self.active(),
            ejections: self.ejections.load(Ordering::Relaxed),
            checks_passed: self.checks[0].load(Ordering::Relaxed),
            checks_failed: self.checks[1].load(Ordering::Relaxed),
            ejected_for: until.map(|until| until.saturating_sub(self.time(now))),
            why: state.why.clone(),
        }
    }

    /// Grows with every change.
    fn changes(&self) -> u64 {
        u64::from(self.changes.load(Ordering::Acquire))
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }

    /// Never held while waiting; a panic of a holder left a complete value.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
