//! Little languages inside strings: regular expressions, JSONPath, CSS selectors, templates.

use crate::probe::{JsonSchema, JsonType};
use crate::reader::{Fault, Read, Reader, Span, Text, Value, fault};
use crate::suggest::choose;
use regex::Regex;
use serde_json::Value as Json;
use serinus_routing::PathPattern;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use toml::de::DeValue;

/// A regular expression.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(pub(crate) regex::Regex);

impl Text for Pattern {
    const WHAT: &'static str = "a regular expression";
    const EXAMPLE: &'static str = "\"^application/json\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        regex::Regex::new(text).map(Pattern).map_err(|error| bad_expression(&error))
    }

    fn schema() -> Json {
        serde_json::json!({ "type": "string", "format": "regex" })
    }
}

fn bad_expression(error: &regex::Error) -> Fault {
    // The last line of the report says what is wrong; those before it draw where.
    let report = error.to_string();
    let why = report.lines().last().unwrap_or_default().trim_start_matches("error: ");
    let help = "'.' is any character, '\\.' a dot; in TOML, 'single quotes' keep backslashes";
    fault(format!("bad regular expression: {why}"), help)
}

/// A regular expression on a whole path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathRegex(pub(crate) PathPattern);

impl Text for PathRegex {
    const WHAT: &'static str = "a regular expression";
    const EXAMPLE: &'static str = "\"/user/[0-9]+\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        PathPattern::new(text).map(PathRegex).map_err(|error| bad_expression(&error))
    }

    fn schema() -> Json {
        serde_json::json!({ "type": "string", "format": "regex" })
    }
}

/// An RFC 9535 path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath(pub(crate) String);

impl Text for JsonPath {
    const WHAT: &'static str = "a JSONPath";
    const EXAMPLE: &'static str = "\"$.token\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        match serde_json_path::JsonPath::parse(text) {
            Ok(_) => Ok(JsonPath(text.to_owned())),
            Err(_) => {
                let shown = text.escape_debug();
                let help = match text.starts_with('$') {
                    true => {
                        "write a path like \"$.token\", \"$.items[0].id\" or \"$..price\"".into()
                    }
                    false => format!("a path begins with '$': \"$.{shown}\""),
                };
                Err(fault(format!("\"{shown}\" is not a JSONPath"), help))
            }
        }
    }
}

/// A CSS selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CssSelector(pub(crate) String);

impl Text for CssSelector {
    const WHAT: &'static str = "a CSS selector";
    const EXAMPLE: &'static str = "\"form#login\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        match scraper::Selector::parse(text) {
            Ok(_) => Ok(CssSelector(text.to_owned())),
            Err(_) => Err(fault(
                format!("\"{}\" is not a CSS selector", text.escape_debug()),
                "write one like \"form#login\", \"a.next\" or \"input[name=token]\"",
            )),
        }
    }
}

/// Text with `{{ ... }}`, and the names that it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TemplateText {
    pub(crate) text: String,
    /// With what follows their first dot: `token`, `secret.password`, `random.uuid`.
    pub(crate) names: BTreeSet<String>,
}

impl Text for TemplateText {
    const WHAT: &'static str = "a string";
    const EXAMPLE: &'static str = "\"7\" or \"{{ token }}\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let jinja = minijinja::Environment::new();
        match jinja.template_from_str(text) {
            Ok(template) => {
                let builtin: BTreeSet<&str> = jinja.globals().map(|(name, _)| name).collect();
                if let Some(name) = unknown_filter(&jinja, text) {
                    let help = "those of minijinja are known: upper, replace, default, int, urlencode, ...";
                    return Err(fault(format!("there is no filter '{name}'"), help));
                }
                let names = template
                    .undeclared_variables(true)
                    .into_iter()
                    .filter(|name| !builtin.contains(name.as_str()))
                    .collect();
                Ok(TemplateText { text: text.to_owned(), names })
            }
            Err(error) => {
                let why = error.detail().unwrap_or("it does not end").to_owned();
                let help = "write \"{{ name }}\"; a literal brace pair is \"{{ '{{' }}\"";
                Err(fault(format!("bad template: {why}"), help))
            }
        }
    }
}

/// The first filter in `text`, a template, that minijinja does not know: it says so no sooner than when the
/// text is filled in, in every round.
fn unknown_filter(jinja: &minijinja::Environment<'_>, text: &str) -> Option<String> {
    static IN_BRACES: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?s)\{[{%].*?[}%]\}").ok());
    static QUOTED: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"(?s)"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"#).ok());
    static FILTER: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\|\s*([A-Za-z_]\w*)").ok());
    let (in_braces, quoted, filter) = (IN_BRACES.as_ref()?, QUOTED.as_ref()?, FILTER.as_ref()?);
    let is_unknown = |name: &str| {
        let tried =
            jinja.compile_expression_owned(format!("0 | {name}")).and_then(|it| it.eval(()));
        tried.is_err_and(|error| error.kind() == minijinja::ErrorKind::UnknownFilter)
    };
    for part in in_braces.find_iter(text) {
        // What is quoted may hold anything.
        let part = quoted.replace_all(part.as_str(), "''");
        let mut names = filter.captures_iter(&part).map(|found| found[1].to_owned());
        if let Some(name) = names.find(|name| is_unknown(name)) {
            return Some(name);
        }
    }
    None
}

/// Path and query of a request, a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestPath(pub(crate) TemplateText);

impl Text for RequestPath {
    const WHAT: &'static str = "a path";
    const EXAMPLE: &'static str = "\"/login\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text.starts_with('/') || text.starts_with("{{") {
            return TemplateText::parse(text).map(RequestPath);
        }
        let shown = text.escape_debug();
        let help = match text.split_once("://").map(|(_, rest)| rest.split_once('/')) {
            Some(rest) => format!(
                "write \"/{}\": probes go to the endpoints; 'host' of the probe is what they say as Host",
                rest.map_or("", |(_, path)| path)
            ),
            None => format!("write \"/{shown}\""),
        };
        Err(fault(format!("path \"{shown}\" does not begin with '/'"), help))
    }
}

/// A status code, a class of them (`"2xx"`) or a range (`"200-299"`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusCodes(pub(crate) Vec<u16>);

impl Read for StatusCodes {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let help = "write a status code, 200, a class, \"2xx\", a range, \"200-299\", or several, [200, 302]";
        if let Some(text) = value.get_ref().as_str() {
            return status_range(text).map(StatusCodes).or_else(|| {
                let message = format!("\"{}\" is no range of status codes", text.escape_debug());
                reader.fault(&value.span(), fault(message, help))
            });
        }
        match crate::number::number(value) {
            Some(code) if (100.0..=599.0).contains(&code) && code.fract() == 0.0 => {
                Some(StatusCodes(vec![code as u16]))
            }
            Some(code) => {
                reader.fault(&value.span(), fault(format!("{code} is not a status code"), help))
            }
            None => reader.wrong_type(value, "a status code", help),
        }
    }

    fn schema() -> Json {
        serde_json::json!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^([1-5]xx|[1-5][0-9][0-9]-[1-5][0-9][0-9])$" },
        ] })
    }
}

/// The codes of `2xx` or `200-299`; none if it is neither, or empty.
fn status_range(text: &str) -> Option<Vec<u16>> {
    let code = |text: &str| text.parse().ok().filter(|code| (100..=599).contains(code));
    let (first, last) = match text.strip_suffix("xx") {
        Some(class) => {
            let first = code(&format!("{class}00"))?;
            (first, first + 99)
        }
        None => text.split_once('-').and_then(|(low, high)| Some((code(low)?, code(high)?)))?,
    };
    (first <= last).then(|| (first..=last).collect())
}

/// The name of a type of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JsonTypeName(pub(crate) JsonType);

impl Text for JsonTypeName {
    const WHAT: &'static str = "a type";
    const EXAMPLE: &'static str = "\"string\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &JsonType::ALL.map(|known| (known.as_str(), known))).map(JsonTypeName)
    }

    fn schema() -> Json {
        serde_json::json!({ "type": "string", "enum": JsonType::ALL.map(JsonType::as_str) })
    }
}

/// A JSON Schema, written as TOML.
#[derive(Debug, Clone)]
pub(crate) struct JsonSchemaDocument(pub(crate) JsonSchema);

impl Read for JsonSchemaDocument {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if value.get_ref().as_table().is_none() {
            let help = "write it as a table: { type = \"object\", required = [\"id\"] }";
            return reader.wrong_type(value, "a JSON Schema", help);
        }
        let document = json(value, &mut Vec::new(), reader)?;
        match jsonschema::validator_for(&document) {
            Ok(validator) => {
                Some(JsonSchemaDocument(JsonSchema { document, validator: Arc::new(validator) }))
            }
            Err(error) => {
                let place = error.instance_path().to_string();
                let place = if place.is_empty() { String::new() } else { format!(" at {place}") };
                let help = "schemas are of draft 2020-12 unless \"$schema\" says otherwise, and whole: nothing is fetched";
                reader
                    .fault(&value.span(), fault(format!("not a JSON Schema{place}: {error}"), help))
            }
        }
    }

    fn schema() -> Json {
        serde_json::json!({ "type": "object" })
    }
}

/// Any JSON value, with the templates in its strings.
#[derive(Debug, Clone)]
pub(crate) struct AnyJson {
    pub(crate) value: Json,
    pub(crate) templates: Vec<(Span, TemplateText)>,
}

impl Read for AnyJson {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let mut templates = Vec::new();
        let value = json(value, &mut templates, reader)?;
        Some(AnyJson { value, templates })
    }

    fn schema() -> Json {
        serde_json::json!({})
    }
}

fn json(
    value: &Value<'_>,
    templates: &mut Vec<(Span, TemplateText)>,
    reader: &mut Reader,
) -> Option<Json> {
    Some(match value.get_ref() {
        DeValue::String(text) => {
            templates.push((value.span(), TemplateText::read(value, reader)?));
            Json::from(text.as_ref())
        }
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Json::from(number),
            Err(_) => {
                let help = "write it as a string if its digits matter";
                return reader.fault(&value.span(), fault(format!("{digits} is too large"), help));
            }
        },
        DeValue::Float(digits) => {
            let number = digits.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            let Some(number) = number else {
                let help = "JSON has finite numbers only";
                let message = format!("{digits} cannot be written in JSON");
                return reader.fault(&value.span(), fault(message, help));
            };
            Json::Number(number)
        }
        DeValue::Boolean(switch) => Json::from(*switch),
        DeValue::Datetime(date) => Json::from(date.to_string()),
        DeValue::Array(elements) => {
            let elements: Vec<_> =
                elements.iter().map(|element| json(element, templates, reader)).collect();
            Json::Array(elements.into_iter().collect::<Option<_>>()?)
        }
        DeValue::Table(table) => {
            let entries: Vec<_> = table
                .iter()
                .map(|(key, value)| {
                    Some((key.get_ref().to_string(), json(value, templates, reader)?))
                })
                .collect();
            Json::Object(entries.into_iter().collect::<Option<_>>()?)
        }
    })
}
