//! `[listener.NAME]`

use crate::collection::Map;
use crate::net::Name;
use crate::number::Length;
use crate::read::Surroundings;
use crate::read::acme::Wanted;
use crate::read::intake::{self, IdentityFile, LimitsFile, ScreeningFile};
use crate::read::listener_tls::{HttpsRedirect, ListenerTlsFile};
use crate::reader::{At, Reader, fault};
use crate::settings::{CertificateSettings, ListenerSettings, ListenerTlsSettings};
use crate::table::table;
use std::net::SocketAddr;
use std::path::PathBuf;

table! {
    /// A socket that accepts requests.
    ListenerFile {
        /// Where it listens: an IP address and a port.
        @required address: SocketAddr,
        /// Certificates, chosen by SNI, the first where none fits; without one, and without names under
        /// tls.acme, the listener speaks plain HTTP.
        certificate: Vec<At<CertificateFile>>,
        /// What a TLS listener asks of its clients, and tells them.
        tls: ListenerTlsFile,
        /// Send clients to HTTPS: true for port 443, or the port. For listeners without certificate.
        https_redirect: HttpsRedirect = false,
        /// Speak HTTP/2 without TLS with clients that begin with it. For listeners without certificate.
        h2c: bool = false,
        /// Longest wait for a complete request header.
        header_timeout: Length = "10s",
        /// Longest idle time of a client's kept connection.
        keepalive_timeout: Length = "60s",
        /// How much a client may send, and how slowly.
        limits: LimitsFile = {},
        /// What is done about requests that the next server could read differently.
        screening: ScreeningFile = {},
        /// Who is believed about the client, and what requests are named by.
        identity: IdentityFile = {},
    }
}

table! {
    /// A certificate and its key.
    CertificateFile {
        /// Path of the certificate chain, PEM.
        @required cert: PathBuf,
        /// Path of the certificate's private key, PEM.
        @required key: PathBuf,
    }
}

/// All listeners that are right, each with the place of its address; and who wants certificates of a CA.
pub(crate) fn settle(
    listeners: Map<Name, ListenerFile>,
    surroundings: &Surroundings,
    reader: &mut Reader,
) -> (Vec<At<ListenerSettings>>, Wanted) {
    let mut wanted = Wanted::new();
    let listeners = listeners
        .entries
        .into_iter()
        .filter_map(|(name, file)| {
            let mut file = file?.value;
            let certificates = match file.certificate {
                Some(list) if list.value.is_empty() => {
                    let help = "leave it out for plain HTTP";
                    return reader.fault(&list.span, fault("there is no certificate", help));
                }
                Some(list) => list.value,
                None => Vec::new(),
            };
            let certificates: Option<Vec<_>> = certificates
                .into_iter()
                .map(|certificate| {
                    Some(CertificateSettings {
                        cert: surroundings.path(&certificate.value.cert?.value),
                        key: surroundings.path(&certificate.value.key?.value),
                    })
                })
                .collect();
            let issued = file.tls.as_ref().is_some_and(|tls| tls.value.present.contains(&"acme"));
            let encrypted = file.present.contains(&"certificate") || issued;
            let names = file.tls.as_mut().and_then(|tls| tls.value.names(reader));
            if let Some(names) = &names {
                wanted.push((name.value.0.clone(), names.span.clone()));
            }
            let tls = match file.tls {
                Some(tls) if !encrypted => {
                    let help = "add [[listener.NAME.certificate]] with cert and key, or acme = [NAME] here, or leave it out";
                    return reader
                        .fault(&tls.span, fault("'tls' on a listener without certificate", help));
                }
                Some(tls) => tls.value.settle(surroundings, reader),
                None => Some(ListenerTlsSettings::default()),
            };
            let https_redirect = file.https_redirect.and_then(|at| {
                if at.value.0.is_some() && encrypted {
                    let help = "leave it out: who comes here has come over HTTPS";
                    return reader
                        .fault(&at.key, fault("'https_redirect' on a TLS listener", help));
                }
                Some(at.value.0)
            });
            let h2c = file.h2c.and_then(|at| {
                if at.value && encrypted {
                    let help = "leave it out: over TLS, HTTP/2 is offered by tls.alpn";
                    return reader.fault(&at.key, fault("'h2c' on a TLS listener", help));
                }
                if at.value && https_redirect.is_some_and(|port| port.is_some()) {
                    let help = "leave one of the two out";
                    let message = "'h2c' where everybody is sent to HTTPS";
                    return reader.fault(&at.key, fault(message, help));
                }
                Some(at.value)
            });
            let intake = intake::settle(file.limits, file.screening, file.identity, reader);
            // Its address is compared with the others' even where something else is wrong.
            let address = file.address?;
            let value = ListenerSettings {
                name: name.value.0,
                address: address.value,
                certificates: certificates.unwrap_or_default(),
                tls: tls.unwrap_or_default(),
                acme: names.map(|names| names.value).unwrap_or_default(),
                https_redirect: https_redirect.unwrap_or_default(),
                h2c: h2c.unwrap_or_default(),
                header_timeout: file.header_timeout?.value.0,
                keepalive_timeout: file.keepalive_timeout?.value.0,
                intake: intake.unwrap_or_default(),
            };
            Some(At { value, span: address.span, key: address.key, given: true })
        })
        .collect();
    (listeners, wanted)
}

/// Reports listeners that cannot be bound at the same time.
pub(crate) fn check_addresses(
    listeners: &[At<ListenerSettings>],
    admin: Option<SocketAddr>,
    reader: &mut Reader,
) {
    for (position, listener) in listeners.iter().enumerate() {
        let address = listener.value.address;
        let first = listeners[..position]
            .iter()
            .find(|first| overlap(first.value.address, address))
            .map(|first| format!("listener '{}'", first.value.name))
            .or_else(|| {
                admin.filter(|admin| overlap(*admin, address)).map(|_| "[admin]".to_owned())
            });
        if let Some(first) = first {
            let message = format!("{address} is taken by {first}");
            reader.fault::<()>(&listener.span, fault(message, "give each an address of its own"));
        }
    }
}

/// Whether one of the two takes the other's port away. Port 0 is any free one.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_family = a.is_ipv4() == b.is_ipv4();
    let covers = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && same_family && covers
}
