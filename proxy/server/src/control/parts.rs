//! What the control loop works with, and how a configuration is put into it.

use super::probe_log::ProbeLog;
use crate::acme::{Agent, Progress};
use crate::admin::ProbeMetrics;
use crate::data_path::DataPath;
use crate::idle_time;
use serinus_config::Settings;
use serinus_models::Pair;
use serinus_probes::orca::LoadReports;
use serinus_probes::{
    Answered, InputError, Inputs, Recordings, ResourceReader, Round, Scheduler, Secrets,
    ServiceProbes, ServiceResources, TlsError,
};
use serinus_routing::Variant;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// The data path, the probes and the readers of resources.
pub(crate) struct Parts {
    pub(crate) data_path: DataPath,
    pub(super) scheduler: Scheduler,
    pub(super) resources: ResourceReader,
    metrics: ProbeMetrics,
    /// Who asks CAs for certificates.
    pub(super) acme: Agent,
    /// Where probes run: away from the judgement, which must not lengthen what they measure.
    probing: Runtime,
}

impl Parts {
    /// Starts the probes of `settings`.
    ///
    /// # Errors
    /// No thread can be started, or a certificate or key cannot be used.
    pub(crate) fn new(
        data_path: DataPath,
        metrics: ProbeMetrics,
        acme: Arc<Progress>,
        settings: &Settings,
        inputs: Inputs,
    ) -> anyhow::Result<Parts> {
        let probing = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("probes")
            .on_thread_start(|| idle_time::use_only("probes", NICENESS))
            .enable_all()
            .build()?;
        let (counted, loads) = (metrics.clone(), data_path.loads());
        let heard = loads.clone();
        let log = ProbeLog::default();
        let hook = move |round: &Round| {
            counted.record(round);
            hear(round, &heard);
            log.tell(round);
        };
        let (traffic, requests) = (data_path.clone(), metrics.clone());
        let mut parts = Parts {
            acme: Agent::new(data_path.clone(), acme),
            data_path,
            scheduler: Scheduler::new(fastrand::u64(..), Arc::new(hook)),
            resources: ResourceReader::new(
                Arc::new(move |service| answered(&traffic, &requests, service)),
                loads,
            ),
            metrics,
            probing,
        };
        parts.probe(Aims::of(settings)?, inputs);
        Ok(parts)
    }

    /// Probes these from now on.
    pub(super) fn probe(&mut self, aims: Aims, inputs: Inputs) {
        let _within = self.probing.enter();
        if let Some(absent) = inputs.absent() {
            tracing::warn!(target: "serinus::probe", "{absent}");
        }
        for remark in inputs.recordings.remarks() {
            tracing::warn!(target: "serinus::probe", "{remark}");
        }
        self.metrics.keep(&aims.probes);
        self.scheduler.apply(&aims.probes, inputs);
        self.resources.apply(&aims.resources);
    }
}

/// How much less of a core probes get than users where they cannot be kept to idle time.
const NICENESS: i32 = 5;

/// What is probed and read, with what it takes to reach it.
pub(super) struct Aims {
    probes: Vec<ServiceProbes>,
    resources: Vec<ServiceResources>,
}

impl Aims {
    /// Everything that `settings` say.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub(super) fn of(settings: &Settings) -> Result<Aims, TlsError> {
        let (probes, resources) = (ServiceProbes::of(settings)?, ServiceResources::of(settings)?);
        Ok(Aims { probes, resources })
    }
}

/// What all probes are given: rows from their files, and secrets from the environment or from
/// `STATE_DIR/secrets/NAME`.
///
/// # Errors
/// The first that is nowhere, with the probe that needs it.
pub(crate) fn inputs(settings: &Settings) -> Result<Inputs, InputError> {
    let recordings = Recordings::read(settings)?;
    let mut names = settings.secret_names();
    names.extend(recordings.secret_names());
    let folder = settings.server.state_dir.join("secrets");
    let secrets = Secrets::read(names.clone(), |variable| {
        if let Ok(value) = std::env::var(variable) {
            return Some(value);
        }
        // Asked for NAME_FILE with neither variable set: the file of the state directory, if it is there.
        let of = variable.strip_prefix("SERINUS_SECRET_")?.strip_suffix("_FILE")?;
        let is_it = |name: &&&str| {
            name.chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
                .eq(of.chars())
        };
        let path = folder.join(names.keys().find(is_it)?);
        path.is_file().then(|| path.display().to_string())
    })?;
    Inputs::read(settings, secrets, recordings.clone())
}

/// Requests that each variant of a service has answered: what its CPU is set against.
fn answered(data_path: &DataPath, metrics: &ProbeMetrics, service: &str) -> Pair<Answered> {
    let mut requests = metrics.requests(service);
    for totals in data_path.totals().iter().filter(|totals| *totals.service == *service) {
        let variant = match totals.variant {
            Variant::Stable => &mut requests.stable,
            Variant::Canary => &mut requests.canary,
        };
        variant.live += totals.totals.codes.iter().sum::<u64>();
        variant.bytes += totals.totals.bytes;
    }
    // Copies cost the canary CPU as well.
    let mirrored = data_path.mirrored().into_iter().find(|(name, ..)| **name == *service);
    requests.canary.live += mirrored.map_or(0, |(_, answered, _)| answered);
    requests
}

/// Takes up what the answers of a round told of the load.
fn hear(round: &Round, loads: &LoadReports) {
    for (variant, run) in round.runs.each() {
        let Some(load) = &run.load else { continue };
        let service = loads.of(&round.service);
        match variant {
            "canary" => service.canary.add(load),
            _ => service.stable.add(load),
        }
    }
}
