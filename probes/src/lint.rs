//! What in a probe will break for no reason, see nothing, or do harm: named before it does.

use regex::Regex;
use serde_json::Value;
use serinus_config::{Action, Body, Capture, Expect, ProbeDefinition, SideEffect, Step, Template};
use std::sync::LazyLock;

/// Remarks on a definition, in the order of its steps; empty where nothing is to be said.
pub fn lint(probe: &ProbeDefinition) -> Vec<String> {
    let mut remarks = Vec::new();
    for (index, step) in probe.steps.iter().enumerate() {
        let mut found = Vec::new();
        for selector in selectors(step) {
            found.extend(flaky(selector));
        }
        for (place, text) in texts(step) {
            found.extend(hard_coded(place, text));
        }
        let is_last = index + 1 == probe.steps.len();
        if is_last && !step.always_run && sees_nothing(&step.expect) {
            found.push(
                "the journey ends without a look at what came: a 200 with the wrong content passes; add \
                 body_contains, css, json or same_as_stable"
                    .to_owned(),
            );
        }
        let prefix = format!("step {} `{}`: ", index + 1, without_tokens(&step.name));
        remarks.extend(found.into_iter().map(|text| format!("{prefix}{text}")));
    }
    remarks.extend(whole(probe));
    remarks
}

/// What concerns the whole journey.
fn whole(probe: &ProbeDefinition) -> Vec<String> {
    let mut remarks = Vec::new();
    let cleans_up = probe.steps.iter().any(|step| step.always_run);
    let creates = probe.steps.iter().find(|step| is_creating(step) && !step.always_run);
    if let Some(step) = creates.filter(|_| probe.side_effect == SideEffect::Safe) {
        remarks.push(format!(
            "`{}` may leave something behind, and runs ten times as often under suspicion: if it does, say \
             side_effect = \"creates\" (or \"charges\")",
            step.name
        ));
    }
    if probe.side_effect == SideEffect::Creates && !cleans_up {
        remarks.push(
            "what it creates is left where a step fails: let the step that cleans up say always_run = true"
                .to_owned(),
        );
    }
    if probe.timeout > probe.interval {
        remarks.push(format!(
            "a run may take {:?}, rounds come every {:?}: slow ones leave out others",
            probe.timeout, probe.interval
        ));
    }
    remarks
}

/// A request that is likely to leave something behind; a form that holds a password is a login.
fn is_creating(step: &Step) -> bool {
    match &step.action {
        Action::Request { method, body, .. } => {
            let is_login = match body {
                Body::Form(fields) => fields.iter().any(|(name, _)| is_secret_name(name)),
                Body::Json(value) => value
                    .as_object()
                    .is_some_and(|fields| fields.keys().any(|name| is_secret_name(name))),
                Body::Empty | Body::Raw(_) => false,
            };
            method == "POST" && !is_login
        }
        Action::Submit { fields, .. } => {
            !fields.is_empty() && !fields.iter().any(|(name, _)| is_secret_name(name))
        }
        Action::Click { .. } => false,
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    ["password", "passwd", "secret", "token", "api_key", "apikey"]
        .iter()
        .any(|word| name.contains(word))
}

fn sees_nothing(expect: &Expect) -> bool {
    let Expect { body_contains, body_matches, json, json_schema, css, same_as_stable, .. } = expect;
    body_contains.is_empty()
        && body_matches.is_empty()
        && json.is_empty()
        && json_schema.is_none()
        && css.is_empty()
        && same_as_stable.is_none()
}

fn selectors(step: &Step) -> Vec<&str> {
    let mut selectors = Vec::new();
    match &step.action {
        Action::Submit { form, .. } => selectors.push(form.as_str()),
        Action::Click { link } => selectors.push(link.as_str()),
        Action::Request { .. } => {}
    }
    selectors.extend(step.expect.css.iter().map(|rule| rule.selector.as_str()));
    for (_, capture) in &step.captures {
        if let Capture::Css { selector, .. } = capture {
            selectors.push(selector);
        }
    }
    selectors
}

static POSITION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r":nth-|:first-|:last-|:only-").ok());
/// Class names and ids that build tools make: `css-1x2y3z`, `sc-bdVaJa`, `Button_root__2kX9q`, `_3fK2a`.
static GENERATED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = r"[.#](?:css-[a-z0-9]{5,}|sc-[A-Za-z]{5,}|[\w-]+__[A-Za-z0-9]{5,}|_[A-Za-z0-9]{4,}|[A-Za-z_-]*[0-9a-f]*[0-9][0-9a-f]{7,})";
    Regex::new(pattern).ok()
});
/// More steps from element to element than this tell where something is, not what.
const DEEPEST: usize = 3;

fn flaky(selector: &str) -> Option<String> {
    let is = |pattern: &LazyLock<Option<Regex>>| {
        pattern.as_ref().is_some_and(|pattern| pattern.is_match(selector))
    };
    let why = if is(&POSITION) {
        "goes by position: an element more, and it means another one"
    } else if is(&GENERATED) {
        "names a class or id that a build tool has made: it changes with every build"
    } else if selector.split(['>', '+', '~', ' ']).filter(|part| !part.is_empty()).count() > DEEPEST
    {
        "goes by the way through the page: any new element around it breaks it"
    } else {
        return None;
    };
    Some(format!("`{selector}` {why}; use an id, a name, a data- attribute or a text"))
}

/// What a step sends that was written down, with the place where it stands.
fn texts<'a>(step: &'a Step) -> Vec<(String, &'a str)> {
    let mut texts: Vec<(String, &'a str)> = step
        .headers
        .iter()
        .map(|(name, text)| (format!("header {name}"), text.0.as_str()))
        .collect();
    let fields = |fields: &'a [(String, Template)]| {
        fields.iter().map(|(name, text)| (format!("field {name}"), text.0.as_str()))
    };
    match &step.action {
        Action::Request { path, body, .. } => {
            texts.push(("path".to_owned(), path.0.as_str()));
            match body {
                Body::Form(form) => texts.extend(fields(form)),
                Body::Raw(text) => texts.push(("body".to_owned(), text.0.as_str())),
                Body::Json(value) => strings("json", value, &mut texts),
                Body::Empty => {}
            }
        }
        Action::Submit { fields: form, .. } => texts.extend(fields(form)),
        Action::Click { .. } => {}
    }
    texts
}

/// The strings of a JSON body, with their place in it: `json token`, `json items.0.id`.
fn strings<'a>(place: &str, value: &'a Value, texts: &mut Vec<(String, &'a str)>) {
    let below = |name: &str| match place {
        "json" => format!("json {name}"),
        place => format!("{place}.{name}"),
    };
    match value {
        Value::String(text) => texts.push((place.to_owned(), text.as_str())),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| strings(&below(name), value, texts));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(at, value)| strings(&below(&at.to_string()), value, texts));
        }
        _ => {}
    }
}

static TOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // A JWT, a UUID, 32 hexadecimal digits and more, or a long word of mixed letters and digits.
    let pattern = r"eyJ[\w-]{8,}\.[\w-]{8,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-fA-F]{32,}|[A-Za-z0-9_-]{40,}";
    Regex::new(pattern).ok()
});

/// A name fit to be shown: what looks like a token is cut.
fn without_tokens(name: &str) -> String {
    let cut = |found: &regex::Captures<'_>| {
        format!("{}...", found[0].chars().take(6).collect::<String>())
    };
    match TOKEN.as_ref() {
        Some(pattern) => pattern.replace_all(name, cut).into_owned(),
        None => name.to_owned(),
    }
}

fn hard_coded(place: String, text: &str) -> Option<String> {
    // What templates fill in is none.
    let written: String =
        text.split("{{").map(|part| part.rsplit("}}").next().unwrap_or(part)).collect();
    let pattern = TOKEN.as_ref()?;
    let found = pattern
        .find_iter(&written)
        .find(|found| found.as_str().bytes().any(|b| b.is_ascii_digit()))?;
    let begin: String = found.as_str().chars().take(6).collect();
    Some(format!(
        "{place} holds what looks like a token (`{begin}...`): it expires, or is a secret in the file; capture \
         it from the step that gives it out, or use {{{{ secret.NAME }}}}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn remarks(text: &str) -> Vec<String> {
        let rest = "[listener.web]\naddress = \"0.0.0.0:80\"\n[route.all]\nservice = \"shop\"\n[service.shop.stable]\nendpoints = [\"a:1\"]\n[probe.p]\nservice = \"shop\"\n";
        let text = format!("{rest}{text}");
        let settings = serinus_config::parse(&text, Path::new("s.toml"));
        lint(&settings.unwrap_or_else(|errors| panic!("{errors}")).probes[0])
    }

    fn of_step(text: &str) -> Vec<String> {
        let text = format!("[[probe.p.step]]\n{text}\nexpect.body_contains = \"ok\"\n");
        remarks(&text)
    }

    #[test]
    fn selectors_by_position_of_build_tools_and_through_the_page_are_named() {
        for (selector, why) in [
            ("li:nth-child(3)", "by position"),
            ("div.css-1x2y3z4", "build tool"),
            (".Button_root__2kX9q", "build tool"),
            ("#radix-1a2b3c4d5", "build tool"),
            ("main > div > ul > li > a", "through the page"),
        ] {
            let rule = format!("get = \"/\"\ncapture = {{ it = {{ css = \"{selector}\" }} }}");
            let said = of_step(&rule);
            assert!(said.len() == 1 && said[0].contains(why), "{selector}: {said:?}");
            assert!(said[0].starts_with(&format!("step 1 `get /`: `{selector}`")), "{said:?}");
        }
        for good in
            ["form#login", "a.next", "input[name=csrf]", "ul.cart li", "#step-2", "[data-id='7']"]
        {
            let rule = format!("get = \"/\"\ncapture = {{ it = {{ css = \"{good}\" }} }}");
            assert_eq!(of_step(&rule), [""; 0], "{good}");
        }
    }

    #[test]
    fn tokens_that_stand_in_the_file_are_named_and_not_shown() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln";
        for (rule, place) in [
            (format!("get = \"/\"\nheaders = {{ x-auth = \"Bearer {jwt}\" }}"), "header x-auth"),
            ("get = \"/o/9f86d081-884c-4d65-9a2f-eaa0c55ad015\"".to_owned(), "path"),
            (format!("put = \"/\"\nform = {{ csrf = \"{}\" }}", "0a".repeat(16)), "field csrf"),
            (format!("put = \"/\"\nbody = \"key={}\"", "Ab3".repeat(15)), "body"),
            (
                format!("put = \"/\"\njson = {{ a = [{{ key = \"{}\" }}] }}", "0a".repeat(16)),
                "json a.0.key",
            ),
        ] {
            let said = of_step(&rule);
            assert!(said.len() == 1 && said[0].contains(&format!(": {place} holds")), "{said:?}");
            assert!(!said[0].contains("MjM0In0") && !said[0].contains("ad015"), "{said:?}");
        }
        assert_eq!(
            of_step(
                "get = \"/{{ random.uuid }}/{{ secret.a_very_long_name_of_a_secret_123456789012345 }}\""
            ),
            [""; 0]
        );
    }

    #[test]
    fn a_journey_that_sees_nothing_or_leaves_something_behind_is_named() {
        let said = remarks("[[probe.p.step]]\nget = \"/\"\n");
        assert!(said.len() == 1 && said[0].contains("ends without a look"), "{said:?}");
        let said = of_step("post = \"/api/cart\"\njson = { item = 7 }");
        assert!(said.len() == 1 && said[0].contains("side_effect"), "{said:?}");
        let login = "post = \"/session\"\nform = { user = \"a\", password = \"{{ secret.p }}\" }";
        assert_eq!(of_step(login), [""; 0]);
        let said = remarks(
            "side_effect = \"creates\"\n[[probe.p.step]]\npost = \"/o\"\nexpect.body_contains = \"ok\"\n",
        );
        assert!(said.len() == 1 && said[0].contains("always_run"), "{said:?}");
        let said = remarks(
            "timeout = \"9s\"\n[[probe.p.step]]\nget = \"/\"\nexpect.body_contains = \"ok\"\n",
        );
        assert!(said.len() == 1 && said[0].contains("leave out others"), "{said:?}");
        let cleaned = "side_effect = \"creates\"\n[[probe.p.step]]\npost = \"/o\"\nexpect.body_contains = \"ok\"\n[[probe.p.step]]\ndelete = \"/o\"\nalways_run = true\n";
        assert_eq!(remarks(cleaned), [""; 0]);
    }
}
