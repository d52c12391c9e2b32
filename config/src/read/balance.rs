//! `[service.NAME.balance]`, `health`, `ejection`, `limits` and `retry`: which endpoint is asked, which
//! is left out, and what is tried again.

use crate::collection::OneOrMany;
use crate::net::{HeaderName, HostHeader, PathPrefix};
use crate::number::{Length, LengthOrZero, Whole};
use crate::pattern::StatusCodes;
use crate::reader::{At, Fault, Read, Reader, Text, Value, fault};
use crate::settings::{BalanceSettings, ConcurrencySettings, HealthSettings, RetrySettings};
use crate::suggest::choose;
use crate::table::table;
use serde_json::{Value as Json, json};
use serinus_routing::Weight;
use serinus_routing::balance::{Balance, EjectionRule, HashBy, HealthRule};
use toml::de::DeValue;

table! {
    /// Which endpoint of a variant is asked.
    BalanceFile {
        /// "round_robin", "least_connections", "power_of_two" (of two that are drawn, the one with fewer
        /// requests) or "hash" (the same endpoint for the same key).
        method: MethodOfBalance = "round_robin",
        /// With "hash", what the key is: "client_ip", { header = "x-user-id" } or { cookie = "session" }.
        hash_by: HashBy = "client_ip",
        /// How long an endpoint that comes, or comes back, takes to get its whole share; "0s" is at once.
        slow_start: LengthOrZero = "0s",
        /// Below this percent of endpoints that are well, all are asked.
        panic_threshold: Weight = 50,
    }
}

table! {
    /// Requests that ask every endpoint whether it is well, in the background.
    HealthFile {
        /// Path to GET.
        @required path: PathPrefix,
        /// Time between two checks of an endpoint.
        interval: Length = "5s",
        /// For connection and answer together.
        timeout: Length = "2s",
        /// Failed checks in a row after which an endpoint gets no requests; the first one of all decides alone.
        unhealthy_after: Whole<1, 100> = 3,
        /// Passed checks in a row after which it gets requests again.
        healthy_after: Whole<1, 100> = 2,
        /// Statuses that pass: a code, a class, "2xx", a range, "200-299", or several.
        status: OneOrMany<StatusCodes> = "2xx",
        /// Host header; without it the endpoint as it is configured.
        host: HostHeader,
    }
}

table! {
    /// Leaves an endpoint out for a while whose requests fail.
    EjectionFile {
        /// Requests in a row that failed: 5xx, reset, no answer, no connection.
        failures: Whole<1, 10_000> = 5,
        /// Connections in a row that could not be made.
        connect_failures: Whole<1, 10_000> = 3,
        /// How long; twice as long the second time in a row, three times the third.
        time: Length = "30s",
        /// No ejection lasts longer.
        max_time: Length = "5m",
        /// Percent of a variant's endpoints that may be out at a time; one of two or more always may.
        max_ejected: Weight = 50,
    }
}

table! {
    /// How much is asked of endpoints at a time.
    LimitsFile {
        /// Requests at one endpoint at a time. Without it, any number.
        max_connections: Whole<1, 1_000_000>,
        /// Requests of a variant that may wait for a place, for as long as timeouts.connect; more get 503.
        max_pending: Whole<0, 1_000_000> = 0,
    }
}

table! {
    /// Asks another endpoint of the same variant where an idempotent request failed.
    RetryFile {
        /// Retries of one request at most.
        attempts: Whole<1, 5> = 1,
        /// What is tried again: what the client would get otherwise, 502 and 504 of our own included.
        status: OneOrMany<StatusCodes> = [502, 503, 504],
    }
}

/// The ways to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MethodOfBalance {
    RoundRobin,
    LeastConnections,
    PowerOfTwo,
    Hash,
}

const METHODS: [(&str, MethodOfBalance); 4] = [
    ("round_robin", MethodOfBalance::RoundRobin),
    ("least_connections", MethodOfBalance::LeastConnections),
    ("power_of_two", MethodOfBalance::PowerOfTwo),
    ("hash", MethodOfBalance::Hash),
];

impl Text for MethodOfBalance {
    const WHAT: &'static str = "a way to choose";
    const EXAMPLE: &'static str = "\"least_connections\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &METHODS)
    }

    fn schema() -> Json {
        json!({ "type": "string", "enum": METHODS.map(|(name, _)| name) })
    }
}

table! {
    /// What names the client.
    HashKeyFile {
        /// The value of this header.
        header: HeaderName,
        /// The value of this cookie.
        cookie: CookieName,
    }
}

/// The name of a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CookieName(String);

impl Text for CookieName {
    const WHAT: &'static str = "the name of a cookie";
    const EXAMPLE: &'static str = "\"session\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        // A cookie is named as a header is, but for its capitals, which matter.
        HeaderName::parse(text).map(|_| CookieName(text.to_owned())).map_err(|_| {
            let message = format!("\"{}\" cannot be the name of a cookie", text.escape_debug());
            fault(message, "write the name alone: \"session\"")
        })
    }
}

impl Read for HashBy {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let help = "write \"client_ip\", { header = \"x-user-id\" } or { cookie = \"session\" }";
        match value.get_ref() {
            DeValue::Table(_) => {
                let file = HashKeyFile::read(value, reader)?;
                match (file.header, file.cookie) {
                    (Some(header), None) => Some(HashBy::Header(header.value.0)),
                    (None, Some(cookie)) => Some(HashBy::Cookie(cookie.value.0)),
                    (None, None) if !file.present.is_empty() => None, // reported
                    _ => reader.fault(&value.span(), fault("one name is needed", help)),
                }
            }
            DeValue::String(text) => match choose(text, &[("client_ip", HashBy::ClientIp)]) {
                Ok(by) => Some(by),
                Err(fault) => reader.fault(&value.span(), Fault { help: help.to_owned(), ..fault }),
            },
            _ => reader.wrong_type(value, "what names the client", help),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "string", "enum": ["client_ip"] }, HashKeyFile::schema()] })
    }
}

impl BalanceFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<BalanceSettings> {
        let (method, hash_by) = (self.method?, self.hash_by?);
        if hash_by.given && method.value != MethodOfBalance::Hash {
            let help = "add method = \"hash\", or leave it out";
            return reader.fault(&hash_by.key, fault("nothing is hashed with this method", help));
        }
        let method = match method.value {
            MethodOfBalance::RoundRobin => Balance::RoundRobin,
            MethodOfBalance::LeastConnections => Balance::LeastConnections,
            MethodOfBalance::PowerOfTwo => Balance::PowerOfTwo,
            MethodOfBalance::Hash => Balance::Hash(hash_by.value),
        };
        Some(BalanceSettings {
            method,
            slow_start: self.slow_start?.value.0,
            panic_threshold: self.panic_threshold?.value,
        })
    }
}

impl HealthFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<HealthSettings> {
        let wrong_host = self.present.contains(&"host") && self.host.is_none();
        let (interval, timeout) = (self.interval?, self.timeout?);
        if timeout.given && timeout.value.0 > interval.value.0 {
            let message = "a check would not end before the next one begins";
            let help = "make it no longer than interval";
            return reader.fault(&timeout.span, fault(message, help));
        }
        if wrong_host {
            return None;
        }
        Some(HealthSettings {
            path: self.path?.value.0,
            interval: interval.value.0,
            timeout: timeout.value.0.min(interval.value.0),
            rule: HealthRule {
                unhealthy_after: self.unhealthy_after?.value.0,
                healthy_after: self.healthy_after?.value.0,
            },
            status: codes(self.status?),
            host: self.host.map(|host| host.value.0),
        })
    }
}

impl EjectionFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<(EjectionRule, Weight)> {
        let (time, longest) = (self.time?, self.max_time?);
        if longest.value.0 < time.value.0 {
            let place = if longest.given { &longest.span } else { &time.span };
            let message = "max_time is shorter than the first ejection";
            return reader.fault(place, fault(message, "make it as long as time, or longer"));
        }
        let rule = EjectionRule {
            failures: self.failures?.value.0,
            connect_failures: self.connect_failures?.value.0,
            time: time.value.0,
            longest: longest.value.0,
        };
        Some((rule, self.max_ejected?.value))
    }
}

impl LimitsFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<ConcurrencySettings> {
        if self.present.contains(&"max_connections") && self.max_connections.is_none() {
            return None;
        }
        let pending = self.max_pending?;
        if pending.given && self.max_connections.is_none() {
            let help = "add max_connections, or leave it out";
            return reader.fault(&pending.key, fault("nobody waits where there is no limit", help));
        }
        Some(ConcurrencySettings {
            max_connections: self.max_connections.map(|most| most.value.0),
            max_pending: pending.value.0,
        })
    }
}

impl RetryFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<RetrySettings> {
        let status = self.status?;
        let span = status.span.clone();
        let codes = codes(status);
        if let Some(other) = codes.iter().find(|code| **code < 500) {
            let help = "write some of [500, 502, 503, 504]";
            return reader
                .fault(&span, fault(format!("{other} is no failure of an endpoint"), help));
        }
        Some(RetrySettings { attempts: self.attempts?.value.0, status: codes })
    }
}

/// The codes, in order, each once.
fn codes(status: At<OneOrMany<StatusCodes>>) -> Vec<u16> {
    let mut codes: Vec<u16> = status.value.0.into_iter().flat_map(|codes| codes.value.0).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}
