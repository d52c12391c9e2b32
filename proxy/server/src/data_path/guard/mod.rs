//! What a route asks of requests before they reach its service, and does to their answers.
//!
//! Routes that ask nothing have no guard, and their requests nothing to do here.

mod basic;
mod compress;
mod cors;
mod forward;
mod rates;

pub(crate) use compress::Compression;
pub(crate) use cors::Granted;
pub(crate) use forward::AuthClient;

use super::answer;
use super::networks::Networks;
use super::rejection::Reason;
use super::request::Request;
use basic::Passwords;
use cors::Cors;
use forward::Forward;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use rates::Meter;
use serinus_config::{CompressionSettings, GuardSettings};
use std::sync::Arc;
use std::time::Duration;

/// The guard of one route.
#[derive(Debug)]
pub(crate) struct Guard {
    settings: GuardSettings,
    allow: Networks,
    deny: Networks,
    meters: Vec<Meter>,
    passwords: Option<Passwords>,
    forward: Option<Forward>,
    cors: Option<Cors>,
}

/// What a guard says of a request.
enum Verdict {
    Pass,
    /// It was answered here, and that is no refusal.
    Answered,
    Refused(Reason, Option<(HeaderName, HeaderValue)>),
}

impl Guard {
    /// The guard of `settings`; `before`, if it is of the same: its counts go on. None if it would
    /// have nothing to do.
    pub(crate) fn new(settings: &GuardSettings, before: Option<&Arc<Guard>>) -> Option<Arc<Guard>> {
        if *settings == GuardSettings::default() {
            return None;
        }
        if let Some(before) = before.filter(|before| before.settings == *settings) {
            return Some(Arc::clone(before));
        }
        let access = &settings.access;
        Some(Arc::new(Guard {
            allow: Networks::new(&access.allow),
            deny: Networks::new(&access.deny),
            meters: settings.rates.iter().map(Meter::new).collect(),
            passwords: access.basic.as_ref().map(Passwords::new),
            forward: access.forward.as_ref().map(Forward::new),
            cors: settings.cors.as_ref().map(Cors::new),
            settings: settings.clone(),
        }))
    }

    pub(crate) fn compression(&self) -> Option<&CompressionSettings> {
        self.settings.compression.as_ref()
    }

    /// Most bytes of a body.
    pub(crate) fn body(&self) -> Option<u64> {
        self.settings.body
    }

    /// Lets a request pass, or answers it; true if it did.
    pub(crate) async fn admit(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        match self.judge(session, request).await? {
            Verdict::Pass => Ok(false),
            Verdict::Answered => Ok(true),
            Verdict::Refused(reason, field) => {
                request.reject(reason);
                if reason == Reason::BodyTooLarge {
                    session.set_keepalive(None); // the rest of the body is not read
                }
                let fields = field.into_iter().chain(self.told(request)).collect();
                answer::give_with(session, reason.status(), fields).await?;
                Ok(true)
            }
        }
    }

    async fn judge(&self, session: &mut Session, request: &mut Request) -> Result<Verdict> {
        let refused = |reason| Ok(Verdict::Refused(reason, None));
        // A refusal is for the page to read as well.
        request.cors = self.cors.as_ref().and_then(|cors| cors.grant(session.req_header()));
        if !self.lets_in(request) {
            return refused(Reason::Address);
        }
        if let Some(wait) = self.wait(session, request) {
            let seconds = wait.as_millis().div_ceil(1000).max(1) as u64;
            let field = (RETRY_AFTER, HeaderValue::from(seconds));
            return Ok(Verdict::Refused(Reason::Rate, Some(field)));
        }
        // Browsers ask without a password whether they may ask with one.
        if let Some(cors) = &self.cors
            && cors.answer_preflight(session, request.cors.as_ref()).await?
        {
            return Ok(Verdict::Answered);
        }
        if let Some(most) = self.settings.body
            && length(session).is_some_and(|length| length > most)
        {
            return refused(Reason::BodyTooLarge);
        }
        if let Some(passwords) = &self.passwords
            && let Err(reason) = passwords.check(session.req_header()).await
        {
            let field = (WWW_AUTHENTICATE, passwords.challenge().clone());
            return Ok(Verdict::Refused(reason, Some(field)));
        }
        if let Some(forward) = &self.forward {
            let worker = Arc::clone(request.counted.worker());
            let told = || self.told(request);
            return match forward.ask(&worker.auth_client, session, request, told).await? {
                forward::Answer::Pass => Ok(Verdict::Pass),
                forward::Answer::Given => {
                    request.reject(Reason::ForwardAuth);
                    Ok(Verdict::Answered)
                }
                forward::Answer::None => refused(Reason::ForwardAuthDown),
            };
        }
        Ok(Verdict::Pass)
    }

    fn lets_in(&self, request: &Request) -> bool {
        if self.allow.is_empty() && self.deny.is_empty() {
            return true;
        }
        let Some(client) = request.client else { return false };
        !self.deny.holds(client) && (self.allow.is_empty() || self.allow.holds(client))
    }

    /// How long the client shall wait, if it comes too often.
    fn wait(&self, session: &Session, request: &Request) -> Option<Duration> {
        let headers = &session.req_header().headers;
        self.meters
            .iter()
            .find_map(|meter| meter.take(request.client, headers, request.started).err())
    }

    /// What pages of other origins may do with an answer of the proxy's own.
    pub(crate) fn told(&self, request: &Request) -> Vec<(HeaderName, HeaderValue)> {
        self.cors.as_ref().map(|cors| cors.told(request.cors.as_ref())).unwrap_or_default()
    }

    /// What pages of other origins may do with an answer.
    pub(crate) fn expose(&self, response: &mut ResponseHeader, request: &Request) -> Result<()> {
        match &self.cors {
            Some(cors) => cors.expose(response, request.cors.as_ref()),
            None => Ok(()),
        }
    }
}

fn length(session: &Session) -> Option<u64> {
    session.get_header(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}
