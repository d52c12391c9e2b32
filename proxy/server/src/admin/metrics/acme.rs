//! How it stands with certificates that a CA issues.

use super::families::counter;
use crate::acme::Progress;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{GaugeVec, Opts};
use std::collections::HashMap;
use std::sync::Arc;

const ATTEMPTS: &str = "serinus_acme_attempts_total";
const ATTEMPTS_HELP: &str =
    "Certificates that a CA was asked for since the start, by what came of it.";

/// Reads the agent's progress.
pub(super) struct AcmeFamilies {
    progress: Arc<Progress>,
    attempts: Desc,
    /// Filled anew for every page: a reload may have taken names away.
    failures: GaugeVec,
}

impl AcmeFamilies {
    pub(super) fn new(progress: Arc<Progress>) -> prometheus::Result<Self> {
        let labels = vec!["result".to_owned()];
        let failures = Opts::new(
            "serinus_acme_failures",
            "Attempts in a row that brought no certificate for a name; 0 where the last one did.",
        );
        Ok(AcmeFamilies {
            progress,
            attempts: Desc::new(ATTEMPTS.into(), ATTEMPTS_HELP.into(), labels, HashMap::new())?,
            failures: GaugeVec::new(failures, &["name"])?,
        })
    }
}

impl Collector for AcmeFamilies {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = vec![&self.attempts];
        all.extend(self.failures.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let names = self.progress.names();
        if names.is_empty() {
            return Vec::new(); // no CA is asked
        }
        let mut family = MetricFamily::default();
        family.set_name(ATTEMPTS.to_owned());
        family.set_help(ATTEMPTS_HELP.to_owned());
        family.set_field_type(MetricType::COUNTER);
        let counts = self.progress.counts().into_iter();
        family.set_metric(counts.map(|(result, n)| counter(&[("result", result)], n)).collect());
        self.failures.reset();
        for status in names.iter() {
            self.failures.with_label_values(&[&status.name]).set(f64::from(status.failures));
        }
        let mut families = vec![family];
        families.extend(self.failures.collect());
        families
    }
}
