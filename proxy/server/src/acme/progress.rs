//! How far the agent is, for those who ask: metrics, status, log.

use crate::wall_time;
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use serinus_models::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Written by the agent, read by the admin side.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    names: ArcSwap<Vec<NameStatus>>,
    issued: AtomicU64,
    failed: AtomicU64,
}

/// How it stands with one name. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameStatus {
    pub(crate) name: String,
    /// The end of the certificate that is there, if there is one.
    pub(crate) not_after: Option<i64>,
    /// When the CA is asked next.
    pub(crate) next: i64,
    /// Attempts in a row that failed.
    pub(crate) failures: u32,
    /// Why the last one failed, if it did.
    pub(crate) why: Option<String>,
}

impl Progress {
    /// How it stands with each name, in the order of the configuration.
    pub(crate) fn names(&self) -> Arc<Vec<NameStatus>> {
        self.names.load_full()
    }

    /// Certificates issued and attempts failed since the start.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 2] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("issued", read(&self.issued)), ("failed", read(&self.failed))]
    }

    pub(super) fn show(&self, names: Vec<NameStatus>) {
        self.names.store(Arc::new(names));
    }

    pub(super) fn count(&self, issued: bool) {
        let count = if issued { &self.issued } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// What a person should know, in words.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.names.load().iter().filter_map(NameStatus::trouble).collect()
    }
}

impl NameStatus {
    /// What is wrong with it, if anything is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let why = self.why.as_ref()?;
        let has = match self.not_after {
            Some(end) => format!("the certificate of {} ends at {}", self.name, written(end)),
            None => format!("there is no certificate for {}", self.name),
        };
        let times = match self.failures {
            1 => "the last attempt failed".to_owned(),
            times => format!("the last {times} attempts failed"),
        };
        Some(format!("{has}, and {times}: {why}. The CA is asked again at {}", written(self.next)))
    }
}

/// `2026-11-23 00:44:52 UTC`
pub(crate) fn written(seconds: i64) -> String {
    wall_time::readable(Timestamp(u64::try_from(seconds).unwrap_or(0) * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_says_what_is_missing_why_and_when_it_is_tried_again() {
        let mut name = NameStatus {
            name: "a.test".into(),
            not_after: None,
            next: 951_782_400,
            failures: 1,
            why: None,
        };
        assert_eq!(name.trouble(), None);
        name.why = Some("connection refused".into());
        assert_eq!(
            name.trouble().unwrap(),
            "there is no certificate for a.test, and the last attempt failed: connection refused. \
             The CA is asked again at 2000-02-29 00:00:00 UTC"
        );
        (name.not_after, name.failures) = (Some(951_782_400), 3);
        let told = name.trouble().unwrap();
        assert!(
            told.contains("ends at 2000-02-29 00:00:00 UTC, and the last 3 attempts"),
            "{told}"
        );
    }
}
