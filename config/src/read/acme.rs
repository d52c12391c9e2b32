//! `[acme]`, and the names of `[listener.NAME.tls] acme`: certificates that a CA issues by itself.

use crate::net::{HostPattern, WebUrl};
use crate::read::Surroundings;
use crate::reader::{At, Fault, Reader, Span, Text, fault};
use crate::settings::{AcmeChallenge, AcmeSettings, ExternalAccount, ListenerSettings};
use crate::suggest::choose;
use crate::table::table;
use serde_json::{Value as Json, json};
use std::path::PathBuf;

table! {
    /// Certificates from a CA that speaks ACME (RFC 8555), for the names that listeners list under tls.acme.
    AcmeFile {
        /// true: you have read the CA's terms of service and agree to them.
        @required accept_terms: bool,
        /// Where the CA may write to, when a certificate ends without a new one.
        email: Email,
        /// The directory of the CA.
        directory: WebUrl = "https://acme-v02.api.letsencrypt.org/directory",
        /// Path of the authorities, PEM, that the CA's own server is verified by. Without it, those of
        /// the machine.
        ca: PathBuf,
        /// How the CA sees that a name is yours: "tls-alpn-01" on the TLS listener that has the name
        /// (port 443 from outside), "http-01" on a listener without TLS (port 80 from outside).
        challenge: AcmeChallenge = "tls-alpn-01",
        /// The name of the key by which the CA knows its customer (external account binding), where it asks
        /// for one: ZeroSSL, Google.
        eab_key_id: KeyId,
        /// Path of the file with that key, base64url, as the CA gave it.
        eab_key_file: PathBuf,
    }
}

/// A key identifier of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyId(String);

impl Text for KeyId {
    const WHAT: &'static str = "the name of a key";
    const EXAMPLE: &'static str = "\"kid-1\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(KeyId(text.to_owned()));
        }
        let help = "write it as the CA shows it, without spaces";
        Err(fault(format!("\"{}\" is no name of a key", text.escape_debug()), help))
    }
}

/// An address for mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email(String);

impl Text for Email {
    const WHAT: &'static str = "an address for mail";
    const EXAMPLE: &'static str = "\"ops@example.com\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let fine = text.split_once('@').is_some_and(|(who, host)| {
            !who.is_empty()
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
                && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,;:\"?".contains(&byte))
                && !host.contains('@')
        });
        if fine {
            return Ok(Email(text.to_owned()));
        }
        let message = format!("\"{}\" is not an address for mail", text.escape_debug());
        let help = "write one alone, without \"mailto:\": \"ops@example.com\"";
        Err(fault(message, help))
    }
}

/// A name that a certificate is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateName(pub(crate) String);

impl Text for CertificateName {
    const WHAT: &'static str = "a host";
    const EXAMPLE: &'static str = "\"shop.example.com\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let HostPattern(name) = HostPattern::parse(text)?;
        let shown = name.escape_debug();
        if let Some(below) = name.strip_prefix("*.") {
            let message =
                format!("\"{shown}\" cannot be asked for: the CA proves wildcards by DNS");
            let help =
                format!("list each name, like \"www.{below}\", or use a certificate of files");
            return Err(fault(message, help));
        }
        if name.starts_with('[') || name.parse::<std::net::IpAddr>().is_ok() {
            let help = "write a name, or use a certificate of files";
            return Err(fault(format!("\"{shown}\" is an address"), help));
        }
        if name.contains('_') {
            let help = "no CA issues for a name with '_': use another one";
            return Err(fault(format!("\"{shown}\" is no name of a host"), help));
        }
        Ok(CertificateName(name))
    }
}

const CHALLENGES: [(&str, AcmeChallenge); 2] =
    [("tls-alpn-01", AcmeChallenge::TlsAlpn), ("http-01", AcmeChallenge::Http)];

impl Text for AcmeChallenge {
    const WHAT: &'static str = "a challenge";
    const EXAMPLE: &'static str = "\"tls-alpn-01\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text == "dns-01" {
            let help = "write \"tls-alpn-01\" or \"http-01\"";
            return Err(fault("names are not proved by DNS here", help));
        }
        choose(text, &CHALLENGES)
    }

    fn schema() -> Json {
        json!({ "enum": CHALLENGES.map(|(name, _)| name) })
    }
}

impl AcmeFile {
    pub(crate) fn settle(
        self,
        surroundings: &Surroundings,
        reader: &mut Reader,
    ) -> Option<AcmeSettings> {
        let terms = self.accept_terms?;
        if !terms.value {
            let help = "read what the CA asks of you, then write true; or leave out [acme]";
            let message = "without that the CA issues nothing";
            return reader.fault(&terms.span, fault(message, help));
        }
        let directory = self.directory?;
        if !directory.value.0.starts_with("https://") {
            let help =
                "ACME is spoken over https; for a CA of your own, name its authority in 'ca'";
            let message = format!("\"{}\" would be asked without TLS", directory.value.0);
            return reader.fault(&directory.span, fault(message, help));
        }
        let external_account = match (self.eab_key_id, self.eab_key_file) {
            (Some(id), Some(file)) => Some(ExternalAccount {
                key_id: id.value.0,
                key_file: surroundings.path(&file.value),
            }),
            (None, None) => None,
            // One that is there, but wrong, was reported.
            _ if !reader.faults.is_empty() => return None,
            (Some(id), None) => {
                let help = "add eab_key_file = \"FILE\" with the key that belongs to it";
                return reader.fault(&id.span, fault("the name of a key, but no key", help));
            }
            (None, Some(file)) => {
                let help = "add eab_key_id = \"...\", as the CA shows it beside the key";
                return reader.fault(&file.span, fault("a key without its name", help));
            }
        };
        Some(AcmeSettings {
            external_account,
            directory: directory.value.0,
            email: self.email.map(|email| email.value.0),
            authorities: self.ca.map(|ca| surroundings.path(&ca.value)),
            challenge: self.challenge?.value,
        })
    }
}

/// Where certificates are asked for: the place of each listener's list of names.
pub(crate) type Wanted = Vec<(String, Span)>;

/// Reports what listeners and `[acme]` ask of each other.
pub(crate) fn check(
    acme: Option<&At<AcmeSettings>>,
    wanted: &Wanted,
    listeners: &[At<ListenerSettings>],
    reader: &mut Reader,
) {
    let Some(acme) = acme else {
        for (_, span) in wanted {
            let help = "add [acme] with accept_terms = true: it says which CA is asked, and how";
            reader.fault::<()>(span, fault("nobody is asked for these certificates", help));
        }
        return;
    };
    if wanted.is_empty() {
        let message = "no listener lists a name under tls.acme: the CA is never asked";
        reader.warn(&acme.span, message);
    }
    match acme.value.challenge {
        AcmeChallenge::Http => {
            let is_plain = |at: &At<ListenerSettings>| !at.value.is_encrypted();
            // A listener that is wrong is not in the list, and was reported.
            let is_whole = reader.faults.is_empty();
            if is_whole && !wanted.is_empty() && !listeners.iter().any(is_plain) {
                let help = "add a listener without TLS (port 80 from outside), or write challenge = \"tls-alpn-01\"";
                let message = "there is no listener on which the CA could ask by \"http-01\"";
                reader.fault::<()>(&acme.span, fault(message, help));
            }
        }
        AcmeChallenge::TlsAlpn => {
            for (name, span) in wanted {
                let listener = listeners.iter().find(|listener| listener.value.name == *name);
                let clients = listener.and_then(|at| at.value.tls.client_certificate.as_ref());
                if clients.is_some_and(|clients| clients.required) {
                    let help =
                        "write challenge = \"http-01\" under [acme], or mode = \"optional\" here";
                    let message =
                        "the CA has no client certificate: it could never see these names";
                    reader.fault::<()>(span, fault(message, help));
                }
            }
        }
    }
}
