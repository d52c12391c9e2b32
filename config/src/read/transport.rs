//! How an upstream is spoken to: `tls` and `protocol` of `[service.NAME]` and of its pools.

use crate::net::host_of;
use crate::read::Surroundings;
use crate::read::endpoint::EndpointEntry;
use crate::reader::{At, Fault, Read, Reader, Text, Value, fault};
use crate::settings::{TransportSettings, UpstreamProtocol, UpstreamTlsSettings};
use crate::suggest::choose;
use crate::table::table;
use serde_json::{Value as Json, json};
use std::path::PathBuf;

table! {
    /// TLS towards endpoints.
    UpstreamTlsFile {
        /// Name that is asked for and that the certificate must carry. By default the host of the
        /// endpoints, where all have the same.
        sni: ServerName,
        /// Path of the authorities, PEM, that may have signed the certificate. By default those that
        /// the machine trusts.
        ca: PathBuf,
        /// Path of the certificate chain, PEM, that is shown to endpoints that ask for one.
        client_cert: PathBuf,
        /// Path of its private key, PEM.
        client_key: PathBuf,
        /// Whether the certificate is checked at all.
        verify: bool = true,
    }
}

/// `true`, `false`, or a table that says how.
#[derive(Debug)]
pub(crate) enum UpstreamTls {
    Off,
    On(Box<UpstreamTlsFile>),
}

impl Read for UpstreamTls {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_bool() {
            Some(false) => return Some(UpstreamTls::Off),
            Some(true) => {
                // JSON's `{}` is TOML's as well: every key at its default.
                let defaults = toml::de::DeValue::parse("{}").ok()?;
                return Some(UpstreamTls::On(Box::new(UpstreamTlsFile::read(&defaults, reader)?)));
            }
            None => {}
        }
        if value.get_ref().as_table().is_none() {
            let help =
                "write true, or how: { sni = \"app.internal\", ca = \"certs/internal.pem\" }";
            return reader.wrong_type(value, "true or a table", help);
        }
        Some(UpstreamTls::On(Box::new(UpstreamTlsFile::read(value, reader)?)))
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "boolean" }, UpstreamTlsFile::schema()] })
    }
}

/// A name that a certificate can carry: of a host, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerName(pub(crate) String);

impl Text for ServerName {
    const WHAT: &'static str = "the name of a server";
    const EXAMPLE: &'static str = "\"app.internal\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let address = text.parse::<std::net::IpAddr>().is_ok();
        if address || (crate::net::is_host(text) && !text.starts_with('[')) {
            return Ok(ServerName(text.to_owned()));
        }
        let help = "write the name alone, as the certificate has it: \"app.internal\"";
        Err(fault(format!("\"{}\" is not the name of a server", text.escape_debug()), help))
    }
}

const PROTOCOLS: [(&str, UpstreamProtocol); 3] = [
    ("http1", UpstreamProtocol::Http1),
    ("h2", UpstreamProtocol::Http2),
    ("h2c", UpstreamProtocol::Http2Cleartext),
];

impl Text for UpstreamProtocol {
    const WHAT: &'static str = "a protocol";
    const EXAMPLE: &'static str = "\"http1\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &PROTOCOLS)
    }

    fn schema() -> Json {
        json!({ "enum": PROTOCOLS.map(|(name, _)| name) })
    }
}

/// What a pool says of it, or else its service.
#[derive(Clone, Copy)]
pub(crate) struct Transport<'a> {
    pub(crate) tls: Option<&'a At<UpstreamTls>>,
    pub(crate) protocol: Option<&'a At<UpstreamProtocol>>,
}

impl Transport<'_> {
    /// For a pool of these endpoints, whose own settings come before those of the service.
    pub(crate) fn or<'a>(self, service: Transport<'a>) -> Transport<'a>
    where
        Self: 'a,
    {
        Transport { tls: self.tls.or(service.tls), protocol: self.protocol.or(service.protocol) }
    }

    pub(crate) fn settle(
        self,
        endpoints: &[At<EndpointEntry>],
        surroundings: &Surroundings,
        reader: &mut Reader,
    ) -> Option<TransportSettings> {
        let protocol = self.protocol.map_or(UpstreamProtocol::Http1, |at| at.value);
        let tls = match self.tls {
            Some(at) => match &at.value {
                UpstreamTls::Off => None,
                UpstreamTls::On(file) => Some(file.settle(at, endpoints, surroundings, reader)?),
            },
            None => None,
        };
        let contradiction = match (protocol, &tls) {
            (UpstreamProtocol::Http2, None) => Some((
                "\"h2\" is HTTP/2 over TLS",
                "add tls = true, or write \"h2c\" for HTTP/2 without TLS",
            )),
            (UpstreamProtocol::Http2Cleartext, Some(_)) => Some((
                "\"h2c\" is HTTP/2 without TLS",
                "write \"h2\" for HTTP/2 over TLS, or leave 'tls' out",
            )),
            _ => None,
        };
        if let (Some((message, help)), Some(at)) = (contradiction, self.protocol) {
            return reader.fault(&at.span, fault(message, help));
        }
        Some(TransportSettings { tls, protocol })
    }
}

impl UpstreamTlsFile {
    fn settle(
        &self,
        at: &At<UpstreamTls>,
        endpoints: &[At<EndpointEntry>],
        surroundings: &Surroundings,
        reader: &mut Reader,
    ) -> Option<UpstreamTlsSettings> {
        let path =
            |path: &Option<At<PathBuf>>| path.as_ref().map(|at| surroundings.path(&at.value));
        let verify = self.verify.as_ref()?.value;
        let has = |key| self.present.contains(&key);
        if has("client_cert") != has("client_key") {
            let (there, missing) = match has("client_cert") {
                true => ("client_cert", "client_key"),
                false => ("client_key", "client_cert"),
            };
            let message = format!("'{there}' without '{missing}'");
            let help = "a certificate and its key go together: name the files of both";
            return reader.fault(&at.span, fault(message, help));
        }
        if !verify {
            let message = match has("ca") {
                true => "'ca' has no use: with verify = false anybody may answer for the endpoints",
                false => "with verify = false anybody may answer for the endpoints",
            };
            reader.warn(&at.span, message);
        }
        let server_name = match &self.sni {
            Some(sni) => sni.value.0.clone(),
            None if has("sni") => return None, // it is wrong, and that was said
            None => common_host(endpoints, verify, at, reader)?,
        };
        Some(UpstreamTlsSettings {
            server_name,
            authorities: path(&self.ca),
            client_certificate: path(&self.client_cert).zip(path(&self.client_key)),
            verify,
        })
    }
}

/// The host that all endpoints share: what their certificate is asked for.
fn common_host(
    endpoints: &[At<EndpointEntry>],
    verify: bool,
    at: &At<UpstreamTls>,
    reader: &mut Reader,
) -> Option<String> {
    let mut hosts = endpoints.iter().map(|endpoint| host_of(&endpoint.value.0.address));
    let first = hosts.next()?;
    match hosts.find(|host| *host != first).filter(|_| verify) {
        None => Some(first.to_owned()),
        Some(other) => {
            let message =
                format!("which name shall certificates carry: \"{first}\" or \"{other}\"?");
            let help = "the endpoints have different hosts; add sni = \"...\", the name in the certificate";
            reader.fault(&at.span, fault(message, help))
        }
    }
}
