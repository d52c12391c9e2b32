//! A configuration takes effect: known services go on, new ones begin, those that are gone are remembered.

use super::Controller;
use crate::leave;
use crate::machine::{self, Change};
use crate::phase::{Phase, ServiceState};
use crate::plan::{Plan, ServicePlan};
use crate::record::RecordKind;
use crate::service::ServiceRollout;
use serinus_models::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Controller {
    pub(super) fn configure(&mut self, now: Timestamp, plan: Plan) {
        let Plan { table, services, config_hash } = plan;
        self.config_hash = config_hash;
        self.table = table;
        let mut before: BTreeMap<Arc<str>, ServiceRollout> = std::mem::take(&mut self.services)
            .into_iter()
            .map(|rollout| (rollout.plan.name.clone(), rollout))
            .collect();
        let mut changes = Vec::new();
        for plan in services {
            let rollout = match before.remove(&plan.name) {
                Some(rollout) => rollout,
                None => self.revive(now, &plan),
            };
            self.services.push(adopt(rollout, plan, now, &mut changes));
        }
        for (name, rollout) in before {
            self.parked.insert(name, rollout.state);
        }
        let everyone: Vec<usize> = (0..self.services.len()).collect();
        self.publish_weights(&everyone);
        for (service, change) in changes {
            if let Some(at) = self.position(&service) {
                self.change(now, at, change);
            }
        }
        for at in everyone {
            self.tell_urgency(at);
        }
    }

    /// A service that was not configured a moment ago, perhaps one with a past.
    fn revive(&mut self, now: Timestamp, plan: &ServicePlan) -> ServiceRollout {
        let state = self
            .parked
            .remove(&plan.name)
            .unwrap_or_else(|| ServiceState::idle(plan.stable_version.clone(), now));
        ServiceRollout::new(plan.clone(), state, now)
    }
}

/// Brings a rollout under a new plan; what that changes for users is pushed to `changes`.
fn adopt(
    mut rollout: ServiceRollout,
    plan: ServicePlan,
    now: Timestamp,
    changes: &mut Vec<(Arc<str>, Change)>,
) -> ServiceRollout {
    // A change on its way was decided under the old configuration: the next look decides anew.
    rollout.pending = None;
    rollout.unstarted = None;
    let Some(canary) = plan.canary_version.clone() else {
        // A rollback is remembered while its canary is not configured: it may come back.
        let decided = rollout.state.leaving.as_ref().filter(|to| to.then != RecordKind::Withdrawn);
        if let Some(leaving) = decided {
            changes.push((plan.name.clone(), leave::end(&rollout.state, leaving, now)));
        } else if rollout.state.phase != Phase::RolledBack {
            rollout.state = ServiceState::idle(plan.stable_version.clone(), now);
        }
        rollout.reconfigure(plan);
        return rollout;
    };
    if rollout.state.canary_version.as_ref() != Some(&canary) {
        let change = machine::start(&plan.stable_version, &canary, &plan.policy, now);
        let idle = ServiceState::idle(plan.stable_version.clone(), now);
        changes.push((plan.name.clone(), change));
        return rollout.succeeded_by(plan, idle, now);
    }
    rollout.state.stable_version = plan.stable_version.clone();
    if rollout.state.is_on_trial() {
        rollout.state.stage = rollout.state.stage.min(plan.policy.stages.len().saturating_sub(1));
        let asked = machine::weight_of(&plan.policy, rollout.state.stage);
        let is_off = rollout.state.withdrawn_since.is_some() || rollout.state.leaving.is_some();
        if !is_off && asked != rollout.state.weight {
            let text = format!(
                "stage {} of {} is now {asked} by the new configuration",
                rollout.state.stage + 1,
                plan.policy.stages.len()
            );
            // Fewer users at once, more only when it is written down.
            let grows = asked > rollout.state.weight;
            let kind = if grows { RecordKind::StageAdvanced } else { RecordKind::ConfigReloaded };
            let state = ServiceState { weight: asked, ..rollout.state.clone() };
            changes.push((plan.name.clone(), Change { kind, state, reason: None, text }));
        }
    }
    rollout.reconfigure(plan);
    rollout
}
