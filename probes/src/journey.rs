//! A run under way: the connection, the cookies, the captures and the page between two steps.

use crate::capture::capture;
use crate::client::{Client, Progress};
use crate::cookies::Jar;
use crate::expect::{self, Failure};
use crate::orca::{self, LoadReport};
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
    load: Option<LoadReport>,
    /// CPU seconds that answers told as their cost, and how many did.
    cost: (f64, u32),
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
            client: Client::new(target, definition.max_body),
            jar: Jar::default(),
            captures: Map::new(),
            page: None,
            load: None,
            cost: (0.0, 0),
            trace: fastrand::u128(1..),
        }
    }

    /// A step has failed: what always runs has time until then.
    pub(crate) fn clean_up_until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// The last load that an answer told of, with the mean cost of a request.
    pub(crate) fn load(&self) -> Option<LoadReport> {
        let (seconds, told) = self.cost;
        let cpu_seconds = (told > 0).then(|| seconds / f64::from(told));
        self.load.map(|load| LoadReport { cpu_seconds, ..load })
    }

    /// Runs one step to its end or to the deadline. `index` counts from 0.
    pub(crate) async fn step(&mut self, index: usize, step: &Step) -> StepRun {
        let (mut progress, mut redirects) = (Progress::default(), 0);
        let own = step.timeout.map(|limit| (Instant::now() + limit, limit));
        let own = own.filter(|(deadline, _)| *deadline < self.deadline);
        let deadline = own.map_or(self.deadline, |(deadline, _)| deadline);
        let attempt = self.attempt(index, step, &mut progress, &mut redirects);
        let ended = timeout_at(deadline, attempt).await;
        let interrupted = progress.watch.stop();
        let result = ended.unwrap_or_else(|_| {
            let doing = interrupted.map_or("between two requests", |phase| phase.doing());
            let (what, limit) = match own {
                Some((_, limit)) => ("step", limit),
                None => ("run", self.definition.timeout),
            };
            let message =
                format!("expected the {what} to end within {limit:?}, it was still {doing}");
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
            requests: u32::from(outcome != Outcome::ConnectError) + redirects,
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
        let context = self.context;
        let templates =
            Templates::new(&self.captures, &context.secrets, context.row.as_ref(), seed);
        let host = host(step, self.definition, self.target, &templates);
        let site =
            host.and_then(|host| Site::new(self.target, &host)).map_err(Failure::assertion)?;
        let mut outgoing = Outgoing::of(step, &site, self.page.as_ref(), &templates)
            .map_err(Failure::assertion)?;
        self.jar.begin_step();
        let mut elsewhere = None;
        let answer = loop {
            let request = outgoing
                .request(
                    &self.jar,
                    &self.definition.name,
                    &self.context.run,
                    self.trace,
                    self.context.signer.as_deref(),
                )
                .map_err(Failure::assertion)?;
            let answer = self
                .client
                .send(request, progress)
                .await
                .map_err(|error| Failure { outcome: error.outcome(), message: chain(&error) })?;
            self.jar.store(&outgoing.url, &answer.headers);
            if let Some(Ok(load)) = orca::of(&answer.headers) {
                self.load = Some(load);
                if let Some(seconds) = load.cpu_seconds {
                    self.cost = (self.cost.0 + seconds, self.cost.1 + 1);
                }
            }
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
        expect::check(&step.expect, &received, &templates).map_err(|failure| match elsewhere {
            Some(place) => failure.and(&format!("to {place}, off the site: not followed")),
            None => failure,
        })?;
        for (name, wanted) in &step.captures {
            let value = capture(wanted, &received, &self.jar)
                .map_err(|message| Failure::assertion(format!("capture `{name}`: {message}")))?;
            self.captures.insert(name.clone(), value);
        }
        self.page = Some(Page { url: outgoing.url, html: received.text().into_owned() });
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
