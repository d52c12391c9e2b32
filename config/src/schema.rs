//! JSON Schema of the file, from the same declarations that read it.

use crate::read::RootFile;
use crate::reader::{Key, Read};
use serde_json::{Map, Value as Json, json};

/// JSON Schema (2020-12) of the configuration: for editors that check and complete as one types.
pub fn schema() -> Json {
    let mut schema = RootFile::schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["required"] = json!(["listener", "route", "service"]);
    schema["title"] = json!("Serinus configuration");
    schema
}

/// The schema of a table; `types` are those of its keys.
pub(crate) fn of_table(about: &str, keys: Vec<Key>, types: Vec<Json>) -> Json {
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut table = json!({
        "type": "object",
        "description": about.trim(),
        "additionalProperties": false,
    });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    let properties: Map<String, Json> = keys
        .into_iter()
        .zip(types)
        .map(|(key, mut schema)| {
            schema["description"] = json!(key.about.trim());
            if let Some(default) = key.default {
                schema["default"] = default;
            }
            (key.name.to_owned(), schema)
        })
        .collect();
    table["properties"] = Json::Object(properties);
    table
}

/// The tables that know this key, as they are headed: `[service.NAME.rollout]`.
pub(crate) fn sections_with(key: &str) -> Vec<String> {
    let mut sections = Vec::new();
    each_key(&schema(), "", &mut |section, name, _| {
        if name == key && !section.is_empty() {
            sections.push(format!("[{section}]"));
        }
    });
    sections
}

/// Calls `found` with the section, name and schema of every key of the file.
pub(crate) fn each_key(schema: &Json, section: &str, found: &mut impl FnMut(&str, &str, &Json)) {
    let below = |name: &str| match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    };
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            found(section, name, property);
            each_key(property, &below(name), found);
        }
    }
    if schema["additionalProperties"].is_object() {
        each_key(&schema["additionalProperties"], &below("NAME"), found);
    }
    if schema["items"].is_object() {
        each_key(&schema["items"], section, found);
    }
}
