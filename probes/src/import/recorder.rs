//! Chrome DevTools' Recorder: what a person did on pages, as JSON.
//!
//! Without a browser there are requests only: opening an address, following links, filling in and sending forms.

use super::draft::{Draft, DraftStep, Imported, inline, literal, quoted};
use super::{ImportError, Naming, site};
use scraper::Selector;
use serde::Deserialize;
use url::Url;

#[derive(Deserialize)]
struct Recording {
    steps: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    r#type: String,
    url: Option<String>,
    #[serde(default)]
    selectors: Vec<Alternatives>,
    value: Option<String>,
    key: Option<String>,
    count: Option<u32>,
    visible: Option<bool>,
}

/// One way to find an element, or a path of them through frames and shadow roots.
#[derive(Deserialize)]
#[serde(untagged)]
enum Alternatives {
    One(String),
    Path(Vec<String>),
}

/// What changes nothing for a server.
const SILENT: [&str; 8] = [
    "setViewport",
    "scroll",
    "hover",
    "keyUp",
    "close",
    "emulateNetworkConditions",
    "waitForExpression",
    "customStep",
];

pub(super) fn import(text: &str, naming: &Naming) -> Result<Imported, ImportError> {
    let text = text.trim_start_matches('\u{feff}');
    let recording: Recording =
        serde_json::from_str(text).map_err(|error| ImportError::json(&error))?;
    let mut draft = Draft::new();
    draft.host.clone_from(&naming.host);
    let mut fields: Vec<(String, String)> = Vec::new();
    for (at, step) in recording.steps.iter().enumerate() {
        let number = at + 1;
        match step.r#type.as_str() {
            "navigate" => navigate(&mut draft, number, step),
            "change" => change(&mut draft, number, step, &mut fields),
            "click" | "doubleClick" => click(&mut draft, number, step, &mut fields),
            "keyDown" if step.key.as_deref() == Some("Enter") && !fields.is_empty() => {
                submit(&mut draft, &mut fields);
            }
            "waitForElement" => wait(&mut draft, number, step),
            "keyDown" => {}
            other if SILENT.contains(&other) => {
                if matches!(other, "waitForExpression" | "customStep") {
                    draft.remark(format!("left out: step {number} `{other}` needs a browser"));
                }
            }
            other => draft.remark(format!("left out: step {number} `{other}`, unknown")),
        }
    }
    if !fields.is_empty() {
        draft.remark("left out: fields that were filled in and never sent");
    }
    if draft.steps.is_empty() {
        return Err(draft.empty("no page is opened in it"));
    }
    Ok(draft.finish(naming))
}

fn navigate(draft: &mut Draft, number: usize, step: &Recorded) {
    let url = step.url.as_deref().and_then(|url| Url::parse(url).ok());
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        // about:blank and chrome:// are how recordings begin.
        return;
    };
    let Some(host) = site(&url) else { return };
    if draft.host.get_or_insert_with(|| host.clone()) != &host {
        draft.remark(format!("left out: step {number} opens {host}, another site"));
        return;
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    draft.steps.push(DraftStep::new("get", &literal(&format!("{}{query}", url.path()))));
}

/// The first alternative that is plain CSS and works without a browser.
fn css(step: &Recorded) -> Option<String> {
    let plain = |selector: &&str| {
        let foreign = ["aria/", "xpath/", "xpath//", "pierce/", "text/"];
        !foreign.iter().any(|prefix| selector.starts_with(prefix))
            && Selector::parse(selector).is_ok()
    };
    let of = |alternative: &Alternatives| match alternative {
        Alternatives::One(selector) => Some(selector.as_str()).filter(plain).map(str::to_owned),
        // A path of several leads through frames or shadow roots.
        Alternatives::Path(path) => match path.as_slice() {
            [selector] => Some(selector.as_str()).filter(plain).map(str::to_owned),
            _ => None,
        },
    };
    step.selectors.iter().find_map(of)
}

fn change(draft: &mut Draft, number: usize, step: &Recorded, fields: &mut Vec<(String, String)>) {
    let Some(selector) = css(step) else {
        draft.remark(format!("left out: step {number} `change` has no CSS selector"));
        return;
    };
    let name = match attribute(&selector, "name") {
        Some(name) => name,
        None => match selector.rsplit(['#', ' ', '>']).next().filter(|_| selector.contains('#')) {
            Some(id) => {
                draft.remark(format!("guessed: the field at `{selector}` is named `{id}`; compare with the form's HTML"));
                id.trim().to_owned()
            }
            None => {
                draft.remark(format!(
                    "left out: step {number} `change`: no name of a field in `{selector}`"
                ));
                return;
            }
        },
    };
    let value = step.value.clone().unwrap_or_default();
    let value = match name.to_lowercase().contains("pass") {
        true => {
            draft.remark("to do: set SERINUS_SECRET_PASSWORD; the recorded one was left out");
            "{{ secret.password }}".to_owned()
        }
        false => literal(&value),
    };
    fields.retain(|(known, _)| *known != name);
    fields.push((name, value));
}

/// `user` of `input[name="user"]`.
fn attribute(selector: &str, name: &str) -> Option<String> {
    let (_, rest) = selector.split_once(&format!("[{name}="))?;
    let (value, _) = rest.split_once(']')?;
    let value = value.trim_matches(['"', '\'', '\\']);
    (!value.is_empty()).then(|| value.to_owned())
}

fn click(draft: &mut Draft, number: usize, step: &Recorded, fields: &mut Vec<(String, String)>) {
    let Some(selector) = css(step) else {
        draft.remark(format!("left out: step {number} `click` has no CSS selector"));
        return;
    };
    if draft.steps.is_empty() {
        draft.remark(format!("left out: step {number} `click`, before any page is opened"));
        return;
    }
    let last = selector.rsplit([' ', '>']).next().unwrap_or(&selector).to_lowercase();
    let button = last.starts_with("button") || last.starts_with("input") || last.contains("submit");
    if button && !fields.is_empty() && !is_control(&last) {
        submit(draft, fields);
    } else if is_link(&last) {
        draft.steps.push(DraftStep::new("click", &selector));
    } else {
        draft.remark(format!(
            "left out: step {number} clicks `{selector}`, which is neither a link nor sends a form"
        ));
    }
}

/// A field that was clicked to get the cursor into it.
fn is_control(element: &str) -> bool {
    element.starts_with("input") && !element.contains("submit")
}

fn is_link(element: &str) -> bool {
    element == "a" || ["a.", "a#", "a:", "a["].iter().any(|link| element.starts_with(link))
}

fn submit(draft: &mut Draft, fields: &mut Vec<(String, String)>) {
    if draft.steps.is_empty() {
        draft.remark("left out: a form that is sent before any page is opened");
        fields.clear();
        return;
    }
    // The form that has the first field that was filled in.
    let first = fields.first().map(|(name, _)| name.replace('\\', "\\\\").replace('"', "\\\""));
    let form = first.map(|name| format!("form:has([name=\"{name}\"])"));
    let form =
        form.filter(|form| Selector::parse(form).is_ok()).unwrap_or_else(|| "form".to_owned());
    let entries = fields.iter().map(|(name, value)| (name.as_str(), quoted(value)));
    let submit = [("form", quoted(&form)), ("fields", inline(entries))];
    let action = inline(submit.into_iter());
    draft.steps.push(DraftStep { action: ("submit", action), ..DraftStep::default() });
    fields.clear();
}

fn wait(draft: &mut Draft, number: usize, step: &Recorded) {
    let (Some(selector), Some(_)) = (css(step), draft.steps.last()) else {
        draft.remark(format!(
            "left out: step {number} `waitForElement` has no CSS selector or no page"
        ));
        return;
    };
    let rule = match (step.count, step.visible) {
        (Some(count), _) => ("count", count.to_string()),
        (None, Some(false)) => ("exists", "false".to_owned()),
        _ => ("exists", "true".to_owned()),
    };
    let rule = inline([("selector", quoted(&selector)), rule].into_iter());
    if let Some(last) = draft.steps.last_mut() {
        last.rules.push(("css", rule));
    }
}
