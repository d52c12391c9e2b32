//! Secrets of probes: read once from the environment or files, and never shown again.

use crate::encoded;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// What stands where a secret would.
pub const REDACTED: &str = "[redacted]";

/// Values that templates reach as `secret.NAME`. `Debug` shows the names alone.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, String>,
    /// What is looked for, longest first, so that a secret that is part of another does not leave the
    /// rest of the longer one behind.
    hidden: Vec<String>,
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
    /// There is nothing in it: a password that is none, or a key by which everybody can sign.
    #[error("secret `{name}` of probe `{probe}` is empty: {place}")]
    Empty {
        /// After `secret.`
        name: String,
        /// The probe that needs it.
        probe: String,
        /// The variable or the file that it was read from.
        place: String,
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
        self.hidden.extend(values.into_iter().filter(|value| !value.is_empty()));
        self.hidden.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.hidden.dedup();
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
            let set = environment(&variable);
            let is_set = set.is_some();
            let (value, place) = if let Some(value) = set.filter(|value| !value.is_empty()) {
                (value, variable)
            } else if let Some(path) = environment(&format!("{variable}_FILE")) {
                let text = std::fs::read_to_string(&path).map_err(|source| SecretError::File {
                    name: name.to_owned(),
                    probe: probe.to_owned(),
                    path: path.clone(),
                    source,
                })?;
                let text = text
                    .strip_suffix('\n')
                    .map(|t| t.strip_suffix('\r').unwrap_or(t))
                    .unwrap_or(&text)
                    .to_owned();
                (text, path)
            } else if is_set {
                (String::new(), variable)
            } else {
                let (name, probe) = (name.to_owned(), probe.to_owned());
                return Err(SecretError::Missing { name, probe, variable });
            };
            if value.is_empty() {
                let (name, probe) = (name.to_owned(), probe.to_owned());
                return Err(SecretError::Empty { name, probe, place });
            }
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
        for value in &self.hidden {
            if let Cow::Owned(replaced) = encoded::replace(&text, value, REDACTED) {
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
        let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let json = serde_json::Value::from(value).to_string();
        let twice = serde_json::Value::from(json.as_str()).to_string();
        let debug = format!("{value:?}");
        for form in [value, &form, &form.replace('+', "%20"), &json, &twice, &debug] {
            let shown = secrets(value).redact(&format!("[{form}]")).into_owned();
            let left = shown.trim_matches(['[', ']', '"', '\\']);
            assert_eq!(left, REDACTED.trim_matches(['[', ']']), "{form}");
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

    #[test]
    fn an_empty_secret_is_refused_and_an_empty_variable_hides_no_file() {
        let read = |file: Option<&str>| {
            Secrets::read([("key", "login")], |name| match name {
                "SERINUS_SECRET_KEY" => Some(String::new()),
                _ => file.map(str::to_owned),
            })
        };
        let error = read(None).unwrap_err().to_string();
        assert_eq!(error, "secret `key` of probe `login` is empty: SERINUS_SECRET_KEY");
        let name = format!("serinus-empty-secret-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        let path = file.display().to_string();
        std::fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(read(Some(&path)).unwrap().get("key"), Some("s3cret"));
        std::fs::write(&file, "\n").unwrap();
        let error = read(Some(&path)).unwrap_err().to_string();
        assert_eq!(error, format!("secret `key` of probe `login` is empty: {path}"));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_secret_is_redacted_however_often_and_however_it_is_encoded() {
        for (value, written) in [
            ("p&w<\"'>é/x y", r#"{"m":"{\\"pw\\":\\"p&w<\\\\\\"'>é/x y\\"}"}"#),
            ("p&w<\"'>é/x y", "p%26w%3c%22%27%3e%c3%a9%2fx%20y"),
            ("p&w<\"'>é/x y", "p%26w%3C%22'%3E%C3%A9/x%20y"),
            ("a!(b) c~", "a!(b)%20c~"),
            ("a\\\"b\nc", r#"a\\\\\\"b\\nc"#),
        ] {
            let shown = secrets(value).redact(written).into_owned();
            assert!(shown.contains(REDACTED) && !shown.contains("x y"), "{written}: {shown}");
        }
    }
}
