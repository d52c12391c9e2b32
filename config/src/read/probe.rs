//! `[probe.NAME]`

use crate::collection::Map;
use crate::net::{HostHeader, Name};
use crate::number::Length;
use crate::probe::ProbeDefinition;
use crate::read::Surroundings;
use crate::read::names::Names;
use crate::read::step::StepFile;
use crate::reader::{At, Reader, fault};
use crate::table::table;
use std::sync::Arc;

table! {
    /// A synthetic transaction, run against both variants of a service.
    ProbeFile {
        /// Name of the service that it watches.
        @required service: Name,
        /// The Host header of its requests. By default the first exact host of a route to the
        /// service, else the endpoint.
        host: HostHeader,
        /// Time between two rounds. While an anomaly is open rounds come up to ten times as often.
        interval: Length = "5s",
        /// For all steps of one run.
        timeout: Length = "5s",
        /// Requests, in order.
        @required step: Vec<At<StepFile>>,
    }
}

/// All probes that are right.
pub(crate) fn settle(
    probes: Map<Name, ProbeFile>,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Vec<Arc<ProbeDefinition>> {
    let entries = probes.entries.into_iter();
    entries
        .filter_map(|(name, file)| {
            probe(name.value, file?.value, surroundings, reader).map(Arc::new)
        })
        .collect()
}

fn probe(
    name: Name,
    file: ProbeFile,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Option<ProbeDefinition> {
    if let Some(service) = &file.service {
        surroundings.check_service(service, reader);
    }
    let timeout = file.timeout?.value.0;
    let steps = file.step?;
    if steps.value.is_empty() {
        let help = "write at least one: [{ get = \"/\" }]";
        return reader.fault(&steps.span, fault("a probe without steps sees nothing", help));
    }
    let expectations = steps.value.iter().filter_map(|step| step.value.expect.as_ref());
    let days = expectations.filter_map(|expect| expect.value.certificate_days_left.as_ref());
    if let (Some(days), Some(service)) = (days.into_iter().next(), &file.service)
        && !surroundings.encrypted.contains(&service.value.0)
    {
        let message = "there is no certificate: the service speaks no TLS";
        let help = format!("add tls = true to [service.{}], or leave it out", service.value.0);
        reader.fault::<()>(&days.key, fault(message, help));
    }
    let mut names = Names::default();
    let mut settled = Vec::new();
    for (position, step) in steps.value.into_iter().enumerate() {
        settled.push(step.value.settle(&step.span, position == 0, timeout, &mut names, reader));
    }
    let service = file.service?.value.0;
    Some(ProbeDefinition {
        name: name.0.into(),
        host: file
            .host
            .map(|host| host.value.0)
            .or_else(|| surroundings.hosts.get(&service).cloned()),
        service,
        interval: file.interval?.value.0,
        timeout,
        steps: settled.into_iter().collect::<Option<_>>()?,
        secrets: names.into_secrets(),
    })
}
