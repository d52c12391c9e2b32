//! Errors of the API: JSON with what is wrong and what to do.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// `{"error": ..., "fix": ...}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) error: String,
    pub(super) fix: String,
}

impl Failure {
    pub(super) fn new(
        status: StatusCode,
        error: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Failure { status, error: error.into(), fix: fix.into() }
    }

    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        let fix = "look into the log of serinus; if it happens again, please report it";
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), fix)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.error, "fix": self.fix }));
        (self.status, body).into_response()
    }
}
