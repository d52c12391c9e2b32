//! `[route.NAME.redirect]`

use crate::net::{HostName, PathPrefix};
use crate::number::Whole;
use crate::reader::{At, Fault, Read, Reader, Text, Value, fault};
use crate::suggest::choose;
use crate::table::table;
use serde_json::{Value as Json, json};
use serinus_routing::{PathChange, PathMatch, Redirect, Scheme};

table! {
    /// Where clients are sent, as far as it differs from where they came.
    RedirectFile {
        /// Status of the answer: 301 and 308 for good, 302, 303 and 307 for now; with 307 and 308
        /// clients keep the method.
        status: RedirectStatus = 302,
        /// "https" or "http".
        scheme: Scheme,
        /// Another host, without port.
        host: HostName,
        /// Another port.
        port: Whole<1, 65_535>,
        /// Another path.
        path: PathPrefix,
        /// What stands in place of the route's path_prefix.
        replace_prefix: PathPrefix,
        /// Take the query along.
        keep_query: bool = true,
    }
}

/// A status that sends a client elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RedirectStatus(u16);

impl Read for RedirectStatus {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let help = "write 301 or 308 (for good), 302, 303 or 307 (for now)";
        match crate::number::number(value) {
            Some(code) if [301.0, 302.0, 303.0, 307.0, 308.0].contains(&code) => {
                Some(RedirectStatus(code as u16))
            }
            Some(code) => {
                reader.fault(&value.span(), fault(format!("{code} sends nobody elsewhere"), help))
            }
            None => reader.wrong_type(value, "a status code", help),
        }
    }

    fn schema() -> Json {
        json!({ "type": "integer", "enum": [301, 302, 303, 307, 308] })
    }
}

impl Text for Scheme {
    const WHAT: &'static str = "a scheme";
    const EXAMPLE: &'static str = "\"https\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &[("https", Scheme::Https), ("http", Scheme::Http)])
    }

    fn schema() -> Json {
        json!({ "type": "string", "enum": ["https", "http"] })
    }
}

impl RedirectFile {
    /// `matched`: what of the path the route matches.
    pub(crate) fn settle(self, matched: &PathMatch, reader: &mut Reader) -> Option<Redirect> {
        let path = match (self.path, self.replace_prefix) {
            (Some(path), Some(prefix)) => {
                let later = if path.key.start > prefix.key.start { path.key } else { prefix.key };
                let message = "'path' and 'replace_prefix' exclude each other";
                return reader.fault(&later, fault(message, "keep one of the two"));
            }
            (Some(path), None) => PathChange::Whole(path.value.0),
            (None, prefix) => replaced(prefix, matched, reader)?,
        };
        let redirect = Redirect {
            status: self.status?.value.0,
            scheme: self.scheme.map(|scheme| scheme.value),
            host: self.host.map(|host| host.value.0),
            port: self.port.and_then(|port| u16::try_from(port.value.0).ok()),
            path,
            keep_query: self.keep_query?.value,
        };
        Some(redirect)
    }
}

impl RedirectFile {
    /// Whether it names any place but the one that clients came to.
    pub(crate) fn leads_away(&self) -> bool {
        ["scheme", "host", "port", "path", "replace_prefix"]
            .iter()
            .any(|key| self.present.contains(key))
    }
}

/// What becomes of the prefix that a route matches; `None` where it matches none.
pub(crate) fn replaced(
    to: Option<At<PathPrefix>>,
    matched: &PathMatch,
    reader: &mut Reader,
) -> Option<PathChange> {
    let Some(to) = to else { return Some(PathChange::None) };
    if to.value.0.starts_with("//") {
        let help = "begin it with one '/'";
        return reader.fault(&to.span, fault("two slashes would be the name of a host", help));
    }
    match matched {
        PathMatch::Prefix(from) => Some(PathChange::Prefix { from: from.clone(), to: to.value.0 }),
        other => {
            let help = "give the route a path_prefix, or leave this out";
            reader.fault(&to.key, fault(format!("{other} has no prefix to replace"), help))
        }
    }
}
