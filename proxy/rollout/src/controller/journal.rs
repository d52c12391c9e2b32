//! What goes to the disk: records, whether they got there, and what was heard for a replay.

use super::Controller;
use crate::heard::{Answer, Heard, Scheme};
use crate::machine::Change;
use crate::message::{Output, Ticket};
use crate::record::{Record, RecordKind};
use crate::service::{Pending, ServiceRollout};
use serde_json::{Value, json};
use serinus_models::Timestamp;

/// Protective records kept for a journal that does not write; older ones give way, since each
/// carries the whole state.
const MAX_UNSAVED: usize = 256;

impl Controller {
    /// Hands a record to the journal and to whoever listens.
    pub(super) fn write(&mut self, record: Record) {
        self.outputs.push(Output::Notify(Box::new(record.clone())));
        self.append(record);
    }

    fn append(&mut self, record: Record) {
        let ticket = self.ticket();
        self.unacknowledged.insert(ticket, record.clone());
        self.ask(ticket, record);
    }

    /// Asks the disk to take a record.
    pub(super) fn ask(&mut self, ticket: Ticket, record: Record) {
        if let Some(service) = &record.service {
            self.asked.insert(ticket, (service.clone(), record.at, record.kind));
        }
        self.outputs.push(Output::Append { ticket, record: Box::new(record) });
    }

    pub(super) fn answered(&mut self, ticket: Ticket, durable: bool) {
        if let Some((service, at, kind)) = self.asked.remove(&ticket) {
            if let Some(at) = self.position(&service) {
                self.remember_unkept_load(at);
            }
            self.remember(Heard::Answered(Answer { service, at, kind, durable }));
        }
    }

    pub(super) fn durable(&mut self, now: Timestamp, ticket: Ticket) {
        self.unacknowledged.remove(&ticket);
        let Some(at) = self.waiting_for(ticket) else { return };
        if let Some(Pending { mut change, .. }) = self.services[at].pending.take() {
            // Told as it was written: by its state it is known to be the same record.
            let record = self.record_of(now, at, &change);
            // The hold counts from when users are there, not from when the disk was asked.
            change.state.stage_started = now;
            self.services[at].unwritable = false;
            self.services[at].apply(now, &change);
            self.publish_weights(&[at]);
            self.outputs.push(Output::Notify(Box::new(record)));
            self.tell_urgency(at);
        }
    }

    pub(super) fn not_durable(&mut self, ticket: Ticket) {
        if let Some(record) = self.unacknowledged.remove(&ticket) {
            if self.unsaved.len() >= MAX_UNSAVED {
                self.unsaved.remove(0);
            }
            self.unsaved.push(record);
        }
        if let Some(at) = self.waiting_for(ticket) {
            // It did not happen. The next look decides anew; a start is asked for again there too.
            self.services[at].unwritable = true;
            let pending = self.services[at].pending.take();
            if let Some(Pending { change, .. }) = pending
                && change.kind == RecordKind::RolloutStarted
            {
                self.services[at].unstarted = Some(change);
            }
        }
    }

    /// Writes again what could not be written: called at every tick, so about once a second.
    pub(super) fn retry_unsaved(&mut self, now: Timestamp) {
        for record in std::mem::take(&mut self.unsaved) {
            self.append(record);
        }
        for at in 0..self.services.len() {
            if let Some(mut change) = self.services[at].unstarted.take() {
                change.state.rollout_started = now;
                change.state.stage_started = now;
                self.change(now, at, change);
            }
        }
    }

    pub(super) fn record_of(&self, now: Timestamp, at: usize, change: &Change) -> Record {
        let mut record = self.blank(now, change.kind, at, change.text.clone());
        record.state = Some(change.state.clone());
        record.evaluation = self.services[at].last_evaluation().cloned();
        if let Some(reason) = &change.reason {
            record.details = json!({ "reason": reason });
        }
        if let Some(leaving) = &change.state.leaving {
            record.details["step"] = json!(leaving.taken);
            record.details["steps"] = json!(leaving.weights.len());
            record.details["then"] = json!(leaving.then);
        }
        record
    }

    pub(super) fn blank(
        &self,
        now: Timestamp,
        kind: RecordKind,
        at: usize,
        text: String,
    ) -> Record {
        Record {
            at: now,
            kind,
            service: Some(self.services[at].plan.name.clone()),
            text,
            state: None,
            evaluation: None,
            details: Value::Null,
            config_hash: self.config_hash.clone(),
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        Scheme {
            config_hash: self.config_hash.clone(),
            services: self.services.iter().map(|rollout| rollout.plan.clone()).collect(),
            model: self.predictor.as_ref().map(|predictor| predictor.id().to_owned()),
        }
    }

    pub(super) fn remember(&mut self, heard: Heard) {
        self.heard.push(heard);
    }

    /// Remembers what a service carries, if looks that were not kept have changed it.
    pub(super) fn remember_unkept_load(&mut self, at: usize) {
        if !self.services[at].load_is_kept {
            self.remember_load(at);
        }
    }

    /// Remembers what a service carries, so that a replay can begin here.
    pub(super) fn remember_load(&mut self, at: usize) {
        let service = self.services[at].plan.name.clone();
        let load = self.services[at].keep_load();
        self.remember(Heard::Carried { service, load });
    }

    fn waiting_for(&self, ticket: Ticket) -> Option<usize> {
        let waits = |rollout: &ServiceRollout| {
            rollout.pending.as_ref().is_some_and(|pending| pending.ticket == ticket)
        };
        self.services.iter().position(waits)
    }
}
