//! What pages of other origins may do (the Fetch standard's CORS protocol).

use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN, VARY,
};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use serinus_config::CorsSettings;

/// What an origin is told, ready to be sent.
#[derive(Debug)]
pub(super) struct Cors {
    /// Empty for every one.
    origins: Vec<HeaderValue>,
    methods: Vec<String>,
    allow_methods: Option<HeaderValue>,
    allow_headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
    credentials: bool,
}

/// The origin that may read an answer, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted(HeaderValue);

const ANY: HeaderValue = HeaderValue::from_static("*");
/// What services say themselves: replaced, since two opinions are an error to browsers.
const FIELDS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

impl Cors {
    pub(super) fn new(settings: &CorsSettings) -> Self {
        let listed = |names: &[String]| {
            (!names.is_empty()).then(|| HeaderValue::try_from(names.join(", ")).ok()).flatten()
        };
        Cors {
            origins: settings.origins.iter().filter_map(|origin| origin.parse().ok()).collect(),
            methods: settings.methods.clone(),
            allow_methods: listed(&settings.methods),
            allow_headers: listed(&settings.headers),
            expose: listed(&settings.expose),
            max_age: HeaderValue::from(settings.max_age.as_secs()),
            credentials: settings.credentials,
        }
    }

    /// Whether the origin of a request may read its answer.
    pub(super) fn grant(&self, request: &RequestHeader) -> Option<Granted> {
        let origin = request.headers.get(ORIGIN)?;
        if self.origins.is_empty() {
            return Some(Granted(ANY));
        }
        self.origins.contains(origin).then(|| Granted(origin.clone()))
    }

    /// Answers a browser that asks before it asks; false if the request is none of those.
    pub(super) async fn answer_preflight(
        &self,
        session: &mut Session,
        granted: Option<&Granted>,
    ) -> Result<bool> {
        let header = session.req_header();
        let asked = header.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
        let Some(asked) = asked.filter(|_| header.method == Method::OPTIONS) else {
            return Ok(false);
        };
        if !header.headers.contains_key(ORIGIN) {
            return Ok(false);
        }
        let allowed = self.methods.iter().any(|method| method.as_bytes() == asked.as_bytes());
        let mut answer = ResponseHeader::build(204, Some(8))?;
        self.tell(granted, |name, value| answer.append_header(name, value).map(drop))?;
        crate::data_path::answer::add_hsts(session, &mut answer)?;
        if granted.is_some() && allowed {
            if let Some(methods) = &self.allow_methods {
                answer.insert_header(ACCESS_CONTROL_ALLOW_METHODS, methods.clone())?;
            }
            if let Some(headers) = &self.allow_headers {
                answer.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone())?;
            }
            answer.insert_header(ACCESS_CONTROL_MAX_AGE, self.max_age.clone())?;
        }
        session.write_response_header(Box::new(answer), true).await?;
        Ok(true)
    }

    /// Replaces what an answer says of other origins.
    pub(super) fn expose(
        &self,
        response: &mut ResponseHeader,
        granted: Option<&Granted>,
    ) -> Result<()> {
        for field in &FIELDS {
            response.remove_header(field);
        }
        self.tell(granted, |name, value| response.append_header(name, value).map(drop))?;
        if let (Some(_), Some(expose)) = (granted, &self.expose) {
            response.insert_header(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone())?;
        }
        Ok(())
    }

    /// What the proxy's own answers say that are no preflight's: a page that may not read a 401 or a 429
    /// knows of a network error alone.
    pub(super) fn told(&self, granted: Option<&Granted>) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = Vec::new();
        // Putting it into a list cannot fail.
        let _ = self.tell(granted, |name, value| {
            fields.push((name, value));
            Ok(())
        });
        if let (Some(_), Some(expose)) = (granted, &self.expose) {
            fields.push((ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone()));
        }
        fields
    }

    /// What every answer says.
    fn tell(
        &self,
        granted: Option<&Granted>,
        mut put: impl FnMut(HeaderName, HeaderValue) -> Result<()>,
    ) -> Result<()> {
        if !self.origins.is_empty() {
            // A cache must not give one origin's answer to another.
            put(VARY, HeaderValue::from_static("origin"))?;
        }
        let Some(Granted(origin)) = granted else { return Ok(()) };
        put(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())?;
        if self.credentials {
            put(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))?;
        }
        Ok(())
    }
}
