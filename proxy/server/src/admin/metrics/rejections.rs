//! Requests that the proxy itself turned away: they belong to no route and no variant.

use super::families::counter;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use std::collections::HashMap;

const NAME: &str = "serinus_requests_rejected_total";
const HELP: &str = "Requests that the proxy itself turned away, by reason.";

/// Reads the counters of the data path.
pub(crate) type RejectionSource = Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

pub(super) struct Rejections {
    source: RejectionSource,
    description: Desc,
}

impl Rejections {
    pub(super) fn new(source: RejectionSource) -> prometheus::Result<Self> {
        let labels = vec!["reason".to_owned()];
        let description = Desc::new(NAME.to_owned(), HELP.to_owned(), labels, HashMap::new())?;
        Ok(Rejections { source, description })
    }
}

impl Collector for Rejections {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(NAME.to_owned());
        family.set_help(HELP.to_owned());
        family.set_field_type(MetricType::COUNTER);
        let metrics = (self.source)();
        let metrics =
            metrics.into_iter().map(|(reason, count)| counter(&[("reason", reason)], count));
        family.set_metric(metrics.collect());
        vec![family]
    }
}
