//! `[listener.NAME.tls]`: what a TLS listener asks of its clients, and tells them.

use crate::number::LengthOrZero;
use crate::read::Surroundings;
use crate::read::acme::CertificateName;
use crate::reader::{At, Fault, Read, Reader, Text, Value, fault};
use crate::settings::{
    AlpnProtocol, ClientCertificateSettings, HstsSettings, ListenerTlsSettings, TlsVersion,
};
use crate::suggest::choose;
use crate::table::table;
use serde_json::{Value as Json, json};
use std::path::PathBuf;

table! {
    /// What a TLS listener asks of its clients, and tells them.
    ListenerTlsFile {
        /// Oldest version of TLS: "1.2" or "1.3".
        min_version: TlsVersion = "1.2",
        /// Names whose certificates the CA of [acme] issues and renews. Beside certificates of files, or
        /// alone.
        acme: Vec<At<CertificateName>>,
        /// Protocols that are offered, the preferred one first: "h2" and "http/1.1".
        alpn: Vec<At<AlpnProtocol>> = ["h2", "http/1.1"],
        /// Tell browsers to come back over TLS alone (Strict-Transport-Security).
        hsts: HstsFile,
        /// Ask clients for a certificate.
        client_certificate: ClientCertificateFile,
    }
}

table! {
    /// Strict-Transport-Security. It cannot be taken back before its time is over.
    HstsFile {
        /// How long browsers remember it; "0s" makes them forget.
        max_age: LengthOrZero = "8760h",
        /// Every name below the host, too.
        include_subdomains: bool = false,
        /// The host may be put on the list that browsers come with.
        preload: bool = false,
    }
}

table! {
    /// Certificates of clients.
    ClientCertificateFile {
        /// Path of the authorities, PEM, that may have signed them.
        @required ca: PathBuf,
        /// "required", or "optional": who has none is let in without a name.
        mode: ClientMode = "required",
    }
}

/// Whether a client must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientMode {
    required: bool,
}

const MODES: [(&str, ClientMode); 2] =
    [("required", ClientMode { required: true }), ("optional", ClientMode { required: false })];
const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
const ALPN: [(&str, AlpnProtocol); 2] =
    [("h2", AlpnProtocol::Http2), ("http/1.1", AlpnProtocol::Http11)];

impl Text for ClientMode {
    const WHAT: &'static str = "\"required\" or \"optional\"";
    const EXAMPLE: &'static str = "\"required\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &MODES)
    }

    fn schema() -> Json {
        json!({ "enum": MODES.map(|(name, _)| name) })
    }
}

impl Text for TlsVersion {
    const WHAT: &'static str = "a version of TLS";
    const EXAMPLE: &'static str = "\"1.2\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        // No guess which was meant: "1.1" is no slip of the finger.
        let version = VERSIONS.into_iter().find(|(name, _)| *name == text);
        version.map(|(_, version)| version).ok_or_else(|| {
            let message = format!("TLS \"{}\" is not spoken", text.escape_debug());
            fault(message, "write \"1.2\" or \"1.3\"")
        })
    }

    fn schema() -> Json {
        json!({ "enum": VERSIONS.map(|(name, _)| name) })
    }
}

impl Text for AlpnProtocol {
    const WHAT: &'static str = "a protocol";
    const EXAMPLE: &'static str = "\"h2\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &ALPN)
    }

    fn schema() -> Json {
        json!({ "enum": ALPN.map(|(name, _)| name) })
    }
}

impl ListenerTlsFile {
    /// Takes out the names for which certificates are asked, with the place of their list.
    pub(crate) fn names(&mut self, reader: &mut Reader) -> Option<At<Vec<String>>> {
        let At { value, span, key, given } = self.acme.take()?;
        if value.is_empty() {
            let help = "write the names, [\"shop.example.com\"], or leave it out";
            return reader.fault(&span, fault("no certificate is asked for", help));
        }
        let mut names: Vec<String> = Vec::with_capacity(value.len());
        for name in value {
            if names.contains(&name.value.0) {
                let message = format!("\"{}\" is here twice", name.value.0);
                reader.fault::<()>(&name.span, fault(message, "keep one of the two"));
            }
            names.push(name.value.0);
        }
        Some(At { value: names, span, key, given })
    }

    pub(crate) fn settle(
        self,
        surroundings: &Surroundings,
        reader: &mut Reader,
    ) -> Option<ListenerTlsSettings> {
        let alpn = self.alpn?;
        if alpn.value.is_empty() {
            let help = "leave it out, or write [\"http/1.1\"]";
            return reader.fault(&alpn.span, fault("no protocol is offered", help));
        }
        let hsts = match self.hsts {
            Some(hsts) => Some(hsts.value.settle(&hsts.span, reader)?),
            None => None,
        };
        let client_certificate = match self.client_certificate {
            Some(file) => Some(ClientCertificateSettings {
                authorities: surroundings.path(&file.value.ca?.value),
                required: file.value.mode?.value.required,
            }),
            None => None,
        };
        Some(ListenerTlsSettings {
            min_version: self.min_version?.value,
            alpn: alpn.value.into_iter().map(|at| at.value).collect(),
            hsts,
            client_certificate,
        })
    }
}

/// What lists of browsers ask for, in seconds.
const PRELOAD_LEAST: u64 = 31_536_000;

impl HstsFile {
    fn settle(self, span: &crate::reader::Span, reader: &mut Reader) -> Option<HstsSettings> {
        let hsts = HstsSettings {
            max_age: self.max_age?.value.0,
            include_subdomains: self.include_subdomains?.value,
            preload: self.preload?.value,
        };
        if hsts.preload && !(hsts.include_subdomains && hsts.max_age.as_secs() >= PRELOAD_LEAST) {
            let help = "add include_subdomains = true and a max_age of \"8760h\" or more";
            return reader.fault(span, fault("browsers do not put this on their list", help));
        }
        Some(hsts)
    }
}

/// `true`, or the port that clients are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpsRedirect(pub(crate) Option<u16>);

/// Where HTTPS is when nothing else is said.
const HTTPS_PORT: u16 = 443;

impl Read for HttpsRedirect {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if let Some(switch) = value.get_ref().as_bool() {
            return Some(HttpsRedirect(switch.then_some(HTTPS_PORT)));
        }
        match crate::number::number(value) {
            Some(port) if port.fract() == 0.0 && (1.0..=65_535.0).contains(&port) => {
                Some(HttpsRedirect(Some(port as u16)))
            }
            Some(_) => {
                let help = "write the port of the TLS listener as clients see it, from 1 to 65535";
                reader.fault(&value.span(), fault("that is not a port", help))
            }
            None => {
                let help = "write true for port 443, or the port";
                reader.wrong_type(value, "true or a port", help)
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [
            { "type": "boolean" },
            { "type": "integer", "minimum": 1, "maximum": 65_535 },
        ] })
    }
}
