//! Labels that persons give, and the models on trial.

use super::Admin;
use super::failure::Failure;
use super::services::{PATIENCE, refused, unknown_decision};
use crate::control::Request;
use crate::control::journal::Reader;
use crate::learning::correction;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use serinus_models::Label;
use tokio::sync::oneshot;

/// More would not be read.
const LONGEST_WHY: usize = 2_000;

#[derive(Debug, Deserialize)]
pub(super) struct Said {
    label: String,
    why: String,
}

/// `POST /api/v1/decisions/ID/label?label=transient&why=...`
pub(super) async fn label(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    said: Result<Query<Said>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Failure> {
    let bad = |error: String| {
        let fix = "?label=sustained|transient|shared|censored|unclear&why=IN A FEW WORDS";
        Failure::new(StatusCode::BAD_REQUEST, error, fix)
    };
    let Query(Said { label, why }) = said.map_err(|error| bad(error.to_string()))?;
    let label: Label = serde_json::from_value(json!(label))
        .map_err(|_| bad(format!("there is no label '{label}'")))?;
    if why.trim().is_empty() || why.len() > LONGEST_WHY {
        return Err(bad(format!("say why, in {LONGEST_WHY} characters at most")));
    }
    let number: u64 = id.parse().map_err(|_| unknown_decision(&id))?;
    let directory = admin.state_dir.clone();
    let found = tokio::task::spawn_blocking(move || {
        correction(&Reader::open(&directory)?, number, label, why.trim())
    });
    let correction = found.await.map_err(Failure::internal)?.map_err(|error| {
        let fix = "'serinus history' shows what was labelled (episode_labelled)";
        Failure::new(StatusCode::NOT_FOUND, format!("{error:#}"), fix)
    })?;
    let answer = json!({
        "episode": correction.episode,
        "service": correction.service,
        "label": label,
        "observed": correction.observed,
    });
    let (reply, answered) = oneshot::channel();
    let gone = || {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "serinus is stopping",
            "ask the process that takes its place",
        )
    };
    admin.control.send(Request::Label { correction, reply }).map_err(|_| gone())?;
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(Ok(()))) => Ok(Json(answer).into_response()),
        Ok(Ok(Err(refusal))) => Err(refused(refusal)),
        Ok(Err(_)) => Err(gone()),
        Err(_) => Err(Failure::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("the disk has not taken it down within {} s", PATIENCE.as_secs()),
            "look at the disk of server.state_dir; 'serinus history' shows whether it was done in the end",
        )),
    }
}

/// `GET /api/v1/models`: what judges, what is on trial.
pub(super) async fn models(State(admin): State<Admin>) -> Response {
    let (model, learning) = (admin.board.model.load(), admin.board.learning.load());
    let on_trial = learning.on_trial.iter();
    let on_trial: Vec<_> =
        on_trial.map(|(id, standing)| json!({ "model": id, "standing": standing })).collect();
    let in_force = json!({ "model": model.id, "labels": learning.labels, "set_aside": learning.set_aside, "on_trial": on_trial });
    Json(in_force).into_response()
}
