//! Who may be asked now: one immutable value, replaced as a whole when that changes.

use super::instance::Instance;
use serinus_routing::balance::{
    Balance, RequestKey, Schedule, highest, least_loaded, less_loaded_of_two,
};
use std::net::SocketAddr;
use std::sync::Arc;

/// Those that may be asked, with their shares.
#[derive(Debug)]
pub(crate) struct LineUp {
    members: Box<[(Arc<Instance>, f64)]>,
    schedule: Schedule,
    /// Too few are well, so all are asked.
    pub(crate) panic: bool,
}

impl LineUp {
    pub(crate) fn new(members: Vec<(Arc<Instance>, f64)>, panic: bool) -> Self {
        let shares: Vec<f64> = members.iter().map(|(_, share)| *share).collect();
        LineUp { members: members.into(), schedule: Schedule::new(&shares), panic }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn has(&self, instance: &Arc<Instance>) -> bool {
        self.members.iter().any(|(member, _)| Arc::ptr_eq(member, instance))
    }

    /// Addresses in order.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.members.iter().map(|(member, _)| member.address)
    }

    /// The next one to ask, not `tried` if there is another; none where there is nobody. With `key`
    /// the same one for the same key.
    pub(crate) fn choose(
        &self,
        method: &Balance,
        turn: usize,
        tried: Option<SocketAddr>,
        key: Option<RequestKey>,
    ) -> Option<&Arc<Instance>> {
        let members = self.members.len();
        let was_tried = |at: usize| members > 1 && Some(self.members[at].0.address) == tried;
        let load = |at: usize| {
            let (member, share) = &self.members[at];
            if was_tried(at) { f64::INFINITY } else { f64::from(member.active() + 1) / share }
        };
        let place = match (method, key) {
            (Balance::LeastConnections, _) => least_loaded(turn, members, load),
            (Balance::PowerOfTwo, _) => less_loaded_of_two(fastrand::u64(..), &self.schedule, load),
            (Balance::Hash(_), Some(key)) => {
                let share =
                    |at: usize| if was_tried(at) { f64::MIN_POSITIVE } else { self.members[at].1 };
                highest(key, (0..members).map(|at| (self.members[at].0.key, share(at))))
            }
            (Balance::RoundRobin | Balance::Hash(_), _) => {
                let mut turns = (turn..turn.wrapping_add(self.schedule.cycle().max(1)))
                    .filter_map(|turn| self.schedule.member(turn));
                let first = turns.next();
                first.map(|first| {
                    if was_tried(first) {
                        turns.find(|at| !was_tried(*at)).unwrap_or(first)
                    } else {
                        first
                    }
                })
            }
        };
        place.map(|place| &self.members[place].0)
    }

    /// All of them, from the `turn`-th on.
    pub(crate) fn starting_at(&self, turn: usize) -> impl Iterator<Item = &Arc<Instance>> {
        let members = self.members.len();
        (0..members).map(move |step| &self.members[turn.wrapping_add(step) % members].0)
    }
}
