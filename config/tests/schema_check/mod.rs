//! As much of JSON Schema as the schema of the configuration uses.

use serde_json::Value as Json;

/// Whether `value` conforms to `schema`; if not, where and why. `at` names the place.
pub(crate) fn conforms(value: &Json, schema: &Json, at: &str) -> Result<(), String> {
    if let Some(options) = schema["anyOf"].as_array() {
        let tried: Vec<_> = options.iter().map(|option| conforms(value, option, at)).collect();
        if tried.iter().any(Result::is_ok) {
            return Ok(());
        }
        return Err(format!("{at} is none of: {tried:?}"));
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        return Err(format!("{at} is no choice: {value}"));
    }
    let right_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some(other) => return Err(format!("{at}: unknown type {other}")),
        None => true,
    };
    if !right_type {
        return Err(format!("{at} is no {}: {value}", schema["type"].as_str().unwrap_or_default()));
    }
    in_range(value, schema, at)?;
    if let (Some(text), Some(pattern)) = (value.as_str(), schema["pattern"].as_str())
        && !regex::Regex::new(pattern).map_err(|error| error.to_string())?.is_match(text)
    {
        return Err(format!("{at} does not match {pattern}: {text}"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(item, &schema["items"], &format!("{at}[{index}]"))?;
    }
    if let Some(entries) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().unwrap_or_default();
            if !entries.contains_key(name) {
                return Err(format!("{at} lacks '{name}'"));
            }
        }
        for (name, entry) in entries {
            let place = format!("{at}.{name}");
            if schema["propertyNames"].is_object() {
                conforms(&Json::from(name.as_str()), &schema["propertyNames"], &place)?;
            }
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Json::Null, Json::Bool(false)) => {
                    return Err(format!("{at} has an unknown key: {name}"));
                }
                (Json::Null, others) => conforms(entry, others, &place)?,
                (property, _) => conforms(entry, property, &place)?,
            }
        }
    }
    Ok(())
}

fn in_range(value: &Json, schema: &Json, at: &str) -> Result<(), String> {
    let Some(number) = value.as_f64() else { return Ok(()) };
    let bound = |name: &str| schema[name].as_f64();
    let too_small = bound("minimum").is_some_and(|low| number < low)
        || bound("exclusiveMinimum").is_some_and(|low| number <= low);
    let too_large = bound("maximum").is_some_and(|high| number > high)
        || bound("exclusiveMaximum").is_some_and(|high| number >= high);
    match (too_small, too_large) {
        (true, _) => Err(format!("{at} is too small: {number}")),
        (_, true) => Err(format!("{at} is too large: {number}")),
        _ => Ok(()),
    }
}

/// Calls `found` with the section, name and schema of every key; a required one says `x-required`.
pub(crate) fn each_key(schema: &Json, section: &str, found: &mut impl FnMut(&str, &str, &Json)) {
    let below = |name: &str| match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let mut property = property.clone();
        let required =
            schema["required"].as_array().is_some_and(|keys| keys.contains(&name.as_str().into()));
        property["x-required"] = required.into();
        found(section, name, &property);
        each_key(&property, &below(name), found);
    }
    if schema["additionalProperties"].is_object() {
        each_key(&schema["additionalProperties"], &below("NAME"), found);
    }
    if schema["items"].is_object() {
        each_key(&schema["items"], section, found);
    }
}
