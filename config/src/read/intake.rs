//! `[listener.NAME.limits]`, `.screening`, `.identity`

use crate::intake::{
    IdentitySettings, IntakeSettings, LimitSettings, PathForm, ScreeningSettings, Underscores,
};
use crate::network::Network;
use crate::number::{Length, Size, Whole};
use crate::reader::{At, Fault, Reader, Text, fault};
use crate::suggest::choose;
use crate::table::table;
use serde_json::{Value as Json, json};

table! {
    /// How much a client may send, and how slowly.
    LimitsFile {
        /// Size of a request's header with its first line; 431 above it.
        header: Size<512, 262_144> = "32KiB",
        /// Fields of a header; 431 above it.
        fields: Whole<4, 256> = 100,
        /// Size of a request's target, its path with the query; 414 above it.
        target: Size<64, 131_072> = "8KiB",
        /// Longest wait between two reads of a request's body.
        body_timeout: Length = "30s",
        /// Longest time in which a client takes a piece of an answer, 64 KiB at most.
        send_timeout: Length = "60s",
        /// Connections of one client address (of a /64 with IPv6) at the same time. Without it, any
        /// number. Trusted proxies are not counted.
        connections_per_client: Whole<1, 1_000_000>,
    }
}

table! {
    /// What is done about requests that the next server could read differently.
    ScreeningFile {
        /// Paths with dot segments, repeated slashes or letters that are encoded without need:
        /// "normalize" forwards their plain form, "reject" refuses them, "pass" leaves them.
        paths: PathForm = "normalize",
        /// Whether %2F and %5C in a path go on.
        encoded_slashes: bool = false,
        /// Fields whose name has an underscore: "drop" leaves the field out, "reject" refuses the
        /// request, "pass" lets it go on.
        underscores: Underscores = "drop",
    }
}

table! {
    /// Who is believed about the client, and what requests are named by.
    IdentityFile {
        /// Networks of the proxies in front, which are believed about the client.
        trusted_proxies: Vec<At<Network>> = [],
        /// Every connection begins with a PROXY header, version 1 or 2, from a trusted proxy.
        proxy_protocol: bool = false,
        /// Give every request an X-Request-Id; that of a trusted proxy is kept.
        request_id: bool = false,
        /// Give every request a W3C traceparent; one that came in is passed on with a new parent.
        trace_context: bool = false,
    }
}

/// Everything a listener takes in.
pub(crate) fn settle(
    limits: Option<At<LimitsFile>>,
    screening: Option<At<ScreeningFile>>,
    identity: Option<At<IdentityFile>>,
    reader: &mut Reader,
) -> Option<IntakeSettings> {
    let limits = limits.and_then(|at| at.value.settle());
    let screening = screening.and_then(|at| at.value.settle());
    let identity = identity.and_then(|at| at.value.settle(reader));
    Some(IntakeSettings { limits: limits?, screening: screening?, identity: identity? })
}

impl LimitsFile {
    fn settle(self) -> Option<LimitSettings> {
        let of_clients = self.present.contains(&"connections_per_client");
        Some(LimitSettings {
            header: self.header?.value.0,
            fields: self.fields?.value.0,
            target: self.target?.value.0,
            body_timeout: self.body_timeout?.value.0,
            send_timeout: self.send_timeout?.value.0,
            connections_per_client: match self.connections_per_client {
                Some(most) => Some(most.value.0),
                None if of_clients => return None,
                None => None,
            },
        })
    }
}

impl ScreeningFile {
    fn settle(self) -> Option<ScreeningSettings> {
        Some(ScreeningSettings {
            paths: self.paths?.value,
            encoded_slashes: self.encoded_slashes?.value,
            underscores: self.underscores?.value,
        })
    }
}

impl IdentityFile {
    fn settle(self, reader: &mut Reader) -> Option<IdentitySettings> {
        let trusted = self.trusted_proxies?.value;
        let proxy_protocol = self.proxy_protocol?;
        if proxy_protocol.value && trusted.is_empty() {
            let help =
                "add trusted_proxies = [\"10.0.0.0/8\"] with the addresses of the proxies in front";
            let message =
                "a PROXY header is believed from trusted proxies only, and there are none";
            return reader.fault(&proxy_protocol.span, fault(message, help));
        }
        Some(IdentitySettings {
            trusted_proxies: trusted.into_iter().map(|network| network.value).collect(),
            proxy_protocol: proxy_protocol.value,
            request_id: self.request_id?.value,
            trace_context: self.trace_context?.value,
        })
    }
}

const PATH_FORMS: [(&str, PathForm); 3] =
    [("normalize", PathForm::Normalize), ("reject", PathForm::Reject), ("pass", PathForm::Pass)];

impl Text for PathForm {
    const WHAT: &'static str = "a choice";
    const EXAMPLE: &'static str = "\"normalize\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &PATH_FORMS)
    }

    fn schema() -> Json {
        json!({ "type": "string", "enum": PATH_FORMS.map(|(name, _)| name) })
    }
}

const UNDERSCORES: [(&str, Underscores); 3] =
    [("drop", Underscores::Drop), ("reject", Underscores::Reject), ("pass", Underscores::Pass)];

impl Text for Underscores {
    const WHAT: &'static str = "a choice";
    const EXAMPLE: &'static str = "\"drop\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &UNDERSCORES)
    }

    fn schema() -> Json {
        json!({ "type": "string", "enum": UNDERSCORES.map(|(name, _)| name) })
    }
}
