//! What the worker is told, and what it tells: one line of JSON each.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::Write;
use std::time::Duration;

/// Steps to play.
#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    /// `HOST:PORT` of the proxy that everything goes through.
    pub(crate) gate: String,
    /// In bytes, of the browser with all its processes.
    pub(crate) max_memory: u64,
    /// For a step that says nothing, in milliseconds.
    step_timeout_ms: u64,
    pub(crate) steps: Vec<Step>,
}

/// One step of a recording, as Chrome's Recorder writes it; what another program wrote is not looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    pub(crate) r#type: String,
    pub(crate) url: Option<String>,
    /// Alternatives, the first that fits counts.
    #[serde(default)]
    pub(crate) selectors: Value,
    /// Indices of frames, from the page down.
    #[serde(default)]
    pub(crate) frame: Vec<u32>,
    pub(crate) value: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) expression: Option<String>,
    pub(crate) button: Option<String>,
    pub(crate) offset_x: Option<f64>,
    pub(crate) offset_y: Option<f64>,
    pub(crate) x: Option<f64>,
    pub(crate) y: Option<f64>,
    pub(crate) width: Option<f64>,
    pub(crate) height: Option<f64>,
    pub(crate) device_scale_factor: Option<f64>,
    pub(crate) is_mobile: Option<bool>,
    pub(crate) operator: Option<String>,
    pub(crate) count: Option<f64>,
    pub(crate) visible: Option<bool>,
    #[serde(default)]
    pub(crate) attributes: Value,
    #[serde(default)]
    pub(crate) properties: Value,
    #[serde(default)]
    pub(crate) asserted_events: Vec<Asserted>,
    /// Milliseconds.
    timeout: Option<u64>,
}

/// Something that a step leads to.
#[derive(Debug, Deserialize)]
pub(crate) struct Asserted {
    pub(crate) r#type: String,
}

impl Job {
    /// For one step.
    pub(crate) fn timeout(&self, step: &Step) -> Duration {
        Duration::from_millis(step.timeout.unwrap_or(self.step_timeout_ms))
    }

    /// Of all steps, and a little: what waits in the browser ends by itself after that.
    pub(crate) fn longest(&self) -> Duration {
        let longest = self.steps.iter().map(|step| self.timeout(step)).max().unwrap_or_default();
        longest + Duration::from_secs(5)
    }
}

impl Step {
    /// Whether it leads to another page.
    pub(crate) fn navigates(&self) -> bool {
        self.asserted_events.iter().any(|event| event.r#type == "navigation")
    }
}

/// What is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Ready,
    Begin(usize),
    Done { micros: u64, status: Option<u16>, failure: Option<String>, late: bool },
    End,
    Unable(String),
}

/// Tells it. That nobody listens shows at the end of standard input.
pub(crate) fn tell(line: &Line) {
    let Ok(text) = serde_json::to_string(line) else { return };
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{text}").and_then(|()| output.flush());
}
