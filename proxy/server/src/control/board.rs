//! What the rest of the process may know of the control loop: written there, read by the admin side.

use super::drains::Drains;
use super::events::Events;
use super::fixed::Fixed;
use super::journal::Health;
use super::past::Past;
use crate::acme::Progress;
use crate::learning::Report;
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use serinus_config::Settings;
use serinus_models::{Pair, Resources};
use serinus_rollout::{RecordKind, ServiceStatus};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the process is between its start and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lifecycle {
    /// Listeners are not open yet.
    Starting,
    /// Requests are answered.
    Serving,
    /// Told to stop: finishing what is in flight.
    Draining,
}

/// The last attempt to read the configuration again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Reload {
    /// Why it was refused; none if it was taken, or never tried.
    pub(crate) refused: Option<String>,
    /// What of it waits for a restart.
    pub(crate) needs_restart: Vec<String>,
}

/// The model in use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Model {
    /// Its name; none where the detector decides alone.
    pub(crate) id: Option<String>,
    /// Why a model was refused.
    pub(crate) trouble: Option<String>,
}

/// Models since the start, by what became of them.
#[derive(Debug, Default)]
pub(crate) struct ModelCounts {
    pub(crate) trained: AtomicU64,
    pub(crate) replaced: AtomicU64,
    pub(crate) rejected: AtomicU64,
}

/// The proxy as `GET /api/v1/proxy` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProxyStatus {
    pub(crate) version: String,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) pid: u32,
    pub(crate) config_file: PathBuf,
    pub(crate) config_hash: String,
    pub(crate) model_id: Option<String>,
    /// What a person should know, in words.
    pub(crate) troubles: Vec<String>,
    pub(crate) reload: Reload,
    /// Why the last upgrade was none, if it was.
    pub(crate) upgrade_failed: Option<String>,
    /// What only a restart can change.
    pub(crate) fixed: Fixed,
}

/// Every cell is replaced as a whole: readers never wait and never see half of it.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) config_file: PathBuf,
    pub(crate) events: Events,
    pub(crate) lifecycle: ArcSwap<Lifecycle>,
    pub(crate) services: ArcSwap<Vec<ServiceStatus>>,
    /// The configuration in force.
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) reload: ArcSwap<Reload>,
    pub(crate) model: ArcSwap<Model>,
    /// What the learning thread knows.
    pub(crate) learning: ArcSwap<Report>,
    pub(crate) models: ModelCounts,
    /// The last minutes of every service with a canary.
    pub(crate) past: Past,
    pub(crate) journal: Arc<ArcSwap<Health>>,
    /// What the endpoints' processes use, by service, where they tell.
    pub(crate) resources: ArcSwap<BTreeMap<Arc<str>, Pair<Resources>>>,
    /// How it stands with certificates of CAs.
    pub(crate) acme: Arc<Progress>,
    /// Why the last upgrade was none, if it was.
    pub(crate) upgrade: ArcSwap<Option<String>>,
    /// Why nothing is judged now.
    pub(crate) judgement: ArcSwap<Option<String>>,
    /// Endpoints that an operator has taken out.
    pub(crate) drains: Drains,
    /// What only a restart can change, as it was at the start.
    fixed: Fixed,
    /// Ended rollouts since the start, by service and outcome.
    ended: Mutex<BTreeMap<(Arc<str>, &'static str), u64>>,
}

impl Board {
    pub(crate) fn new(
        config_file: PathBuf,
        settings: Arc<Settings>,
        journal: Arc<ArcSwap<Health>>,
    ) -> Self {
        Board {
            config_file,
            events: Events::default(),
            lifecycle: ArcSwap::from_pointee(Lifecycle::Starting),
            services: ArcSwap::default(),
            drains: Drains::in_directory(&settings.server.state_dir),
            fixed: Fixed::of(&settings),
            settings: ArcSwap::new(settings),
            reload: ArcSwap::default(),
            model: ArcSwap::default(),
            learning: ArcSwap::default(),
            models: ModelCounts::default(),
            past: Past::default(),
            journal,
            resources: ArcSwap::default(),
            acme: Arc::default(),
            upgrade: ArcSwap::default(),
            judgement: ArcSwap::default(),
            ended: Mutex::default(),
        }
    }

    /// Counts the end of a rollout; other kinds are none.
    pub(crate) fn count(&self, service: Option<&Arc<str>>, kind: RecordKind) {
        let models = match kind {
            RecordKind::ModelTrained => Some(&self.models.trained),
            RecordKind::ModelReplaced => Some(&self.models.replaced),
            RecordKind::ModelRejected => Some(&self.models.rejected),
            _ => None,
        };
        if let Some(models) = models {
            models.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = match kind {
            RecordKind::Promoted => "promoted",
            RecordKind::RolledBack => "rolled_back",
            RecordKind::Aborted => "aborted",
            _ => return,
        };
        if let Some(service) = service {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            *ended.entry((service.clone(), outcome)).or_default() += 1;
        }
    }

    /// Ended rollouts of a service since the start: promoted, rolled back, aborted.
    pub(crate) fn ended(&self, service: &Arc<str>) -> [(&'static str, u64); 3] {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ["promoted", "rolled_back", "aborted"]
            .map(|outcome| (outcome, ended.get(&(service.clone(), outcome)).copied().unwrap_or(0)))
    }

    /// What a person should know, in words; empty if all is well.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if let Health::Failing { since, why } = &**self.journal.load() {
            let seconds = since.elapsed().unwrap_or_default().as_secs();
            troubles.push(format!(
                "the journal has not worked for {seconds} s: {why}. Users are protected, but nobody new is sent to a canary"
            ));
        }
        if let Some(why) = &**self.judgement.load() {
            troubles.push(why.clone());
        }
        let model = self.model.load();
        if let Some(why) = &model.trouble {
            let instead = match &model.id {
                Some(id) => format!("model {id} judges instead"),
                None => "the detector decides alone, with a stricter threshold".to_owned(),
            };
            troubles.push(format!("{why}; {instead}"));
        }
        troubles.extend(self.learning.load().trouble.clone());
        if let Some(why) = &self.reload.load().refused {
            troubles.push(format!(
                "the configuration file was refused, the one before is in force:\n{why}"
            ));
        }
        troubles.extend(self.acme.troubles());
        if let Some(why) = &**self.upgrade.load() {
            troubles.push(format!("the last upgrade failed, this process goes on: {why}"));
        }
        troubles
    }

    pub(crate) fn proxy_status(&self) -> ProxyStatus {
        ProxyStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lifecycle: **self.lifecycle.load(),
            pid: std::process::id(),
            config_file: self.config_file.clone(),
            config_hash: self.settings.load().hash.clone(),
            model_id: self.model.load().id.clone(),
            troubles: self.troubles(),
            reload: Reload::clone(&self.reload.load()),
            upgrade_failed: Option::clone(&self.upgrade.load()),
            fixed: self.fixed.clone(),
        }
    }

    /// What only a restart can change, as it was at the start.
    pub(crate) fn fixed(&self) -> &Fixed {
        &self.fixed
    }
}

/// A journal that has just begun to fail.
#[cfg(test)]
pub(crate) fn failing(why: &str) -> Health {
    Health::Failing { since: std::time::SystemTime::now(), why: why.to_owned() }
}
