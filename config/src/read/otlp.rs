//! `[otlp]`: spans of requests, for a collector of OpenTelemetry.

use crate::collection::Map;
use crate::net::{HeaderName, WebUrl};
use crate::read::Surroundings;
use crate::read::headers::HeaderText;
use crate::reader::{Fault, Reader, Text, fault};
use crate::settings::OtlpSettings;
use crate::table::table;
use serinus_routing::Weight;
use std::path::PathBuf;

table! {
    /// Traces of requests, sent to a collector (OTLP over HTTP).
    OtlpFile {
        /// Where traces are sent to, with the path: "http://127.0.0.1:4318/v1/traces".
        @required endpoint: WebUrl,
        /// What the proxy is called in traces (service.name).
        service_name: ServiceName = "serinus",
        /// Percent of the traces that begin here and are recorded. One that came in is recorded if its
        /// parent was.
        sample: Weight = 100,
        /// Headers of every message to the collector, { authorization = "Bearer ..." }.
        headers: Map<HeaderName, HeaderText>,
        /// Path of the authorities, PEM, that the collector is verified by. Without it, those of the machine.
        ca: PathBuf,
    }
}

/// What a program is called in traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceName(String);

impl Text for ServiceName {
    const WHAT: &'static str = "a name";
    const EXAMPLE: &'static str = "\"edge-eu\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if (1..=128).contains(&text.len()) && !text.chars().any(char::is_control) {
            return Ok(ServiceName(text.to_owned()));
        }
        Err(fault(
            "a name in traces has from 1 to 128 bytes on one line",
            "write one like \"edge-eu\"",
        ))
    }
}

impl OtlpFile {
    pub(crate) fn settle(
        self,
        surroundings: &Surroundings,
        reader: &mut Reader,
    ) -> Option<OtlpSettings> {
        let endpoint = self.endpoint?;
        let authorities = match self.ca {
            Some(ca) if endpoint.value.0.starts_with("http://") => {
                let help = "leave it out, or write https:// in 'endpoint'";
                return reader.fault(&ca.key, fault("'ca' where no TLS is spoken", help));
            }
            ca => ca.map(|ca| surroundings.path(&ca.value)),
        };
        let entries = self.headers.map(|map| map.value.entries).unwrap_or_default();
        let headers = entries.into_iter().map(|(name, value)| {
            let name = http::HeaderName::from_bytes(name.value.0.as_bytes()).ok()?;
            let mut value = value?.value.0;
            value.set_sensitive(true); // most are keys of the collector's users
            Some((name, value))
        });
        Some(OtlpSettings {
            endpoint: endpoint.value.0,
            service_name: self.service_name?.value.0,
            sample: self.sample?.value,
            headers: headers.collect::<Option<_>>()?,
            authorities,
        })
    }
}
