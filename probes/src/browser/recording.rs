//! What a browser plays: a recording of Chrome DevTools' Recorder, checked when it is read.

use crate::run::RunContext;
use crate::target::Target;
use crate::template::{self, Templates};
use serde::Deserialize;
use serde_json::{Map, Value};
use serinus_config::{ProbeDefinition, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The most that is read of a file, in bytes.
const LARGEST: u64 = 4 << 20;
/// For one step where the recording says nothing, as in Chrome's own player.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// Characters of a selector or an address in a step's name.
const LONGEST_NAME: usize = 60;

/// What the worker can do, with the keys that such a step must have.
const KNOWN: [(&str, &[&str]); 13] = [
    ("navigate", &["url"]),
    ("setViewport", &["width", "height"]),
    ("click", &["selectors"]),
    ("doubleClick", &["selectors"]),
    ("hover", &["selectors"]),
    ("change", &["selectors", "value"]),
    ("submit", &["selectors"]),
    ("keyDown", &["key"]),
    ("keyUp", &["key"]),
    ("scroll", &[]),
    ("waitForElement", &["selectors"]),
    ("waitForExpression", &["expression"]),
    ("close", &[]),
];
/// Texts in which templates count.
const TEMPLATES: [&str; 3] = ["url", "value", "expression"];

/// A recording, checked.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The page that is opened first: scheme and host are the site's.
    first: Url,
    steps: Vec<Recorded>,
    step_timeout: Duration,
    /// Names after `secret.` in its templates.
    secrets: BTreeSet<String>,
    /// What of it is not played, in words.
    pub left_out: Vec<String>,
}

#[derive(Debug, Clone)]
struct Recorded {
    /// `click #buy`, for messages and metrics.
    name: String,
    step: Map<String, Value>,
}

/// What is played in one run: every template filled in.
pub(super) struct Played {
    /// The site's host, as the browser names it.
    pub(super) host: String,
    pub(super) steps: Vec<Value>,
    pub(super) step_timeout: Duration,
}

/// A recording that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("recording of probe `{probe}`: cannot read {}: {source}", path.display())]
    File {
        /// The probe that plays it.
        probe: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is none.
    #[error("recording of probe `{probe}`: {}: {why}", path.display())]
    Content {
        /// The probe that plays it.
        probe: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        why: String,
    },
}

#[derive(Deserialize)]
struct RecordingFile {
    steps: Vec<Map<String, Value>>,
    /// Milliseconds, for each step.
    timeout: Option<u64>,
}

impl Recording {
    /// Reads a recording's text. `has_rows`: the probe has rows of data.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str, has_rows: bool) -> Result<Recording, String> {
        let text = text.trim_start_matches('\u{feff}');
        let file: RecordingFile = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or_default();
            format!("line {line}, column {column}: {what}")
        })?;
        let mut recording = Recording {
            first: Url::parse("http://unknown.invalid/").map_err(|error| error.to_string())?,
            steps: Vec::new(),
            step_timeout: file.timeout.map_or(STEP_TIMEOUT, Duration::from_millis),
            secrets: BTreeSet::new(),
            left_out: Vec::new(),
        };
        let mut opened = false;
        for (at, step) in file.steps.into_iter().enumerate() {
            let number = at + 1;
            let kind = step.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            if kind.is_empty() {
                return Err(format!("step {number} has no `type`"));
            }
            let Some((_, keys)) = KNOWN.iter().find(|(name, _)| *name == kind) else {
                recording.left_out.push(format!("step {number} `{kind}`, which is not played"));
                continue;
            };
            if let Some(key) = keys.iter().find(|key| !step.contains_key(**key)) {
                return Err(format!("step {number} `{kind}` has no `{key}`"));
            }
            let target = step.get("target").and_then(Value::as_str).unwrap_or("main");
            if target != "main" {
                recording.left_out.push(format!("step {number} `{kind}`, in another window"));
                continue;
            }
            if kind == "navigate" {
                match recording.opens(&step, opened) {
                    Ok(true) => opened = true,
                    // about:blank and chrome:// are how recordings begin.
                    Ok(false) => continue,
                    Err(why) => return Err(format!("step {number} `navigate`: {why}")),
                }
            } else if !opened && kind != "setViewport" {
                return Err(format!("step {number} `{kind}` comes before any page is opened"));
            }
            recording
                .learn_names(&step, has_rows)
                .map_err(|why| format!("step {number} `{kind}`: {why}"))?;
            recording.steps.push(Recorded { name: name(&kind, &step), step });
        }
        if !opened {
            return Err("no page is opened in it: there is no `navigate`".to_owned());
        }
        Ok(recording)
    }

    /// Whether a step opens a page of the web; the first one says which site it is.
    fn opens(&mut self, step: &Map<String, Value>, opened: bool) -> Result<bool, String> {
        let text = step.get("url").and_then(Value::as_str).unwrap_or_default();
        let url = Url::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Ok(false);
        }
        if !opened {
            self.first = url;
        } else if url.host_str() != self.first.host_str() {
            let host = url.host_str().unwrap_or_default();
            return Err(format!("opens {host}, another site: a run never leaves its own"));
        }
        Ok(true)
    }

    fn learn_names(&mut self, step: &Map<String, Value>, has_rows: bool) -> Result<(), String> {
        for text in TEMPLATES.iter().filter_map(|key| step.get(*key)?.as_str()) {
            for name in template::names(text)? {
                match name.split_once('.').unwrap_or((&name, "")) {
                    ("secret", secret) if !secret.is_empty() => {
                        self.secrets.insert(secret.to_owned());
                    }
                    ("random", _) => {}
                    ("row", _) if has_rows => {}
                    ("row", _) => return Err("the probe has no rows: add data to it".to_owned()),
                    _ => {
                        return Err(format!(
                            "`{name}` is unknown: there are secret, row and random"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Names of its steps, in order.
    pub fn step_names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| step.name.as_str())
    }

    /// With the inputs of one run, under the probe's host.
    ///
    /// # Errors
    /// The step, from 0, and why it cannot be played.
    pub(super) fn played(
        &self,
        definition: &ProbeDefinition,
        target: &Target,
        context: &RunContext,
    ) -> Result<Played, (usize, String)> {
        let authority = definition.host.as_ref().unwrap_or(&target.endpoint);
        let (host, port) = host_and_port(authority).map_err(|why| (0, why))?;
        let nothing = Map::new();
        let mut steps = Vec::with_capacity(self.steps.len());
        for (at, Recorded { name, step }) in self.steps.iter().enumerate() {
            // A seed per step: what one step draws does not shift the next step's inputs.
            let seed = context.seed ^ (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let templates = Templates::new(&nothing, &context.secrets, context.row.as_ref(), seed);
            let mut step = step.clone();
            for key in TEMPLATES {
                let Some(Value::String(text)) = step.get_mut(key) else { continue };
                *text = templates.text(text).map_err(|why| (at, why))?;
                if key == "url" {
                    *text = moved(text, &host, port).map_err(|why| (at, why))?;
                }
            }
            step.insert("name".to_owned(), name.clone().into());
            steps.push(Value::Object(step));
        }
        Ok(Played { host, steps, step_timeout: self.step_timeout })
    }
}

/// A host header's two parts.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let url = Url::parse(&format!("http://{authority}/"))
        .map_err(|error| format!("host `{authority}`: {error}"))?;
    let host = url.host_str().ok_or_else(|| format!("host `{authority}` has no name"))?;
    Ok((host.to_owned(), url.port()))
}

/// The same page of another host.
fn moved(text: &str, host: &str, port: Option<u16>) -> Result<String, String> {
    let mut url = Url::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
    let error = || format!("`{host}` is no host of a page");
    url.set_host(Some(host)).map_err(|_| error())?;
    url.set_port(port).map_err(|()| error())?;
    Ok(url.into())
}

/// `click #buy`: what is done, and the first selector that is not one for screen readers.
fn name(kind: &str, step: &Map<String, Value>) -> String {
    let what = match step.get("url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok()) {
        Some(url) => url.path().to_owned(),
        None => match step.get("key").and_then(Value::as_str) {
            Some(key) => key.to_owned(),
            None => step.get("selectors").map(selector).unwrap_or_default(),
        },
    };
    let name: String = format!("{kind} {what}").trim_end().chars().take(LONGEST_NAME).collect();
    name.replace(['\n', '\r'], " ")
}

fn selector(selectors: &Value) -> String {
    let alternatives = selectors.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = alternatives.iter().filter_map(|one| match one {
        Value::String(text) => Some(text.clone()),
        Value::Array(path) => {
            Some(path.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" >> "))
        }
        _ => None,
    });
    let texts: Vec<String> = texts.collect();
    let plain = texts.iter().find(|text| !text.starts_with("aria/"));
    plain.or(texts.first()).cloned().unwrap_or_default()
}

/// The recordings of all probes that have one.
#[derive(Debug, Clone, Default)]
pub struct Recordings(BTreeMap<Arc<str>, Arc<Recording>>);

impl Recordings {
    /// Reads what `settings` name. Reads files.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn read(settings: &Settings) -> Result<Recordings, RecordingError> {
        let mut recordings = BTreeMap::new();
        for probe in &settings.probes {
            if let Some(path) = &probe.browser {
                let recording = read(&probe.name, path, probe.data.is_some())?;
                recordings.insert(probe.name.clone(), Arc::new(recording));
            }
        }
        Ok(Recordings(recordings))
    }

    /// Secrets that they ask for, by name, with the probe that does so.
    pub fn secret_names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(probe, recording)| {
            recording.secrets.iter().map(move |secret| (secret.as_str(), &**probe))
        })
    }

    /// What is not played, in words, each with its probe.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(probe, recording)| {
            let left_out = recording.left_out.iter();
            left_out.map(move |what| format!("probe {probe}: left out of its recording: {what}"))
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn of(&self, probe: &str) -> Option<Arc<Recording>> {
        self.0.get(probe).cloned()
    }
}

fn read(probe: &str, path: &Path, has_rows: bool) -> Result<Recording, RecordingError> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
    let (probe, path) = (probe.to_owned(), path.to_owned());
    match file {
        Err(source) => Err(RecordingError::File { probe, path, source }),
        Ok(_) => Recording::parse(&text, has_rows).map_err(|why| RecordingError::Content {
            probe,
            path,
            why,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(steps: &str) -> Result<Recording, String> {
        Recording::parse(&format!(r#"{{"title": "t", "steps": [{steps}]}}"#), false)
    }

    const OPEN: &str = r#"{"type": "navigate", "url": "https://shop.test/cart?a=1"}"#;

    #[test]
    fn steps_have_names_and_unknown_ones_are_named() {
        let recording = parse(&format!(
            r##"{{"type": "navigate", "url": "chrome://new-tab-page/"}}, {OPEN},
            {{"type": "click", "selectors": [["aria/Buy"], ["#buy"]]}},
            {{"type": "customStep", "name": "x", "parameters": {{}}}},
            {{"type": "click", "selectors": ["a"], "target": "popup"}},
            {{"type": "keyDown", "key": "Enter"}}"##
        ))
        .unwrap();
        let names: Vec<&str> = recording.step_names().collect();
        assert_eq!(names, ["navigate /cart", "click #buy", "keyDown Enter"]);
        let left_out =
            ["step 4 `customStep`, which is not played", "step 5 `click`, in another window"];
        assert_eq!(recording.left_out, left_out);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let wrong = |steps: &str| parse(steps).unwrap_err();
        assert_eq!(
            Recording::parse("{\n \"steps\": [}", false).unwrap_err(),
            "line 2, column 12: expected value"
        );
        assert_eq!(wrong(r#"{"url": "x"}"#), "step 1 has no `type`");
        assert_eq!(wrong(r#"{"type": "navigate"}"#), "step 1 `navigate` has no `url`");
        assert_eq!(
            wrong(r#"{"type": "click", "selectors": []}"#),
            "step 1 `click` comes before any page is opened"
        );
        assert_eq!(wrong(""), "no page is opened in it: there is no `navigate`");
        let elsewhere = format!(r#"{OPEN}, {{"type": "navigate", "url": "https://other.test/"}}"#);
        assert_eq!(
            wrong(&elsewhere),
            "step 2 `navigate`: opens other.test, another site: a run never leaves its own"
        );
        let template = |value: &str| {
            format!(r##"{OPEN}, {{"type": "change", "selectors": ["#a"], "value": "{value}"}}"##)
        };
        assert_eq!(
            wrong(&template("{{ token }}")),
            "step 2 `change`: `token` is unknown: there are secret, row and random"
        );
        assert_eq!(
            wrong(&template("{{ row.user }}")),
            "step 2 `change`: the probe has no rows: add data to it"
        );
        let asked = parse(&template("{{ secret.shop_password }}")).unwrap();
        assert!(asked.secrets.contains("shop_password"));
    }

    #[test]
    fn pages_are_opened_under_the_hosts_name_with_the_recorded_scheme() {
        assert_eq!(
            moved("https://localhost:3000/a?b#c", "shop.test", None).unwrap(),
            "https://shop.test/a?b#c"
        );
        assert_eq!(moved("http://x/", "127.0.0.1", Some(81)).unwrap(), "http://127.0.0.1:81/");
        assert_eq!(host_and_port("shop.test:8080").unwrap(), ("shop.test".to_owned(), Some(8080)));
    }
}
