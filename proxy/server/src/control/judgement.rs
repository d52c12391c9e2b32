//! The controller, kept from taking anything else down with it.
//!
//! A panic in the judgement is treated like a restart of the proxy: a new controller goes on from
//! the last states. Meanwhile the published table stays as it is. If it happens again and again,
//! judging stops for a while: weights are held, and everybody is told.

use serinus_models::{Predictor, Timestamp};
use serinus_rollout::{
    Command, CommandError, Controller, Input, Output, Plan, ServiceState, ServiceStatus, Ticket,
};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many panics ...
const MANY: usize = 3;
/// ... within this time stop the judgement for as long.
const REST: Duration = Duration::from_secs(60);

/// Tickets carry the number of their controller in the upper half: an answer for an earlier
/// controller must not pass for one of this one's.
const GENERATION_SHIFT: u32 = 32;

pub(super) struct Judgement {
    /// None while it is out of order.
    controller: Option<Controller>,
    generation: u64,
    plan: Plan,
    predictor: Option<Arc<Predictor>>,
    /// Where every rollout stood after the last change that happened.
    states: BTreeMap<Arc<str>, (Timestamp, ServiceState)>,
    panics: Vec<Instant>,
}

impl Judgement {
    /// Begins from the journal's states. The outputs come first of all.
    pub(super) fn begin(
        now: Timestamp,
        plan: Plan,
        states: Vec<(Arc<str>, ServiceState)>,
        predictor: Option<Arc<Predictor>>,
    ) -> (Self, Vec<Output>) {
        let mut judgement = Judgement {
            controller: None,
            generation: 0,
            plan,
            predictor,
            states: BTreeMap::new(),
            panics: Vec::new(),
        };
        let outputs = judgement.restart(now, states);
        (judgement, outputs)
    }

    /// Begins anew from other states: those of a journal that could not be read before.
    pub(super) fn restart(
        &mut self,
        now: Timestamp,
        states: Vec<(Arc<str>, ServiceState)>,
    ) -> Vec<Output> {
        self.states = states.into_iter().map(|(name, state)| (name, (now, state))).collect();
        self.revive(now)
    }

    /// Remembers what happened, to go on from there.
    pub(super) fn happened(&mut self, service: &Arc<str>, at: Timestamp, state: &ServiceState) {
        if self.states.get(service).is_none_or(|(before, _)| *before <= at) {
            self.states.insert(service.clone(), (at, state.clone()));
        }
    }

    /// Tells the controller something.
    pub(super) fn tell(&mut self, now: Timestamp, input: Input) -> Vec<Output> {
        let input = match input {
            Input::ConfigChanged(plan) => {
                self.plan = plan.clone();
                Input::ConfigChanged(plan)
            }
            Input::ModelLoaded(predictor) => {
                self.predictor = predictor.clone();
                Input::ModelLoaded(predictor)
            }
            Input::Durable(ticket) => match self.own(ticket) {
                Some(ticket) => Input::Durable(ticket),
                None => return Vec::new(),
            },
            Input::NotDurable(ticket) => match self.own(ticket) {
                Some(ticket) => Input::NotDurable(ticket),
                None => return Vec::new(),
            },
            input => input,
        };
        self.attempt(now, |controller| controller.handle(now, input)).unwrap_or_default()
    }

    /// Asks for a person's command. None while the judgement is out of order.
    pub(super) fn command(
        &mut self,
        now: Timestamp,
        service: &str,
        command: Command,
    ) -> Option<Result<Vec<Output>, CommandError>> {
        let mut refused = None;
        let outputs = self.attempt(now, |controller| {
            controller.command(now, service, command).unwrap_or_else(|error| {
                refused = Some(error);
                Vec::new()
            })
        })?;
        Some(match refused {
            Some(error) => Err(error),
            None => Ok(outputs),
        })
    }

    /// Every service as it stands; none while the judgement is out of order.
    pub(super) fn status(&self) -> Option<Vec<ServiceStatus>> {
        let controller = self.controller.as_ref()?;
        catch_unwind(AssertUnwindSafe(|| controller.status())).ok()
    }

    /// Whether users are on their way back and their next step should not wait for the next look.
    pub(super) fn is_step_due(&self, now: Timestamp) -> bool {
        let due = |controller: &Controller| {
            catch_unwind(AssertUnwindSafe(|| controller.is_step_due(now))).unwrap_or(false)
        };
        self.controller.as_ref().is_some_and(due)
    }

    /// Why nothing is judged now, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        self.controller.is_none().then(|| {
            "the judgement failed again and again (see the log): weights are held as they are until it works".to_owned()
        })
    }

    /// The ticket under which a record of this controller goes to the journal.
    pub(super) fn ticket(&self, ticket: Ticket) -> Ticket {
        (self.generation << GENERATION_SHIFT) | ticket
    }

    fn own(&self, ticket: Ticket) -> Option<Ticket> {
        let is_own = ticket >> GENERATION_SHIFT == self.generation;
        is_own.then_some(ticket & ((1 << GENERATION_SHIFT) - 1))
    }

    /// None while it is out of order. After a panic: the outputs of the controller that goes on.
    fn attempt(
        &mut self,
        now: Timestamp,
        act: impl FnOnce(&mut Controller) -> Vec<Output>,
    ) -> Option<Vec<Output>> {
        if self.controller.is_none() && self.has_rested() {
            return Some(self.revive(now));
        }
        let controller = self.controller.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| act(controller))) {
            Ok(outputs) => Some(outputs),
            Err(_) => {
                self.panicked();
                (self.controller.is_none() && self.panics.len() < MANY).then(|| self.revive(now))
            }
        }
    }

    fn panicked(&mut self) {
        let now = Instant::now();
        self.controller = None;
        self.panics.retain(|panic| now.duration_since(*panic) < REST);
        self.panics.push(now);
        // The panic itself was logged by the panic hook. The model may be what it stumbled over.
        self.predictor = None;
        tracing::error!(
            within_a_minute = self.panics.len(),
            "the judgement failed and begins anew from the last states, without a model"
        );
    }

    fn has_rested(&self) -> bool {
        self.panics.last().is_none_or(|panic| panic.elapsed() >= REST)
    }

    fn revive(&mut self, now: Timestamp) -> Vec<Output> {
        let states = self.states.iter().map(|(name, (_, state))| (name.clone(), state.clone()));
        let states: Vec<_> = states.collect();
        let (plan, predictor) = (self.plan.clone(), self.predictor.clone());
        self.generation += 1;
        match catch_unwind(AssertUnwindSafe(|| Controller::new(now, plan, states, predictor))) {
            Ok((controller, outputs)) => {
                self.controller = Some(controller);
                outputs
            }
            Err(_) => {
                self.panicked();
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_rollout::{Phase, RecordKind};

    const NOW: Timestamp = Timestamp(1_000);

    fn judgement(states: Vec<(Arc<str>, ServiceState)>) -> (Judgement, Vec<Output>) {
        let text = r#"
            [listener.web]
            address = "127.0.0.1:0"
            [route.shop]
            service = "shop"
            [service.shop.stable]
            version = "1"
            endpoints = ["127.0.0.1:1"]
            [service.shop.canary]
            version = "2"
            endpoints = ["127.0.0.1:2"]
        "#;
        let settings = serinus_config::parse(text, std::path::Path::new("a.toml")).unwrap();
        Judgement::begin(NOW, settings.plan(), states, None)
    }

    fn phase(judgement: &Judgement) -> Phase {
        judgement.status().unwrap()[0].phase
    }

    /// The ticket and the state of the record that asks to be written.
    fn asked(judgement: &Judgement, outputs: &[Output]) -> Option<(Ticket, ServiceState)> {
        outputs.iter().find_map(|output| match output {
            Output::Append { ticket, record } if record.kind == RecordKind::RolloutStarted => {
                Some((judgement.ticket(*ticket), record.state.clone()?))
            }
            _ => None,
        })
    }

    #[test]
    fn after_a_panic_a_new_controller_goes_on_from_the_last_states() {
        let (mut judgement, outputs) = judgement(Vec::new());
        let (ticket, state) = asked(&judgement, &outputs).unwrap();
        judgement.tell(NOW, Input::Durable(ticket));
        judgement.happened(&"shop".into(), NOW, &state);
        assert_eq!(phase(&judgement), Phase::Progressing);
        let outputs = judgement.attempt(NOW, |_| panic!("on purpose")).unwrap();
        assert!(outputs.iter().any(|output| matches!(output, Output::Publish(_))));
        assert!(asked(&judgement, &outputs).is_none(), "the rollout does not start again");
        assert_eq!(phase(&judgement), Phase::Progressing);
    }

    #[test]
    fn panics_without_end_stop_the_judgement_and_say_so() {
        let (mut judgement, _) = judgement(Vec::new());
        for _ in 0..MANY {
            assert!(judgement.trouble().is_none());
            judgement.attempt(NOW, |_| panic!("on purpose"));
        }
        assert!(judgement.trouble().unwrap().contains("weights are held"));
        assert!(judgement.tell(NOW, Input::Tick).is_empty());
        assert!(judgement.command(NOW, "shop", Command::Abort).is_none());
    }

    #[test]
    fn an_answer_for_an_earlier_controller_is_not_taken_for_one_of_this() {
        let (mut judgement, outputs) = judgement(Vec::new());
        let (before, _) = asked(&judgement, &outputs).unwrap();
        let outputs = judgement.restart(NOW, Vec::new());
        let (after, _) = asked(&judgement, &outputs).unwrap();
        judgement.tell(NOW, Input::Durable(before));
        assert_eq!(phase(&judgement), Phase::Idle, "not yet on the disk");
        judgement.tell(NOW, Input::Durable(after));
        assert_eq!(phase(&judgement), Phase::Progressing);
    }
}
