//! Lists and tables of names.

use crate::reader::{At, Read, Reader, Text, Value};
use serde_json::{Value as Json, json};
use toml::de::DeValue;

/// Elements in their order; one that is wrong makes the list wrong.
impl<T: Read> Read for Vec<At<T>> {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(array) = value.get_ref().as_array() else {
            let help = match value.get_ref().as_str() {
                Some(text) => format!("put it in square brackets: [\"{}\"]", text.escape_debug()),
                None => "put it in square brackets: [ ... ]".to_owned(),
            };
            return reader.wrong_type(value, "a list", help);
        };
        let elements: Vec<Option<At<T>>> =
            array.iter().map(|element| read_at(element, reader)).collect();
        elements.into_iter().collect()
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// A value or a list of values.
#[derive(Debug)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<At<T>>);

impl<T: Read> Read for OneOrMany<T> {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(_) => Vec::read(value, reader).map(OneOrMany),
            _ => read_at(value, reader).map(|one| OneOrMany(vec![one])),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [T::schema(), Vec::<At<T>>::schema()] })
    }
}

fn read_at<T: Read>(value: &Value<'_>, reader: &mut Reader) -> Option<At<T>> {
    let span = value.span();
    Some(At { value: T::read(value, reader)?, key: span.clone(), span, given: true })
}

/// Entries under names of the operator's choice, in the order of the file.
#[derive(Debug)]
pub(crate) struct Map<K, V> {
    /// All names as they stand there, right or wrong.
    pub(crate) names: Vec<String>,
    /// What stands under names that are right; `None` for values that are wrong.
    pub(crate) entries: Vec<(At<K>, Option<At<V>>)>,
}

impl<K: Text, V: Read> Read for Map<K, V> {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            return reader.wrong_type(value, "a table", "write { name = ... }");
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let names = entries.iter().map(|(key, _)| key.get_ref().to_string()).collect();
        let entries = entries
            .into_iter()
            .filter_map(|(key, value)| {
                let name: &str = key.get_ref();
                let read: Option<At<V>> = reader.within(name, |reader| read_at(value, reader));
                let read = read.map(|at| At { key: key.span(), ..at });
                match K::parse(name) {
                    Ok(name) => {
                        let (span, key) = (key.span(), key.span());
                        Some((At { value: name, span, key, given: true }, read))
                    }
                    Err(fault) => reader.fault(&key.span(), fault),
                }
            })
            .collect();
        Some(Map { names, entries })
    }

    fn schema() -> Json {
        json!({
            "type": "object",
            "propertyNames": K::schema(),
            "additionalProperties": V::schema(),
        })
    }
}
