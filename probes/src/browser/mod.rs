//! A real browser as a synthetic user: Chromium, driven by a worker that is a process of its own.
//!
//! The worker gets the steps on its standard input and tells of each on its standard output. Everything that
//! the browser asks for comes through the [`Gate`], which puts the probe's marks on it and leads to the one
//! endpoint of the run. The worker and its browser end with the run, with its deadline, and with this process.

mod gate;
mod program;
mod recording;
mod report;
mod worker;

pub(crate) use program::AT_ONCE;
pub use program::{Browsers, Missing};
pub use recording::{Recording, RecordingError, Recordings};

use crate::expect::Failure;
use crate::run::{ProbeRun, RunContext};
use crate::target::Target;
use gate::Gate;
use recording::Played;
use report::Report;
use serinus_config::ProbeDefinition;
use serinus_models::Outcome;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use worker::{Line, Worker};

/// For Chromium to begin; the site has no part in it.
const START: Duration = Duration::from_secs(30);

/// What a run in a browser takes besides the definition.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) recording: Arc<Recording>,
    pub(crate) browsers: Browsers,
}

/// Why a run did not take place: nothing is known of the variant then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotRun(pub String);

/// Plays a recording against one endpoint.
///
/// # Errors
/// There is no browser, or it did not begin, or it had to be ended for what it used.
pub(crate) async fn play(
    definition: &ProbeDefinition,
    target: &Target,
    context: &RunContext,
    stage: &Stage,
) -> Result<ProbeRun, NotRun> {
    let programs = stage.browsers.programs().map_err(|missing| NotRun(missing.to_string()))?;
    let mut report = Report::new(definition, target, context, &stage.recording);
    let played = stage.recording.played(definition, target, context);
    let played = match played {
        Ok(played) => played,
        Err((step, why)) => return Ok(report.refused(step, Failure::assertion(why))),
    };
    let gate = Gate::open(&played.host, target, &definition.name, context)
        .await
        .map_err(|error| NotRun(format!("no gate for the browser: {error}")))?;
    let mut worker = Worker::start(&programs, &job(&played, &gate, &stage.browsers))
        .await
        .map_err(|error| NotRun(format!("cannot start {}: {error}", programs.worker.display())))?;
    match timeout(START, worker.next()).await {
        Ok(Some(Line::Ready)) => {}
        Ok(Some(Line::Unable(why))) => return Err(NotRun(why)),
        Ok(_) => return Err(NotRun(format!("{} ended at once", programs.worker.display()))),
        Err(_) => return Err(NotRun(format!("the browser did not begin within {START:?}"))),
    }
    let deadline = Instant::now() + definition.timeout;
    report.begin(gate.seen());
    loop {
        match timeout_at(deadline, worker.next()).await {
            Ok(Some(Line::Begin(step))) => report.step(step, gate.seen()),
            Ok(Some(Line::Done(done))) => report.done(done, gate.seen()),
            Ok(Some(Line::End)) => break,
            Ok(Some(Line::Unable(why))) => return Err(NotRun(why)),
            Ok(Some(Line::Ready)) => {}
            Ok(None) => return Err(NotRun("the browser's worker ended in the middle".to_owned())),
            Err(_) => {
                let limit = definition.timeout;
                let message =
                    format!("expected the run to end within {limit:?}, it was still in this step");
                report.cut_short(Failure { outcome: Outcome::Timeout, message }, gate.seen());
                break;
            }
        }
    }
    Ok(report.finish(gate.seen()))
}

fn job(played: &Played, gate: &Gate, browsers: &Browsers) -> serde_json::Value {
    serde_json::json!({
        "gate": gate.address().to_string(),
        "max_memory": browsers.max_memory,
        "step_timeout_ms": played.step_timeout.as_millis() as u64,
        "steps": played.steps,
    })
}
