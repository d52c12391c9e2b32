//! Another service is asked whether a request may pass, as oauth2-proxy, Authelia and their like are.

use crate::complaints::Complaints;
use crate::data_path::answer;
use crate::data_path::forwarding;
use crate::data_path::request::Request;
use crate::data_path::screening::drop_underscores;
use anyhow::anyhow;
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
use serinus_config::{ForwardSettings, Underscores};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longest refusal that a client is shown.
const LONGEST_PAGE: usize = 64 * 1024;

/// Of one that gives no answers the log tells as often as this.
const TOLD_EVERY: Duration = Duration::from_secs(10);

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
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
    complaints: Complaints,
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
            complaints: Complaints::every(TOLD_EVERY),
        }
    }

    pub(super) async fn ask(
        &self,
        client: &AuthClient,
        session: &mut Session,
        request: &Request,
        told: impl FnOnce() -> Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Answer> {
        let Some(question) = self.question(session.req_header(), request) else {
            return Ok(Answer::None);
        };
        let asked = async {
            let answer = client.client().request(question).await?;
            let (parts, body) = answer.into_parts();
            if parts.status.is_success() {
                return Ok((parts, Bytes::new()));
            }
            let page = Limited::new(body, LONGEST_PAGE).collect().await;
            let page = page.map_err(|why| anyhow!(why).context("its refusal"))?;
            Ok((parts, page.to_bytes()))
        };
        let answer = tokio::time::timeout(self.timeout, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(anyhow!("not within {:?}", self.timeout)));
        let (parts, page) = match answer {
            Ok(answer) => answer,
            Err(why) => {
                self.complain(&why);
                return Ok(Answer::None);
            }
        };
        if parts.status.is_success() {
            self.copy_to(session.req_header_mut(), &parts.headers)?;
            return Ok(Answer::Pass);
        }
        if parts.status.is_server_error() || parts.status.is_informational() {
            self.complain(&anyhow!("answered {}", parts.status.as_u16()));
            return Ok(Answer::None);
        }
        pass_on(session, parts.status, &parts.headers, told(), page).await?;
        Ok(Answer::Given)
    }

    /// Says why there was no answer, unless that was said a moment ago.
    fn complain(&self, why: &anyhow::Error) {
        let (Some(uri), Some(more)) = (&self.uri, self.complaints.due(Instant::now())) else {
            return;
        };
        tracing::warn!(asked = %uri, more, "no answer on whether requests may pass: {why:#}");
    }

    fn question(
        &self,
        header: &RequestHeader,
        request: &Request,
    ) -> Option<http::Request<Empty<Bytes>>> {
        let mut question = http::Request::new(Empty::new());
        *question.method_mut() = Method::GET;
        *question.uri_mut() = self.uri.clone()?;
        // It is told of the client what the service behind it would be: nothing that only a proxy can
        // know is taken from the client itself.
        let mut told = header.clone();
        let nominated = header.headers.get_all(CONNECTION).iter().flat_map(forwarding::nominated);
        nominated.for_each(|name| drop(told.remove_header(&name)));
        let connection = request.connection.as_ref()?;
        if connection.terms.screening.underscores == Underscores::Drop {
            drop_underscores(&mut told);
        }
        forwarding::to_upstream(&mut told, &connection.client).ok()?;
        let fields = question.headers_mut();
        for (name, value) in told.headers.iter().filter(|(name, _)| !OWN.contains(name)) {
            fields.append(name.clone(), value.clone());
        }
        fields.insert(METHOD, HeaderValue::from_str(header.method.as_str()).ok()?);
        fields.insert(URI, HeaderValue::from_bytes(header.raw_path()).ok()?);
        let host = header.headers.get(HOST).cloned().or_else(|| {
            header.uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok())
        });
        // What a trusted proxy says of it is there already.
        if let Some(host) = host.filter(|_| !fields.contains_key(FORWARDED_HOST)) {
            fields.insert(FORWARDED_HOST, host);
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
    told: Vec<(HeaderName, HeaderValue)>,
    page: Bytes,
) -> Result<()> {
    let mut header = ResponseHeader::build(status, Some(6))?;
    for name in &SHOWN {
        for value in fields.get_all(name) {
            header.append_header(name.clone(), value.clone())?;
        }
    }
    for (name, value) in told {
        header.append_header(name, value)?;
    }
    answer::add_hsts(session, &mut header)?;
    header.insert_header(CONTENT_LENGTH, HeaderValue::from(page.len()))?;
    let bodyless = session.req_header().method == Method::HEAD || page.is_empty();
    session.write_response_header(Box::new(header), bodyless).await?;
    if !bodyless {
        session.write_response_body(Some(page), true).await?;
    }
    Ok(())
}
