//! HTTP Archive 1.2: what a browser sent and got.

use super::correlate::Correlations;
use super::draft::{Draft, DraftStep, Imported, inline, literal, quoted};
use super::{ImportError, Naming, json_body, site};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use url::Url;

#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    started_date_time: String,
    request: Request,
    response: Response,
    #[serde(default, rename = "_resourceType")]
    resource_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Named>,
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    params: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    /// Some tools take a JSON body apart into these, so that anything may stand here.
    #[serde(default, deserialize_with = "text_of_any")]
    value: Option<String>,
}

/// Text as it is, anything else as JSON.
fn text_of_any<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(reader)? {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

#[derive(Deserialize)]
struct Response {
    /// 0, or -1 in some tools, where none came.
    #[serde(default)]
    status: i64,
    #[serde(default)]
    headers: Vec<Named>,
    #[serde(default)]
    content: Content,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    mime_type: String,
    text: Option<String>,
    encoding: Option<String>,
}

/// Kinds of content that a page pulls in by itself.
const ASSETS: [&str; 7] =
    ["image/", "font/", "audio/", "video/", "text/css", "javascript", "application/font"];
/// The same by the browser's own word.
const ASSET_TYPES: [&str; 9] = [
    "image",
    "font",
    "media",
    "stylesheet",
    "script",
    "manifest",
    "ping",
    "websocket",
    "preflight",
];
/// Methods that a step can have.
const METHODS: [(&str, &str); 7] = [
    ("GET", "get"),
    ("POST", "post"),
    ("PUT", "put"),
    ("DELETE", "delete"),
    ("PATCH", "patch"),
    ("HEAD", "head"),
    ("OPTIONS", "options"),
];

pub(super) fn import(text: &str, naming: &Naming) -> Result<Imported, ImportError> {
    let text = text.trim_start_matches('\u{feff}');
    let archive: Archive = serde_json::from_str(text).map_err(|error| ImportError::json(&error))?;
    let mut entries = archive.log.entries;
    // Tools write entries as they end; a journey is what began after what.
    entries.sort_by(|a, b| a.started_date_time.cmp(&b.started_date_time));
    let mut draft = Draft::new();
    let mut correlations = Correlations::default();
    let mut redirected: Option<Url> = None;
    let host = naming.host.clone();
    for entry in &entries {
        let Ok(url) = Url::parse(&entry.request.url) else {
            draft.remark(format!("left out: `{}` is no URL", entry.request.url));
            continue;
        };
        let Some(site) = site(&url).filter(|_| matches!(url.scheme(), "http" | "https")) else {
            draft.remark(format!("left out: requests over {}:", url.scheme()));
            continue;
        };
        let kept = host.as_ref().or(draft.host.as_ref()).is_none_or(|host| *host == site);
        if !kept {
            draft.remark(format!("left out: requests to {site}, another site"));
            continue;
        }
        if is_asset(entry) {
            draft.remark("left out: images, scripts, styles and fonts");
            continue;
        }
        let status =
            u16::try_from(entry.response.status).ok().filter(|code| (100..600).contains(code));
        // Redirects are followed within a step: what the browser asked for next is its end.
        if redirected.take().is_some_and(|next| next == url)
            && let Some(step) = draft.steps.len().checked_sub(1)
        {
            redirected = follow(&url, entry, status);
            if redirected.is_none() {
                expect(&mut draft.steps[step], status);
            }
            learn(&mut correlations, step, entry);
            continue;
        }
        let Some((_, action)) = METHODS.iter().find(|(name, _)| *name == entry.request.method)
        else {
            draft.remark(format!("left out: {} requests", entry.request.method));
            continue;
        };
        draft.host.get_or_insert(site);
        let mut step = request(action, &url, &entry.request, &mut correlations, &mut draft);
        redirected = follow(&url, entry, status);
        if redirected.is_none() {
            expect(&mut step, status);
        }
        draft.steps.push(step);
        learn(&mut correlations, draft.steps.len() - 1, entry);
    }
    if draft.steps.is_empty() {
        return Err(draft.empty("there is no request in it that a probe could send"));
    }
    for (step, name, capture) in correlations.captures() {
        draft.steps[step].captures.push((name, capture));
    }
    Ok(draft.finish(naming))
}

fn is_asset(entry: &Entry) -> bool {
    let mime = entry.response.content.mime_type.to_lowercase();
    ASSET_TYPES.contains(&entry.resource_type.to_lowercase().as_str())
        || ASSETS.iter().any(|asset| mime.contains(asset))
}

/// Where a redirect leads.
fn follow(url: &Url, entry: &Entry, status: Option<u16>) -> Option<Url> {
    let status = status.filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308));
    let location = header(&entry.response.headers, "location").filter(|_| status.is_some())?;
    let mut next = url.join(location).ok()?;
    if next.fragment().is_none() {
        next.set_fragment(url.fragment());
    }
    Some(next)
}

fn header<'a>(headers: &'a [Named], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    found.map(|header| header.value.as_str())
}

fn expect(step: &mut DraftStep, status: Option<u16>) {
    if let Some(status) = status {
        // What the browser had in its cache, a probe has not.
        let status = if status == 304 { 200 } else { status };
        step.expect.push(("status", status.to_string()));
    }
}

/// Remembers what an answer said, where its text was kept.
fn learn(correlations: &mut Correlations, step: usize, entry: &Entry) {
    let content = &entry.response.content;
    let body = match (&content.text, content.encoding.as_deref()) {
        (Some(text), None | Some("")) => text.as_str(),
        _ => "",
    };
    let headers: Vec<(String, String)> = entry
        .response
        .headers
        .iter()
        .map(|header| (header.name.to_lowercase(), header.value.clone()))
        .collect();
    correlations.answer(step, &content.mime_type.to_lowercase(), body, &headers);
}

/// A text that is sent: the capture it comes from, or itself.
fn sent(text: &str, correlations: &mut Correlations) -> String {
    correlations.sent(text).map_or_else(|| literal(text), |name| format!("{{{{ {name} }}}}"))
}

fn request(
    action: &'static str,
    url: &Url,
    request: &Request,
    correlations: &mut Correlations,
    draft: &mut Draft,
) -> DraftStep {
    let segments = url.path().split('/').map(|segment| match segment {
        "" => String::new(),
        segment => sent(segment, correlations),
    });
    let mut path = segments.collect::<Vec<_>>().join("/");
    if let Some(query) = url.query() {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() => {
                let plain = percent_decoded(value);
                match correlations.sent(&plain) {
                    Some(capture) => format!("{}={{{{ {capture} | urlencode }}}}", literal(name)),
                    None => literal(pair),
                }
            }
            _ => literal(pair),
        });
        path = format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"));
    }
    let mut step = DraftStep::new(action, &path);
    headers(&mut step, request, correlations, draft);
    if let Some(data) =
        request.post_data.as_ref().filter(|_| !["get", "head", "options"].contains(&action))
    {
        body(&mut step, data, correlations, draft);
    }
    step
}

fn percent_decoded(value: &str) -> String {
    let pair = format!("v={value}");
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map_or_else(String::new, |(_, v)| v.into_owned())
}

/// Headers that change what a server does; the browser's own are left out.
fn headers(
    step: &mut DraftStep,
    request: &Request,
    correlations: &mut Correlations,
    draft: &mut Draft,
) {
    const OWN: [&str; 5] =
        ["x-synthetic", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"];
    for header in &request.headers {
        let name = header.name.to_lowercase();
        let telling = matches!(name.as_str(), "authorization" | "accept" | "origin")
            || name.starts_with("x-") && !OWN.contains(&name.as_str());
        if !telling || header.value == "*/*" || step.headers.iter().any(|(known, _)| *known == name)
        {
            continue;
        }
        if name == "authorization" {
            let (scheme, token) = header.value.split_once(' ').unwrap_or(("", &header.value));
            let value = match correlations.sent(token) {
                Some(capture) => format!("{{{{ {capture} }}}}"),
                None => {
                    draft.remark(
                        "to do: set SERINUS_SECRET_AUTHORIZATION; the recorded one was left out",
                    );
                    "{{ secret.authorization }}".to_owned()
                }
            };
            step.headers.push((name, format!("{} {value}", literal(scheme)).trim().to_owned()));
            continue;
        }
        step.headers.push((name, sent(&header.value, correlations)));
    }
}

fn body(step: &mut DraftStep, data: &PostData, correlations: &mut Correlations, draft: &mut Draft) {
    let mime = data.mime_type.to_lowercase();
    if mime.contains("json")
        && let Ok(value) = serde_json::from_str::<Value>(&data.text)
    {
        let value = hide_passwords(value, draft);
        let value = json_body::map_leaves(&value, &mut |text| {
            if text.starts_with("{{ secret.") {
                return Some(text.to_owned());
            }
            correlations.sent(text).map(|name| format!("{{{{ {name} }}}}"))
        });
        json_body::set(step, &value);
        return;
    }
    if mime.contains("x-www-form-urlencoded") {
        let fields: Vec<(String, String)> = match data.text.as_str() {
            "" => {
                let field = |field: &Parameter| {
                    (
                        percent_decoded(&field.name),
                        percent_decoded(field.value.as_deref().unwrap_or_default()),
                    )
                };
                data.params.iter().map(field).collect()
            }
            text => url::form_urlencoded::parse(text.as_bytes()).into_owned().collect(),
        };
        let mut entries: Vec<(String, String)> = Vec::new();
        for (name, value) in fields {
            if entries.iter().any(|(known, _)| *known == name) {
                draft.remark(format!("left out: field `{name}` a second time in one form"));
                continue;
            }
            let value = match is_password(&name) {
                true => secret(&name, draft),
                false => sent(&value, correlations),
            };
            entries.push((name, quoted(&value)));
        }
        let entries = entries.iter().map(|(name, value)| (name.as_str(), value.clone()));
        step.body = Some(("form", inline(entries)));
        return;
    }
    if mime.starts_with("multipart/") {
        draft.remark("left out: a multipart body; write it with submit, or as body");
        return;
    }
    if !data.text.is_empty() {
        step.body = Some(("body", quoted(&literal(&data.text))));
        if !mime.is_empty() {
            step.headers.push(("content-type".to_owned(), literal(&data.mime_type)));
        }
    }
}

fn is_password(name: &str) -> bool {
    let name = name.to_lowercase();
    ["password", "passwd", "pwd"].iter().any(|word| name.contains(word))
}

/// A template for a secret of that name, and the remark that it has to be set.
fn secret(name: &str, draft: &mut Draft) -> String {
    let mut secret: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    secret = secret.trim_matches('_').to_owned();
    if !secret.starts_with(|c: char| c.is_ascii_alphabetic()) {
        secret = format!("password_{secret}");
    }
    draft.remark(format!(
        "to do: set SERINUS_SECRET_{}; the recorded one was left out",
        secret.to_uppercase()
    ));
    format!("{{{{ secret.{secret} }}}}")
}

/// Passwords of a JSON body as templates for secrets.
fn hide_passwords(value: Value, draft: &mut Draft) -> Value {
    match value {
        Value::Object(entries) => {
            let hidden = entries.into_iter().map(|(name, value)| {
                let value = match value {
                    Value::String(_) if is_password(&name) => secret(&name, draft).into(),
                    other => hide_passwords(other, draft),
                };
                (name, value)
            });
            Value::Object(hidden.collect())
        }
        Value::Array(items) => items.into_iter().map(|item| hide_passwords(item, draft)).collect(),
        other => other,
    }
}
