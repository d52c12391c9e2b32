//! The file, table by table: what may stand there, and what must hold between its values.

mod acme;
mod balance;
mod capture;
mod condition;
mod endpoint;
mod expect;
mod guard;
mod headers;
mod intake;
mod listener;
mod listener_tls;
mod names;
mod otlp;
mod probe;
mod probing;
mod redirect;
mod rollout;
mod route;
mod rule;
mod server;
mod service;
mod step;
mod transport;

use crate::collection::Map;
use crate::error::{ConfigError, ConfigErrors};
use crate::net::Name;
use crate::reader::{At, Fault, Read, Reader, Span, fault};
use crate::settings::Settings;
use crate::suggest::unknown;
use crate::table::table;
use serinus_rollout::RolloutPolicy;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

table! {
    /// A configuration of Serinus.
    RootFile {
        /// What only a restart can change, and the drain.
        server: server::ServerFile = {},
        /// The admin listener: metrics, health, API, dashboard.
        admin: server::AdminFile = {},
        /// What is logged, to standard error.
        log: server::LogFile = {},
        /// Learning from what became of releases.
        learning: server::LearningFile = {},
        /// Certificates from a CA that speaks ACME.
        acme: acme::AcmeFile,
        /// Traces of requests, sent to a collector.
        otlp: otlp::OtlpFile,
        /// Sockets that accept requests, by name.
        listener: Map<Name, listener::ListenerFile> = {},
        /// What leads requests to services, by name.
        route: Map<Name, route::RouteFile> = {},
        /// Applications with their versions, by name.
        service: Map<Name, service::ServiceFile> = {},
        /// What concerns all probes together.
        probing: probing::ProbingFile = {},
        /// Synthetic transactions that watch services, by name.
        probe: Map<Name, probe::ProbeFile> = {},
    }
}

/// What the checks of one table need to know of the others.
pub(crate) struct Surroundings {
    /// Where relative paths start.
    folder: PathBuf,
    /// Names of all services, right or wrong.
    services: Vec<String>,
    /// Names of the services that a probe watches.
    probed: Vec<String>,
    /// Names of the services that a route leads to.
    routed: Vec<String>,
    /// Names of the services that speak TLS with endpoints.
    encrypted: Vec<String>,
    /// The first exact host of a route to each service.
    hosts: BTreeMap<String, String>,
}

impl Surroundings {
    /// The path, from the file's folder on.
    fn path(&self, path: &Path) -> PathBuf {
        let path = self.folder.join(path);
        let plain: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        if plain.as_os_str().is_empty() { PathBuf::from(".") } else { plain }
    }

    /// Reports a service that is not there.
    fn check_service(&self, service: &At<Name>, reader: &mut Reader) {
        let known: Vec<&str> = self.services.iter().map(String::as_str).collect();
        if !known.contains(&service.value.0.as_str()) {
            let fault = unknown("service", &service.value.0, &known);
            reader.fault::<()>(&service.span, fault);
        }
    }
}

/// Reads and checks a whole file.
pub(crate) fn parse(text: &str, file: &Path) -> Result<Settings, ConfigErrors> {
    let mut reader = Reader::default();
    let (document, syntax) = DeTable::parse_recoverable(text);
    let readable = syntax.iter().all(|error| error.message() == DUPLICATE);
    note_syntax(text, &syntax, &mut reader);
    // After a real syntax error the rest of the document is a guess: no errors about guesses.
    let settings = match readable {
        true => settle(document.into_inner(), file, &mut reader),
        false => None,
    };
    let Some(mut settings) = settings.filter(|_| reader.faults.is_empty()) else {
        return Err(errors(text, file, reader.faults));
    };
    settings.hash = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
    reader.warnings.sort_by_key(|(span, _)| span.start);
    settings.warnings = reader
        .warnings
        .into_iter()
        .map(|(span, message)| {
            let place = ConfigError::new(text, span, message, String::new());
            format!("{}:{}:{}: {}", file.display(), place.line, place.column, place.message)
        })
        .collect();
    Ok(settings)
}

/// Reads the keys of one `[service.NAME.rollout]` without their heading.
pub(crate) fn policy(text: &str, file: &Path) -> Result<RolloutPolicy, ConfigErrors> {
    let mut reader = Reader::default();
    let (document, syntax) = DeTable::parse_recoverable(text);
    note_syntax(text, &syntax, &mut reader);
    if reader.faults.is_empty() {
        let table = Spanned::new(0..0, DeValue::Table(document.into_inner()));
        let rollout = reader.within("rollout", |reader| {
            rollout::RolloutFile::read(&table, reader)?.settle(false, true, reader)
        });
        if let Some(rollout) = rollout.filter(|_| reader.faults.is_empty()) {
            return Ok(rollout.policy);
        }
    }
    Err(errors(text, file, reader.faults))
}

fn errors(text: &str, file: &Path, mut faults: Vec<(Span, Fault)>) -> ConfigErrors {
    faults.sort_by_key(|(span, _)| span.start);
    let errors = faults
        .into_iter()
        .map(|(span, fault)| ConfigError::new(text, span, fault.message, fault.help))
        .collect();
    ConfigErrors { file: file.to_owned(), errors }
}

/// What the parser says of a key that is there twice. Such a document is otherwise complete.
const DUPLICATE: &str = "duplicate key";

/// Notes what the parser said: one thing per line, and of a bracket that is never closed not
/// everything that follows from it on the next lines.
fn note_syntax(text: &str, errors: &[toml::de::Error], reader: &mut Reader) {
    let mut chain: Vec<&str> = Vec::new(); // what was said of this line and those right before it
    let (mut last_line, mut told_line) = (0, None);
    for error in errors {
        let (message, span) = (error.message(), error.span().unwrap_or(0..0));
        let line = text.get(..span.start).unwrap_or(text).matches('\n').count();
        if line > last_line + 1 {
            chain.clear();
        }
        last_line = line;
        let in_brackets = |said: &&str| said.contains("array") || said.contains("inline table");
        let follows = chain.iter().any(in_brackets) && chain.contains(&message);
        chain.push(message);
        if message != DUPLICATE && (follows || told_line == Some(line)) {
            continue;
        }
        told_line = Some(line);
        let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        let fault = match what {
            DUPLICATE => {
                let key = text.get(span.clone()).unwrap_or_default();
                fault(format!("'{key}' is here twice"), "keep one of the two")
            }
            UNQUOTED if span.is_empty() => {
                fault("syntax: there is no value", "write it after the '='")
            }
            UNQUOTED => fault("syntax: this is no value", "text stands in quotes: \"...\""),
            "invalid boolean" => {
                fault("syntax: this is no value", "write true or false, or text in quotes: \"...\"")
            }
            _ if expected.is_empty() => {
                fault(format!("syntax: {what}"), "TOML is `key = value` below `[table]` headings")
            }
            _ => fault(format!("syntax: {what}"), format!("expected {expected}")),
        };
        reader.fault::<()>(&span, fault);
    }
}

/// What the parser says of anything that is no value.
const UNQUOTED: &str = "string values must be quoted";

fn settle(document: DeTable<'_>, file: &Path, reader: &mut Reader) -> Option<Settings> {
    let root = RootFile::read(&Spanned::new(0..0, DeValue::Table(document)), reader)?;
    let named = [
        ("listener", "[listener.web]", "address = \"0.0.0.0:8080\"", is_empty(&root.listener)),
        ("route", "[route.all]", "service = \"NAME\"", is_empty(&root.route)),
        (
            "service",
            "[service.NAME.stable]",
            "endpoints = [\"HOST:PORT\"]",
            is_empty(&root.service),
        ),
    ];
    for (kind, header, key, empty) in named {
        if empty {
            let message = format!("there is no {kind}: nothing would be served");
            reader.fault::<()>(&(0..0), fault(message, format!("add {header} with {key}")));
        }
    }
    let (routes, services, probes) = (root.route?.value, root.service?.value, root.probe?.value);
    let surroundings = Surroundings {
        folder: file.parent().map(Path::to_owned).unwrap_or_default(),
        services: services.names.clone(),
        probed: services_of(&probes, |probe| probe.service.as_ref()),
        routed: services_of(&routes, |route| route.service.as_ref()),
        encrypted: service::encrypted(&services),
        hosts: route::exact_hosts(&routes),
    };
    let admin = root.admin?.value.settle(reader);
    let (listeners, wanted) = listener::settle(root.listener?.value, &surroundings, reader);
    let routes = route::settle(routes, &surroundings, reader);
    let services = service::settle(services, &surroundings, reader);
    let probes = probe::settle(probes, &surroundings, reader);
    let admin = admin?;
    listener::check_addresses(&listeners, admin.listen, reader);
    let is_asked = root.acme.is_some();
    let acme = root.acme.and_then(|at| {
        let At { value, span, key, given } = at;
        Some(At { value: value.settle(&surroundings, reader)?, span, key, given })
    });
    // A wrong [acme] was reported; it is not missing as well.
    if acme.is_some() || !is_asked {
        acme::check(acme.as_ref(), &wanted, &listeners, reader);
    }
    let otlp = match root.otlp {
        Some(otlp) => Some(otlp.value.settle(&surroundings, reader)?),
        None => None,
    };
    Some(Settings {
        server: root.server?.value.settle(&surroundings)?,
        admin,
        log: root.log?.value.settle(&surroundings, reader)?,
        learning: root.learning?.value.settle()?,
        acme: acme.map(|at| at.value),
        otlp,
        listeners: listeners.into_iter().map(|at| at.value).collect(),
        routes,
        services,
        probing: root.probing?.value.settle(&surroundings)?,
        probes,
        hash: String::new(),
        warnings: Vec::new(),
    })
}

/// Whether a table is a table and names nothing.
fn is_empty<V>(table: &Option<At<Map<Name, V>>>) -> bool {
    table.as_ref().is_some_and(|at| at.value.names.is_empty())
}

/// The services that the entries of a table name.
fn services_of<V>(table: &Map<Name, V>, service: impl Fn(&V) -> Option<&At<Name>>) -> Vec<String> {
    let entries = table.entries.iter().filter_map(|(_, entry)| entry.as_ref());
    entries.filter_map(|entry| Some(service(&entry.value)?.value.0.clone())).collect()
}
