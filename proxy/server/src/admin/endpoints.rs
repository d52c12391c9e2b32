//! `/api/v1/services/NAME/endpoints/ADDRESS/{drain,ready}`

use super::Admin;
use super::failure::Failure;
use super::services;
use crate::data_path::DrainError;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

pub(super) async fn drain_or_ready(
    State(admin): State<Admin>,
    Path((name, address, verb)): Path<(String, String, String)>,
) -> Result<Response, Failure> {
    let draining = match verb.as_str() {
        "drain" => true,
        "ready" => false,
        _ => {
            let error = format!("there is no command '{verb}' for an endpoint");
            return Err(Failure::new(StatusCode::NOT_FOUND, error, "use one of drain, ready"));
        }
    };
    admin.data_path.drain_endpoint(&name, &address, draining).map_err(refused)?;
    let (board, data_path) = (admin.board.clone(), admin.data_path.clone());
    let kept = tokio::task::spawn_blocking(move || board.drains.try_keep(&data_path));
    match kept.await.map_err(Failure::internal)? {
        Ok(()) => services::one(State(admin), Path(name)).await,
        Err(error) => Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("it is done ({verb}), but a restart will not remember it: {error}"),
            "look at the disk of server.state_dir, then ask again",
        )),
    }
}

fn refused(error: DrainError) -> Failure {
    let (status, fix) = match &error {
        DrainError::UnknownService(_, known) | DrainError::UnknownEndpoint(_, known) => {
            (StatusCode::NOT_FOUND, format!("use one of: {known}"))
        }
        DrainError::NobodyLeft(_) => (
            StatusCode::CONFLICT,
            "make another endpoint ready first; a canary as a whole is taken out by abort"
                .to_owned(),
        ),
    };
    Failure::new(status, error.to_string(), fix)
}
