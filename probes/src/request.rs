//! From a step to the request that it sends.

use crate::cookies::Jar;
use crate::marks::{self, Signer};
use crate::page::{Page, encode};
use crate::target::Target;
use crate::template::Templates;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST, LOCATION, REFERER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use serinus_config::{Action, Body, Step, Template};
use url::Url;

/// One request before cookies and marks.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    headers: HeaderMap,
    body: Bytes,
}

/// The site that a run visits: it never leaves it, whatever an answer says.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    base: Url,
    /// The endpoint's own host name or address: an application may call itself by it.
    endpoint: Option<String>,
}

impl Site {
    /// The site that the endpoint serves under `host` (and port, if any).
    ///
    /// # Errors
    /// In words, if that is no host.
    pub(crate) fn new(target: &Target, host: &str) -> Result<Site, String> {
        let scheme = if target.tls.is_some() { "https" } else { "http" };
        let parse = |authority: &str| Url::parse(&format!("{scheme}://{authority}/")).ok();
        let base = parse(host)
            .filter(|url| url.path() == "/" && url.query().is_none() && url.username().is_empty())
            .ok_or_else(|| format!("`{host}` is no host"))?;
        let endpoint = parse(&target.endpoint).and_then(|url| url.host_str().map(str::to_owned));
        Ok(Site { base, endpoint })
    }

    /// The Host header.
    fn authority(&self) -> &str {
        self.base.authority()
    }

    /// The same place under this site's own scheme and port.
    ///
    /// # Errors
    /// Where the URL leads instead: another host, or a scheme that is none of the web's.
    pub(crate) fn own(&self, url: &Url) -> Result<Url, String> {
        let host = url.host_str();
        let ours = host == self.base.host_str() || host == self.endpoint.as_deref();
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("{}:", url.scheme()));
        }
        if !ours {
            return Err(host.unwrap_or_default().to_owned());
        }
        let mut own = self.base.clone();
        own.set_path(url.path());
        own.set_query(url.query());
        Ok(own)
    }
}

impl Outgoing {
    /// What a step sends, given the page before it.
    ///
    /// # Errors
    /// In words: an unknown name in a template, a missing form or link, a link that leaves the site.
    pub(crate) fn of(
        step: &Step,
        site: &Site,
        page: Option<&Page>,
        templates: &Templates,
    ) -> Result<Outgoing, String> {
        let own = |url: &Url| {
            site.own(url)
                .map_err(|place| format!("expected a link within the site, got one to {place}"))
        };
        let before =
            || page.ok_or_else(|| "expected a page from a step before, there is none".to_owned());
        let mut outgoing = match &step.action {
            Action::Request { method, path, body } => {
                let path = templates.text(&path.0)?;
                let url =
                    site.base.join(&path).map_err(|error| format!("path `{path}`: {error}"))?;
                let method = Method::from_bytes(method.as_bytes())
                    .map_err(|_| format!("`{method}` is no method"))?;
                let (content_type, body) = encode_body(body, templates)?;
                Outgoing::new(method, own(&url)?, content_type, body)
            }
            Action::Submit { form, fields } => {
                let page = before()?;
                let sent = page.submit(form, &texts(fields, templates)?)?;
                let (content_type, body) =
                    sent.body.map_or((None, Bytes::new()), |(t, b)| (Some(t), b));
                Outgoing::new(sent.method, own(&sent.url)?, content_type.as_deref(), body)
                    .coming_from(page)
            }
            Action::Click { link } => {
                let page = before()?;
                let url = own(&page.link(link)?)?;
                Outgoing::new(Method::GET, url, None, Bytes::new()).coming_from(page)
            }
        };
        outgoing.headers.entry(HOST).or_insert(value("host", site.authority())?);
        for (name, text) in &step.headers {
            let text = templates.text(&text.0)?;
            let key = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` is no header name"))?;
            outgoing.headers.insert(key, value(name, &text)?);
        }
        Ok(outgoing)
    }

    fn new(method: Method, url: Url, content_type: Option<&str>, body: Bytes) -> Outgoing {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(content_type) = content_type.and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(CONTENT_TYPE, content_type);
        }
        Outgoing { method, url, headers, body }
    }

    /// Browsers tell where a click came from, and frameworks check it against forgery.
    fn coming_from(mut self, page: &Page) -> Outgoing {
        if let Ok(referer) = HeaderValue::from_str(page.url.as_str()) {
            self.headers.insert(REFERER, referer);
        }
        self
    }

    /// Where an answer sends this request next; none if it is no redirect.
    ///
    /// # Errors
    /// The place, if it leads off the site.
    pub(crate) fn redirected(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        site: &Site,
    ) -> Result<Option<Outgoing>, String> {
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let location = headers.get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let Some(url) = location.and_then(|location| self.url.join(&location).ok()) else {
            return Ok(None);
        };
        let mut next = Outgoing { url: site.own(&url)?, ..self.clone() };
        // As browsers do it: 303 always becomes a GET, 301 and 302 do so after a POST.
        let becomes_get = match status {
            StatusCode::SEE_OTHER => next.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => next.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            next.method = Method::GET;
            next.body = Bytes::new();
            next.headers.remove(CONTENT_TYPE);
        }
        Ok(Some(next))
    }

    /// The request for the wire, with the jar's cookies and the probe's marks.
    ///
    /// # Errors
    /// In words, if the parts do not make a request.
    pub(crate) fn request(
        &self,
        jar: &Jar,
        probe: &str,
        run: &str,
        trace: u128,
        signer: Option<&Signer>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        let path = match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        };
        *request.uri_mut() = path.parse().map_err(|error| format!("path `{path}`: {error}"))?;
        *request.headers_mut() = self.headers.clone();
        if let Some(cookies) = jar.header(&self.url) {
            request.headers_mut().entry(COOKIE).or_insert(cookies);
        }
        marks::mark(request.headers_mut(), probe, run, trace);
        if let Some(signer) = signer {
            signer.sign(request.headers_mut(), &self.method, &path);
        }
        Ok(request)
    }
}

fn value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("header `{name}` cannot hold its value"))
}

fn texts(
    fields: &[(String, Template)],
    templates: &Templates,
) -> Result<Vec<(String, String)>, String> {
    fields.iter().map(|(name, text)| Ok((name.clone(), templates.text(&text.0)?))).collect()
}

fn encode_body(
    body: &Body,
    templates: &Templates,
) -> Result<(Option<&'static str>, Bytes), String> {
    Ok(match body {
        Body::Empty => (None, Bytes::new()),
        Body::Json(value) => (Some("application/json"), templates.json(value)?.to_string().into()),
        Body::Form(fields) => {
            let fields = texts(fields, templates)?;
            (Some("application/x-www-form-urlencoded"), encode(&fields).into())
        }
        Body::Raw(text) => (None, templates.text(&text.0)?.into()),
    })
}
