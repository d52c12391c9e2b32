//! A request's way to an endpoint: whose turn it is, whether there is room, and waiting for it.

use super::super::recorder::Ending;
use super::super::shards::Shard;
use super::Pool;
use super::instance::Instance;
use serinus_routing::balance::{Balance, RequestKey};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// An address to ask.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) address: SocketAddr,
    /// The place that is taken there, where places are counted or failures watched.
    pub(crate) engaged: Option<Engaged>,
    /// It took some time to get a place.
    pub(crate) waited: bool,
}

/// Why there is no address to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// No name of the variant could ever be resolved.
    Unresolved,
    /// Every endpoint has as many requests as it may, and enough wait already.
    Full,
    /// A place was waited for in vain: no request ended in all that time.
    WaitedInVain,
}

/// A request at an instance, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Engaged {
    pool: Arc<Pool>,
    instance: Arc<Instance>,
}

impl Engaged {
    /// Takes in how the request ended.
    pub(crate) fn note(&self, ending: Ending, now: Instant) {
        let Some(ejection) = &self.pool.rules.ejection else { return };
        let outcome = ending.outcome();
        let connected = ending != Ending::ConnectError;
        if self.instance.note(&ejection.rule, outcome.is_failure(), connected) {
            self.pool.eject(&self.instance, ejection, outcome, now);
        }
    }
}

impl Drop for Engaged {
    fn drop(&mut self) {
        self.instance.release();
        if self.pool.rules.limits.max_connections.is_some() {
            self.pool.freed.notify_one();
        }
    }
}

impl Pool {
    /// Whether requests are counted at the endpoints.
    pub(super) fn engages(&self) -> bool {
        self.rules.ejection.is_some()
            || self.rules.limits.max_connections.is_some()
            || matches!(self.rules.balance.method, Balance::LeastConnections | Balance::PowerOfTwo)
    }

    /// The next endpoint to ask, not `tried` if there is another. Where all are full, waits up to
    /// `patience` for one that is not, if so many may wait.
    pub(crate) async fn place(
        self: &Arc<Self>,
        shard: Shard,
        tried: Option<SocketAddr>,
        key: Option<RequestKey>,
        patience: Duration,
    ) -> Result<Chosen, Unavailable> {
        match self.choose(shard, tried, key) {
            Err(Unavailable::Full) => {}
            chosen => return chosen,
        }
        let Some(_waiting) = Waiting::join(self) else { return Err(Unavailable::Full) };
        let end = tokio::time::sleep(patience);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = self.freed.notified() => {}
                () = &mut end => return Err(Unavailable::WaitedInVain),
            }
            match self.choose(shard, tried, key) {
                Err(Unavailable::Full) => {}
                Err(other) => return Err(other),
                Ok(chosen) => {
                    // Several places may have become free under one call.
                    self.freed.notify_one();
                    return Ok(Chosen { waited: true, ..chosen });
                }
            }
        }
    }

    /// An endpoint for what no user waits for: none where every place is wanted by users.
    pub(crate) fn at_once(self: &Arc<Self>, shard: Shard) -> Option<Chosen> {
        if self.rules.limits.max_connections.is_some() && self.pending.load(Ordering::Acquire) > 0 {
            return None;
        }
        self.choose(shard, None, None).ok()
    }

    pub(super) fn choose(
        self: &Arc<Self>,
        shard: Shard,
        tried: Option<SocketAddr>,
        key: Option<RequestKey>,
    ) -> Result<Chosen, Unavailable> {
        if let Some(plain) = &self.plain
            && !self.altered.load(Ordering::Acquire)
        {
            let address = self.take_turn(plain, shard, tried).ok_or(Unavailable::Unresolved)?;
            return Ok(Chosen { address, engaged: None, waited: false });
        }
        let line_up = self.line_up.load();
        let turn = match line_up.len() {
            1 => 0,
            _ => self.turn(shard, tried),
        };
        let chosen = line_up.choose(&self.rules.balance.method, turn, tried, key);
        let chosen = chosen.ok_or(Unavailable::Unresolved)?;
        if !self.engages() {
            return Ok(Chosen { address: chosen.address, engaged: None, waited: false });
        }
        let most = self.rules.limits.max_connections;
        let others = line_up.starting_at(turn).filter(|other| !Arc::ptr_eq(other, chosen));
        let free = std::iter::once(chosen).chain(others).find(|one| one.engage(most));
        let instance = Arc::clone(free.ok_or(Unavailable::Full)?);
        let address = instance.address;
        let engaged = Some(Engaged { pool: Arc::clone(self), instance });
        Ok(Chosen { address, engaged, waited: false })
    }

    /// Whose turn it is. A second attempt takes nobody's: with two endpoints every request would begin at
    /// the same one, and that would be the one that fails.
    fn turn(&self, shard: Shard, tried: Option<SocketAddr>) -> usize {
        let turns = shard.of(&self.turns);
        match tried {
            None => turns.fetch_add(1, Ordering::Relaxed),
            Some(_) => turns.load(Ordering::Relaxed),
        }
    }

    fn take_turn(
        &self,
        addresses: &[SocketAddr],
        shard: Shard,
        tried: Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let only = *addresses.first()?;
        if addresses.len() == 1 {
            return Some(only);
        }
        let turn = self.turn(shard, tried);
        let address = addresses[turn % addresses.len()];
        if Some(address) == tried {
            return Some(addresses[(turn + 1) % addresses.len()]);
        }
        Some(address)
    }
}

/// One of those who wait for a place.
struct Waiting<'p>(&'p Pool);

impl<'p> Waiting<'p> {
    /// None if enough wait already.
    fn join(pool: &'p Pool) -> Option<Self> {
        let most = pool.rules.limits.max_pending;
        if pool.pending.fetch_add(1, Ordering::AcqRel) >= most {
            pool.pending.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Waiting(pool))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}
