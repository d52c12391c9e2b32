//! What a replay looks up: models, records, and the settings to judge by.

use crate::control::{journal::Reader, models_at_hand};
use serinus_config::{ConfigErrors, changed_policy};
use serinus_models::{Predictor, Timestamp};
use serinus_rollout::{Library, RolloutPolicy, ServiceState, UnknownModel};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// For one service, with or without a change of settings.
pub(super) struct Shelf<'a> {
    pub(super) reader: &'a Reader,
    pub(super) service: Arc<str>,
    directory: PathBuf,
    models: Vec<Arc<Predictor>>,
    changes: &'a [String],
    errors: RefCell<Option<ConfigErrors>>,
    /// Settings that were in force, one after the other.
    in_force: RefCell<Vec<RolloutPolicy>>,
}

impl<'a> Shelf<'a> {
    /// Models come from this build and from the journal's folder.
    pub(super) fn new(reader: &'a Reader, file: &Path, service: Arc<str>) -> Self {
        let directory = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Shelf {
            reader,
            service,
            models: models_at_hand(&directory),
            directory,
            changes: &[],
            errors: RefCell::default(),
            in_force: RefCell::default(),
        }
    }

    /// The same with settings changed.
    pub(super) fn with<'b>(&self, changes: &'b [String]) -> Shelf<'b>
    where
        'a: 'b,
    {
        Shelf {
            reader: self.reader,
            service: self.service.clone(),
            directory: self.directory.clone(),
            models: self.models.clone(),
            changes,
            errors: RefCell::default(),
            in_force: RefCell::default(),
        }
    }

    /// What is wrong with the changes, if something is.
    pub(super) fn take_errors(&self) -> Option<ConfigErrors> {
        self.errors.borrow_mut().take()
    }

    /// The changes with what they took the place of.
    pub(super) fn told_changes(&self) -> Vec<String> {
        let in_force = self.in_force.borrow();
        let of = |policy: &RolloutPolicy, key: &str| {
            let policy = serde_json::to_value(policy).unwrap_or_default();
            match &policy[key] {
                plain @ (serde_json::Value::Number(_) | serde_json::Value::String(_)) => {
                    Some(plain.to_string().trim_matches('"').to_owned())
                }
                _ => None,
            }
        };
        let told = |change: &String| {
            let key = change.split('=').next().unwrap_or_default().trim();
            let mut before: Vec<String> =
                in_force.iter().filter_map(|policy| of(policy, key)).collect();
            before.dedup();
            match before.as_slice() {
                [] => change.clone(),
                before => format!("{change} (was {})", before.join(", then ")),
            }
        };
        self.changes.iter().map(told).collect()
    }

    /// What to do about a model that is not at hand.
    pub(super) fn explain(&self, missing: &UnknownModel) -> anyhow::Error {
        let known: Vec<&str> = self.models.iter().map(|model| model.id()).collect();
        anyhow::anyhow!(
            "model {} took part in the decisions on {}, and there is none of that name: this build ships with, and {} has, {}. \
             Put its file (model.*) into that folder, or replay with the build that judged",
            missing.0,
            self.service,
            self.directory.display(),
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )
    }
}

impl Library for Shelf<'_> {
    fn model(&self, id: &str) -> Option<Arc<Predictor>> {
        self.models.iter().find(|model| model.id() == id).cloned()
    }

    fn state_before(&self, at: Timestamp) -> Option<ServiceState> {
        // What cannot be read is not known: then nothing begins here.
        self.reader.state_before(&self.service, at).ok().flatten()
    }

    fn policy(&self, in_force: &RolloutPolicy) -> RolloutPolicy {
        if self.changes.is_empty() {
            return in_force.clone();
        }
        self.in_force.borrow_mut().push(in_force.clone());
        match changed_policy(in_force, self.changes) {
            Ok(policy) => policy,
            Err(errors) => {
                self.errors.borrow_mut().get_or_insert(errors);
                in_force.clone()
            }
        }
    }

    fn is_changed(&self) -> bool {
        !self.changes.is_empty()
    }
}
