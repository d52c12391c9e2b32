//! `[server]`, `[admin]`, `[log]`

use crate::net::{AdminAddress, LogLevel};
use crate::number::{LengthOrZero, Whole};
use crate::read::Surroundings;
use crate::reader::{At, Fault, Reader, Text, fault};
use crate::settings::{
    AccessField, AccessFormat, AccessLogSettings, AdminSettings, LearningSettings, LogSettings,
    ServerSettings,
};
use crate::suggest::choose;
use crate::table::table;
use serde_json::{Value as Json, json};
use serinus_routing::Weight;
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
        /// How it looks: "json", or "combined" as Apache and nginx write it.
        access_format: AccessFormat = "json",
        /// What a JSON line has, in this order. Beside the default: "endpoint", "tls", "user_agent",
        /// "referer", "request_id", "trace_id".
        access_fields: Vec<At<AccessField>> = [
            "time", "client", "method", "host", "path", "protocol", "status", "rejected", "route", "variant",
            "shielded", "duration_ms", "bytes", "client_gone"
        ],
        /// Percent of the requests answered below 400 that get a line; all others do.
        access_sample: Weight = 100,
        /// Where lines go. Without it, to standard error. Opened again on reload.
        access_file: PathBuf,
    }
}

impl LogFile {
    pub(crate) fn settle(
        self,
        surroundings: &Surroundings,
        reader: &mut Reader,
    ) -> Option<LogSettings> {
        let fields = self.access_fields?;
        if fields.value.is_empty() {
            let help = "leave out 'access_fields' for the usual ones";
            return reader.fault(&fields.span, fault("a line without fields", help));
        }
        let format = self.access_format?.value;
        if fields.given && format == AccessFormat::Combined {
            let help = "leave out 'access_fields', or write access_format = \"json\"";
            return reader
                .fault(&fields.key, fault("the combined format has its own fields", help));
        }
        let log = AccessLogSettings {
            format,
            fields: fields.value.into_iter().map(|field| field.value).collect(),
            sample: self.access_sample?.value,
            file: self.access_file.map(|file| surroundings.path(&file.value)),
        };
        let access = self.access?.value.then_some(log);
        Some(LogSettings { level: self.level?.value.0, access })
    }
}

const ACCESS_FORMATS: [(&str, AccessFormat); 2] =
    [("json", AccessFormat::Json), ("combined", AccessFormat::Combined)];

impl Text for AccessFormat {
    const WHAT: &'static str = "a format";
    const EXAMPLE: &'static str = "\"json\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &ACCESS_FORMATS)
    }

    fn schema() -> Json {
        json!({ "type": "string", "enum": ACCESS_FORMATS.map(|(name, _)| name) })
    }
}

impl Text for AccessField {
    const WHAT: &'static str = "a field";
    const EXAMPLE: &'static str = "\"status\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let named: Vec<_> = AccessField::ALL.iter().map(|field| (field.as_str(), *field)).collect();
        choose(text, &named)
    }

    fn schema() -> Json {
        let names: Vec<&str> = AccessField::ALL.iter().map(|field| field.as_str()).collect();
        json!({ "type": "string", "enum": names })
    }
}

table! {
    /// Learning from what became of releases.
    LearningFile {
        /// Whether models are fitted to labelled episodes and may take over. Switched off, the one that
        /// judges goes on to judge.
        enabled: bool = true,
    }
}

impl LearningFile {
    pub(crate) fn settle(self) -> Option<LearningSettings> {
        Some(LearningSettings { enabled: self.enabled?.value })
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
