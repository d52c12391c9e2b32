//! `/metrics`: built when it is asked for, from counters that the hot path keeps for itself.

mod acme;
mod certificates;
mod endpoints;
mod families;
mod probes;
mod rejections;
mod traces;

pub(crate) use families::{Traffic, TrafficSource};
pub(crate) use probes::ProbeMetrics;
pub(crate) use rejections::RejectionSource;

use super::Admin;
use super::failure::Failure;
use crate::control::Board;
use crate::data_path::DataPath;
use acme::AcmeFamilies;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use certificates::CertificateEnds;
use endpoints::EndpointFamilies;
use families::Families;
use prometheus::{Registry, TextEncoder};
use std::sync::Arc;

/// Everything that is on the page.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// A page of what `board`, `traffic`, `data_path` and `probes` say.
    ///
    /// # Errors
    /// Two metrics of the same name.
    pub(crate) fn new(
        board: Arc<Board>,
        traffic: TrafficSource,
        data_path: DataPath,
        probes: &ProbeMetrics,
    ) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        registry.register(Box::new(AcmeFamilies::new(board.acme.clone())?))?;
        registry.register(Box::new(Families::new(board, traffic)?))?;
        let certificates = data_path.clone();
        let source = Box::new(move || certificates.certificates());
        registry.register(Box::new(CertificateEnds::new(source)?))?;
        registry.register(Box::new(traces::Spans::new(data_path.clone())?))?;
        registry.register(Box::new(EndpointFamilies::new(data_path)?))?;
        probes.register(&registry)?;
        Ok(Metrics { registry })
    }

    /// Adds what `source` says of requests that were turned away.
    ///
    /// # Errors
    /// It has been added before.
    pub(crate) fn add_rejections(&self, source: RejectionSource) -> prometheus::Result<()> {
        self.registry.register(Box::new(rejections::Rejections::new(source)?))
    }

    pub(super) fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

pub(super) async fn page(State(admin): State<Admin>) -> Result<Response, Failure> {
    let text = admin.metrics.text().map_err(Failure::internal)?;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, text).into_response())
}
