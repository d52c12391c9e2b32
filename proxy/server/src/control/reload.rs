//! SIGHUP: the file is read again. What is good takes over as a whole; what is bad changes nothing.

use super::board::Reload;
use super::conductor::Conductor;
use super::fixed::Fixed;
use super::looking::Rhythm;
use super::parts::{self, Aims};
use crate::lifecycle::tell;
use serde_json::json;
use serinus_config::Settings;
use serinus_probes::Inputs;
use serinus_rollout::{Input, Plan, RecordKind};
use serinus_routing::RouteTable;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Reads a configuration file with everything that it needs from outside.
///
/// # Errors
/// Everything that is wrong with it, in words, one error per paragraph.
pub(crate) fn read(file: &Path) -> Result<(Settings, Inputs), String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let settings = serinus_config::parse(&text, file).map_err(|errors| errors.to_string())?;
    let inputs = parts::inputs(&settings).map_err(|error| error.to_string())?;
    Ok((settings, inputs))
}

impl Conductor {
    pub(super) fn reload(&mut self) {
        tell("RELOADING=1");
        match self.try_reload() {
            Ok(needs_restart) => {
                for warning in &self.settings.warnings {
                    tracing::warn!(%warning, "configuration");
                }
                for what in &needs_restart {
                    tracing::warn!(%what, "waits for a restart");
                }
                let mut text = format!("configuration {} is in force", self.settings.hash);
                if !needs_restart.is_empty() {
                    text += &format!("; waits for a restart: {}", needs_restart.join("; "));
                }
                let details = json!({ "needs_restart": needs_restart });
                self.board.reload.store(Arc::new(Reload { refused: None, needs_restart }));
                self.note(RecordKind::ConfigReloaded, text, details);
            }
            Err(why) => {
                let refused = Reload {
                    refused: Some(why.clone()),
                    ..Reload::clone(&self.board.reload.load())
                };
                self.board.reload.store(Arc::new(refused));
                let details = json!({ "file": self.board.config_file });
                self.note(RecordKind::ConfigRejected, why, details);
            }
        }
        tell("READY=1");
    }

    /// Answers what waits for a restart.
    fn try_reload(&mut self) -> Result<Vec<String>, String> {
        let (settings, inputs) = read(&self.board.config_file)?;
        let plan = settings.plan();
        let table = self.with_weights_of_now(&plan);
        let aims = Aims::of(&settings)
            .map_err(|error| format!("{}: {error}", self.board.config_file.display()))?;
        // The data path refuses what it cannot do (a certificate, say) before it changes anything.
        self.parts
            .data_path
            .reconfigure(&settings, table)
            .map_err(|error| format!("{}: {error:#}", self.board.config_file.display()))?;
        self.parts.probe(aims, inputs);
        self.parts.acme.apply(&settings);
        self.rhythms = Rhythm::of(&settings, &self.rhythms, Instant::now());
        self.settings = Arc::new(settings);
        self.board.settings.store(self.settings.clone());
        self.board.drains.keep(&self.parts.data_path);
        self.board.past.keep(|service| self.settings.service(service).is_some());
        self.tell(Input::ConfigChanged(plan));
        self.learn_as_configured();
        self.show();
        Ok(self.board.fixed().waits_for_restart(&Fixed::of(&self.settings)))
    }

    /// The new table with the weights of releases that go on: without them users would leave the
    /// canary for the moment until the controller has spoken.
    fn with_weights_of_now(&self, plan: &Plan) -> RouteTable {
        let services = self.board.services.load();
        let goes_on = plan.services.iter().filter_map(|service| {
            let canary = service.canary_version.as_ref()?;
            let now = services.iter().find(|status| status.name == service.name)?;
            let is_same = now.canary.as_ref().is_some_and(|version| version.version == *canary);
            is_same.then_some((service.index, now.weight))
        });
        plan.table.with_weights(goes_on)
    }
}
