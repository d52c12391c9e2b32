//! `/api/v1/services`, `/api/v1/proxy`, `/api/v1/decisions` and the commands.

use super::Admin;
use super::failure::Failure;
use super::views::ServiceView;
use crate::control::journal::Reader;
use crate::control::{Refusal, Request};
use crate::explain::Decision;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use serinus_rollout::{Command, CommandError, ServiceStatus};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::oneshot;

/// A disk that does not answer for so long has not refused, but nobody should wait on.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn proxy(State(admin): State<Admin>) -> Response {
    Json(admin.board.proxy_status()).into_response()
}

pub(super) async fn list(State(admin): State<Admin>) -> Response {
    let services = admin.board.services.load();
    let settings = admin.board.settings.load();
    let mut endpoints: HashMap<_, _> = admin.data_path.endpoints().into_iter().collect();
    let view = |status: &ServiceStatus| {
        let endpoints = endpoints.remove(&status.name).unwrap_or_default();
        json!(ServiceView::new(status, &settings, endpoints))
    };
    let views: Vec<_> = services.iter().map(view).collect();
    Json(views).into_response()
}

pub(super) async fn one(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let services = admin.board.services.load();
    let settings = admin.board.settings.load();
    match services.iter().find(|status| *status.name == *name) {
        Some(status) => {
            let all = admin.data_path.endpoints().into_iter();
            let own = all.filter(|(service, _)| *service == status.name);
            let endpoints = own.flat_map(|(_, endpoints)| endpoints).collect();
            Ok(Json(ServiceView::new(status, &settings, endpoints)).into_response())
        }
        None => {
            let known: Vec<&str> = services.iter().map(|status| &*status.name).collect();
            let error = CommandError::UnknownService(name, known.join(", "));
            Err(refused(Refusal::Command(error)))
        }
    }
}

pub(super) async fn command(
    State(admin): State<Admin>,
    Path((name, verb)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let Some(command) = Command::ALL.into_iter().find(|command| command.as_str() == verb) else {
        let known = Command::ALL.map(Command::as_str).join(", ");
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("there is no command '{verb}'"),
            format!("use one of {known}"),
        ));
    };
    let (reply, answer) = oneshot::channel();
    let gone = || {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "serinus is stopping",
            "ask the process that takes its place",
        )
    };
    let request = Request::Command { service: name.clone(), command, reply };
    admin.control.send(request).map_err(|_| gone())?;
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(Ok(()))) => one(State(admin), Path(name)).await,
        Ok(Ok(Err(refusal))) => Err(refused(refusal)),
        Ok(Err(_)) => Err(gone()),
        // Done before it was written.
        Err(_) if !matches!(command, Command::Promote | Command::Retry) => {
            one(State(admin), Path(name)).await
        }
        Err(_) => Err(Failure::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("the disk has not taken the decision down within {} s", PATIENCE.as_secs()),
            "look at the disk of server.state_dir; 'serinus status' shows whether it was done in the end",
        )),
    }
}

pub(super) fn refused(refusal: Refusal) -> Failure {
    let (status, fix) = match &refusal {
        Refusal::Command(CommandError::UnknownService(_, known)) => {
            (StatusCode::NOT_FOUND, format!("use one of: {known}"))
        }
        Refusal::Command(CommandError::WrongPhase { phase, .. }) => {
            (StatusCode::CONFLICT, possible(*phase))
        }
        Refusal::Command(CommandError::Leaving { .. }) => (
            StatusCode::CONFLICT,
            "ask again in some seconds; an abort brings the rest back at once".to_owned(),
        ),
        Refusal::NotDurable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "mend the journal, then try again; pause and abort work without it".to_owned(),
        ),
        Refusal::OutOfOrder(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "try again in a minute; see the log".to_owned())
        }
    };
    Failure::new(status, refusal.to_string(), fix)
}

fn possible(phase: serinus_rollout::Phase) -> String {
    use serinus_rollout::Phase;
    match phase {
        Phase::Idle => "there is no canary: name one under [service.NAME.canary] and send SIGHUP",
        Phase::Progressing => "possible now: pause, abort, promote",
        Phase::Paused => "possible now: resume, abort, promote",
        Phase::Promoted => "possible now: abort",
        Phase::RolledBack => "possible now: retry, or another canary version",
    }
    .to_owned()
}

pub(super) async fn decision(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let unknown = || unknown_decision(&id);
    let number: u64 = id.parse().map_err(|_| unknown())?;
    if let Some(entry) = admin.board.events.find(number) {
        return Ok(Json(Decision::new(&entry)).into_response());
    }
    let directory = admin.state_dir.clone();
    let found = tokio::task::spawn_blocking(move || Reader::open(&directory)?.get(number))
        .await
        .map_err(Failure::internal)?
        .map_err(Failure::internal)?;
    let entry = found.ok_or_else(unknown)?;
    Ok(Json(Decision::new(&entry)).into_response())
}

pub(super) fn unknown_decision(id: &str) -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        format!("there is no decision '{id}'"),
        "GET /api/v1/events lists them; on the command line: serinus history",
    )
}
