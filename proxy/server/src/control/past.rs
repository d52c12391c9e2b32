//! The last minutes of every service with a canary, for the dashboard's pictures.

use crate::chart::Moment;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Looks that are kept: ten minutes at one a second.
const KEPT: usize = 600;

/// Its lock is held for moments, and never by the data path.
#[derive(Debug, Default)]
pub(crate) struct Past {
    by_service: Mutex<BTreeMap<Arc<str>, VecDeque<Moment>>>,
}

impl Past {
    /// Adds a look.
    pub(crate) fn add(&self, service: &Arc<str>, moment: Moment) {
        let mut by_service = self.by_service.lock().unwrap_or_else(PoisonError::into_inner);
        let moments = by_service.entry(service.clone()).or_default();
        if moments.len() == KEPT {
            moments.pop_front();
        }
        moments.push_back(moment);
    }

    /// Forgets services that are not configured any more.
    pub(crate) fn keep(&self, known: impl Fn(&str) -> bool) {
        let mut by_service = self.by_service.lock().unwrap_or_else(PoisonError::into_inner);
        by_service.retain(|service, _| known(service));
    }

    /// What is known of a service, the oldest first.
    pub(crate) fn of(&self, service: &str) -> Vec<Moment> {
        let by_service = self.by_service.lock().unwrap_or_else(PoisonError::into_inner);
        by_service.get(service).map(|moments| moments.iter().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::done_in;
    use serinus_models::Timestamp;

    #[test]
    fn only_the_last_minutes_of_configured_services_are_kept() {
        let past = Past::default();
        let moment = |at| Moment::unjudged(Timestamp(at), done_in(&Default::default()));
        (0..KEPT as u64 + 5).for_each(|at| past.add(&"shop".into(), moment(at)));
        past.add(&"gone".into(), moment(1));
        past.keep(|service| service == "shop");
        assert_eq!((past.of("shop").len(), past.of("shop")[0].at), (KEPT, Timestamp(5)));
        assert!(past.of("gone").is_empty());
    }
}
