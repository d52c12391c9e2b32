//! `[route.NAME.limits]`, `.access`, `.cors`, `.compression`

use crate::access::{ForwardUrl, MethodName, Origin, PasswordHash, Realm, UserName};
use crate::collection::Map;
use crate::guard::{
    AccessSettings, BasicSettings, CompressionSettings, Compressor, CorsSettings, ForwardSettings,
    GuardSettings, RateKey, RateSettings,
};
use crate::net::HeaderName;
use crate::network::Network;
use crate::number::{Length, Size, Whole};
use crate::reader::{At, Fault, Read, Reader, Text, Value, fault};
use crate::suggest::choose;
use crate::table::table;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rates over longer times are quotas, which must outlive a restart.
const LONGEST_RATE: Duration = Duration::from_secs(3600);
/// Longest time in seconds after which the credit of a burst is whole again.
const LONGEST_BURST: f64 = 3.0 * 86_400.0;

table! {
    /// How much one route takes.
    RouteLimitsFile {
        /// Largest body of a request; 413 above it. Without it, any size.
        body: Size<0, 1_099_511_627_776>,
        /// How often requests may come; 429 above it. Every one in the list holds.
        rate: Vec<At<RateFile>> = [],
    }
}

table! {
    /// How often requests may come.
    RateFile {
        /// So many requests.
        @required requests: Whole<1, 1_000_000>,
        /// In this time, an hour or less.
        per: Length = "1s",
        /// How many may come at once; as many as `requests` where it is left out.
        burst: Whole<1, 1_000_000>,
        /// Whose requests are counted together: "client" (its address, a /64 with IPv6), "route", or
        /// { header = "x-api-key" }.
        by: RateKey = "client",
    }
}

table! {
    /// Who may come.
    AccessFile {
        /// Networks that may come; others get 403. Without it, every one.
        allow: Vec<At<Network>> = [],
        /// Networks that may not, whatever "allow" says.
        deny: Vec<At<Network>> = [],
        /// User names and passwords; 401 without them.
        basic: BasicFile,
        /// A service that is asked whether a request may pass.
        forward: ForwardFile,
    }
}

table! {
    /// User names and passwords.
    BasicFile {
        /// What the browser shows when it asks.
        realm: Realm = "restricted",
        /// bcrypt hashes of their passwords, by user name: `htpasswd -nB NAME` makes one.
        @required users: Map<UserName, PasswordHash>,
    }
}

table! {
    /// A service that is asked whether a request may pass: 2xx is yes, and any other answer is what
    /// the client gets.
    ForwardFile {
        /// Where it is asked, over plain HTTP.
        @required url: ForwardUrl,
        /// Longest wait for its answer; 503 after it.
        timeout: Length = "2s",
        /// Fields of its answer that the upstream gets; those of the client are taken off.
        copy: Vec<At<HeaderName>> = [],
    }
}

table! {
    /// What pages of other origins may do. The answers' own CORS fields are replaced.
    CorsFile {
        /// Origins, or ["*"] for every one.
        @required origins: Vec<At<Origin>>,
        /// Methods that they may use.
        methods: Vec<At<MethodName>> = ["GET", "HEAD", "POST"],
        /// Fields that they may send.
        headers: Vec<At<HeaderName>> = [],
        /// Fields of answers that they may read.
        expose: Vec<At<HeaderName>> = [],
        /// They may send cookies and other credentials.
        credentials: bool = false,
        /// How long a browser may remember this.
        max_age: Length = "10m",
    }
}

table! {
    /// Compresses answers that are text and not compressed yet.
    CompressionFile {
        /// Which are used, where the client accepts them: "zstd", "br", "gzip".
        algorithms: Vec<At<Compressor>> = ["zstd", "br", "gzip"],
        /// From 1, quick, to 9, small.
        level: Whole<1, 9> = 4,
        /// Answers that say they are shorter are left alone.
        min_size: Size<0, 1_073_741_824> = "1KiB",
    }
}

/// Everything a route asks of requests.
pub(crate) fn settle(
    limits: Option<At<RouteLimitsFile>>,
    access: Option<At<AccessFile>>,
    cors: Option<At<CorsFile>>,
    compression: Option<At<CompressionFile>>,
    reader: &mut Reader,
) -> Option<GuardSettings> {
    let limits = limits.and_then(|at| at.value.settle(reader));
    let access = access.and_then(|at| at.value.settle(reader));
    let (body, rates) = limits?;
    Some(GuardSettings {
        body,
        rates,
        access: access?,
        // One that is wrong has been reported, and the whole file with it.
        cors: cors.and_then(|at| at.value.settle(reader)),
        compression: compression.and_then(|at| at.value.settle(reader)),
    })
}

impl RouteLimitsFile {
    fn settle(self, reader: &mut Reader) -> Option<(Option<u64>, Vec<RateSettings>)> {
        let rates: Vec<_> =
            self.rate?.value.into_iter().map(|at| at.value.settle(reader)).collect();
        Some((self.body.map(|body| body.value.0), rates.into_iter().collect::<Option<_>>()?))
    }
}

impl RateFile {
    fn settle(self, reader: &mut Reader) -> Option<RateSettings> {
        let (requests, per) = (self.requests?.value.0, self.per?);
        if per.value.0 > LONGEST_RATE {
            let message = "a rate is counted over an hour at most";
            return reader.fault(&per.span, fault(message, "write \"1h\" or less"));
        }
        let burst = self.burst.as_ref().map_or(requests, |burst| burst.value.0);
        if per.value.0.as_secs_f64() * f64::from(burst) / f64::from(requests) > LONGEST_BURST {
            let span = self.burst.as_ref().map_or(&per.span, |burst| &burst.span);
            let message = format!("at this rate a burst of {burst} is not earned in three days");
            return reader.fault(span, fault(message, "write a smaller burst"));
        }
        Some(RateSettings { requests, per: per.value.0, burst, by: self.by?.value })
    }
}

impl AccessFile {
    fn settle(self, reader: &mut Reader) -> Option<AccessSettings> {
        let networks = |list: At<Vec<At<Network>>>| list.value.into_iter().map(|at| at.value);
        let allow = self.allow?;
        if allow.given && allow.value.is_empty() {
            let help = "leave out 'allow' to let everybody come";
            return reader.fault(&allow.span, fault("nobody may come", help));
        }
        Some(AccessSettings {
            allow: networks(allow).collect(),
            deny: networks(self.deny?).collect(),
            basic: self.basic.and_then(|at| at.value.settle(reader)),
            forward: self.forward.and_then(|at| at.value.settle()),
        })
    }
}

impl BasicFile {
    fn settle(self, reader: &mut Reader) -> Option<BasicSettings> {
        let (realm, users) = (self.realm?.value.0, self.users?);
        if users.value.names.is_empty() {
            let help = "write { NAME = \"$2y$...\" }";
            return reader.fault(&users.span, fault("there is no user", help));
        }
        let users = users.value.entries.into_iter();
        let users = users.map(|(name, hash)| Some((name.value.0, hash?.value.0)));
        Some(BasicSettings { realm, users: users.collect::<Option<BTreeMap<_, _>>>()? })
    }
}

impl ForwardFile {
    fn settle(self) -> Option<ForwardSettings> {
        let ForwardUrl { authority, path } = self.url?.value;
        Some(ForwardSettings {
            authority,
            path,
            timeout: self.timeout?.value.0,
            copy: names(self.copy?),
        })
    }
}

fn names(list: At<Vec<At<HeaderName>>>) -> Vec<String> {
    list.value.into_iter().map(|at| at.value.0).collect()
}

impl CorsFile {
    fn settle(self, reader: &mut Reader) -> Option<CorsSettings> {
        let (origins, credentials) = (self.origins?, self.credentials?);
        if origins.value.is_empty() {
            let help = "write [\"https://shop.example.com\"], or [\"*\"] for every one";
            return reader.fault(&origins.span, fault("there is no origin", help));
        }
        let everybody = origins.value.iter().find(|origin| origin.value.0 == "*");
        if let Some(everybody) = everybody {
            if credentials.value {
                let message = "with credentials, every page on the web could act as its visitor";
                let help = "name the origins, or leave out 'credentials'";
                return reader.fault(&everybody.span, fault(message, help));
            }
            if origins.value.len() > 1 {
                let help = "keep [\"*\"] alone, or the others";
                return reader.fault(&everybody.span, fault("\"*\" is every origin", help));
            }
        }
        let every_origin = everybody.is_some();
        let origins = origins.value.into_iter().map(|origin| origin.value.0);
        Some(CorsSettings {
            origins: if every_origin { Vec::new() } else { origins.collect() },
            methods: self.methods?.value.into_iter().map(|method| method.value.0).collect(),
            headers: names(self.headers?),
            expose: names(self.expose?),
            credentials: credentials.value,
            max_age: self.max_age?.value.0,
        })
    }
}

impl CompressionFile {
    fn settle(self, reader: &mut Reader) -> Option<CompressionSettings> {
        let algorithms = self.algorithms?;
        if algorithms.value.is_empty() {
            let help = "leave out [route.NAME.compression] to compress nothing";
            return reader.fault(&algorithms.span, fault("there is no algorithm", help));
        }
        Some(CompressionSettings {
            algorithms: algorithms.value.into_iter().map(|algorithm| algorithm.value).collect(),
            level: self.level?.value.0,
            min_size: self.min_size?.value.0,
        })
    }
}

table! {
    /// A header by whose value requests are counted.
    HeaderKeyFile {
        /// Its name.
        @required header: HeaderName,
    }
}

const RATE_KEYS: [(&str, RateKey); 2] = [("client", RateKey::Client), ("route", RateKey::Route)];

impl Read for RateKey {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if let Some(text) = value.get_ref().as_str() {
            return choose(text, &RATE_KEYS)
                .map_or_else(|fault| reader.fault(&value.span(), fault), Some);
        }
        let file = HeaderKeyFile::read(value, reader)?;
        Some(RateKey::Header(file.header?.value.0))
    }

    fn schema() -> Json {
        let names: Vec<&str> = RATE_KEYS.iter().map(|(name, _)| *name).collect();
        json!({ "anyOf": [{ "type": "string", "enum": names }, HeaderKeyFile::schema()] })
    }
}

const COMPRESSORS: [(&str, Compressor); 3] =
    [("zstd", Compressor::Zstd), ("br", Compressor::Brotli), ("gzip", Compressor::Gzip)];

impl Text for Compressor {
    const WHAT: &'static str = "an algorithm";
    const EXAMPLE: &'static str = "\"gzip\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        choose(text, &COMPRESSORS)
    }

    fn schema() -> Json {
        json!({ "type": "string", "enum": COMPRESSORS.map(|(name, _)| name) })
    }
}
