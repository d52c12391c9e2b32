//! `/api/v1/certificates`: those of the listeners, and how it stands with the CA.

use super::Admin;
use super::failure::Failure;
use crate::acme::{NameStatus, written};
use crate::control::Request;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What the API answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Certificates {
    pub(crate) certificates: Vec<Certificate>,
    /// Names that a CA is asked for.
    pub(crate) names: Vec<Name>,
}

/// A certificate that a listener shows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) listener: String,
    pub(crate) name: String,
    pub(crate) ends: String,
    /// `file` or `ca`
    pub(crate) from: String,
}

/// A name that a CA is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    #[serde(flatten)]
    pub(crate) status: NameStatus,
    pub(crate) trouble: Option<String>,
}

pub(super) async fn list(State(admin): State<Admin>) -> Response {
    let certificates = admin.data_path.certificates().into_iter().map(|end| Certificate {
        listener: end.listener.to_string(),
        name: end.name,
        ends: written(end.not_after),
        from: if end.is_issued { "ca" } else { "file" }.to_owned(),
    });
    let names = admin.board.acme.names();
    let names =
        names.iter().map(|status| Name { status: status.clone(), trouble: status.trouble() });
    Json(Certificates { certificates: certificates.collect(), names: names.collect() })
        .into_response()
}

/// Asks for a new certificate now. What comes of it is in the list and in the log.
pub(super) async fn renew(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let (reply, answer) = oneshot::channel();
    // A control loop that is gone drops both ends.
    let _ = admin.control.send(Request::Renew { name: name.clone(), reply });
    match answer.await {
        Ok(true) => Ok((StatusCode::ACCEPTED, list(State(admin)).await).into_response()),
        Ok(false) => {
            let names = admin.board.acme.names();
            let known: Vec<&str> = names.iter().map(|status| status.name.as_str()).collect();
            Err(Failure::new(
                StatusCode::NOT_FOUND,
                format!("no CA is asked for '{name}'"),
                match known.is_empty() {
                    true => "list names under [listener.NAME.tls] acme".to_owned(),
                    false => format!("use one of: {}", known.join(", ")),
                },
            ))
        }
        Err(_) => Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "serinus is stopping",
            "ask the process that takes its place",
        )),
    }
}
