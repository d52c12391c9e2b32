//! `/healthz`: the process lives. `/ready`: it answers requests.

use super::Admin;
use crate::control::Lifecycle;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 503 only while requests are not answered: a proxy whose journal fails still serves its users, and
/// taking it out of service would harm them. Such troubles are told beside the 200.
pub(super) async fn ready(State(admin): State<Admin>) -> Response {
    let reason = match **admin.board.lifecycle.load() {
        Lifecycle::Starting => Some("starting: the listeners are not open yet"),
        Lifecycle::Draining => Some("stopping: finishing the requests in flight"),
        Lifecycle::Serving => None,
    };
    let troubles = admin.board.troubles();
    match reason {
        None => Json(json!({ "ready": true, "reasons": [], "troubles": troubles })).into_response(),
        Some(reason) => {
            let body = json!({ "ready": false, "reasons": [reason], "troubles": troubles });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}
