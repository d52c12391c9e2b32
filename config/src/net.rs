//! Addresses, hosts, paths and names of the file.

use crate::reader::{Fault, Text, fault};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;

/// Longest host name (RFC 1035) in bytes.
const MAX_HOST: usize = 253;

/// The name of a listener, route, service or probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

/// Names become labels of metrics and parts of paths in the API.
const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$";

impl Text for Name {
    const WHAT: &'static str = "a name";
    const EXAMPLE: &'static str = "\"checkout\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let fine = text.len() <= 63
            && text.chars().all(plain)
            && text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if fine {
            return Ok(Name(text.to_owned()));
        }
        Err(fault(
            format!("\"{}\" cannot be a name", text.escape_debug()),
            "a name has up to 63 letters, digits, '-', '_' and '.', and begins with a letter or digit",
        ))
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": NAME_PATTERN })
    }
}

impl Text for SocketAddr {
    const WHAT: &'static str = "an address";
    const EXAMPLE: &'static str = "\"0.0.0.0:8080\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            let help = match text.trim_start_matches("*:").trim_start_matches(':').parse::<u16>() {
                Ok(port) => format!("write \"0.0.0.0:{port}\" for every address of the machine"),
                Err(_) => match text.parse::<std::net::IpAddr>() {
                    Ok(ip) => format!("add a port: \"{}\"", SocketAddr::new(ip, 8080)),
                    Err(_) => {
                        "write an IP address and a port: \"0.0.0.0:8080\" or \"[::]:8080\"".into()
                    }
                },
            };
            fault(format!("\"{}\" is not an address to listen on", text.escape_debug()), help)
        })
    }
}

/// Where the admin listener listens, if anywhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdminAddress(pub(crate) Option<SocketAddr>);

impl Text for AdminAddress {
    const WHAT: &'static str = "an address";
    const EXAMPLE: &'static str = "\"127.0.0.1:9901\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text == "off" {
            return Ok(AdminAddress(None));
        }
        SocketAddr::parse(text).map(|address| AdminAddress(Some(address)))
    }
}

/// Splits `host:port` and `[ip]:port`; the port is `None` where there is none.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// A host name or IP address without wildcard, in the characters that they are made of.
pub(crate) fn is_host(host: &str) -> bool {
    let ip = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(ip) = ip {
        return ip.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= MAX_HOST && host.split('.').all(label)
}

/// An upstream: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) String);

/// The host of an endpoint, without brackets and port.
pub(crate) fn host_of(endpoint: &str) -> &str {
    split_port(endpoint).0.trim_matches(['[', ']'])
}

impl Text for Endpoint {
    const WHAT: &'static str = "an endpoint";
    const EXAMPLE: &'static str = "\"10.0.0.11:9000\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let (host, port) = split_port(text);
        let number = port.and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
        if number.is_some() && is_host(host) {
            return Ok(Endpoint(text.to_owned()));
        }
        let message = format!("\"{}\" is not an endpoint", text.escape_debug());
        let bare = text.split_once("://").map(|(_, rest)| rest);
        let help = match bare.map(|rest| rest.split('/').next().unwrap_or(rest)) {
            Some(rest) => format!("leave out scheme and path: \"{rest}\""),
            None if port.is_none() && is_host(host) => format!("add a port: \"{host}:80\""),
            None => {
                "write host and port: \"10.0.0.11:9000\", \"app.internal:80\", \"[::1]:80\"".into()
            }
        };
        Err(fault(message, help))
    }
}

/// What a route matches hosts by: lower case, `*.` in front for every name below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPattern(pub(crate) String);

impl Text for HostPattern {
    const WHAT: &'static str = "a host";
    const EXAMPLE: &'static str = "\"shop.example.com\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let shown = text.escape_debug();
        let name = text.strip_prefix("*.").unwrap_or(text);
        if text == "*" {
            let help = "leave out 'hosts' to match every host";
            return Err(fault("\"*\" is not a host", help));
        }
        if name.contains('*') {
            let help = "a '*' stands in front of a whole name: \"*.example.com\"";
            return Err(fault(format!("bad wildcard in \"{shown}\""), help));
        }
        if let (host, Some(port)) = split_port(name)
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && is_host(host)
        {
            let host = &text[..text.len() - port.len() - 1];
            let help = format!("every port matches; write \"{}\"", host.to_lowercase());
            return Err(fault(format!("\"{shown}\" has a port"), help));
        }
        if !name.is_ascii() {
            let help = "write international names as they travel: \"xn--...\"";
            return Err(fault(format!("\"{shown}\" has letters that no Host header has"), help));
        }
        let whole = name.strip_suffix('.').unwrap_or(name);
        if !is_host(whole) || (text != name && name.starts_with('[')) {
            let help = "write a name alone: \"shop.example.com\" or \"*.example.com\"";
            return Err(fault(format!("\"{shown}\" is not a host"), help));
        }
        if text.ends_with('.') || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let help = format!("write \"{}\"", text.trim_end_matches('.').to_lowercase());
            return Err(fault(format!("\"{shown}\" would never match as it is written"), help));
        }
        Ok(HostPattern(text.to_owned()))
    }
}

/// A Host header: a name or address, with or without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostHeader(pub(crate) String);

impl Text for HostHeader {
    const WHAT: &'static str = "a host";
    const EXAMPLE: &'static str = "\"shop.example.com\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let (host, port) = split_port(text);
        if is_host(host) && port.is_none_or(|port| port.parse::<u16>().is_ok()) {
            return Ok(HostHeader(text.to_owned()));
        }
        let help = "write it as a browser would send it: \"shop.example.com\"";
        Err(fault(format!("\"{}\" is not a host", text.escape_debug()), help))
    }
}

/// A URL over http or https, with host and path and nothing that is secret or local to a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebUrl(pub(crate) String);

impl Text for WebUrl {
    const WHAT: &'static str = "a URL";
    const EXAMPLE: &'static str = "\"https://collector.example.com/v1/traces\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let shown = text.escape_debug();
        let help = "write it as a browser would take it: \"https://host.example.com/path\"";
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let Some(rest) = rest else {
            return Err(fault(format!("\"{shown}\" is not a URL over http or https"), help));
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority);
        let number = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let plain = |byte: u8| {
            byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\')
        };
        if !is_host(host) || !number || !path.bytes().all(plain) {
            return Err(fault(format!("\"{shown}\" cannot be asked"), help));
        }
        if path.is_empty() {
            let help = format!("add the path: \"{shown}/...\"");
            return Err(fault(format!("\"{shown}\" has no path"), help));
        }
        Ok(WebUrl(text.to_owned()))
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^https?://[^/]+/" })
    }
}

/// The name or address of a host alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName(pub(crate) String);

impl Text for HostName {
    const WHAT: &'static str = "a host";
    const EXAMPLE: &'static str = "\"www.example.com\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if is_host(text) {
            return Ok(HostName(text.to_owned()));
        }
        let help = "write the name alone, without scheme, port and path: \"www.example.com\"";
        Err(fault(format!("\"{}\" is not a host", text.escape_debug()), help))
    }
}

/// The start of a path, by whole segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPrefix(pub(crate) String);

impl Text for PathPrefix {
    const WHAT: &'static str = "a path";
    const EXAMPLE: &'static str = "\"/api\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let shown = text.escape_debug();
        if !text.starts_with('/') {
            let help = format!("write \"/{shown}\"");
            return Err(fault(format!("path \"{shown}\" does not begin with '/'"), help));
        }
        let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '*');
        if let Some(strange) = text.chars().find(|c| strange(*c)) {
            let message = format!("path \"{shown}\" has a '{}'", strange.escape_debug());
            let help = match strange {
                '?' => "write the path alone, without a query",
                _ => "write the start of a path alone; what is below it matches, too",
            };
            return Err(fault(message, help));
        }
        Ok(PathPrefix(text.to_owned()))
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^/[^?#*\\s]*$" })
    }
}

/// The name of a header, in lower case whatever its letters were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderName(pub(crate) String);

impl Text for HeaderName {
    const WHAT: &'static str = "the name of a header";
    const EXAMPLE: &'static str = "\"x-user-id\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !text.is_empty() && text.bytes().all(token) {
            return Ok(HeaderName(text.to_ascii_lowercase()));
        }
        let message = format!("\"{}\" cannot be the name of a header", text.escape_debug());
        Err(fault(message, "write the name alone, without colon and spaces: \"x-user-id\""))
    }
}

/// A version: any short text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) String);

impl Text for Version {
    const WHAT: &'static str = "a version";
    const EXAMPLE: &'static str = "\"1.9.0\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if (1..=128).contains(&text.len()) && !text.chars().any(char::is_control) {
            return Ok(Version(text.to_owned()));
        }
        let help = "write what names the release: \"1.9.0\", a tag, a commit";
        Err(fault("a version has from 1 to 128 bytes on one line", help))
    }
}

/// What is logged: a level, or levels by module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLevel(pub(crate) String);

impl Text for LogLevel {
    const WHAT: &'static str = "a log level";
    const EXAMPLE: &'static str = "\"info\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let levels = ["off", "error", "warn", "info", "debug", "trace"].map(|level| (level, ()));
        let target = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
        for part in text.split(',') {
            let level = match part.split_once('=') {
                Some((name, level)) if !name.is_empty() && name.chars().all(target) => level,
                _ => part,
            };
            crate::suggest::choose(level, &levels)?;
        }
        Ok(LogLevel(text.to_owned()))
    }
}
