//! `serinus history` and `serinus explain`: from the running proxy, else from its journal.

use super::admin_client::{Unreachable, Whom};
use crate::control::journal::{Entry, Reader, Selection};
use crate::{explain, wall_time};
use anyhow::bail;
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    /// Of this service only.
    service: Option<String>,
    /// At most so many, the latest.
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: usize,
    /// One JSON object per line, as it is in the journal.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    from: Source,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// A number that `serinus history` shows.
    id: u64,
    /// As JSON: the record as it is in the journal, and the same story.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    from: Source,
}

/// Where records come from.
#[derive(Debug, Args)]
struct Source {
    #[command(flatten)]
    whom: Whom,
    /// Read the journal in this directory, without asking a running proxy.
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
}

impl Source {
    /// The journal itself, where it is known: of --state-dir, or of --config.
    fn directory(&self) -> anyhow::Result<Option<PathBuf>> {
        match &self.state_dir {
            Some(directory) => Ok(Some(directory.clone())),
            None => Ok(self.whom.settings()?.map(|settings| settings.server.state_dir)),
        }
    }

    /// Asks the running proxy; where none answers, reads the journal.
    fn ask<T>(
        &self,
        of_proxy: impl FnOnce() -> anyhow::Result<T>,
        of_journal: impl FnOnce(&Reader) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let directory = self.directory()?;
        if self.state_dir.is_none() {
            match of_proxy() {
                Err(error) if error.is::<Unreachable>() => {
                    if directory.is_none() {
                        bail!(
                            "{error}; without a proxy, name its state directory: --state-dir DIRECTORY"
                        );
                    }
                }
                result => return result,
            }
        }
        let directory = directory.unwrap_or_default();
        of_journal(&Reader::open(&directory)?)
    }
}

pub(super) fn history(arguments: &HistoryArguments) -> anyhow::Result<ExitCode> {
    let HistoryArguments { service, limit, json, from } = arguments;
    let of_proxy = || {
        let client = from.whom.client()?;
        let service = service
            .as_deref()
            .map(|name| format!("&service={}", super::admin_client::segment(name)));
        let path = format!("/api/v1/events?limit={limit}{}", service.unwrap_or_default());
        client.get::<Vec<Value>>(&path)
    };
    let of_journal = |reader: &Reader| {
        let selection =
            Selection { service: service.clone(), limit: *limit, ..Selection::default() };
        let entries = reader.list(&selection)?;
        Ok(entries.iter().map(brief).collect())
    };
    for event in from.ask(of_proxy, of_journal)? {
        if *json {
            println!("{event}");
        } else {
            println!("{}", line(&event));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn explain(arguments: &ExplainArguments) -> anyhow::Result<ExitCode> {
    let id = arguments.id;
    let of_proxy = || {
        let client = arguments.from.whom.client()?;
        client.get::<Value>(&format!("/api/v1/decisions/{id}"))
    };
    let of_journal = |reader: &Reader| match reader.get(id)? {
        Some(entry) => Ok(serde_json::to_value(explain::Decision::new(&entry))?),
        None => bail!("there is no decision {id}: 'serinus history' lists them"),
    };
    let decision = arguments.from.ask(of_proxy, of_journal)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&decision)?);
    } else {
        print!("{}", decision["explanation"].as_str().unwrap_or_default());
    }
    Ok(ExitCode::SUCCESS)
}

/// An entry as the API lists it.
fn brief(entry: &Entry) -> Value {
    serde_json::json!({
        "id": entry.id,
        "time": wall_time::rfc3339(entry.record.at),
        "kind": entry.record.kind,
        "service": entry.record.service,
        "headline": explain::headline(&entry.record),
        "text": entry.record.text,
    })
}

/// `  12  2026-11-23T00:44:52.007Z  rolled_back  checkout 1.9.0 was rolled back: why`
pub(super) fn line(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default();
    let why = match text("text") {
        "" => String::new(),
        why => format!(": {}", why.lines().next().unwrap_or_default()),
    };
    let id = event["id"].to_string();
    format!("{id:>5}  {}  {:<17} {}{why}", text("time"), text("kind"), text("headline"))
}
