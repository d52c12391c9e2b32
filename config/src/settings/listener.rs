//! `[listener.NAME]` and `[acme]`: addresses, TLS, certificates.

use crate::intake::IntakeSettings;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A socket that accepts requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// The name in the configuration.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Certificates, chosen by SNI; empty for plain HTTP. Paths are resolved against the file's folder.
    pub certificates: Vec<CertificateSettings>,
    /// What a TLS listener asks of its clients, and tells them.
    pub tls: ListenerTlsSettings,
    /// Names whose certificates a CA issues: lower case, no wildcards.
    pub acme: Vec<String>,
    /// The port of HTTPS that clients are sent to; none where they are served here.
    pub https_redirect: Option<u16>,
    /// HTTP/2 without TLS for clients that begin with it.
    pub h2c: bool,
    /// Longest wait for a complete request header.
    pub header_timeout: Duration,
    /// Longest idle time of a kept connection.
    pub keepalive_timeout: Duration,
    /// Limits, screening, identity.
    pub intake: IntakeSettings,
}

impl ListenerSettings {
    /// Whether it speaks TLS.
    pub fn is_encrypted(&self) -> bool {
        !(self.certificates.is_empty() && self.acme.is_empty())
    }
}

/// `[acme]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The CA's directory, an https URL.
    pub directory: String,
    /// Where the CA may write to.
    pub email: Option<String>,
    /// Who may have signed the certificate of the CA's own server, PEM; none for those that the
    /// machine trusts.
    pub authorities: Option<PathBuf>,
    /// How the CA sees whose a name is.
    pub challenge: AcmeChallenge,
    /// How the CA knows its customer (RFC 8555, 7.3.4); none where anybody may have an account.
    pub external_account: Option<ExternalAccount>,
}

/// What a CA has given to its customer, for the account to be bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The name of the key.
    pub key_id: String,
    /// The file with the key, base64url.
    pub key_file: PathBuf,
}

/// How a CA sees whose a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// A TLS handshake with a protocol of its own (RFC 8737).
    TlsAlpn,
    /// A file over plain HTTP (RFC 8555, 8.3).
    Http,
}

/// `[listener.NAME.tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTlsSettings {
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// What is offered, in order of preference; never empty.
    pub alpn: Vec<AlpnProtocol>,
    /// Strict-Transport-Security; none: not sent.
    pub hsts: Option<HstsSettings>,
    /// Certificates of clients; none: not asked for.
    pub client_certificate: Option<ClientCertificateSettings>,
}

impl Default for ListenerTlsSettings {
    fn default() -> Self {
        ListenerTlsSettings {
            min_version: TlsVersion::Tls12,
            alpn: vec![AlpnProtocol::Http2, AlpnProtocol::Http11],
            hsts: None,
            client_certificate: None,
        }
    }
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 and 1.3
    Tls12,
    /// 1.3 alone
    Tls13,
}

/// A protocol that is offered in the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlpnProtocol {
    /// HTTP/2
    Http2,
    /// HTTP/1.1
    Http11,
}

impl AlpnProtocol {
    /// As it stands in the handshake.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlpnProtocol::Http2 => "h2",
            AlpnProtocol::Http11 => "http/1.1",
        }
    }
}

/// Strict-Transport-Security (RFC 6797).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HstsSettings {
    /// How long browsers remember it.
    pub max_age: Duration,
    /// Names below the host, too.
    pub include_subdomains: bool,
    /// May be put on browsers' lists.
    pub preload: bool,
}

/// Certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificateSettings {
    /// Who may have signed them, PEM.
    pub authorities: PathBuf,
    /// Whether clients without one are turned away.
    pub required: bool,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSettings {
    /// The chain.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}
