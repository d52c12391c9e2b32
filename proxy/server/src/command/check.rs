//! `serinus check`: whether a configuration would be taken, and what of it waits for a restart.

use super::admin_client::{AdminClient, reachable};
use crate::acme::{Store, written as moment};
use crate::control::fixed::Fixed;
use crate::control::{ProxyStatus, read_config};
use crate::data_path::{Chain, DataPath};
use clap::Args;
use serinus_config::{RouteSettings, RouteTarget, Settings};
use serinus_routing::PathMatch;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let file = &arguments.config;
    let (settings, inputs) = match read_config(file) {
        Ok(read) => read,
        Err(why) => {
            eprintln!("{}", why.trim_end());
            return Ok(ExitCode::FAILURE);
        }
    };
    // Builds everything that a proxy would build, certificates included, but opens no socket.
    if let Err(error) = DataPath::new(&settings, settings.plan().table) {
        eprintln!("{}: {error:#}", file.display());
        return Ok(ExitCode::FAILURE);
    }
    print!("{}", summary(file, &settings));
    for warning in &settings.warnings {
        println!("warning: {warning}");
    }
    for warning in inputs.absent().into_iter().chain(inputs.recordings.remarks()) {
        println!("warning: {warning}");
    }
    for line in running(&settings) {
        println!("{line}");
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(file: &Path, settings: &Settings) -> String {
    let mut text = format!("{}: good (configuration {})\n", file.display(), settings.hash);
    for listener in &settings.listeners {
        let tls = match (listener.is_encrypted(), listener.certificates.len()) {
            (false, _) => String::new(),
            (true, 0) => ", TLS".to_owned(),
            (true, number) => format!(", TLS with {number} certificate{}", plural(number)),
        };
        text += &format!("  listener {}: {}{tls}\n", listener.name, listener.address);
        for name in &listener.acme {
            text += &format!("    {name}: {}\n", issued(settings, name));
        }
    }
    for route in &settings.routes {
        let hosts =
            if route.hosts.is_empty() { "any host".to_owned() } else { route.hosts.join(", ") };
        let to = match &route.target {
            RouteTarget::Service { service, .. } => format!("to {service}"),
            RouteTarget::Redirect(redirect) => format!("sent elsewhere ({})", redirect.status),
        };
        text += &format!("  route {}: {hosts} {} {to}\n", route.name, written(route));
    }
    for service in &settings.services {
        let probes = settings.probes.iter().filter(|probe| probe.service == service.name).count();
        let rollout = match &service.canary {
            None => "no canary".to_owned(),
            Some(canary) => {
                let stages: Vec<String> =
                    service.policy.stages.iter().map(|stage| stage.weight.to_string()).collect();
                format!("canary {} through {}", canary.version, stages.join(", "))
            }
        };
        text += &format!(
            "  service {}: stable {}, {rollout}, {probes} probe{}\n",
            service.name,
            service.stable.version,
            plural(probes)
        );
    }
    text
}

/// How it stands with a certificate of a CA, by what is on the disk.
fn issued(settings: &Settings, name: &str) -> String {
    let Some(acme) = &settings.acme else { return String::new() };
    let store = Store::of(&settings.server.state_dir, acme);
    let file = store.certificate(name);
    let there = match Chain::read_issued(&file, name) {
        Ok(chain) => format!("a certificate of the CA until {}", moment(chain.not_after())),
        Err(_) if !file.exists() => format!("the CA will be asked, {}", acme.directory),
        Err(error) => format!("{error:#}; the CA will be asked again"),
    };
    let attempts = store.attempts(name);
    match attempts.failures {
        0 => there,
        _ => format!(
            "{there}; the last attempt failed: {}; next at {}",
            attempts.why,
            moment(attempts.next)
        ),
    }
}

/// What a route matches besides its hosts.
fn written(route: &RouteSettings) -> String {
    let path = match &route.path {
        PathMatch::Prefix(prefix) => prefix.clone(),
        other => other.to_string(),
    };
    if route.conditions.are_none() { path } else { format!("{path} under conditions") }
}

fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}

/// What a running proxy says to it, if there is one.
fn running(settings: &Settings) -> Vec<String> {
    let Some(address) = settings.admin.listen else { return Vec::new() };
    let token = settings.admin.token.clone();
    let asked = AdminClient::new(reachable(address).to_string(), token)
        .and_then(|client| client.get::<ProxyStatus>("/api/v1/proxy"));
    // None that answers is no fault of the file.
    let Ok(proxy) = asked else { return Vec::new() };
    if proxy.config_hash == settings.hash {
        return vec![format!("The proxy with process id {} runs it.", proxy.pid)];
    }
    let mut lines = vec![format!(
        "The proxy with process id {} runs configuration {}. To change over: kill -HUP {}",
        proxy.pid, proxy.config_hash, proxy.pid
    )];
    let waits = proxy.fixed.waits_for_restart(&Fixed::of(settings));
    lines.extend(waits.into_iter().map(|what| format!("needs a restart: {what}")));
    lines
}
