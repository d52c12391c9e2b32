//! When the certificates of listeners end.

use crate::data_path::CertificateExpiry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};

/// Reads them from the data path.
pub(crate) type CertificateSource = Box<dyn Fn() -> Vec<CertificateExpiry> + Send + Sync>;

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
