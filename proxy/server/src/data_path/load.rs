//! Load reports (ORCA) in answers: heard, and taken off before clients. A service that does not ask for them
//! has nothing of this, and nothing is looked at.

use http::HeaderMap;
use http::header::HeaderName;
use pingora::http::ResponseHeader;
use serinus_config::ServiceSettings;
use serinus_models::Pair;
use serinus_probes::orca::{self, LoadReports, Reports};
use serinus_routing::Variant;
use std::sync::Arc;
use std::time::Instant;

const HEADERS: [HeaderName; 2] =
    [HeaderName::from_static(orca::HEADERS[0]), HeaderName::from_static(orca::HEADERS[1])];

/// Hears the reports of one service.
#[derive(Debug)]
pub(crate) struct Hearing {
    reports: Arc<Pair<Reports>>,
    epoch: Instant,
}

impl Hearing {
    /// Of a service; none where it does not ask for reports.
    pub(crate) fn of(settings: &ServiceSettings, loads: &LoadReports) -> Option<Hearing> {
        let asked = settings.resources.as_ref().is_some_and(|resources| resources.orca);
        asked.then(|| Hearing { reports: loads.of(&settings.name), epoch: loads.epoch() })
    }

    /// The header of an answer.
    pub(crate) fn header(&self, variant: Variant, response: &mut ResponseHeader, now: Instant) {
        if HEADERS.iter().any(|name| response.headers.contains_key(name)) {
            self.hear(variant, &response.headers, now);
            HEADERS.iter().for_each(|name| drop(response.remove_header(name)));
        }
    }

    /// What comes after the body: where gRPC puts it.
    pub(crate) fn trailers(&self, variant: Variant, trailers: &mut HeaderMap, now: Instant) {
        if HEADERS.iter().any(|name| trailers.contains_key(name)) {
            self.hear(variant, trailers, now);
            orca::strip(trailers);
        }
    }

    fn hear(&self, variant: Variant, headers: &HeaderMap, now: Instant) {
        let reports = match variant {
            Variant::Stable => &self.reports.stable,
            Variant::Canary => &self.reports.canary,
        };
        reports.hear(headers, now.saturating_duration_since(self.epoch));
    }
}
