//! A run under way: the connection, the cookies, the captures and the page between two steps.

use crate::capture::capture;
use crate::client::{Client, Progress};
use crate::cookies::Jar;
use crate::expect::{self, Failure};
use crate::page::Page;
use crate::received::Received;
use crate::request::{Outgoing, Site};
use crate::run::{RunContext, StepRun};
use crate::sameness::normal_form;
use crate::target::Target;
use crate::template::Templates;
use serde_json::{Map, Value};
use serinus_config::{ProbeDefinition, Step};
use serinus_models::Outcome;
use std::error::Error;
use tokio::time::{Instant, timeout_at};

/// Redirects followed in one step; browsers stop at 20, k6 at 10.
const MOST_REDIRECTS: u32 = 10;

pub(crate) struct Journey<'a> {
    definition: &'a ProbeDefinition,
    target: &'a Target,
    context: &'a RunContext,
    deadline: Instant,
    client: Client<'a>,
    jar: Jar,
    captures: Map<String, Value>,
    page: Option<Page>,
    /// W3C trace id, never zero.
    trace: u128,
}

impl<'a> Journey<'a> {
    pub(crate) fn new(
        definition: &'a ProbeDefinition,
        target: &'a Target,
        context: &'a RunContext,
        deadline: Instant,
    ) -> Self {
        Journey {
            definition,
            target,
            context,
            deadline,
            client: Client::new(target),
            jar: Jar::default(),
            captures: Map::new(),
            page: None,
            trace: fastrand::u128(1..),
        }
    }

    /// Runs one step to its end or to the deadline. `index` counts from 0.
    pub(crate) async fn step(&mut self, index: usize, step: &Step) -> StepRun {
        let (mut progress, mut redirects) = (Progress::default(), 0);
        let deadline = self.deadline;
        let attempt = self.attempt(index, step, &mut progress, &mut redirects);
        let ended = timeout_at(deadline, attempt).await;
        let interrupted = progress.watch.stop();
        let result = ended.unwrap_or_else(|_| {
            let doing = interrupted.map_or("between two requests", |phase| phase.doing());
            let limit = self.definition.timeout;
            let message = format!("expected the run to end within {limit:?}, it was still {doing}");
            Err(Failure { outcome: Outcome::Timeout, message })
        });
        let (outcome, failure, normal_form) = match result {
            Ok(normal_form) => (Outcome::Ok, None, normal_form),
            Err(failure) => {
                let text = format!("step {} `{}`: {}", index + 1, step.name, failure.message);
                (failure.outcome, Some(self.context.secrets.redact(&text).into_owned()), None)
            }
        };
        StepRun {
            name: step.name.clone(),
            outcome,
            status: progress.status,
            phases: progress.watch.phases(),
            reused: progress.reused,
            redirects,
            bytes: progress.bytes,
            failure,
            normal_form,
        }
    }

    /// What the answer says, where that is compared between the variants.
    async fn attempt(
        &mut self,
        index: usize,
        step: &Step,
        progress: &mut Progress,
        redirects: &mut u32,
    ) -> Result<Option<String>, Failure> {
        // A seed per step: what one step draws does not shift the next step's inputs.
        let seed = self.context.seed ^ (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let templates = Templates::new(&self.captures, &self.context.secrets, seed);
        let host = host(step, self.definition, self.target, &templates);
        let site =
            host.and_then(|host| Site::new(self.target, &host)).map_err(Failure::assertion)?;
        let mut outgoing = Outgoing::of(step, &site, self.page.as_ref(), &templates)
            .map_err(Failure::assertion)?;
        self.jar.begin_step();
        let mut elsewhere = None;
        let answer = loop {
            let request = outgoing
                .request(&self.jar, &self.definition.name, &self.context.run, self.trace)
                .map_err(Failure::assertion)?;
            let answer = self
                .client
                .send(request, progress)
                .await
                .map_err(|error| Failure { outcome: error.outcome(), message: chain(&error) })?;
            self.jar.store(&outgoing.url, &answer.headers);
            // A redirect that the step expects is what it came for.
            if step.expect.status.contains(&answer.status.as_u16()) {
                break answer;
            }
            match outgoing.redirected(answer.status, &answer.headers, &site) {
                Ok(None) => break answer,
                Ok(Some(next)) => outgoing = next,
                // Off the site: the redirect itself is the answer.
                Err(place) => {
                    elsewhere = Some(place);
                    break answer;
                }
            }
            if *redirects == MOST_REDIRECTS {
                let message = format!("expected at most {MOST_REDIRECTS} redirects, got another");
                return Err(Failure::assertion(message));
            }
            *redirects += 1;
        };
        let phases = progress.watch.phases();
        let received = Received::new(&answer, phases, &self.context.secrets);
        let page = Page { url: outgoing.url, html: received.text().into_owned() };
        expect::check(&step.expect, &received, &templates).map_err(|failure| match elsewhere {
            Some(place) => failure.and(&format!("to {place}, off the site: not followed")),
            None => failure,
        })?;
        for (name, wanted) in &step.captures {
            let value = capture(wanted, &received, &page, &self.jar)
                .map_err(|message| Failure::assertion(format!("capture `{name}`: {message}")))?;
            self.captures.insert(name.clone(), value);
        }
        self.page = Some(page);
        let compared = step.expect.same_as_stable.as_ref();
        let normal_form = compared.map(|may_differ| normal_form(&received, may_differ));
        normal_form.transpose().map_err(Failure::assertion)
    }
}

/// A step's own Host header, else the probe's, else the endpoint.
fn host(
    step: &Step,
    definition: &ProbeDefinition,
    target: &Target,
    templates: &Templates,
) -> Result<String, String> {
    match step.headers.iter().find(|(name, _)| name == "host") {
        Some((_, template)) => templates.text(&template.0),
        None => Ok(definition.host.as_ref().unwrap_or(&target.endpoint).clone()),
    }
}

/// An error with what caused it, as one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
