//! Definitions and runs in a few words.

use serinus_config::{
    Action, Body, Capture, DEFAULT_MAX_BODY, Expect, ProbeDefinition, SideEffect, Step, Template,
};
use serinus_probes::{ProbeRun, RunContext, Secrets, Target, run_probe};
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn probe(name: &str, steps: Vec<Step>) -> ProbeDefinition {
    ProbeDefinition {
        name: name.into(),
        service: "checkout".to_owned(),
        host: None,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        side_effect: SideEffect::Safe,
        data: None,
        seasons: Vec::new(),
        max_body: DEFAULT_MAX_BODY,
        steps,
        browser: None,
        secrets: Vec::new(),
        columns: Vec::new(),
    }
}

fn step(name: String, action: Action) -> Step {
    Step {
        name,
        action,
        headers: Vec::new(),
        expect: Expect::default(),
        captures: Vec::new(),
        always_run: false,
        timeout: None,
    }
}

pub(crate) fn request(method: &str, path: &str, body: Body) -> Step {
    let action =
        Action::Request { method: method.to_owned(), path: Template(path.to_owned()), body };
    step(format!("{} {path}", method.to_lowercase()), action)
}

pub(crate) fn get(path: &str) -> Step {
    request("GET", path, Body::Empty)
}

pub(crate) fn submit(form: &str, fields: &[(&str, &str)]) -> Step {
    let fields =
        fields.iter().map(|(name, text)| ((*name).to_owned(), Template((*text).to_owned())));
    step(
        format!("submit {form}"),
        Action::Submit { form: form.to_owned(), fields: fields.collect() },
    )
}

pub(crate) fn click(link: &str) -> Step {
    step(format!("click {link}"), Action::Click { link: link.to_owned() })
}

/// Words for a step's other parts.
pub(crate) trait Also {
    fn header(self, name: &str, text: &str) -> Self;
    fn status(self, statuses: &[u16]) -> Self;
    fn expect(self, expect: Expect) -> Self;
    fn capture(self, name: &str, capture: Capture) -> Self;
}

impl Also for Step {
    fn header(mut self, name: &str, text: &str) -> Self {
        self.headers.push((name.to_owned(), Template(text.to_owned())));
        self
    }

    fn status(mut self, statuses: &[u16]) -> Self {
        self.expect.status = statuses.to_vec();
        self
    }

    fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }

    fn capture(mut self, name: &str, capture: Capture) -> Self {
        self.captures.push((name.to_owned(), capture));
        self
    }
}

pub(crate) fn secrets() -> Arc<Secrets> {
    Arc::new(Secrets::new([("shop_password".to_owned(), "hunter 2&more".to_owned())]))
}

pub(crate) async fn run(definition: &ProbeDefinition, target: &Target) -> ProbeRun {
    run_probe(definition, target, &RunContext::new(7, secrets())).await
}

/// Runs steps and answers the failure, which must be there.
pub(crate) async fn failure(steps: Vec<Step>, target: &Target) -> String {
    let run = run(&probe("p", steps), target).await;
    run.failure().expect("a step that fails").to_owned()
}

/// Runs steps, which must all succeed.
pub(crate) async fn succeed(steps: Vec<Step>, target: &Target) -> ProbeRun {
    let run = run(&probe("p", steps), target).await;
    assert_eq!(run.failure(), None);
    run
}
