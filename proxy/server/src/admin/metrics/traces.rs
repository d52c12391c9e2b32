//! What became of the spans for a collector.

use super::families::counter;
use crate::data_path::DataPath;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use std::collections::HashMap;

const NAME: &str = "serinus_trace_spans_total";
const HELP: &str = "Spans for the collector, by whether it took them.";

/// Reads the exporter's counters.
pub(super) struct Spans {
    data_path: DataPath,
    description: Desc,
}

impl Spans {
    pub(super) fn new(data_path: DataPath) -> prometheus::Result<Self> {
        let labels = vec!["result".to_owned()];
        let description = Desc::new(NAME.to_owned(), HELP.to_owned(), labels, HashMap::new())?;
        Ok(Spans { data_path, description })
    }
}

impl Collector for Spans {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some((sent, lost)) = self.data_path.spans() else { return Vec::new() };
        let mut family = MetricFamily::default();
        family.set_name(NAME.to_owned());
        family.set_help(HELP.to_owned());
        family.set_field_type(MetricType::COUNTER);
        let counts = [("sent", sent), ("lost", lost)];
        family.set_metric(counts.map(|(result, n)| counter(&[("result", result)], n)).into());
        vec![family]
    }
}
