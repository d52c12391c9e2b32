//! `[probe.NAME]`

use crate::collection::Map;
use crate::net::{HostHeader, Name};
use crate::number::{Length, Whole};
use crate::probe::{ProbeDefinition, SideEffect};
use crate::read::Surroundings;
use crate::read::names::Names;
use crate::read::probing::{SeasonFile, seasons};
use crate::read::step::StepFile;
use crate::reader::{At, Reader, Span, fault};
use crate::table::table;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

table! {
    /// A synthetic transaction, run against both variants of a service.
    ProbeFile {
        /// Name of the service that it watches.
        @required service: Name,
        /// The Host header of its requests. By default the first exact host of a route to the
        /// service, else the endpoint.
        host: HostHeader,
        /// Time between two rounds. While an anomaly is open rounds come up to ten times as often.
        /// Of a browser "1m" where nothing is said.
        interval: Length = "5s",
        /// For all steps of one run. Of a browser "30s" where nothing is said, its start not counted.
        timeout: Length = "5s",
        /// What a run leaves behind: "safe" (it may run ten times as often under suspicion),
        /// "creates" (twice as often at most) or "charges" (never more often, never repeated).
        side_effect: SideEffect = "safe",
        /// File of rows, CSV with a header or a JSON list: each round takes the next as {{ row.COLUMN }}.
        data: PathBuf,
        /// Times of the week with a pace of their own; the first that fits counts.
        seasons: Vec<At<SeasonFile>>,
        /// The most that is read of one body, in bytes.
        max_body: Whole<1024, 67108864> = 1048576,
        /// Requests, in order.
        step: Vec<At<StepFile>>,
        /// A recording of Chrome DevTools' Recorder (JSON) that a real browser plays, instead of steps.
        browser: PathBuf,
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
            let file = file?;
            probe(name.value, &file.span, file.value, surroundings, reader).map(Arc::new)
        })
        .collect()
}

fn probe(
    name: Name,
    header: &Span,
    file: ProbeFile,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Option<ProbeDefinition> {
    if let Some(service) = &file.service {
        surroundings.check_service(service, reader);
    }
    if file.present.contains(&"browser") {
        return browser(name, file, surroundings, reader);
    }
    let timeout = file.timeout?.value.0;
    let Some(steps) = file.step else {
        if !file.present.contains(&"step") {
            let message = format!("missing key 'step' in [probe.{}]", name.0);
            let help = format!(
                "add [[probe.{}.step]] with get = \"/\", or browser = \"recording.json\"",
                name.0
            );
            reader.fault::<()>(header, fault(message, help));
        }
        return None;
    };
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
    let mut names = Names::new(file.present.contains(&"data"));
    let mut settled = Vec::new();
    for (position, step) in steps.value.into_iter().enumerate() {
        settled.push(step.value.settle(&step.span, position == 0, timeout, &mut names, reader));
    }
    let seasons = seasons(file.seasons, reader);
    let side_effect = file.side_effect?;
    let settled = settled.into_iter().collect::<Option<Vec<_>>>()?;
    let compares = settled.iter().any(|step| step.expect.same_as_stable.is_some());
    if side_effect.value == SideEffect::Charges && compares {
        let message = "same_as_stable asks stable a second time where the answers differ";
        let help = "a journey that charges is never repeated: compare with rules instead";
        return reader.fault(&side_effect.span, fault(message, help));
    }
    let service = file.service?.value.0;
    let (secrets, columns) = names.into_secrets_and_columns();
    Some(ProbeDefinition {
        name: name.0.into(),
        host: file
            .host
            .map(|host| host.value.0)
            .or_else(|| surroundings.hosts.get(&service).cloned()),
        service,
        interval: file.interval?.value.0,
        timeout,
        side_effect: side_effect.value,
        data: file.data.map(|at| surroundings.path(&at.value)),
        seasons: seasons?,
        max_body: file.max_body?.value.0 as usize,
        steps: settled,
        browser: None,
        secrets,
        columns,
    })
}

/// Where nothing is said, a browser comes once a minute and has half of it.
const BROWSER_INTERVAL: Duration = Duration::from_secs(60);
const BROWSER_TIMEOUT: Duration = Duration::from_secs(30);
/// It takes seconds of a core just to begin.
const LEAST_BROWSER_INTERVAL: Duration = Duration::from_secs(10);

/// A probe that a browser plays: what it does stands in the recording, which the edge reads.
fn browser(
    name: Name,
    file: ProbeFile,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Option<ProbeDefinition> {
    if let Some(steps) = &file.step {
        let help = "keep one of them: a recording has its own steps";
        reader.fault::<()>(&steps.key, fault("a probe has steps or a browser, not both", help));
    }
    let (interval, timeout) = (file.interval?, file.timeout?);
    if interval.given && interval.value.0 < LEAST_BROWSER_INTERVAL {
        let message = "a browser cannot come that often: it takes seconds of a core to begin";
        reader
            .fault::<()>(&interval.span, fault(message, "write \"10s\" or more; \"1m\" is usual"));
    }
    let max_body = file.max_body?;
    if max_body.given {
        let help =
            "take it out: a browser reads what a page asks for, within probing.browser.max_memory";
        reader.fault::<()>(&max_body.key, fault("a browser knows no limit for a body", help));
    }
    let side_effect = file.side_effect?;
    let seasons = seasons(file.seasons, reader);
    let service = file.service?.value.0;
    Some(ProbeDefinition {
        name: name.0.into(),
        host: file
            .host
            .map(|host| host.value.0)
            .or_else(|| surroundings.hosts.get(&service).cloned()),
        service,
        interval: if interval.given { interval.value.0 } else { BROWSER_INTERVAL },
        timeout: if timeout.given { timeout.value.0 } else { BROWSER_TIMEOUT },
        side_effect: side_effect.value,
        data: file.data.map(|at| surroundings.path(&at.value)),
        seasons: seasons?,
        max_body: max_body.value.0 as usize,
        steps: Vec::new(),
        browser: Some(surroundings.path(&file.browser?.value)),
        secrets: Vec::new(),
        columns: Vec::new(),
    })
}
