//! Forms and links of the page that a step fetched, as a browser reads them.

use bytes::Bytes;
use http::Method;
use scraper::{ElementRef, Html, Selector};
use url::Url;
use url::form_urlencoded::Serializer;

/// An answer as a page: where it came from, and its text.
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) html: String,
}

/// What submitting a form sends.
#[derive(Debug, PartialEq)]
pub(crate) struct Submission {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Content type and body; none where the fields went into the query.
    pub(crate) body: Option<(String, Bytes)>,
}

impl Page {
    /// Where the first element that matches leads: its own `href`, or that of a link in or around it.
    ///
    /// # Errors
    /// In words: no such element, or no link.
    pub(crate) fn link(&self, selector: &str) -> Result<Url, String> {
        let document = Html::parse_document(&self.html);
        let element = find(&document, selector)?;
        let inner = element.descendent_elements();
        let outer = element.ancestors().filter_map(ElementRef::wrap);
        let href = inner.chain(outer).find_map(|element| element.attr("href"));
        let href =
            href.ok_or_else(|| format!("expected a link at `{selector}`, got {}", tag(element)))?;
        self.join(&document, href)
    }

    /// What submitting the first form that matches sends: the page's values, `given` ones in their
    /// place or added, and the form's first submit button, as when a user presses return.
    ///
    /// # Errors
    /// In words: no such element, no form, or an action that is no URL.
    pub(crate) fn submit(
        &self,
        selector: &str,
        given: &[(String, String)],
    ) -> Result<Submission, String> {
        let document = Html::parse_document(&self.html);
        let form = find(&document, selector)?;
        if form.value().name() != "form" {
            return Err(format!("expected a form at `{selector}`, got {}", tag(form)));
        }
        let mut fields = controls(&document, form);
        for (name, value) in given {
            let at = fields.iter().position(|(field, _)| field == name);
            fields.retain(|(field, _)| field != name);
            let at = at.unwrap_or(fields.len());
            fields.insert(at, (name.clone(), value.clone()));
        }
        for (_, value) in &mut fields {
            *value = value.replace("\r\n", "\n").replace('\n', "\r\n");
        }
        let mut url = self.join(&document, form.attr("action").unwrap_or_default())?;
        if !form.attr("method").unwrap_or_default().trim().eq_ignore_ascii_case("post") {
            url.set_query(Some(&encode(&fields)));
            return Ok(Submission { method: Method::GET, url, body: None });
        }
        let body =
            match form.attr("enctype").unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                "multipart/form-data" => multipart(&fields),
                "text/plain" => ("text/plain".to_owned(), plain(&fields).into()),
                _ => ("application/x-www-form-urlencoded".to_owned(), encode(&fields).into()),
            };
        Ok(Submission { method: Method::POST, url, body: Some(body) })
    }

    /// A URL as this page means it.
    fn join(&self, document: &Html, href: &str) -> Result<Url, String> {
        let base = first(document, "base[href]")
            .and_then(|base| self.url.join(base.attr("href")?).ok())
            .unwrap_or_else(|| self.url.clone());
        // An empty action is the page itself, whatever its base.
        let base = if href.trim().is_empty() { &self.url } else { &base };
        let mut url =
            base.join(href.trim()).map_err(|error| format!("`{href}` leads nowhere: {error}"))?;
        url.set_fragment(None);
        Ok(url)
    }
}

/// The text of the first element that matches, or its attribute.
///
/// # Errors
/// In words: no such element or attribute.
pub(crate) fn text_of(
    document: &Html,
    selector: &str,
    attribute: Option<&str>,
) -> Result<String, String> {
    let element = find(document, selector)?;
    match attribute {
        None => Ok(element.text().collect::<String>().trim().to_owned()),
        Some(name) => element.attr(name).map(str::to_owned).ok_or_else(|| {
            format!("expected attribute `{name}` at `{selector}`, got {}", tag(element))
        }),
    }
}

fn find<'a>(document: &'a Html, selector: &str) -> Result<ElementRef<'a>, String> {
    let parsed = Selector::parse(selector)
        .map_err(|error| format!("`{selector}` is no CSS selector: {error}"))?;
    document
        .select(&parsed)
        .next()
        .ok_or_else(|| format!("expected an element at `{selector}`, got a page without one"))
}

fn first<'a>(document: &'a Html, selector: &str) -> Option<ElementRef<'a>> {
    document.select(&Selector::parse(selector).ok()?).next()
}

/// `<div class="x">`, for messages.
fn tag(element: ElementRef<'_>) -> String {
    let element = element.value();
    let attributes: String =
        element.attrs().map(|(name, value)| format!(" {name}={value:?}")).collect();
    format!("<{}{attributes}>", element.name())
}

/// Names and values of the form's controls that a browser would send, in document order.
fn controls(document: &Html, form: ElementRef<'_>) -> Vec<(String, String)> {
    let Ok(selector) = Selector::parse("input, select, textarea, button") else {
        return Vec::new();
    };
    let mut fields = Vec::new();
    let mut pressed = false;
    for control in document.select(&selector).filter(|control| belongs(*control, form)) {
        let Some(name) = control.attr("name").filter(|name| !name.is_empty()) else { continue };
        let mut add = |value: String| fields.push((name.to_owned(), value));
        let value = || control.attr("value").unwrap_or_default().to_owned();
        let kind = control.attr("type").unwrap_or_default().to_ascii_lowercase();
        match (control.value().name(), kind.as_str()) {
            ("select", _) => chosen(control).into_iter().for_each(add),
            ("textarea", _) => add(control.text().collect()),
            ("button", "" | "submit") | ("input", "submit") if !pressed => {
                pressed = true;
                add(value());
            }
            ("button", _) | ("input", "submit" | "button" | "image" | "reset" | "file") => {}
            ("input", "checkbox" | "radio") => {
                if control.attr("checked").is_some() {
                    add(control.attr("value").unwrap_or("on").to_owned());
                }
            }
            _ => add(value()),
        }
    }
    fields
}

/// Whether a control is part of the form and not disabled.
fn belongs(control: ElementRef<'_>, form: ElementRef<'_>) -> bool {
    let mut around = control.ancestors().filter_map(ElementRef::wrap);
    let owned = match control.attr("form") {
        Some(id) => form.attr("id") == Some(id),
        None => control.ancestors().any(|node| node.id() == form.id()),
    };
    let disabled = |element: ElementRef<'_>| element.attr("disabled").is_some();
    let fieldset =
        |element: ElementRef<'_>| element.value().name() == "fieldset" && disabled(element);
    owned && !disabled(control) && !around.any(fieldset)
}

/// Values of the options that are selected; of the first one where a single choice has none.
fn chosen(select: ElementRef<'_>) -> Vec<String> {
    let options: Vec<ElementRef<'_>> = select
        .descendent_elements()
        .filter(|element| element.value().name() == "option" && element.attr("disabled").is_none())
        .collect();
    let value = |option: &ElementRef<'_>| match option.attr("value") {
        Some(value) => value.to_owned(),
        None => option.text().collect::<String>().trim().to_owned(),
    };
    let mut values: Vec<String> =
        options.iter().filter(|option| option.attr("selected").is_some()).map(value).collect();
    if select.attr("multiple").is_none() {
        // The last one selected wins in a single choice.
        values.drain(..values.len().saturating_sub(1));
        if values.is_empty() {
            values.extend(options.first().map(value));
        }
    }
    values
}

/// `a=1&b=2`
pub(crate) fn encode(fields: &[(String, String)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// `a=1`, each on a line of its own and as it is.
fn plain(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={value}\r\n")).collect()
}

/// RFC 7578, text fields alone. The boundary is the first that no value contains, so that the same
/// fields give the same bytes on both variants.
fn multipart(fields: &[(String, String)]) -> (String, Bytes) {
    let contains = |boundary: &str| {
        fields.iter().any(|(name, value)| name.contains(boundary) || value.contains(boundary))
    };
    let mut boundary = "serinus-form".to_owned();
    while contains(&boundary) {
        boundary.push('-');
    }
    let mut body = String::new();
    for (name, value) in fields {
        let name = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        body.push_str(&format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    (format!("multipart/form-data; boundary={boundary}"), body.into())
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
