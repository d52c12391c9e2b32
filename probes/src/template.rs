//! `{{ ... }}` in probe definitions: captures, `secret.NAME`, `row.COLUMN` and `random.*`.

use crate::rows::Row;
use crate::secrets::Secrets;
use minijinja::value::{Object, Serde, Value as Jinja, from_args};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Unknown names are errors: a request with a hole in it would test nothing.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
});

/// What the templates of one step can name.
pub(crate) struct Templates {
    names: Jinja,
}

impl Templates {
    /// `seed` decides everything `random.*` gives, in the order in which it is asked for.
    pub(crate) fn new(
        captures: &Map<String, Value>,
        secrets: &Arc<Secrets>,
        row: Option<&Row>,
        seed: u64,
    ) -> Self {
        let mut names: BTreeMap<String, Jinja> = captures
            .iter()
            .map(|(name, value)| (name.clone(), Jinja::from(Serde(value))))
            .collect();
        names.insert("secret".to_owned(), Jinja::from_object(SecretNames(secrets.clone())));
        if let Some(row) = row {
            names.insert("row".to_owned(), Jinja::from(Serde(row.values())));
        }
        let random = Random(Mutex::new(fastrand::Rng::with_seed(seed)));
        names.insert("random".to_owned(), Jinja::from_object(random));
        Templates { names: Jinja::from(names) }
    }

    /// The text with its templates filled in.
    ///
    /// # Errors
    /// In words, if a name is unknown or an expression cannot be worked out.
    pub(crate) fn text(&self, source: &str) -> Result<String, String> {
        if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
            return Ok(source.to_owned());
        }
        ENVIRONMENT
            .render_str(source, self.names.clone())
            .map_err(|error| self.explain(source, &error))
    }

    /// A JSON value with the templates in its strings filled in. A string that is one expression and
    /// nothing else takes the type of its value: `"{{ random.int(1, 3) }}"` becomes a number.
    ///
    /// # Errors
    /// As [`Templates::text`].
    pub(crate) fn json(&self, value: &Value) -> Result<Value, String> {
        match value {
            Value::String(source) => self.typed(source),
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| Ok((name.clone(), self.json(value)?)))
                .collect::<Result<Map<_, _>, String>>()
                .map(Value::Object),
            plain => Ok(plain.clone()),
        }
    }

    fn typed(&self, source: &str) -> Result<Value, String> {
        let Some(expression) = whole_expression(source) else {
            return self.text(source).map(Value::String);
        };
        let value = ENVIRONMENT
            .compile_expression_owned(expression.to_owned())
            .and_then(|expression| expression.eval(self.names.clone()))
            .map_err(|error| self.explain(source, &error))?;
        if value.is_undefined() {
            return Err(self.explain(source, &Error::from(ErrorKind::UndefinedError)));
        }
        serde_json::to_value(value).map_err(|error| format!("template `{source}`: {error}"))
    }

    /// Names what is missing where something is.
    fn explain(&self, source: &str, error: &Error) -> String {
        let missing = (error.kind() == ErrorKind::UndefinedError)
            .then(|| ENVIRONMENT.template_from_str(source).ok())
            .flatten()
            .and_then(|template| {
                let mut names: Vec<_> = template.undeclared_variables(true).into_iter().collect();
                names.sort();
                names.into_iter().find(|name| self.lookup(name).is_none())
            });
        match missing {
            Some(name) => format!("template `{source}`: `{name}` is unknown here"),
            None => format!("template `{source}`: {error}"),
        }
    }

    /// The value behind `name` or `name.part`, if there is one.
    fn lookup(&self, name: &str) -> Option<Jinja> {
        let defined = |value: Jinja| (!value.is_undefined()).then_some(value);
        name.split('.').try_fold(self.names.clone(), |value, part| {
            // A method of `random` is no attribute: what is asked there is never unknown to us.
            match value.get_attr(part).ok().and_then(defined) {
                None if name.starts_with("random.") => Some(value),
                found => found,
            }
        })
    }
}

/// Names that a text's templates ask for, with their parts: `secret.shop_password`.
///
/// # Errors
/// In words, if it is no template.
pub(crate) fn names(source: &str) -> Result<Vec<String>, String> {
    if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
        return Ok(Vec::new());
    }
    let template = ENVIRONMENT
        .template_from_str(source)
        .map_err(|error| format!("template `{source}`: {error}"))?;
    let mut names: Vec<_> = template.undeclared_variables(true).into_iter().collect();
    names.sort();
    Ok(names)
}

/// The expression of a text that is one `{{ expression }}`.
fn whole_expression(source: &str) -> Option<&str> {
    let inner = source.strip_prefix("{{")?.strip_suffix("}}")?;
    let plain = !["{{", "}}", "{%", "{#"].iter().any(|mark| inner.contains(mark));
    (plain && !inner.starts_with('-') && !inner.ends_with('-')).then_some(inner)
}

/// `secret.NAME`
#[derive(Debug)]
struct SecretNames(Arc<Secrets>);

impl Object for SecretNames {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.0.get(key.as_str()?).map(Jinja::from)
    }
}

/// `random.uuid`, `random.int(low, high)`, `random.hex(digits)`, `random.letters(number)` and
/// `random.choice(one, other, ...)`: a new value at each mention.
#[derive(Debug)]
struct Random(Mutex<fastrand::Rng>);

/// More would be a typing error, not an input.
const LONGEST_HEX: usize = 4096;

impl Object for Random {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        (key.as_str() == Some("uuid")).then(|| self.uuid())
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Jinja],
    ) -> Result<Jinja, Error> {
        match method {
            "int" => {
                let (low, high): (i64, i64) = from_args(args)?;
                if low > high {
                    let text = format!(
                        "random.int({low}, {high}): the first must not be above the second"
                    );
                    return Err(Error::new(ErrorKind::InvalidOperation, text));
                }
                Ok(Jinja::from(self.generator().i64(low..=high)))
            }
            "hex" => {
                let (digits,): (usize,) = from_args(args)?;
                if digits > LONGEST_HEX {
                    let text = format!("random.hex({digits}): at most {LONGEST_HEX} digits");
                    return Err(Error::new(ErrorKind::InvalidOperation, text));
                }
                let mut generator = self.generator();
                let hex: String = (0..digits).map(|_| generator.digit(16)).collect();
                Ok(Jinja::from(hex))
            }
            "letters" => {
                let (number,): (usize,) = from_args(args)?;
                if number > LONGEST_HEX {
                    let text = format!("random.letters({number}): at most {LONGEST_HEX}");
                    return Err(Error::new(ErrorKind::InvalidOperation, text));
                }
                let mut generator = self.generator();
                let letters: String = (0..number).map(|_| generator.lowercase()).collect();
                Ok(Jinja::from(letters))
            }
            "choice" => match self.generator().choice(args) {
                Some(chosen) => Ok(chosen.clone()),
                None => Err(Error::new(ErrorKind::MissingArgument, "random.choice() of what?")),
            },
            "uuid" => {
                let () = from_args(args)?;
                Ok(self.uuid())
            }
            _ => Err(Error::new(
                ErrorKind::UnknownMethod,
                format!(
                    "random.{method}: there are random.uuid, random.int(low, high), random.hex(digits), random.letters(number) and random.choice(one, other)"
                ),
            )),
        }
    }
}

impl Random {
    fn generator(&self) -> std::sync::MutexGuard<'_, fastrand::Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Version 4: 122 random bits.
    fn uuid(&self) -> Jinja {
        let bits = self.generator().u128(..);
        let bits = bits & !(0xf << 76) | (0x4 << 76);
        let bits = bits & !(0x3 << 62) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        Jinja::from(parts.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn templates(seed: u64) -> Templates {
        let captures = json!({ "token": "abc", "id": 17, "user": { "name": "ann" } });
        let secrets = Secrets::new([("key".to_owned(), "s3cret".to_owned())]);
        Templates::new(captures.as_object().unwrap(), &Arc::new(secrets), None, seed)
    }

    #[test]
    fn captures_and_secrets_are_filled_in() {
        let text =
            templates(1).text("Bearer {{ token }}/{{ secret.key }}/{{ user.name }}").unwrap();
        assert_eq!(text, "Bearer abc/s3cret/ann");
    }

    #[test]
    fn html_in_values_is_not_escaped() {
        let captures = json!({ "page": "<a&b>" });
        let templates = Templates::new(captures.as_object().unwrap(), &Arc::default(), None, 1);
        assert_eq!(templates.text("{{ page }}").unwrap(), "<a&b>");
    }

    #[test]
    fn a_json_string_that_is_one_expression_keeps_its_type() {
        let rendered = templates(1).json(&json!({
            "id": "{{ id }}", "text": "n{{ id }}", "list": ["{{ user }}", 1, true], "s": "{{ id|string }}"
        }));
        let expected = json!({
            "id": 17, "text": "n17", "list": [{ "name": "ann" }, 1, true], "s": "17"
        });
        assert_eq!(rendered.unwrap(), expected);
    }

    #[test]
    fn unknown_names_are_errors_that_name_them() {
        for source in ["x {{ tokn }}", "{{ tokn }}"] {
            let error = templates(1).json(&json!(source)).unwrap_err();
            assert_eq!(error, format!("template `{source}`: `tokn` is unknown here"));
        }
        let error = templates(1).text("{{ token }}{{ secret.other }}").unwrap_err();
        assert!(error.ends_with("`secret.other` is unknown here"), "{error}");
    }

    #[test]
    fn the_same_seed_gives_the_same_random_values_and_another_seed_others() {
        let source =
            "{{ random.uuid }} {{ random.int(1, 1000000) }} {{ random.hex(20) }} {{ random.uuid }}";
        let first = templates(7).text(source).unwrap();
        assert_eq!(first, templates(7).text(source).unwrap());
        assert_ne!(first, templates(8).text(source).unwrap());
        let parts: Vec<&str> = first.split(' ').collect();
        assert_ne!(parts[0], parts[3], "each mention draws anew");
        assert_eq!(parts[2].len(), 20);
        assert!((1..=1_000_000).contains(&parts[1].parse::<u32>().unwrap()));
    }

    #[test]
    fn a_uuid_has_the_version_and_variant_bits_of_rfc_9562() {
        for seed in 0..200 {
            let uuid = templates(seed).text("{{ random.uuid }}").unwrap();
            let pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$";
            assert!(regex::Regex::new(pattern).unwrap().is_match(&uuid), "{uuid}");
        }
    }

    #[test]
    fn letters_and_choices_are_of_what_was_asked_for() {
        for seed in 0..50 {
            let letters = templates(seed).text("{{ random.letters(12) }}").unwrap();
            assert!(letters.len() == 12 && letters.bytes().all(|b| b.is_ascii_lowercase()));
            let chosen = templates(seed).json(&json!("{{ random.choice(1, 'two') }}")).unwrap();
            assert!(chosen == json!(1) || chosen == json!("two"), "{chosen}");
        }
        let error = templates(1).text("{{ random.choice() }}").unwrap_err();
        assert!(error.contains("of what?"), "{error}");
    }

    #[test]
    fn wrong_arguments_are_explained() {
        let error = templates(1).text("{{ random.int(3, 1) }}").unwrap_err();
        assert!(error.contains("the first must not be above the second"), "{error}");
        let error = templates(1).text("{{ random.word() }}").unwrap_err();
        assert!(error.contains("there are random.uuid"), "{error}");
    }
}
