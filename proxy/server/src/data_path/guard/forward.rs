//! Another service is asked whether a request may pass, as oauth2-proxy, Authelia and their like are.

use crate::data_path::request::Request;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    LOCATION, SET_COOKIE, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use serinus_config::ForwardSettings;
use std::sync::OnceLock;
use std::time::Duration;

/// Longest refusal that a client is shown.
const LONGEST_PAGE: usize = 64 * 1024;

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What belongs to the client's connection or body, not to the question.
const OWN: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("te"),
    HeaderName::from_static("trailer"),
    HeaderName::from_static("expect"),
    HeaderName::from_static("proxy-connection"),
];

/// What of a refusal the client gets.
const SHOWN: [HeaderName; 5] =
    [LOCATION, SET_COOKIE, WWW_AUTHENTICATE, CONTENT_TYPE, CACHE_CONTROL];

/// The connections of one thread to those who are asked; made for the first question.
#[derive(Debug, Default)]
pub(crate) struct AuthClient(OnceLock<Client<HttpConnector, Empty<Bytes>>>);

impl AuthClient {
    fn client(&self) -> &Client<HttpConnector, Empty<Bytes>> {
        self.0.get_or_init(|| Client::builder(TokioExecutor::new()).build(HttpConnector::new()))
    }
}

/// One that is asked.
#[derive(Debug)]
pub(super) struct Forward {
    uri: Option<Uri>,
    timeout: Duration,
    copy: Vec<HeaderName>,
}

/// What came of the question.
#[derive(Debug)]
pub(super) enum Answer {
    Pass,
    /// The refusal has been passed on.
    Given,
    /// There was no answer, or one that says nothing.
    None,
}

impl Forward {
    pub(super) fn new(settings: &ForwardSettings) -> Self {
        Forward {
            uri: format!("http://{}{}", settings.authority, settings.path).parse().ok(),
            timeout: settings.timeout,
            copy: settings.copy.iter().filter_map(|name| name.parse().ok()).collect(),
        }
    }

    pub(super) async fn ask(
        &self,
        client: &AuthClient,
        session: &mut Session,
        request: &Request,
    ) -> Result<Answer> {
        let Some(question) = self.question(session.req_header(), request) else {
            return Ok(Answer::None);
        };
        let asked = async {
            let answer = client.client().request(question).await.ok()?;
            let (parts, body) = answer.into_parts();
            if parts.status.is_success() {
                return Some((parts, Bytes::new()));
            }
            let page = Limited::new(body, LONGEST_PAGE).collect().await.ok()?;
            Some((parts, page.to_bytes()))
        };
        let Ok(Some((parts, page))) = tokio::time::timeout(self.timeout, asked).await else {
            return Ok(Answer::None);
        };
        if parts.status.is_success() {
            self.copy_to(session.req_header_mut(), &parts.headers)?;
            return Ok(Answer::Pass);
        }
        if parts.status.is_server_error() || parts.status.is_informational() {
            return Ok(Answer::None);
        }
        pass_on(session, parts.status, &parts.headers, page).await?;
        Ok(Answer::Given)
    }

    fn question(
        &self,
        header: &RequestHeader,
        request: &Request,
    ) -> Option<http::Request<Empty<Bytes>>> {
        let mut question = http::Request::new(Empty::new());
        *question.method_mut() = Method::GET;
        *question.uri_mut() = self.uri.clone()?;
        let fields = question.headers_mut();
        for (name, value) in header.headers.iter().filter(|(name, _)| !OWN.contains(name)) {
            fields.append(name.clone(), value.clone());
        }
        let tls = request.connection.as_ref().is_some_and(|connection| connection.client.tls);
        fields
            .insert(FORWARDED_PROTO, HeaderValue::from_static(if tls { "https" } else { "http" }));
        fields.insert(METHOD, HeaderValue::from_str(header.method.as_str()).ok()?);
        fields.insert(URI, HeaderValue::from_bytes(header.raw_path()).ok()?);
        let host = header.headers.get(HOST).cloned().or_else(|| {
            header.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
        });
        match host {
            Some(host) => drop(fields.insert(FORWARDED_HOST, host)),
            None => drop(fields.remove(FORWARDED_HOST)),
        }
        fields.remove(FORWARDED_FOR);
        if let Some(client) = request.client {
            fields.insert(FORWARDED_FOR, HeaderValue::try_from(client.to_string()).ok()?);
        }
        Some(question)
    }

    /// The upstream believes these fields: what the client says in them is taken off.
    fn copy_to(&self, request: &mut RequestHeader, answer: &HeaderMap) -> Result<()> {
        for name in &self.copy {
            request.remove_header(name);
            for value in answer.get_all(name) {
                request.append_header(name.clone(), value.clone())?;
            }
        }
        Ok(())
    }
}

async fn pass_on(
    session: &mut Session,
    status: StatusCode,
    fields: &HeaderMap,
    page: Bytes,
) -> Result<()> {
    let mut header = ResponseHeader::build(status, Some(6))?;
    for name in &SHOWN {
        for value in fields.get_all(name) {
            header.append_header(name.clone(), value.clone())?;
        }
    }
    header.insert_header(CONTENT_LENGTH, HeaderValue::from(page.len()))?;
    let bodyless = session.req_header().method == Method::HEAD || page.is_empty();
    session.write_response_header(Box::new(header), bodyless).await?;
    if !bodyless {
        session.write_response_body(Some(page), true).await?;
    }
    Ok(())
}
