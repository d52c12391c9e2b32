//! Secrets of probes: read once from the environment or files, and never shown again.

use crate::entities;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What stands where a secret would.
pub const REDACTED: &str = "[redacted]";

/// Values that templates reach as `secret.NAME`. `Debug` shows the names alone.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    /// What is looked for in HTML, longest first.
    plain: Vec<String>,
    /// Every other form in which a value may come back in an answer, longest first, so that a secret that
    /// is part of another does not leave the rest of the longer one behind.
    shown: Vec<String>,
}

/// A secret that a probe refers to and nobody set.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither variable is set.
    #[error(
        "probe `{probe}` needs secret `{name}`: set {variable}, or {variable}_FILE to a file that holds it"
    )]
    Missing {
        /// After `secret.`
        name: String,
        /// The probe that needs it.
        probe: String,
        /// The environment variable that is looked at.
        variable: String,
    },
    /// The file that `..._FILE` names cannot be read.
    #[error("secret `{name}` of probe `{probe}`: cannot read `{path}`: {source}")]
    File {
        /// After `secret.`
        name: String,
        /// The probe that needs it.
        probe: String,
        /// As set.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Secrets {
    /// Secrets from names and values.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Secrets {
        let values: BTreeMap<String, String> = values.into_iter().collect();
        let told: Vec<String> = values.values().cloned().collect();
        Secrets { values, ..Secrets::default() }.hiding(told)
    }

    /// These values, which have no name here, are redacted as well.
    pub(crate) fn hiding(mut self, values: Vec<String>) -> Secrets {
        let values = values.into_iter().filter(|value| !value.is_empty());
        for value in values {
            self.shown.extend(forms(&value));
            self.plain.push(value);
        }
        for list in [&mut self.shown, &mut self.plain] {
            list.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
            list.dedup();
        }
        self
    }

    /// Looks up secrets by `(name, probe)`: `secret.shop_password` is `SERINUS_SECRET_SHOP_PASSWORD`,
    /// or the file that `SERINUS_SECRET_SHOP_PASSWORD_FILE` names (one line break at its end is
    /// dropped). `environment` answers for a variable.
    ///
    /// # Errors
    /// The first secret that is not set, or whose file cannot be read.
    pub fn read<'a>(
        names: impl IntoIterator<Item = (&'a str, &'a str)>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Secrets, SecretError> {
        let mut values = BTreeMap::new();
        for (name, probe) in names {
            let variable = variable(name);
            let value = if let Some(value) = environment(&variable) {
                value
            } else if let Some(path) = environment(&format!("{variable}_FILE")) {
                let text = std::fs::read_to_string(&path).map_err(|source| SecretError::File {
                    name: name.to_owned(),
                    probe: probe.to_owned(),
                    path,
                    source,
                })?;
                text.strip_suffix('\n')
                    .map(|t| t.strip_suffix('\r').unwrap_or(t))
                    .unwrap_or(&text)
                    .to_owned()
            } else {
                let (name, probe) = (name.to_owned(), probe.to_owned());
                return Err(SecretError::Missing { name, probe, variable });
            };
            values.insert(name.to_owned(), value);
        }
        Ok(Secrets::new(values))
    }

    /// The value of `secret.NAME`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The text with every secret in it, plain or encoded, replaced by [`REDACTED`].
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for form in &self.shown {
            if text.contains(form) {
                text = Cow::Owned(text.replace(form, REDACTED));
            }
        }
        for value in &self.plain {
            if let Cow::Owned(replaced) = entities::replace(&text, value, REDACTED) {
                text = Cow::Owned(replaced);
            }
        }
        text
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.keys().map(|name| (name, REDACTED))).finish()
    }
}

/// The environment variable of a secret.
fn variable(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    format!("SERINUS_SECRET_{name}")
}

/// A value as it is, in a form body, in a URL, in JSON and in `Debug` output.
fn forms(value: &str) -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let percent = form.replace('+', "%20");
    let json = serde_json::Value::from(value).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let debug = value.escape_debug().to_string();
    let mut forms = vec![value.to_owned(), form, percent, json.clone(), debug];
    forms.extend(escaped_json(&json));
    forms
}

/// A string's JSON as libraries write it that escape more than they must: what is not ASCII (Python, PHP), `<`, `>`
/// and `&` (Go), all of that (Ruby), the slash as well (PHP); digits in either case.
fn escaped_json(json: &str) -> Vec<String> {
    let slashes = json.replace('/', "\\/");
    let mut forms = vec![slashes.clone()];
    for json in [json, &slashes] {
        for (beyond_ascii, markup) in [(true, false), (false, true), (true, true)] {
            let mut text = String::new();
            for c in json.chars() {
                if (beyond_ascii && !c.is_ascii()) || (markup && matches!(c, '<' | '>' | '&')) {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        text.push_str(&format!("\\u{unit:04x}"));
                    }
                } else {
                    text.push(c);
                }
            }
            forms.push(upper_digits(&text));
            forms.push(text);
        }
    }
    forms
}

/// `\u00e4` as `\u00E4`.
fn upper_digits(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut upper = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.char_indices().nth(4).map_or(part.len(), |(at, _)| at);
        upper.push_str("\\u");
        upper.push_str(&part[..digits].to_ascii_uppercase());
        upper.push_str(&part[digits..]);
    }
    upper
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(value: &str) -> Secrets {
        Secrets::new([("shop_password".to_owned(), value.to_owned())])
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let shown = format!("{:?}", secrets("hunter2"));
        assert_eq!(shown, r#"{"shop_password": "[redacted]"}"#);
    }

    #[test]
    fn a_secret_is_redacted_in_every_encoding_it_may_come_back_in() {
        let value = "p\"w <&> ä";
        for form in forms(value) {
            let shown = secrets(value).redact(&format!("[{form}]")).into_owned();
            assert_eq!(shown, "[[redacted]]", "{form}");
        }
    }

    #[test]
    fn a_secret_is_redacted_in_a_page_that_shows_it() {
        let page = "<p>No user it&#x27;s &lt;me&gt; &amp; you</p>";
        let shown = secrets("it's <me> & you").redact(page).into_owned();
        assert_eq!(shown, "<p>No user [redacted]</p>");
    }

    #[test]
    fn a_secret_is_redacted_where_a_library_escapes_more_of_json_than_it_must() {
        let value = "ä/&😀";
        for shown in [
            r#"\u00e4/&\ud83d\ude00"#,      // Python's json.dumps
            r#"ä/\u0026😀"#,                // Go's encoding/json
            r#"\u00e4\/&\ud83d\ude00"#,     // PHP's json_encode
            r#"\u00E4/\u0026\uD83D\uDE00"#, // System.Text.Json
        ] {
            assert_eq!(secrets(value).redact(shown), REDACTED, "{shown}");
        }
    }

    #[test]
    fn a_secret_within_another_leaves_nothing_of_the_longer_one() {
        let both = Secrets::new([("a".into(), "abc".into()), ("b".into(), "abcdef".into())]);
        assert_eq!(both.redact("x abcdef abc y"), "x [redacted] [redacted] y");
    }

    #[test]
    fn an_empty_secret_redacts_nothing() {
        assert_eq!(secrets("").redact("text"), "text");
    }

    #[test]
    fn secrets_come_from_a_variable_or_from_a_file_without_its_line_break() {
        let file = std::env::temp_dir().join(format!("serinus-secret-{}", std::process::id()));
        std::fs::write(&file, "from file\r\n").unwrap();
        let read =
            Secrets::read([("shop-password", "login"), ("key", "login")], |name| match name {
                "SERINUS_SECRET_SHOP_PASSWORD" => Some("direct".to_owned()),
                "SERINUS_SECRET_KEY_FILE" => Some(file.display().to_string()),
                _ => None,
            });
        std::fs::remove_file(&file).unwrap();
        let read = read.unwrap();
        assert_eq!(read.get("shop-password"), Some("direct"));
        assert_eq!(read.get("key"), Some("from file"));
    }

    #[test]
    fn a_missing_secret_names_the_probe_and_the_variable() {
        let error = Secrets::read([("shop_password", "login")], |_| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "probe `login` needs secret `shop_password`: set SERINUS_SECRET_SHOP_PASSWORD, \
             or SERINUS_SECRET_SHOP_PASSWORD_FILE to a file that holds it"
        );
    }
}
