//! `[server]`, `[admin]`, `[log]`

use crate::net::{AdminAddress, LogLevel};
use crate::number::{LengthOrZero, Whole};
use crate::read::Surroundings;
use crate::reader::{Fault, Reader, Text, fault};
use crate::settings::{AdminSettings, LogSettings, ServerSettings};
use crate::table::table;
use std::path::PathBuf;

table! {
    /// What only a restart can change, and the drain.
    ServerFile {
        /// Where the journal and learned models are kept. Relative paths start from the folder of the
        /// configuration file.
        state_dir: PathBuf = "./serinus-state",
        /// Threads of the data path; 0 is one per core.
        threads: Whole<0, 1024> = 0,
        /// How long requests in flight may take after SIGTERM.
        grace_period: LengthOrZero = "30s",
    }
}

impl ServerFile {
    pub(crate) fn settle(self, surroundings: &Surroundings) -> Option<ServerSettings> {
        Some(ServerSettings {
            state_dir: surroundings.path(&self.state_dir?.value),
            threads: self.threads?.value.0 as usize,
            grace_period: self.grace_period?.value.0,
        })
    }
}

table! {
    /// The admin listener: metrics, health, API and dashboard.
    AdminFile {
        /// Its address, or "off".
        listen: AdminAddress = "127.0.0.1:9901",
        /// What callers send as `authorization: Bearer TOKEN`. Required off loopback.
        token: Token,
    }
}

impl AdminFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<AdminSettings> {
        let listen = self.listen?;
        let exposed = listen.value.0.filter(|address| !address.ip().is_loopback());
        if let (Some(address), false) = (exposed, self.present.contains(&"token")) {
            let message = format!("anybody who reaches {address} could steer releases: no token");
            let help = "add token = \"...\" (16 characters or more), or listen on 127.0.0.1";
            return reader.fault(&listen.span, fault(message, help));
        }
        let token = self.token.map(|token| token.value.0);
        Some(AdminSettings { listen: listen.value.0, token })
    }
}

/// A bearer token.
#[derive(Debug, Clone)]
pub(crate) struct Token(String);

impl Text for Token {
    const WHAT: &'static str = "a token";
    const EXAMPLE: &'static str = "\"...\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Token(text.to_owned()));
        }
        let help = "make one with `openssl rand -hex 24`";
        Err(fault("a token has 16 visible ASCII characters or more", help))
    }
}

table! {
    /// What is logged, to standard error.
    LogFile {
        /// "off", "error", "warn", "info", "debug", "trace", or by module: "serinus=debug,info".
        level: LogLevel = "info",
        /// One line per request.
        access: bool = false,
    }
}

impl LogFile {
    pub(crate) fn settle(self) -> Option<LogSettings> {
        Some(LogSettings { level: self.level?.value.0, access: self.access?.value })
    }
}

impl Text for PathBuf {
    const WHAT: &'static str = "a path";
    const EXAMPLE: &'static str = "\"certs/shop.pem\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "" => Err(fault("an empty path", "write where it is, like \"certs/shop.pem\"")),
            text if text.contains('\0') => {
                Err(fault("a path cannot hold a zero byte", "leave it out"))
            }
            text => Ok(PathBuf::from(text)),
        }
    }
}
