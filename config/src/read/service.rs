//! `[service.NAME]`

use crate::collection::Map;
use crate::net::{Name, PathPrefix, Version};
use crate::number::Length;
use crate::read::Surroundings;
use crate::read::balance::{BalanceFile, EjectionFile, HealthFile, LimitsFile, RetryFile};
use crate::read::endpoint::{EndpointEntry, check_repeated};
use crate::read::rollout::RolloutFile;
use crate::read::transport::{Transport, UpstreamTls};
use crate::reader::{At, Fault, Reader, Text, fault};
use crate::settings::{
    EjectionSettings, MetricNames, PoolSettings, ResourceSettings, ServiceSettings,
    TimeoutSettings, UNVERSIONED, UpstreamProtocol, VariantPaths,
};
use crate::table::table;
use std::path::PathBuf;
use std::time::Duration;

table! {
    /// An application with the version that users have, and one on trial.
    ServiceFile {
        /// The version that users have.
        @required stable: PoolFile,
        /// The version on trial. Without it the service is a plain proxy.
        canary: PoolFile,
        /// How the canary gets its users, and what takes them away.
        rollout: RolloutFile = {},
        /// Speak TLS with the endpoints: true, or how. A variant's own setting comes before it.
        tls: UpstreamTls,
        /// "http1", "h2" (over TLS) or "h2c" (HTTP/2 without TLS). A variant's own comes before it.
        protocol: UpstreamProtocol = "http1",
        /// How long upstreams may take.
        timeouts: TimeoutsFile = {},
        /// Which endpoint of a variant is asked.
        balance: BalanceFile = {},
        /// Requests that ask endpoints whether they are well. Without it nobody asks.
        health: HealthFile,
        /// Leaves endpoints out whose requests fail. Without it none is.
        ejection: EjectionFile,
        /// How much is asked of endpoints at a time.
        limits: LimitsFile = {},
        /// Asks another endpoint of the variant where an idempotent request failed. Without it only
        /// connections that cannot be made are tried again, once.
        retry: RetryFile,
        /// Where endpoints tell what they use. Without it nobody asks.
        resources: ResourcesFile,
        /// Tell users in `x-serinus-variant` which variant answered.
        expose_variant_header: bool = false,
    }
}

table! {
    /// The endpoints of one version.
    PoolFile {
        /// What names the release. Required on both sides where there is a canary: a canary that
        /// was rolled back stays out until it changes.
        version: Version,
        /// Where it runs: "host:port" of each instance, or { address = "host:port", weight = 3 }.
        @required endpoints: Vec<At<EndpointEntry>>,
        /// Speak TLS with these endpoints: true, false, or how. By default as the service says.
        tls: UpstreamTls,
        /// "http1", "h2" or "h2c". By default as the service says.
        protocol: UpstreamProtocol,
    }
}

table! {
    /// How long upstreams may take.
    TimeoutsFile {
        /// To make a connection.
        connect: Length = "2s",
        /// Between two reads of the answer, from the end of the request on.
        read: Length = "30s",
        /// Between two writes of the request.
        write: Length = "30s",
        /// As `read`, for what may be silent for long: WebSockets, event streams that the client asks for
        /// (`Accept: text/event-stream`) and gRPC calls. `attempt` does not count for them.
        stream_idle: Length = "10m",
        /// How long an idle connection is kept.
        idle: Length = "60s",
        /// One attempt, from the end of the request to the header of the answer; also longer pauses
        /// within the answer end it. Without it, read alone counts.
        attempt: Length,
        /// The whole request, with all its attempts, to the end of the answer. Without it, any time.
        total: Length,
    }
}

table! {
    /// Where endpoints tell what they use.
    ResourcesFile {
        /// Path of a Prometheus page at every endpoint; "/metrics" where nothing else is named here.
        scrape: PathPrefix,
        /// What the page's series are called, where not as usual.
        names: MetricNamesFile = {},
        /// Read `endpoint-load-metrics` (ORCA) of answers, and take it off before clients.
        orca: bool = false,
        /// Folder of a cgroup (v2) on this machine, for each variant.
        cgroup: VariantPathsFile = {},
        /// File with a process id of this machine, for each variant.
        pid_file: VariantPathsFile = {},
        /// Time between two readings.
        interval: Length = "5s",
    }
}

table! {
    /// Names of series on a Prometheus page.
    MetricNamesFile {
        /// CPU seconds, a counter; usually process_cpu_seconds_total or container_cpu_usage_seconds_total.
        cpu: MetricName,
        /// Bytes of memory; usually process_resident_memory_bytes or container_memory_working_set_bytes.
        memory: MetricName,
        /// Start in Unix seconds; usually process_start_time_seconds or container_start_time_seconds.
        start: MetricName,
        /// Bytes received, a counter; usually process_network_receive_bytes_total or container_network_receive_bytes_total.
        received: MetricName,
        /// Bytes sent, a counter; usually process_network_transmit_bytes_total or container_network_transmit_bytes_total.
        sent: MetricName,
    }
}

table! {
    /// A path for each variant.
    VariantPathsFile {
        /// Of the version that users have.
        stable: PathBuf,
        /// Of the version on trial.
        canary: PathBuf,
    }
}

/// The name of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetricName(String);

impl Text for MetricName {
    const WHAT: &'static str = "the name of a series";
    const EXAMPLE: &'static str = "\"process_cpu_seconds_total\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
        if text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit()) {
            return Ok(MetricName(text.to_owned()));
        }
        let message = format!("\"{}\" cannot be the name of a series", text.escape_debug());
        Err(fault(message, "write the name alone, without labels: \"process_cpu_seconds_total\""))
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": "^[A-Za-z_:][A-Za-z0-9_:]*$" })
    }
}

/// All services that are right.
pub(crate) fn settle(
    services: Map<Name, ServiceFile>,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Vec<ServiceSettings> {
    let entries = services.entries.into_iter();
    entries.filter_map(|(name, file)| service(&name, file?.value, surroundings, reader)).collect()
}

/// Names of the services with an endpoint that is spoken to over TLS.
pub(crate) fn encrypted(services: &Map<Name, ServiceFile>) -> Vec<String> {
    let on =
        |tls: &Option<At<UpstreamTls>>| matches!(tls, Some(At { value: UpstreamTls::On(_), .. }));
    let speaks = |file: &ServiceFile| {
        let pools = file.stable.iter().chain(&file.canary);
        on(&file.tls) || pools.into_iter().any(|pool| on(&pool.value.tls))
    };
    let entries = services.entries.iter();
    entries
        .filter(|(_, file)| file.as_ref().is_some_and(|file| speaks(&file.value)))
        .map(|(name, _)| name.value.0.clone())
        .collect()
}

fn service(
    name: &At<Name>,
    file: ServiceFile,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Option<ServiceSettings> {
    if !surroundings.routed.contains(&name.value.0) {
        reader.warn(&name.span, format!("no route leads to service '{}'", name.value.0));
    }
    let on_trial = file.present.contains(&"canary");
    let probed = surroundings.probed.contains(&name.value.0);
    let transport = Transport { tls: file.tls.as_ref(), protocol: file.protocol.as_ref() };
    let stable =
        file.stable.and_then(|stable| pool(stable, on_trial, transport, surroundings, reader));
    let canary = file.canary.and_then(|canary| pool(canary, true, transport, surroundings, reader));
    if let (Some(stable), Some(canary)) = (&stable, &canary) {
        check_difference(stable, canary, reader);
    }
    let rollout = file.rollout?.value.settle(on_trial, probed, reader);
    let timeouts = file.timeouts?.value.settle();
    let balance = file.balance?.value.settle(reader);
    let limits = file.limits?.value.settle(reader);
    let (health, ejection, retry) = (file.health, file.ejection, file.retry);
    let health = health.map(|health| health.value.settle(reader));
    let ejection = ejection.map(|ejection| ejection.value.settle(reader));
    let retry = retry.map(|retry| retry.value.settle(reader));
    let resources = file.resources.map(|resources| resources.value.settle(surroundings, reader));
    let rollout = rollout?;
    Some(ServiceSettings {
        name: name.value.0.clone(),
        stable: stable?.value.settings,
        canary: canary.map(|canary| canary.value.settings),
        policy: rollout.policy,
        sticky: rollout.sticky,
        shield: rollout.shield,
        mirror: rollout.mirror,
        expose_variant_header: file.expose_variant_header?.value,
        timeouts: timeouts?,
        balance: balance?,
        health: or_wrong(health)?,
        ejection: or_wrong(ejection)?.map(|(rule, most)| EjectionSettings { rule, most }),
        limits: limits?,
        retry: or_wrong(retry)?,
        resources: or_wrong(resources)?,
    })
}

/// What a table became: none where it is not there, `None` where it is wrong.
fn or_wrong<T>(settled: Option<Option<T>>) -> Option<Option<T>> {
    match settled {
        Some(settled) => settled.map(Some),
        None => Some(None),
    }
}

/// A pool with the places of what is compared between the two of a service.
struct PlacedPool {
    settings: PoolSettings,
    version: Option<At<Version>>,
    endpoints: Vec<At<EndpointEntry>>,
}

fn pool(
    file: At<PoolFile>,
    versioned: bool,
    service: Transport<'_>,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> Option<At<PlacedPool>> {
    let header = file.span;
    if versioned && !file.value.present.contains(&"version") {
        let message = "a service with a canary needs the versions of both sides";
        let help =
            "add version = \"...\": a canary that was rolled back stays out until it changes";
        reader.fault::<()>(&header, fault(message, help));
    }
    let endpoints = file.value.endpoints?;
    if endpoints.value.is_empty() {
        let help = "write at least one: [\"10.0.0.11:9000\"]";
        return reader.fault(&endpoints.span, fault("there is no endpoint", help));
    }
    check_repeated(&endpoints.value, reader);
    let own = Transport { tls: file.value.tls.as_ref(), protocol: file.value.protocol.as_ref() };
    let transport = own.or(service).settle(&endpoints.value, surroundings, reader)?;
    let version = file.value.version;
    let name = version.as_ref().map_or(UNVERSIONED, |version| &version.value.0);
    let settings = PoolSettings {
        version: name.to_owned(),
        endpoints: endpoints.value.iter().map(|endpoint| endpoint.value.0.clone()).collect(),
        transport,
    };
    let value = PlacedPool { settings, version, endpoints: endpoints.value };
    Some(At { value, span: header, key: file.key, given: file.given })
}

fn check_difference(stable: &At<PlacedPool>, canary: &At<PlacedPool>, reader: &mut Reader) {
    if let (Some(old), Some(new)) = (&stable.value.version, &canary.value.version)
        && old.value == new.value
    {
        let message = format!("stable and canary are both version \"{}\"", new.value.0);
        let help =
            "name what is new: a canary that was rolled back stays out until its version changes";
        reader.fault::<()>(&new.span, fault(message, help));
    }
    for endpoint in &canary.value.endpoints {
        let address = &endpoint.value.0.address;
        if stable.value.endpoints.iter().any(|other| other.value.0.address == *address) {
            let message = format!("{address} is both stable and canary");
            reader.warn(&endpoint.span, message);
        }
    }
}

impl TimeoutsFile {
    fn settle(self) -> Option<TimeoutSettings> {
        Some(TimeoutSettings {
            connect: self.connect?.value.0,
            read: self.read?.value.0,
            write: self.write?.value.0,
            stream_idle: self.stream_idle?.value.0,
            idle: self.idle?.value.0,
            attempt: given("attempt", self.attempt, &self.present)?,
            total: given("total", self.total, &self.present)?,
        })
    }
}

/// A length that need not be there; `None` where it is there and wrong.
fn given(key: &str, at: Option<At<Length>>, present: &[&str]) -> Option<Option<Duration>> {
    match at {
        Some(at) => Some(Some(at.value.0)),
        None => (!present.contains(&key)).then_some(None),
    }
}

impl ResourcesFile {
    fn settle(self, surroundings: &Surroundings, reader: &mut Reader) -> Option<ResourceSettings> {
        let pid_span = self.pid_file.as_ref()?.key.clone();
        let cgroup = self.cgroup?.value.settle(surroundings);
        let pid_file = self.pid_file?.value.settle(surroundings);
        let twice = cgroup.stable.is_some() && pid_file.stable.is_some()
            || cgroup.canary.is_some() && pid_file.canary.is_some();
        if twice {
            let help = "name a cgroup or a pid_file for a variant, not both";
            return reader.fault(&pid_span, fault("this variant has a cgroup already", help));
        }
        let orca = self.orca?.value;
        let told_otherwise =
            orca || cgroup != VariantPaths::default() || pid_file != VariantPaths::default();
        let usual = (!told_otherwise).then(|| "/metrics".to_owned());
        Some(ResourceSettings {
            scrape: match (self.scrape, self.present.contains(&"scrape")) {
                (Some(path), _) => Some(path.value.0),
                (None, true) => return None,
                (None, false) => usual,
            },
            names: self.names?.value.settle(),
            orca,
            cgroup,
            pid_file,
            interval: self.interval?.value.0,
        })
    }
}

impl VariantPathsFile {
    fn settle(self, surroundings: &Surroundings) -> VariantPaths {
        let path = |at: Option<At<PathBuf>>| at.map(|at| surroundings.path(&at.value));
        VariantPaths { stable: path(self.stable), canary: path(self.canary) }
    }
}

impl MetricNamesFile {
    fn settle(self) -> MetricNames {
        let name = |at: Option<At<MetricName>>| at.map(|at| at.value.0);
        MetricNames {
            cpu: name(self.cpu),
            memory: name(self.memory),
            start: name(self.start),
            received: name(self.received),
            sent: name(self.sent),
        }
    }
}
