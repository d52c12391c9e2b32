//! The endpoints of one variant: addresses known before a request asks, taken in turn.

use super::shards::{Padded, Shard};
use super::upstream::Upstream;
use arc_swap::ArcSwap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for one name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(4);

/// The endpoints of one variant, shared by all threads and kept over reloads that do not touch them.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Keeps its idle connections apart from those of every other pool, earlier ones included.
    pub(crate) key: u64,
    /// How its endpoints are spoken to.
    pub(crate) upstream: Arc<Upstream>,
    /// `host:port` as configured.
    names: Arc<[Arc<str>]>,
    addresses: Addresses,
    /// Whose turn it is, per thread.
    turns: Box<[Padded<AtomicUsize>]>,
}

#[derive(Debug)]
enum Addresses {
    /// Nothing to resolve.
    Fixed(Box<[SocketAddr]>),
    /// Replaced by the resolver.
    Resolved { current: ArcSwap<Vec<SocketAddr>>, answers: Mutex<Vec<Vec<SocketAddr>>> },
}

impl Pool {
    pub(crate) fn new(names: Arc<[Arc<str>]>, upstream: Arc<Upstream>, threads: usize) -> Self {
        static NEXT_KEY: AtomicU64 = AtomicU64::new(1);
        let literal: Option<Box<[SocketAddr]>> =
            names.iter().map(|name| name.parse().ok()).collect();
        let addresses = literal.map_or_else(
            || Addresses::Resolved {
                current: ArcSwap::default(),
                answers: Mutex::new(vec![Vec::new(); names.len()]),
            },
            Addresses::Fixed,
        );
        Pool {
            key: NEXT_KEY.fetch_add(1, Ordering::Relaxed),
            upstream,
            names,
            addresses,
            // Threads start at different endpoints, so that few requests are spread as well.
            turns: (0..Shard::needed(threads).max(1)).map(|at| Padded(at.into())).collect(),
        }
    }

    /// Whether it is a pool of exactly these endpoints.
    pub(crate) fn is_of(&self, names: &[Arc<str>]) -> bool {
        *self.names == *names
    }

    /// The next endpoint in turn, not `tried` if there is another; none if no name is resolved.
    pub(crate) fn next(&self, shard: Shard, tried: Option<SocketAddr>) -> Option<SocketAddr> {
        match &self.addresses {
            Addresses::Fixed(addresses) => self.take_turn(addresses, shard, tried),
            Addresses::Resolved { current, .. } => self.take_turn(&current.load(), shard, tried),
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
        let turn = shard.of(&self.turns).fetch_add(1, Ordering::Relaxed);
        let address = addresses[turn % addresses.len()];
        if Some(address) == tried {
            return Some(addresses[(turn + 1) % addresses.len()]);
        }
        Some(address)
    }

    /// Whether there is another endpoint than one that was tried.
    pub(crate) fn has_others(&self) -> bool {
        match &self.addresses {
            Addresses::Fixed(addresses) => addresses.len() > 1,
            Addresses::Resolved { current, .. } => current.load().len() > 1,
        }
    }

    /// Asks for the addresses of every name; a name that cannot be resolved keeps its last ones.
    pub(crate) async fn resolve(&self) {
        let Addresses::Resolved { current, answers } = &self.addresses else { return };
        for (position, name) in self.names.iter().enumerate() {
            let lookup = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(&**name));
            let failure = match lookup.await {
                Ok(Ok(found)) => {
                    let mut found: Vec<_> = found.collect();
                    found.sort_unstable();
                    found.dedup();
                    if !found.is_empty() {
                        // Not held over an await: a second resolver may run during a reload.
                        answers.lock().unwrap_or_else(PoisonError::into_inner)[position] = found;
                        continue;
                    }
                    "it has no address".to_owned()
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer in time".to_owned(),
            };
            tracing::warn!(endpoint = %name, "cannot resolve, keeping the last addresses: {failure}");
        }
        let all: Vec<_> = answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .flatten()
            .copied()
            .collect();
        if **current.load() != all {
            tracing::info!(endpoints = ?self.names, addresses = ?all, "resolved");
            current.store(Arc::new(all));
        }
    }

    /// Whether any name must be resolved.
    pub(crate) fn has_names(&self) -> bool {
        matches!(self.addresses, Addresses::Resolved { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(names: &[&str]) -> Pool {
        let upstream = Upstream::read(&serinus_config::TransportSettings::default()).unwrap();
        Pool::new(names.iter().map(|name| Arc::from(*name)).collect(), Arc::new(upstream), 1)
    }

    #[test]
    fn endpoints_take_turns_and_the_one_that_failed_is_passed_over() {
        let pool = pool(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
        let shard = Shard::of_thread(0);
        let ports: Vec<_> = (0..6).map(|_| pool.next(shard, None).unwrap().port()).collect();
        assert_eq!(ports, [1, 2, 3, 1, 2, 3]);
        let tried = Some("127.0.0.1:1".parse().unwrap());
        assert_eq!(pool.next(shard, tried).unwrap().port(), 2);
    }

    #[tokio::test]
    async fn a_name_is_resolved_off_the_path_and_kept_when_it_cannot_be() {
        let pool = pool(&["localhost:7", "name.invalid:8"]);
        assert_eq!(pool.next(Shard::of_thread(0), None), None);
        pool.resolve().await;
        let found = pool.next(Shard::of_thread(0), None).unwrap();
        assert!(found.ip().is_loopback() && found.port() == 7, "{found}");
    }
}
