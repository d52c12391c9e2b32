//! `[[probe.NAME.step]]`: what is sent.

use crate::collection::Map;
use crate::net::HeaderName;
use crate::number::Length;
use crate::pattern::{AnyJson, CssSelector, RequestPath, TemplateText};
use crate::probe::{Action, Body, Step, Template};
use crate::read::capture::CaptureFile;
use crate::read::expect::ExpectFile;
use crate::read::names::{CaptureName, Names};
use crate::reader::{At, Reader, Span, fault};
use crate::suggest::listed;
use crate::table::table;
use std::time::Duration;

table! {
    /// One request of a probe: exactly one of get, post, put, delete, patch, head, options, submit
    /// and click.
    StepFile {
        /// Path to GET; like every text of a step it can hold `{{ templates }}`.
        get: RequestPath,
        /// Path to POST to.
        post: RequestPath,
        /// Path to PUT to.
        put: RequestPath,
        /// Path to DELETE.
        delete: RequestPath,
        /// Path to PATCH.
        patch: RequestPath,
        /// Path to ask for its HEAD.
        head: RequestPath,
        /// Path to ask for its OPTIONS.
        options: RequestPath,
        /// Fill in and send a form of the page that the step before fetched.
        submit: SubmitFile,
        /// CSS selector of a link to follow on the page that the step before fetched.
        click: CssSelector,
        /// Body: JSON, written as TOML.
        json: AnyJson,
        /// Body: fields of a form.
        form: Map<String, TemplateText>,
        /// Body: text as it stands.
        body: TemplateText,
        /// Headers to send, by name.
        headers: Map<HeaderName, TemplateText>,
        /// Run also after a step that failed: it cleans up.
        always_run: bool = false,
        /// For this step alone, within the probe's timeout.
        timeout: Length,
        /// What must come back.
        expect: ExpectFile = {},
        /// Values to keep for later steps, by name.
        capture: Map<CaptureName, CaptureFile> = {},
    }
}

table! {
    /// A form to fill in and send.
    SubmitFile {
        /// CSS selector of the form.
        @required form: CssSelector,
        /// Fields to fill in; the others keep what the page says.
        fields: Map<String, TemplateText> = {},
    }
}

/// Keys that say what a step does.
const ACTIONS: [&str; 9] =
    ["get", "post", "put", "delete", "patch", "head", "options", "submit", "click"];

/// Headers whose literal values are secrets.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

impl StepFile {
    /// `first`: there is no page yet. `timeout`: of the whole probe. `names`: known to templates.
    pub(crate) fn settle(
        mut self,
        header: &Span,
        first: bool,
        timeout: Duration,
        names: &mut Names,
        reader: &mut Reader,
    ) -> Option<Step> {
        let body = self.body(names, reader);
        let action = self.action(header, first, names, reader);
        let action =
            action.and_then(|(name, action)| Some((with_body(action, body?, reader)?, name)));
        let headers = self.headers.take();
        let headers = headers.map(|at| templates(at.value, names, reader)).unwrap_or_default();
        for (name, value) in &headers {
            if SECRET_HEADERS.contains(&name.value.0.as_str()) && value.value.names.is_empty() {
                let message = format!(
                    "a secret stands in the file: write {} = \"{{{{ secret.NAME }}}}\"",
                    name.value.0
                );
                reader.warn(&value.span, message);
            }
        }
        let own = self.timeout.take();
        if let Some(own) = own.as_ref().filter(|own| own.value.0 > timeout) {
            reader.warn(&own.span, "the probe's timeout comes first");
        }
        let always_run = self.always_run.take()?.value;
        let expect = self.expect?.value.settle(timeout, names, reader);
        let known = self.capture.as_ref().map(|at| &at.value);
        names.capture(known);
        let captures = self.capture?.value.entries.into_iter().map(|(name, file)| {
            let file = file?;
            Some((name.value.0, file.value.settle(&file.span, reader)?))
        });
        let captures: Vec<_> = captures.collect();
        let (action, name) = action?;
        Some(Step {
            name,
            action,
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.value.0, Template(value.value.text)))
                .collect(),
            expect: expect?,
            captures: captures.into_iter().collect::<Option<_>>()?,
            always_run,
            timeout: own.map(|own| own.value.0),
        })
    }

    /// The body with the place of its key; `None` for more than one.
    fn body(&mut self, names: &mut Names, reader: &mut Reader) -> Option<(Span, Body)> {
        let mut bodies: Vec<(&str, Span, Body)> = Vec::new();
        if let Some(json) = self.json.take() {
            for (span, template) in &json.value.templates {
                names.check(template, span, reader);
            }
            bodies.push(("json", json.key, Body::Json(json.value.value)));
        }
        if let Some(form) = self.form.take() {
            let fields = templates(form.value, names, reader);
            warn_of_passwords(&fields, reader);
            let fields = texts(fields);
            bodies.push(("form", form.key, Body::Form(fields)));
        }
        if let Some(raw) = self.body.take() {
            names.check(&raw.value, &raw.span, reader);
            bodies.push(("body", raw.key, Body::Raw(Template(raw.value.text))));
        }
        bodies.sort_by_key(|(_, key, _)| key.start);
        if let [(first, ..), (second, key, _), ..] = bodies.as_slice() {
            let message = format!("a request has one body, not '{first}' and '{second}'");
            return reader.fault(key, fault(message, "keep one of json, form and body"));
        }
        let (_, key, body) = bodies.pop().unwrap_or(("", 0..0, Body::Empty));
        Some((key, body))
    }

    /// The step's name and what it does, still without a body.
    fn action(
        &mut self,
        header: &Span,
        first: bool,
        names: &mut Names,
        reader: &mut Reader,
    ) -> Option<(String, Action)> {
        let mut actions: Vec<(Span, String, Action)> = Vec::new();
        for (method, path) in [
            ("GET", self.get.take()),
            ("POST", self.post.take()),
            ("PUT", self.put.take()),
            ("DELETE", self.delete.take()),
            ("PATCH", self.patch.take()),
            ("HEAD", self.head.take()),
            ("OPTIONS", self.options.take()),
        ] {
            let Some(At { value: RequestPath(path), span, key, .. }) = path else { continue };
            names.check(&path, &span, reader);
            let name = format!("{} {}", method.to_lowercase(), path.text);
            let (method, path) = (method.to_owned(), Template(path.text));
            actions.push((key, name, Action::Request { method, path, body: Body::Empty }));
        }
        if let Some(submit) = self.submit.take()
            && let (Some(form), Some(fields)) = (submit.value.form, submit.value.fields)
        {
            let (form, fields) = (form.value.0, templates(fields.value, names, reader));
            warn_of_passwords(&fields, reader);
            let fields = texts(fields);
            actions.push((submit.key, format!("submit {form}"), Action::Submit { form, fields }));
        }
        if let Some(click) = self.click.take() {
            let link = click.value.0;
            actions.push((click.key, format!("click {link}"), Action::Click { link }));
        }
        actions.sort_by_key(|(key, ..)| key.start);
        if !self.present.iter().any(|key| ACTIONS.contains(key)) {
            let help = format!("add one of {}", listed(&ACTIONS));
            return reader.fault(header, fault("this step does nothing", help));
        }
        if let [(_, one, _), (key, two, _), ..] = actions.as_slice() {
            let message = format!("a step does one thing, not both '{one}' and '{two}'");
            return reader.fault(key, fault(message, "make a step of each"));
        }
        let (key, name, action) = actions.pop()?;
        if first && !matches!(action, Action::Request { .. }) {
            let message = "there is no page yet to find this on";
            return reader.fault(&key, fault(message, "put a step before it that gets the page"));
        }
        Some((name, action))
    }
}

/// The action with its body, if it can have one.
fn with_body(action: Action, (key, sent): (Span, Body), reader: &mut Reader) -> Option<Action> {
    match (action, sent) {
        (action, Body::Empty) => Some(action),
        (Action::Request { method, path, .. }, body)
            if !["GET", "HEAD", "OPTIONS"].contains(&method.as_str()) =>
        {
            Some(Action::Request { method, path, body })
        }
        (Action::Submit { .. }, _) => {
            let help = "write what is filled in as submit = { form = ..., fields = { ... } }";
            reader.fault(&key, fault("the form makes the body of a submit step", help))
        }
        _ => {
            reader.fault(&key, fault("this request has no body", "send it with post, put or patch"))
        }
    }
}

/// Entries that are right, their templates checked.
fn templates<K>(
    map: Map<K, TemplateText>,
    names: &mut Names,
    reader: &mut Reader,
) -> Vec<(At<K>, At<TemplateText>)> {
    let entries: Vec<_> =
        map.entries.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    for (_, value) in &entries {
        names.check(&value.value, &value.span, reader);
    }
    entries
}

fn texts(entries: Vec<(At<String>, At<TemplateText>)>) -> Vec<(String, Template)> {
    entries.into_iter().map(|(name, value)| (name.value, Template(value.value.text))).collect()
}

fn warn_of_passwords(fields: &[(At<String>, At<TemplateText>)], reader: &mut Reader) {
    for (name, value) in fields {
        if name.value.to_lowercase().contains("password") && value.value.names.is_empty() {
            let message = "a password stands in the file: write \"{{ secret.NAME }}\"";
            reader.warn(&value.span, message);
        }
    }
}
