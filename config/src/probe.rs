//! Probe definitions, validated: templates parsed, patterns compiled, paths checked.

use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// A synthetic transaction.
#[derive(Debug, Clone)]
pub struct ProbeDefinition {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The service whose variants it is run against.
    pub service: String,
    /// The Host header; default: the first exact host of a route to the service, else the endpoint.
    pub host: Option<String>,
    /// Time between two rounds.
    pub interval: Duration,
    /// For all steps of one run.
    pub timeout: Duration,
    /// In order; never empty.
    pub steps: Vec<Step>,
    /// Names after `secret.` in its templates.
    pub secrets: Vec<String>,
}

/// One request of a probe.
#[derive(Debug, Clone)]
pub struct Step {
    /// `get /login`, for messages and metrics: the action as written.
    pub name: String,
    /// What is sent.
    pub action: Action,
    /// Header templates, names lower case.
    pub headers: Vec<(String, Template)>,
    /// What must come back.
    pub expect: Expect,
    /// What is kept for later steps.
    pub captures: Vec<(String, Capture)>,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Send a request.
    Request {
        /// `GET`, `POST`, `PUT`, `DELETE`, ...
        method: String,
        /// Path and query, a template.
        path: Template,
        /// What is sent with it.
        body: Body,
    },
    /// Fill in and send a form of the page that the step before fetched.
    Submit {
        /// CSS selector of the form.
        form: String,
        /// Fields to fill in; the others keep the page's values.
        fields: Vec<(String, Template)>,
    },
    /// Follow a link of the page that the step before fetched.
    Click {
        /// CSS selector of the link.
        link: String,
    },
}

/// A request body.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    Empty,
    /// `application/json`; templates inside strings are rendered.
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, Template)>),
    /// As written.
    Raw(Template),
}

/// Text with `{{ ... }}` (minijinja): captures by name, `secret.NAME`, `random.uuid` and the like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(pub String);

/// What an answer must be. Without `status`, below 400.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// Any of these; empty for "below 400".
    pub status: Vec<u16>,
    /// Of this step, from connect to the last byte.
    pub max_latency: Option<Duration>,
    /// The body contains all of these.
    pub body_contains: Vec<Template>,
    /// The body matches all of these.
    pub body_matches: Vec<regex::Regex>,
    /// JSON values.
    pub json: Vec<JsonAssertion>,
    /// Headers.
    pub headers: Vec<HeaderAssertion>,
}

/// An assertion on the values at an RFC 9535 path.
#[derive(Debug, Clone)]
pub struct JsonAssertion {
    /// The path, valid.
    pub path: String,
    /// The rule.
    pub check: ValueCheck,
}

/// An assertion on a header; with several values, one must hold.
#[derive(Debug, Clone)]
pub struct HeaderAssertion {
    /// Lower case.
    pub name: String,
    /// The rule.
    pub check: ValueCheck,
}

/// A rule for one value.
#[derive(Debug, Clone)]
pub enum ValueCheck {
    /// It is there.
    Exists,
    /// It is this.
    Equals(Value),
    /// Its text matches.
    Matches(regex::Regex),
}

/// Where a captured value comes from.
#[derive(Debug, Clone)]
pub enum Capture {
    /// First value at an RFC 9535 path.
    Json(String),
    /// A response header, lower case.
    Header(String),
    /// A cookie set by the answer.
    Cookie(String),
    /// First group, or whole match, in the body.
    Regex(regex::Regex),
    /// First element of a CSS selector: its `attribute`, or its text.
    Css {
        /// The selector.
        selector: String,
        /// The attribute; none for the text.
        attribute: Option<String>,
    },
    /// The status code.
    Status,
}
