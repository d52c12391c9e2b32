//! One run of a probe against one endpoint.

use crate::browser::{self, NotRun, Stage};
use crate::inputs::Inputs;
use crate::journey::Journey;
use crate::marks::Signer;
use crate::orca::LoadReport;
use crate::phases::Phases;
use crate::rows::Row;
use crate::secrets::Secrets;
use crate::target::Target;
use serinus_config::ProbeDefinition;
use serinus_models::{Outcome, ProbeResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What one run is given besides its definition.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// Names the run: 16 hex digits, in `x-synthetic` and in results.
    pub run: String,
    /// Where `random.*` comes from: the same seed gives the same inputs.
    pub seed: u64,
    /// Behind `secret.*`.
    pub secrets: Arc<Secrets>,
    /// Behind `row.*`.
    pub row: Option<Row>,
    /// Signs every request.
    pub(crate) signer: Option<Arc<Signer>>,
    /// What a browser plays, and with what; none for probes that need none.
    pub(crate) stage: Option<Stage>,
}

impl RunContext {
    /// A run of its own, with the random inputs of `seed`.
    pub fn new(seed: u64, secrets: Arc<Secrets>) -> RunContext {
        let run = format!("{:016x}", fastrand::u64(..));
        RunContext { run, seed, secrets, row: None, signer: None, stage: None }
    }

    /// A run of `probe` with all that it is given; `turn` says which of its rows.
    pub fn of(seed: u64, inputs: &Inputs, probe: &str, turn: usize) -> RunContext {
        RunContext {
            row: inputs.row(probe, turn),
            signer: inputs.signer.clone(),
            stage: inputs.stage(probe),
            ..RunContext::new(seed, inputs.secrets.clone())
        }
    }
}

/// What came of a run. Holds no secret: messages are redacted before they get here.
#[derive(Debug, Clone)]
pub struct ProbeRun {
    /// The probe's name.
    pub probe: Arc<str>,
    /// The run's name.
    pub run: String,
    /// The endpoint it was run against.
    pub endpoint: String,
    /// The class of the first step that failed, or `ok`.
    pub outcome: Outcome,
    /// The steps that were begun, in order. After one that failed only those that always run.
    pub steps: Vec<StepRun>,
    /// The last load that an answer told of (ORCA).
    pub load: Option<LoadReport>,
}

/// What came of a step.
#[derive(Debug, Clone)]
pub struct StepRun {
    /// As in the definition.
    pub name: String,
    /// Its class.
    pub outcome: Outcome,
    /// The last answer's status; none where no answer came.
    pub status: Option<u16>,
    /// Where the time went.
    pub phases: Phases,
    /// Whether it went over a connection that the step before had left open.
    pub reused: bool,
    /// Redirects followed.
    pub redirects: u32,
    /// Requests that were answered: more than one with redirects, many in a browser.
    pub requests: u32,
    /// Body bytes received.
    pub bytes: u64,
    /// What went wrong, naming the step, what was expected and what came.
    pub failure: Option<String>,
    /// What the answer says, where the other variant's has to say the same; without secrets.
    pub(crate) normal_form: Option<String>,
}

impl ProbeRun {
    /// Time that the variant took: all steps, without name lookups.
    pub fn latency(&self) -> Duration {
        self.steps.iter().map(|step| step.phases.latency()).sum()
    }

    /// What went wrong, if anything did.
    pub fn failure(&self) -> Option<&str> {
        self.steps.iter().find_map(|step| step.failure.as_deref())
    }

    /// What the evaluation wants to know of it.
    pub fn result(&self) -> ProbeResult {
        let micros = u64::try_from(self.latency().as_micros()).unwrap_or(u64::MAX);
        ProbeResult { outcome: self.outcome, micros }
    }
}

/// Runs a probe once, in a browser if that is how it is defined.
///
/// # Errors
/// There is no browser to run it in: nothing is known then, and nothing has failed.
pub async fn try_probe(
    definition: &ProbeDefinition,
    target: &Target,
    context: &RunContext,
) -> Result<ProbeRun, NotRun> {
    match (&definition.browser, &context.stage) {
        (None, _) => Ok(run_probe(definition, target, context).await),
        // Boxed: a run without a browser need not carry what one with a browser takes.
        (Some(_), Some(stage)) => Box::pin(browser::play(definition, target, context, stage)).await,
        (Some(_), None) => Err(NotRun("its recording was not read".to_owned())),
    }
}

/// Runs a probe once: step after step over one connection, until one fails, all within the
/// definition's timeout. Steps that always run then have that time once more. Never fails itself: what
/// goes wrong is the result.
pub async fn run_probe(
    definition: &ProbeDefinition,
    target: &Target,
    context: &RunContext,
) -> ProbeRun {
    let deadline = Instant::now() + definition.timeout;
    let mut journey = Journey::new(definition, target, context, deadline);
    let mut steps = Vec::with_capacity(definition.steps.len());
    let mut outcome = Outcome::Ok;
    for (index, step) in definition.steps.iter().enumerate() {
        let has_failed = outcome != Outcome::Ok;
        if has_failed && !step.always_run {
            continue;
        }
        let step = journey.step(index, step).await;
        if step.outcome != Outcome::Ok && !has_failed {
            outcome = step.outcome;
            journey.clean_up_until(Instant::now() + definition.timeout);
        }
        steps.push(step);
    }
    ProbeRun {
        probe: definition.name.clone(),
        run: context.run.clone(),
        endpoint: target.endpoint.clone(),
        outcome,
        steps,
        load: journey.load(),
    }
}
