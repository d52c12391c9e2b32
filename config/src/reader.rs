//! Reading a TOML document without stopping at the first mistake: every value knows its place,
//! and every mistake is noted where it is.

use crate::suggest::{did_you_mean, listed};
use serde_json::{Value as Json, json};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes of the file.
pub(crate) type Span = Range<usize>;

/// A TOML value with its place.
pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

/// What was read, and where.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    /// What was read.
    pub(crate) value: T,
    /// Its place; for a table the place of its header.
    pub(crate) span: Span,
    /// The place of its key; for an element of a list its own.
    pub(crate) key: Span,
    /// False for a default, whose place is that of its table.
    pub(crate) given: bool,
}

/// A mistake, and what would be right.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// A mistake, and what would be right.
pub(crate) fn fault(message: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault { message: message.into(), help: help.into() }
}

/// What can stand in a configuration file.
pub(crate) trait Read: Sized {
    /// Reads a value; what is wrong with it is reported to the reader and makes it `None`.
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self>;

    /// JSON Schema of what `read` accepts.
    fn schema() -> Json;
}

/// One key of a table: what [`table!`](crate::table::table) knows of it.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) required: bool,
    /// Read in place of a key that is not there.
    pub(crate) default: Option<Json>,
}

/// A table that is being read.
pub(crate) struct Section<'v, 'i> {
    pub(crate) table: &'v DeTable<'i>,
    /// The place of its header.
    header: Span,
    /// Known keys that unknown ones were probably meant to be.
    misspelt: Vec<&'static str>,
}

/// Collects mistakes and warnings on the way through a document.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) faults: Vec<(Span, Fault)>,
    pub(crate) warnings: Vec<(Span, String)>,
    /// Keys that lead to where the reader is.
    path: Vec<String>,
}

impl Reader {
    /// Notes a mistake. Gives `None`, which is what its caller has got, too.
    pub(crate) fn fault<T>(&mut self, span: &Span, fault: Fault) -> Option<T> {
        self.faults.push((span.clone(), fault));
        None
    }

    /// Notes what is allowed but looks like a mistake.
    pub(crate) fn warn(&mut self, span: &Span, message: impl Into<String>) {
        self.warnings.push((span.clone(), message.into()));
    }

    /// Notes that a value is of another type.
    pub(crate) fn wrong_type<T>(
        &mut self,
        value: &Value<'_>,
        expected: &str,
        help: impl Into<String>,
    ) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.fault(&value.span(), fault(format!("expected {expected}, found {found}"), help))
    }

    /// The value as a table with no other keys than these.
    pub(crate) fn table<'v, 'i>(
        &mut self,
        value: &'v Value<'i>,
        known: &[&'static str],
    ) -> Option<Section<'v, 'i>> {
        let place = self.place();
        let mut misspelt = Vec::new();
        let Some(table) = value.get_ref().as_table() else {
            return self.wrong_type(value, "a table", format!("its keys are {}", listed(known)));
        };
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let meant =
                    known.iter().find(|key| did_you_mean(name, known.iter().copied()) == Some(key));
                misspelt.extend(meant);
                let help = match meant {
                    Some(meant) => format!("did you mean '{meant}'?"),
                    None => match crate::schema::sections_with(name).as_slice() {
                        [] => format!("known keys: {}", listed(known)),
                        sections => format!("'{name}' belongs in {}", sections.join(" or ")),
                    },
                };
                let message = format!("unknown key '{name}' {place}");
                self.fault::<()>(&key.span(), fault(message, help));
            }
        }
        Some(Section { table, header: value.span(), misspelt })
    }

    /// The value of a key, or its default.
    pub(crate) fn key<T: Read>(&mut self, section: &Section<'_, '_>, key: &Key) -> Option<At<T>> {
        let header = &section.header;
        let Some((name, value)) = section.table.get_key_value(key.name) else {
            if key.required && section.misspelt.contains(&key.name) {
                return None; // it is there, under the name that was reported
            }
            if key.required {
                let message = format!("missing key '{}' {}", key.name, self.place());
                let what = key.about.trim().trim_end_matches('.');
                return self
                    .fault(header, fault(message, format!("add {} = ...: {what}", key.name)));
            }
            // JSON is TOML as far as defaults go: text, numbers, booleans, lists and `{}`.
            let text = key.default.as_ref()?.to_string();
            let value = T::read(&DeValue::parse(&text).ok()?, self)?;
            return Some(At { value, span: header.clone(), key: header.clone(), given: false });
        };
        let read = self.within(key.name, |reader| T::read(value, reader));
        Some(At { value: read?, span: value.span(), key: name.span(), given: true })
    }

    /// Reads what lies below a key.
    pub(crate) fn within<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_owned());
        let result = read(self);
        self.path.pop();
        result
    }

    /// Where the reader is, in words.
    fn place(&self) -> String {
        match self.path.as_slice() {
            [] => "at the top of the file".to_owned(),
            path => format!("in [{}]", path.join(".")),
        }
    }
}

/// What is written as a string and means something more exact.
pub(crate) trait Text: Sized {
    /// With its article: "a duration".
    const WHAT: &'static str;
    /// One that is right, with its quotes.
    const EXAMPLE: &'static str;

    /// What the text means.
    fn parse(text: &str) -> Result<Self, Fault>;

    /// What of it a JSON Schema can say.
    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

impl<T: Text> Read for T {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_str().map(T::parse) {
            Some(Ok(parsed)) => Some(parsed),
            Some(Err(fault)) => reader.fault(&value.span(), fault),
            None => {
                let help = format!("write it in quotes, like {}", T::EXAMPLE);
                reader.wrong_type(value, T::WHAT, help)
            }
        }
    }

    fn schema() -> Json {
        <T as Text>::schema()
    }
}
