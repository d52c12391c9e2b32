//! Names in templates: what steps have captured, `secret.NAME` and `random.*`.

use crate::collection::Map;
use crate::pattern::TemplateText;
use crate::reader::{Fault, Reader, Span, Text, fault};
use crate::suggest::{did_you_mean, listed};
use std::collections::BTreeSet;

/// What `random` offers.
const RANDOM: [&str; 5] = ["uuid", "int", "hex", "letters", "choice"];

/// Words that a template takes for something else.
const TAKEN: [&str; 14] = [
    "secret", "random", "row", "true", "false", "none", "not", "and", "or", "in", "is", "if",
    "else", "loop",
];

/// The name under which a step keeps a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CaptureName(pub(crate) String);

impl Text for CaptureName {
    const WHAT: &'static str = "a name";
    const EXAMPLE: &'static str = "\"token\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if TAKEN.contains(&text) {
            let message = format!("'{text}' means something else in templates");
            return Err(fault(message, format!("call it 'my_{text}'")));
        }
        if is_identifier(text) {
            return Ok(CaptureName(text.to_owned()));
        }
        let message = format!("\"{}\" cannot be named in a template", text.escape_debug());
        Err(fault(message, "a name has letters, digits and '_', and begins with a letter"))
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$" })
    }
}

/// The name of a secret, as after `secret.`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretName(pub(crate) String);

impl Text for SecretName {
    const WHAT: &'static str = "the name of a secret";
    const EXAMPLE: &'static str = "\"probe_key\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if is_identifier(text) {
            return Ok(SecretName(text.to_owned()));
        }
        let message = format!("\"{}\" cannot be the name of a secret", text.escape_debug());
        let help =
            "write the name alone: \"probe_key\"; its value comes from SERINUS_SECRET_PROBE_KEY";
        Err(fault(message, help))
    }

    fn schema() -> serde_json::Value {
        CaptureName::schema()
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What the steps so far have captured, and the secrets that they asked for.
#[derive(Debug, Default)]
pub(crate) struct Names {
    captured: BTreeSet<String>,
    /// Captures of a step could not be read: nothing can be said of unknown names.
    uncertain: bool,
    secrets: BTreeSet<String>,
    columns: BTreeSet<String>,
    /// There is a file of rows.
    has_rows: bool,
}

impl Names {
    /// Before the first step; `has_rows`: the probe has a file of rows.
    pub(crate) fn new(has_rows: bool) -> Names {
        Names { has_rows, ..Names::default() }
    }

    /// Adds what a step captures.
    pub(crate) fn capture<V>(&mut self, captures: Option<&Map<CaptureName, V>>) {
        match captures {
            Some(map) => {
                self.captured.extend(map.entries.iter().map(|(name, _)| name.value.0.clone()))
            }
            None => self.uncertain = true,
        }
    }

    /// Reports names of a template that nothing stands behind.
    pub(crate) fn check(&mut self, template: &TemplateText, span: &Span, reader: &mut Reader) {
        for name in &template.names {
            let (first, rest) = name.split_once('.').unwrap_or((name, ""));
            let second = rest.split('.').next().unwrap_or_default();
            let found = match first {
                "secret" => self.secret(second),
                "random" => random(second),
                "row" => self.row(second),
                _ => self.captured(first),
            };
            if let Err(fault) = found {
                reader.fault::<()>(span, fault);
            }
        }
    }

    /// The secrets and the columns of rows asked for, each once.
    pub(crate) fn into_secrets_and_columns(self) -> (Vec<String>, Vec<String>) {
        (self.secrets.into_iter().collect(), self.columns.into_iter().collect())
    }

    fn secret(&mut self, name: &str) -> Result<(), Fault> {
        if is_identifier(name) {
            self.secrets.insert(name.to_owned());
            return Ok(());
        }
        let help =
            "write {{ secret.shop_password }}; its value comes from SERINUS_SECRET_SHOP_PASSWORD";
        Err(fault("which secret?", help))
    }

    fn row(&mut self, column: &str) -> Result<(), Fault> {
        match (self.has_rows, column) {
            (false, _) => {
                Err(fault("this probe has no rows", "add data = \"FILE.csv\" (or .json) to it"))
            }
            (true, "") => Err(fault("which column of the row?", "write {{ row.user }}")),
            (true, _) => {
                self.columns.insert(column.to_owned());
                Ok(())
            }
        }
    }

    fn captured(&self, name: &str) -> Result<(), Fault> {
        if self.uncertain || self.captured.contains(name) {
            return Ok(());
        }
        let help = match did_you_mean(name, self.captured.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => {
                let known: Vec<&String> = self.captured.iter().collect();
                format!(
                    "add it to 'capture' of a step above (captured so far: {}), \
                     or use secret.NAME or random.uuid",
                    listed(&known)
                )
            }
        };
        Err(fault(format!("no step before this one captures '{name}'"), help))
    }
}

fn random(name: &str) -> Result<(), Fault> {
    if RANDOM.contains(&name) {
        return Ok(());
    }
    if name.is_empty() {
        return Err(fault(
            "random what?",
            "write random.uuid, random.int(1, 6), random.hex(16), random.letters(8) or random.choice(\"a\", \"b\")",
        ));
    }
    let help = match did_you_mean(name, RANDOM) {
        Some(meant) => format!("did you mean 'random.{meant}'?"),
        None => "write random.uuid, random.int(1, 6), random.hex(16), random.letters(8) or random.choice(\"a\", \"b\")".to_owned(),
    };
    Err(fault(format!("there is no 'random.{name}'"), help))
}
