//! A subset of Hurl (https://hurl.dev): requests, captures and asserts over one site.

mod assert;
mod parse;

use super::draft::{Draft, DraftStep, Imported, inline, is_header, literal, quoted};
use super::{ImportError, Naming, json_body, site};
use parse::{Body, Entry, Line};
use serde_json::Value;
use url::Url;

/// Methods that a step can have.
const METHODS: [&str; 7] = ["get", "post", "put", "delete", "patch", "head", "options"];

/// Sections that are read, or whose lines are named as left out.
const SECTIONS: [&str; 11] = [
    "Query",
    "QueryStringParams",
    "Cookies",
    "BasicAuth",
    "Options",
    "MultipartFormData",
    "Multipart",
    "Form",
    "FormParams",
    "Captures",
    "Asserts",
];

pub(super) fn import(text: &str, naming: &Naming) -> Result<Imported, ImportError> {
    let entries = parse::entries(text.trim_start_matches('\u{feff}'))?;
    let mut draft = Draft::new();
    draft.host.clone_from(&naming.host);
    for entry in &entries {
        step(entry, &mut draft)?;
    }
    outside_variables(&mut draft);
    if draft.steps.is_empty() {
        return Err(draft.empty("there is no request in it that a probe could send"));
    }
    Ok(draft.finish(naming))
}

fn step(entry: &Entry<'_>, draft: &mut Draft) -> Result<(), ImportError> {
    let method = entry.method.to_lowercase();
    let Some(action) = METHODS.into_iter().find(|known| *known == method) else {
        draft.remark(format!("left out: line {}: {} requests", entry.line, entry.method));
        return Ok(());
    };
    let Some(mut path) = path(entry, draft)? else { return Ok(()) };
    for pair in entry.section(&["Query", "QueryStringParams"]) {
        let (name, value) = pair.entry()?;
        let separator = if path.contains('?') { '&' } else { '?' };
        path = format!("{path}{separator}{}={}", encoded(name), query_value(&variables(value)));
    }
    let mut step = DraftStep::new(action, &path);
    for header in &entry.headers {
        let (name, value) = header.entry()?;
        let name = name.to_lowercase();
        match name.as_str() {
            "host" => draft.remark("left out: the Host header; the probe's `host` takes its place"),
            _ => step.headers.push((name, variables(value))),
        }
    }
    let cookies: Vec<String> = entry
        .section(&["Cookies"])
        .map(|line| line.entry().map(|(name, value)| format!("{name}={}", variables(value))))
        .collect::<Result<_, _>>()?;
    if !cookies.is_empty() {
        step.headers.push(("cookie".to_owned(), cookies.join("; ")));
    }
    if entry.section(&["BasicAuth"]).next().is_some() {
        draft.remark("to do: set SERINUS_SECRET_BASIC to the Base64 of user:password");
        step.headers.push(("authorization".to_owned(), "Basic {{ secret.basic }}".to_owned()));
    }
    for line in entry.section(&["Options", "MultipartFormData", "Multipart"]) {
        draft.remark(format!("left out: line {}: `{}`", line.number, line.text));
    }
    for (name, lines) in entry.other_sections(&SECTIONS) {
        draft.remark(format!("left out: [{name}], which is no section of Hurl"));
        for line in lines {
            draft.remark(format!("left out: line {}: `{}`", line.number, line.text));
        }
    }
    body(entry, &mut step)?;
    if step.body.is_some() && ["get", "head", "options"].contains(&action) {
        step.body = None;
        draft.remark(format!(
            "left out: line {}: the body of a {} request",
            entry.line, entry.method
        ));
    }
    answer(entry, &mut step, draft)?;
    draft.steps.push(step);
    Ok(())
}

fn body(entry: &Entry<'_>, step: &mut DraftStep) -> Result<(), ImportError> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for field in entry.section(&["Form", "FormParams"]) {
        let (name, value) = field.entry()?;
        fields.retain(|(known, _)| *known != name);
        fields.push((name, quoted(&variables(value))));
    }
    if !fields.is_empty() {
        step.body = Some(("form", inline(fields.into_iter())));
    }
    match &entry.body {
        Some(Body::Json(value)) => {
            let value = json_body::map_leaves(value, &mut |text| {
                text.contains("{{").then(|| variables(text))
            });
            json_body::set(step, &value);
        }
        Some(Body::Text(text)) => step.body = Some(("body", quoted(&variables(text)))),
        None => {}
    }
    Ok(())
}

/// What the entry says of the answer.
fn answer(entry: &Entry<'_>, step: &mut DraftStep, draft: &mut Draft) -> Result<(), ImportError> {
    if let Some(status) = entry.status {
        step.expect.push(("status", status.to_string()));
    }
    for header in &entry.answer_headers {
        let (name, value) = header.entry()?;
        if !is_header(name) {
            draft.remark(format!("left out: line {}: `{}`", header.number, header.text));
            continue;
        }
        let rule = [("name", quoted(&name.to_lowercase())), ("equals", quoted(&literal(value)))];
        step.rules.push(("header", inline(rule.into_iter())));
    }
    for line in entry.section(&["Captures"]) {
        let (name, query) = line.entry()?;
        match assert::capture(query) {
            Some(capture) => step.captures.push((identifier(name), capture)),
            None => {
                draft.remark(format!("left out: line {}: capture `{name}: {query}`", line.number))
            }
        }
    }
    for line in entry.section(&["Asserts"]) {
        if assert::add(line.text, step).is_none() {
            draft.remark(format!("left out: line {}: assert `{}`", line.number, line.text));
        }
    }
    if entry.answer_body {
        draft.remark(format!(
            "left out: line {}: the whole body expected; write json or body_contains rules",
            entry.line
        ));
    }
    Ok(())
}

/// Variables that no step captures come from outside: they are secrets of the environment.
fn outside_variables(draft: &mut Draft) {
    let mut captured: Vec<String> = vec!["random.uuid".to_owned()];
    let mut missing: Vec<String> = Vec::new();
    for step in &mut draft.steps {
        let mut texts: Vec<&mut String> = vec![&mut step.action.1];
        texts.extend(step.body.as_mut().map(|(_, body)| body));
        texts.extend(step.headers.iter_mut().map(|(_, value)| value));
        for text in texts {
            for name in template_names(text) {
                if !captured.contains(&name) && !name.starts_with("secret.") {
                    *text = text.replace(&format!("{{{{ {name} "), &format!("{{{{ secret.{name} "));
                    missing.push(name);
                }
            }
        }
        captured.extend(step.captures.iter().map(|(name, _)| name.clone()));
    }
    for name in missing {
        draft.remark(format!("to do: set SERINUS_SECRET_{}", name.to_uppercase()));
    }
}

/// Names in `{{ name }}` as this importer writes them.
fn template_names(text: &str) -> Vec<String> {
    let after = text.split("{{ ").skip(1);
    let names = after.filter_map(|rest| rest.split(' ').next().map(str::to_owned));
    names.filter(|name| !name.starts_with('\'')).collect()
}

/// Path and query; none for another site.
fn path(entry: &Entry<'_>, draft: &mut Draft) -> Result<Option<String>, ImportError> {
    let url = entry.url;
    // `{{host}}/path`: the site is a variable.
    if let Some(rest) = url.strip_prefix("{{").and_then(|rest| rest.split_once("}}")) {
        let path = if rest.1.starts_with('/') { rest.1.to_owned() } else { format!("/{}", rest.1) };
        return Ok(Some(variables(&path)));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        let reason = format!("`{url}` is no URL");
        return Err(ImportError::Malformed { line: entry.line, column: 1, reason });
    };
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // A variable within the host is the site that the probe is aimed at.
    if !authority.contains("{{") {
        let parsed = Url::parse(&format!("{scheme}://{authority}/"));
        let Some(site) = parsed.as_ref().ok().and_then(site) else {
            let why = parsed.err().map(|error| format!(": {error}")).unwrap_or_default();
            let reason = format!("`{url}` is no URL{why}");
            return Err(ImportError::Malformed { line: entry.line, column: 1, reason });
        };
        if *draft.host.get_or_insert_with(|| site.clone()) != site {
            draft.remark(format!(
                "left out: line {}: a request to {site}, another site",
                entry.line
            ));
            return Ok(None);
        }
    }
    Ok(Some(variables(path.split('#').next().unwrap_or_default())))
}

/// Hurl's `{{name}}` as ours; other braces as text.
fn variables(text: &str) -> String {
    let mut template = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, tail)) = after.split_once("}}") else { break };
        template.push_str(&literal(before));
        let name = name.trim();
        let known = match name {
            "newUuid" => "random.uuid".to_owned(),
            name => identifier(name),
        };
        template.push_str(&format!("{{{{ {known} }}}}"));
        rest = tail;
    }
    template + &literal(rest)
}

/// A name that a template can use.
fn identifier(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    match name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => name,
        false => format!("v{name}"),
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A query value: what is written is encoded, what a template gives is encoded when it is known.
fn query_value(template: &str) -> String {
    if template.contains("{{") {
        template.replace(" }}", " | urlencode }}")
    } else {
        encoded(template)
    }
}

impl<'a> Line<'a> {
    /// `name: value`
    fn entry(&self) -> Result<(&'a str, &'a str), ImportError> {
        let entry = self.text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        entry.filter(|(name, _)| !name.is_empty()).ok_or_else(|| ImportError::Malformed {
            line: self.number,
            column: 1,
            reason: format!("expected `name: value`, found `{}`", self.text),
        })
    }
}

/// A JSON value in a predicate, as TOML.
fn toml_value(value: &Value) -> Option<String> {
    super::draft::json_as_toml(value)
}
