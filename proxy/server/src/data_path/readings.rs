//! What the data path knows of itself, for the metrics page, the API and the command line.

use super::certificates::CertificateExpiry;
use super::endpoints::EndpointStatus;
use super::recorder::Totals;
use super::rejection::Reason;
use super::{DataPath, view};
use serinus_routing::Variant;
use std::sync::Arc;
use std::time::Instant;

/// Cumulative counts of one variant on one route, for the metrics page.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTotals {
    /// The route's name.
    pub route: Arc<str>,
    /// The service it leads to.
    pub service: Arc<str>,
    /// Which variant answered.
    pub variant: Variant,
    /// The counts.
    pub totals: Totals,
}

/// Cumulative counts of one variant of a service, for the metrics page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTotals {
    /// The service's name.
    pub service: Arc<str>,
    /// Which variant.
    pub variant: Variant,
    /// Requests asked of another endpoint of the variant.
    pub retries: u64,
    /// Requests turned away because every endpoint was full.
    pub refused: u64,
    /// Too few endpoints are well, so all are asked.
    pub panic: bool,
}

impl DataPath {
    /// Everything ever counted, by route and variant.
    pub fn totals(&self) -> Vec<RouteTotals> {
        let setup = self.0.setup();
        let recorders = setup.recorders.iter().flat_map(|pair| [&pair.stable, &pair.canary]);
        recorders
            .map(|recorder| RouteTotals {
                route: Arc::clone(&recorder.route),
                service: Arc::clone(&recorder.service),
                variant: recorder.variant,
                totals: recorder.totals(),
            })
            .collect()
    }

    /// Spans that the collector took, and those that were lost; none where there is no collector.
    pub(crate) fn spans(&self) -> Option<(u64, u64)> {
        let setup = self.0.setup();
        setup.exporter.as_ref().map(|_| setup.spans.read())
    }

    /// When the certificates of all listeners end.
    pub fn certificates(&self) -> Vec<CertificateExpiry> {
        self.0.expiries()
    }

    /// Requests that the proxy itself turned away, by reason.
    pub fn rejections(&self) -> Vec<(Reason, u64)> {
        let of =
            |reason: Reason| self.0.workers.iter().map(|worker| worker.rejections.of(reason)).sum();
        Reason::ALL.iter().map(|reason| (*reason, of(*reason))).collect()
    }

    /// Every endpoint of every service, in the order of the configuration.
    pub fn endpoints(&self) -> Vec<(Arc<str>, Vec<EndpointStatus>)> {
        let setup = Arc::clone(&self.0.setup());
        let now = Instant::now();
        let of = |service: &view::ServiceSetup| {
            let variants = Variant::ALL.into_iter().zip(service.pools());
            let status = variants.flat_map(|(variant, pool)| pool.status(variant, now)).collect();
            (Arc::clone(&service.name), status)
        };
        setup.services.iter().map(of).collect()
    }

    /// What happened to requests besides their answers, by service and variant.
    pub fn service_totals(&self) -> Vec<ServiceTotals> {
        let setup = Arc::clone(&self.0.setup());
        let of = |service: &view::ServiceSetup| {
            let variants = Variant::ALL.into_iter().zip(service.pools());
            let totals = variants.map(|(variant, pool)| {
                let (retries, refused) = service.counters.read(variant);
                let (service, panic) = (Arc::clone(&service.name), pool.is_in_panic());
                ServiceTotals { service, variant, retries, refused, panic }
            });
            totals.collect::<Vec<_>>()
        };
        setup.services.iter().flat_map(of).collect()
    }

    /// Clients ever sent elsewhere, by route.
    pub fn redirects(&self) -> Vec<(Arc<str>, u64)> {
        let setup = self.0.setup();
        setup.redirects.iter().map(|tally| (Arc::clone(&tally.route), tally.read())).collect()
    }

    /// By service that is mirrored: copies that its canary answered, and those left out or in vain.
    pub fn mirrored(&self) -> Vec<(Arc<str>, u64, u64)> {
        let setup = self.0.setup();
        let of = |service: &view::ServiceSetup| {
            let (answered, left_out) = service.mirror.as_ref()?.read();
            Some((Arc::clone(&service.name), answered, left_out))
        };
        setup.services.iter().filter_map(of).collect()
    }
}
