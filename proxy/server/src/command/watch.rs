//! `serinus watch`: services and events live; lines where there is no terminal.

use super::admin_client::{AdminClient, Whom};
use super::watch_view;
use crate::control::ProxyStatus;
use crate::data_path::EndpointStatus;
use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use serde::Deserialize;
use serde_json::Value;
use serinus_rollout::ServiceStatus;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const REFRESH_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct WatchArguments {
    /// This service only.
    service: Option<String>,
    /// Lines instead of a screen.
    #[arg(long)]
    lines: bool,
    #[command(flatten)]
    whom: Whom,
}

/// A service with its endpoints.
#[derive(Debug, Deserialize)]
pub(super) struct Watched {
    #[serde(flatten)]
    pub(super) status: ServiceStatus,
    #[serde(default)]
    pub(super) endpoints: Vec<EndpointStatus>,
}

/// What was last heard of the proxy.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) services: Vec<Watched>,
    pub(super) proxy: Option<ProxyStatus>,
    pub(super) events: Vec<Value>,
    /// Why nothing newer was heard.
    pub(super) silence: Option<String>,
}

impl Picture {
    fn refresh(&mut self, client: &AdminClient, service: Option<&str>) {
        match self.hear(client, service) {
            Ok(()) => self.silence = None,
            Err(error) => self.silence = Some(format!("{error:#}")),
        }
    }

    fn hear(&mut self, client: &AdminClient, service: Option<&str>) -> anyhow::Result<()> {
        self.services = client.get("/api/v1/services")?;
        self.services.retain(|one| service.is_none_or(|name| *one.status.name == *name));
        self.proxy = Some(client.get("/api/v1/proxy")?);
        self.events = client.get("/api/v1/events?limit=200")?;
        let concerns = |event: &Value| {
            service.is_none() || event["service"].is_null() || event["service"].as_str() == service
        };
        self.events.retain(concerns);
        Ok(())
    }
}

pub(super) fn run(arguments: &WatchArguments) -> anyhow::Result<ExitCode> {
    let client = arguments.whom.client()?;
    let service = arguments.service.as_deref();
    let mut picture = Picture::default();
    // The first answer decides whether there is anything to watch.
    picture.hear(&client, service)?;
    if let (Some(name), true) = (service, picture.services.is_empty()) {
        anyhow::bail!("there is no service '{name}': 'serinus status' shows them all");
    }
    if arguments.lines || !std::io::stdout().is_terminal() {
        return lines(&client, service, picture);
    }
    let mut terminal = ratatui::try_init()?;
    let result = screen(&mut terminal, &client, service, picture);
    ratatui::restore();
    result
}

fn screen(
    terminal: &mut ratatui::DefaultTerminal,
    client: &AdminClient,
    service: Option<&str>,
    mut picture: Picture,
) -> anyhow::Result<ExitCode> {
    loop {
        terminal.draw(|frame| watch_view::draw(frame, &picture, &client.address))?;
        let next = Instant::now() + REFRESH_EVERY;
        while event::poll(next.saturating_duration_since(Instant::now()))? {
            if let Event::Key(key) = event::read()? {
                let interrupted =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if interrupted || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
        picture.refresh(client, service);
    }
}

/// Prints what changes, until the reader is gone or the process is ended.
fn lines(
    client: &AdminClient,
    service: Option<&str>,
    mut picture: Picture,
) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let mut told = Vec::new();
    let mut last = Vec::new();
    let mut silence = None;
    loop {
        let mut text = String::new();
        for event in picture.events.iter().filter(|event| !told.contains(&event["id"])) {
            text += &super::history::line(event);
            text.push('\n');
        }
        told = picture.events.iter().map(|event| event["id"].clone()).collect();
        let now: Vec<String> = picture.services.iter().flat_map(watch_view::in_lines).collect();
        if now != last {
            text += &(now.join("\n") + "\n");
            last = now;
        }
        if picture.silence != silence {
            text += &picture.silence.clone().unwrap_or_else(|| "it answers again".into());
            text.push('\n');
            silence = picture.silence.clone();
        }
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return Ok(ExitCode::SUCCESS);
            }
            result => result?,
        }
        std::thread::sleep(REFRESH_EVERY);
        picture.refresh(client, service);
    }
}
