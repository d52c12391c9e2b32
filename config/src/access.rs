//! Words of access rules: realms, users, hashes, origins, methods, and who is asked.

use crate::net::Endpoint;
use crate::reader::{Fault, Text, fault};

/// What a browser shows when it asks for a password.
#[derive(Debug, Clone)]
pub(crate) struct Realm(pub(crate) String);

impl Text for Realm {
    const WHAT: &'static str = "a realm";
    const EXAMPLE: &'static str = "\"staff\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\');
        if (1..=128).contains(&text.len()) && text.chars().all(plain) {
            return Ok(Realm(text.to_owned()));
        }
        let help = "write a few words in ASCII, without quotes and backslashes";
        Err(fault(format!("\"{}\" cannot be a realm", text.escape_debug()), help))
    }
}

/// The name of a user.
#[derive(Debug, Clone)]
pub(crate) struct UserName(pub(crate) String);

impl Text for UserName {
    const WHAT: &'static str = "a user name";
    const EXAMPLE: &'static str = "\"alice\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let plain = |c: char| !c.is_control() && c != ':';
        if (1..=128).contains(&text.len()) && text.chars().all(plain) {
            return Ok(UserName(text.to_owned()));
        }
        let help = "a user name has no colon and no control characters";
        Err(fault(format!("\"{}\" cannot be a user name", text.escape_debug()), help))
    }
}

/// A bcrypt hash.
#[derive(Debug, Clone)]
pub(crate) struct PasswordHash(pub(crate) String);

impl Text for PasswordHash {
    const WHAT: &'static str = "a bcrypt hash";
    const EXAMPLE: &'static str = "\"$2y$10$...\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let help = "make one with `htpasswd -nB NAME`, and write what follows the colon";
        let letters = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'))
        };
        let mut parts = text.split('$');
        let (empty, version) = (parts.next(), parts.next());
        let cost = parts.next().and_then(|cost| cost.parse::<u32>().ok());
        let rest = parts.next();
        let fine = empty == Some("")
            && matches!(version, Some("2a" | "2b" | "2x" | "2y"))
            && cost.is_some()
            && rest.is_some_and(|rest| rest.len() == 53 && letters(rest))
            && parts.next().is_none();
        // Never shown: it may be the password itself.
        match cost {
            Some(4..=14) if fine => Ok(PasswordHash(text.to_owned())),
            Some(cost) if fine => {
                let message = format!("a bcrypt hash of cost {cost}");
                Err(fault(message, "use a cost from 4 to 14: 10 takes a twentieth of a second"))
            }
            _ => Err(fault("this is no bcrypt hash", help)),
        }
    }
}

/// Where the authorization service is asked.
#[derive(Debug, Clone)]
pub(crate) struct ForwardUrl {
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Text for ForwardUrl {
    const WHAT: &'static str = "a URL";
    const EXAMPLE: &'static str = "\"http://127.0.0.1:4180/auth\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let shown = text.escape_debug();
        let help = "write it with its port: \"http://127.0.0.1:4180/auth\"";
        let Some(rest) = text.strip_prefix("http://") else {
            let message = format!("\"{shown}\" cannot be asked");
            return Err(fault(message, help));
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let plain =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>');
        if Endpoint::parse(authority).is_err() || !path.bytes().all(plain) {
            return Err(fault(format!("\"{shown}\" is not a URL with host and port"), help));
        }
        Ok(ForwardUrl { authority: authority.to_owned(), path: path.to_owned() })
    }
}

/// The origin of a page, as browsers write it, or `*`.
#[derive(Debug, Clone)]
pub(crate) struct Origin(pub(crate) String);

impl Text for Origin {
    const WHAT: &'static str = "an origin";
    const EXAMPLE: &'static str = "\"https://shop.example.com\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text == "*" {
            return Ok(Origin(text.to_owned()));
        }
        let fine = text.split_once("://").is_some_and(|(scheme, host)| {
            let plain = |byte: u8| {
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
            };
            !host.is_empty()
                && host.bytes().all(plain)
                && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        });
        if fine {
            return Ok(Origin(text.to_owned()));
        }
        let help = "write it as browsers do, in lower case and without a path: \"https://shop.example.com\"";
        Err(fault(format!("\"{}\" is not an origin", text.escape_debug()), help))
    }
}

/// A method, in capitals.
#[derive(Debug, Clone)]
pub(crate) struct MethodName(pub(crate) String);

impl Text for MethodName {
    const WHAT: &'static str = "a method";
    const EXAMPLE: &'static str = "\"PUT\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Ok(MethodName(text.to_owned()));
        }
        let help = format!("write \"{}\"", text.to_ascii_uppercase().escape_debug());
        Err(fault(format!("\"{}\" is not a method", text.escape_debug()), help))
    }
}
