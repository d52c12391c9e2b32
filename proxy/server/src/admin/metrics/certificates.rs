//! When the certificates of listeners end.

use crate::data_path::CertificateExpiry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};

/// Reads them from the data path.
pub(super) type CertificateSource = Box<dyn Fn() -> Vec<CertificateExpiry> + Send + Sync>;

pub(super) struct CertificateEnds {
    source: CertificateSource,
    /// Filled anew for every page: a reload may have taken certificates away.
    gauge: GaugeVec,
}

impl CertificateEnds {
    pub(super) fn new(source: CertificateSource) -> prometheus::Result<Self> {
        let options = Opts::new(
            "serinus_certificate_expiry_timestamp_seconds",
            "When a listener's certificate ends, in seconds since 1970.",
        );
        Ok(CertificateEnds { source, gauge: GaugeVec::new(options, &["listener", "name"])? })
    }
}

impl Collector for CertificateEnds {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.reset();
        for end in (self.source)() {
            self.gauge
                .with_label_values(&[&*end.listener, end.name.as_str()])
                .set(end.not_after as f64);
        }
        self.gauge.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[test]
    fn a_certificate_that_a_reload_took_away_is_no_longer_on_the_page() {
        let turn = Arc::new(AtomicI64::new(0));
        let source = Box::new(move || {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            let name = format!("{turn}.test");
            vec![CertificateExpiry {
                listener: "web".into(),
                name,
                not_after: turn,
                is_issued: false,
            }]
        });
        let ends = CertificateEnds::new(source).unwrap();
        for turn in 0..2 {
            let families = ends.collect();
            let [metric] = families[0].get_metric() else { panic!("one certificate") };
            assert_eq!(metric.get_label()[1].value(), format!("{turn}.test"));
            assert_eq!(metric.get_gauge().get_value(), turn as f64);
        }
    }
}
