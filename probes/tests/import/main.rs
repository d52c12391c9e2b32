//! Journeys written down elsewhere come out as probes that `check` accepts.

#![allow(
    clippy::unwrap_used,
    reason = "test code throughout: the configured exception covers only functions marked as tests"
)]

mod damaged;
mod har;
mod hurl;
mod recorder;
mod samples;

use serinus_config::{ProbeDefinition, parse};
use serinus_probes::import::{Imported, Naming, Source, import};
use std::path::Path;

fn naming() -> Naming {
    Naming { probe: "journey".to_owned(), service: "shop".to_owned(), host: None }
}

/// What `serinus check` would say of the probe, beside what every configuration needs.
fn checked(imported: &Imported) -> Result<ProbeDefinition, String> {
    let rest = "[listener.web]\naddress = \"0.0.0.0:8080\"\n[route.all]\nservice = \"shop\"\n\
                [service.shop.stable]\nendpoints = [\"app:80\"]\n";
    let text = format!("{}{rest}", imported.toml);
    let settings = parse(&text, Path::new("s.toml")).map_err(|e| format!("{e}\n{text}"))?;
    Ok(settings.probes[0].as_ref().clone())
}

#[track_caller]
fn imported(source: Source, text: &str) -> Imported {
    let imported = import(source, text, &naming()).unwrap();
    checked(&imported).unwrap_or_else(|error| panic!("{error}"));
    imported
}

#[track_caller]
fn check(source: Source, text: &str, toml: &str, remarks: &[&str]) {
    let imported = imported(source, text);
    assert_eq!(imported.toml.trim(), toml.trim(), "\n--- said:\n{}", imported.toml);
    assert_eq!(imported.remarks, remarks);
}
