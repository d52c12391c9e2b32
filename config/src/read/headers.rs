//! `[route.NAME.request_headers]` and `[route.NAME.response_headers]`

use crate::collection::Map;
use crate::net::HeaderName;
use crate::reader::{At, Fault, Reader, Text, fault};
use crate::table::table;
use serinus_routing::HeaderChanges;

/// What frames a message or belongs to one connection is nobody's to change.
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-synthetic",
];

table! {
    /// Changes to headers: first what is taken off, then what is set, then what is added.
    HeadersFile {
        /// Headers with their only value from then on, { x-frame-options = "DENY" }.
        set: Map<HeaderName, HeaderText>,
        /// Headers that get one value more.
        add: Map<HeaderName, HeaderText>,
        /// Names of headers to take off.
        remove: Vec<At<HeaderName>>,
    }
}

/// The value of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderText(pub(crate) http::HeaderValue);

impl Text for HeaderText {
    const WHAT: &'static str = "the value of a header";
    const EXAMPLE: &'static str = "\"no-store\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let visible = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        match http::HeaderValue::from_str(text) {
            Ok(value) if visible && text.trim() == text => Ok(HeaderText(value)),
            _ => Err(fault(
                format!("\"{}\" cannot be the value of a header", text.escape_debug()),
                "write visible ASCII, without spaces at its ends",
            )),
        }
    }
}

impl HeadersFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<HeaderChanges> {
        let remove = self.remove.map(|names| names.value).unwrap_or_default();
        let remove = remove.into_iter().map(|at| name(&at, reader)).collect::<Vec<_>>();
        let (set, add) = (entries(self.set, reader), entries(self.add, reader));
        Some(HeaderChanges {
            remove: remove.into_iter().collect::<Option<_>>()?,
            set: set?,
            add: add?,
        })
    }
}

type Entries = Vec<(http::HeaderName, http::HeaderValue)>;

fn entries(map: Option<At<Map<HeaderName, HeaderText>>>, reader: &mut Reader) -> Option<Entries> {
    let entries = map.map(|map| map.value.entries).unwrap_or_default();
    let entries: Vec<_> = entries
        .into_iter()
        .map(|(key, value)| Some((name(&key, reader)?, value?.value.0)))
        .collect();
    entries.into_iter().collect()
}

fn name(at: &At<HeaderName>, reader: &mut Reader) -> Option<http::HeaderName> {
    if OURS.contains(&at.value.0.as_str()) {
        let message = format!("'{}' is the proxy's own business", at.value.0);
        let help = "leave it out: it frames the message, or belongs to one connection";
        return reader.fault(&at.span, fault(message, help));
    }
    http::HeaderName::from_bytes(at.value.0.as_bytes()).ok()
}
