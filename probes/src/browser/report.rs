//! From what the worker tells and what came through the gate to a run like any other.

use super::gate::Seen;
use super::recording::Recording;
use super::worker::Done;
use crate::expect::Failure;
use crate::phases::Phases;
use crate::run::{ProbeRun, RunContext, StepRun};
use crate::target::Target;
use serinus_config::ProbeDefinition;
use serinus_models::Outcome;
use std::time::{Duration, Instant};

pub(super) struct Report<'a> {
    context: &'a RunContext,
    names: Vec<&'a str>,
    run: ProbeRun,
    /// The step that goes on, from 0, with when it began.
    now: Option<(usize, Instant)>,
    /// What had come through when it began.
    before: Seen,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        definition: &ProbeDefinition,
        target: &Target,
        context: &'a RunContext,
        recording: &'a Recording,
    ) -> Report<'a> {
        Report {
            context,
            names: recording.step_names().collect(),
            run: ProbeRun {
                probe: definition.name.clone(),
                run: context.run.clone(),
                endpoint: target.endpoint.clone(),
                outcome: Outcome::Ok,
                steps: Vec::new(),
                load: None,
            },
            now: None,
            before: Seen::default(),
        }
    }

    /// A step that could not even be written down: an unknown name in a template.
    pub(super) fn refused(mut self, step: usize, failure: Failure) -> ProbeRun {
        self.step(step, Seen::default());
        self.end_step(Duration::ZERO, None, Some(failure), Seen::default());
        self.run
    }

    pub(super) fn begin(&mut self, seen: Seen) {
        self.before = seen;
    }

    pub(super) fn step(&mut self, step: usize, seen: Seen) {
        (self.now, self.before) = (Some((step, Instant::now())), seen);
    }

    pub(super) fn done(&mut self, done: Done, seen: Seen) {
        let failure =
            done.failure.map(|message| self.classed(message, &done.status, done.late, &seen));
        self.end_step(Duration::from_micros(done.micros), done.status, failure, seen);
    }

    /// The whole run was ended in the middle of a step.
    pub(super) fn cut_short(&mut self, failure: Failure, seen: Seen) {
        let (step, since) = *self.now.get_or_insert((0, Instant::now()));
        self.now = Some((step, since));
        self.end_step(since.elapsed(), None, Some(failure), seen);
    }

    pub(super) fn finish(mut self, seen: Seen) -> ProbeRun {
        let (seconds, told) = seen.cost;
        let cpu_seconds = (told > 0).then(|| seconds / f64::from(told));
        self.run.load = seen.load.map(|load| crate::orca::LoadReport { cpu_seconds, ..load });
        self.run
    }

    /// What the endpoint did not answer weighs more than what the page then lacked.
    fn classed(&self, message: String, status: &Option<u16>, late: bool, seen: &Seen) -> Failure {
        let is_new = self.before.failure.is_none();
        if let Some((outcome, why)) = seen.failure.as_ref().filter(|_| is_new) {
            return Failure { outcome: *outcome, message: format!("{message} ({why})") };
        }
        let outcome = match status {
            Some(500..) => Outcome::ServerError,
            _ if late => Outcome::Timeout,
            _ => Outcome::Assertion,
        };
        let failure = Failure { outcome, message };
        let new: Vec<&str> =
            seen.elsewhere.difference(&self.before.elsewhere).map(String::as_str).collect();
        if new.is_empty() {
            return failure;
        }
        failure.and(&format!("asked for and refused, as another site: {}", new.join(", ")))
    }

    fn end_step(
        &mut self,
        took: Duration,
        status: Option<u16>,
        failure: Option<Failure>,
        seen: Seen,
    ) {
        let Some((step, _)) = self.now.take() else { return };
        let name = self.names.get(step).copied().unwrap_or_default().to_owned();
        let outcome = failure.as_ref().map_or(Outcome::Ok, |failure| failure.outcome);
        let failure = failure.map(|failure| {
            let text = format!("step {} `{name}`: {}", step + 1, failure.message);
            self.context.secrets.redact(&text).into_owned()
        });
        if self.run.outcome == Outcome::Ok {
            self.run.outcome = outcome;
        }
        self.run.steps.push(StepRun {
            name,
            outcome,
            status,
            phases: Phases::undivided(took),
            reused: false,
            redirects: 0,
            requests: seen.requests.saturating_sub(self.before.requests),
            bytes: seen.bytes.saturating_sub(self.before.bytes),
            failure,
            normal_form: None,
        });
        self.before = seen;
    }
}
