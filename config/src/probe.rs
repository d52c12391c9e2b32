//! Probe definitions, validated: templates parsed, patterns compiled, paths checked.

use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
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
    /// What a run leaves behind, and so how much more often it may run than configured.
    pub side_effect: SideEffect,
    /// File of rows, CSV or JSON, of which each round takes the next as `row`.
    pub data: Option<PathBuf>,
    /// Times of the week with a pace of their own; the first that fits counts.
    pub seasons: Vec<Season>,
    /// The most that is read of one body, in bytes.
    pub max_body: usize,
    /// In order; empty only where a browser plays a recording.
    pub steps: Vec<Step>,
    /// A recording of Chrome DevTools' Recorder (JSON) that a real browser plays instead.
    pub browser: Option<PathBuf>,
    /// Names after `secret.` in its templates.
    pub secrets: Vec<String>,
    /// Names after `row.` in its templates; those of a recording stand there.
    pub columns: Vec<String>,
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
    /// Run after a step that failed, too: it cleans up.
    pub always_run: bool,
    /// For this step alone; none for what is left of the run's time.
    pub timeout: Option<Duration>,
}

/// The most that is read of one body where nothing else is said, in bytes.
pub const DEFAULT_MAX_BODY: usize = 1 << 20;

/// What a run leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SideEffect {
    /// Nothing that matters: it may run ten times as often under suspicion.
    #[default]
    Safe,
    /// Things that somebody has to clean up: twice as often at most.
    Creates,
    /// It costs money or reaches people: never more often than configured, never repeated.
    Charges,
}

/// A time of the week, in UTC, in which a probe runs more often or more rarely, as its users do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Season {
    /// Monday first.
    pub days: [bool; 7],
    /// The first hour, 0 to 23.
    pub from: u8,
    /// The hour that is no longer in it, 1 to 24; below `from` where it goes on past midnight.
    pub to: u8,
    /// How many times the configured pace.
    pub rate: f64,
}

impl Season {
    /// Whether it is this season. `day` counts from Monday, 0 to 6; `hour` from 0 to 23. The days are those
    /// on which the season begins.
    pub fn holds(&self, day: usize, hour: u8) -> bool {
        let on = |day: usize| self.days.get(day % 7).copied().unwrap_or(false);
        match self.from < self.to {
            true => on(day) && (self.from..self.to).contains(&hour),
            false => on(day) && hour >= self.from || on(day + 6) && hour < self.to,
        }
    }
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
    /// Of parts of it.
    pub max_phases: MaxPhases,
    /// The body contains all of these.
    pub body_contains: Vec<Template>,
    /// The body matches all of these.
    pub body_matches: Vec<regex::Regex>,
    /// JSON values.
    pub json: Vec<JsonAssertion>,
    /// What the whole JSON body conforms to.
    pub json_schema: Option<JsonSchema>,
    /// Elements of the page.
    pub css: Vec<CssAssertion>,
    /// Headers.
    pub headers: Vec<HeaderAssertion>,
    /// The certificate that the endpoint shows stays valid for so many days more, at least.
    pub certificate_days_left: Option<u32>,
    /// The canary's body is stable's, but for what may differ.
    pub same_as_stable: Option<Differences>,
}

/// Longest times of a step's phases, redirects included; none for a phase without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MaxPhases {
    /// Name to address.
    pub resolve: Option<Duration>,
    /// TCP.
    pub connect: Option<Duration>,
    /// Handshake.
    pub tls: Option<Duration>,
    /// From handing over the request to the end of the answer's header.
    pub processing: Option<Duration>,
    /// From there to the last byte of the body.
    pub transfer: Option<Duration>,
}

/// A JSON Schema, compiled.
#[derive(Clone)]
pub struct JsonSchema {
    /// As written.
    pub document: Value,
    /// What it means.
    pub validator: Arc<jsonschema::Validator>,
}

impl fmt::Debug for JsonSchema {
    /// The document alone: the validator says the same at a hundred times the length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonSchema").field(&self.document).finish()
    }
}

/// An assertion on elements of an HTML page.
#[derive(Debug, Clone)]
pub struct CssAssertion {
    /// The selector, valid.
    pub selector: String,
    /// The attribute that is looked at; none for the element's text.
    pub attribute: Option<String>,
    /// The rule.
    pub check: ValueCheck,
}

/// Where two right answers to the same request may differ: times, tokens, generated ids.
#[derive(Debug, Clone, Default)]
pub struct Differences {
    /// RFC 9535 paths, valid.
    pub json: Vec<String>,
    /// CSS selectors, valid: the elements with all that is in them.
    pub css: Vec<String>,
    /// Text that matches.
    pub patterns: Vec<regex::Regex>,
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
    /// It is not there.
    Absent,
    /// It is this.
    Equals(Value),
    /// Its text matches.
    Matches(regex::Regex),
    /// It is of this type.
    Type(JsonType),
    /// There are so many.
    Count(u32),
    /// It is a number below this.
    Less(f64),
    /// It is a number above this.
    Greater(f64),
}

/// A type of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// Text.
    String,
    /// Any number.
    Number,
    /// A number without a fraction: 3 and 3.0.
    Integer,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// Names with values.
    Object,
    /// Nothing, told.
    Null,
}

impl JsonType {
    /// All types.
    pub const ALL: [JsonType; 7] = [
        JsonType::String,
        JsonType::Number,
        JsonType::Integer,
        JsonType::Boolean,
        JsonType::Array,
        JsonType::Object,
        JsonType::Null,
    ];

    /// The name in JSON Schema, in the configuration and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            JsonType::String => "string",
            JsonType::Number => "number",
            JsonType::Integer => "integer",
            JsonType::Boolean => "boolean",
            JsonType::Array => "array",
            JsonType::Object => "object",
            JsonType::Null => "null",
        }
    }

    /// Whether a value is of this type.
    pub fn holds(self, value: &Value) -> bool {
        match self {
            JsonType::String => value.is_string(),
            JsonType::Number => value.is_number(),
            JsonType::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            JsonType::Boolean => value.is_boolean(),
            JsonType::Array => value.is_array(),
            JsonType::Object => value.is_object(),
            JsonType::Null => value.is_null(),
        }
    }
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
