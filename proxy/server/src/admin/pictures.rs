//! Pictures: the last minutes of a service, and the report of a decision.

use super::Admin;
use super::failure::Failure;
use super::services::unknown_decision;
use crate::chart::{self, Limits, Mark};
use crate::control::journal::FILE_NAME;
use crate::{replay, report};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use serinus_models::Timestamp;

/// A report is a page of its own: it may look as it likes, and do nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /api/v1/services/NAME/pictures`: SVG, for the dashboard, which has the style.
pub(super) async fn of_service(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let settings = admin.board.settings.load();
    let Some(service) = settings.service(&name) else {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            format!("there is no service '{name}'"),
            "GET /api/v1/services lists them",
        ));
    };
    let limits = Limits {
        anomaly: service.policy.anomaly_threshold,
        rollback: service.policy.rollback_threshold,
        resume: service.policy.resume_threshold,
    };
    let moments = admin.board.past.of(&name);
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
        return Ok(Json(json!([])).into_response());
    };
    let span: (Timestamp, Timestamp) = (first.at, last.at);
    let (past, _) = admin.board.events.subscribe(None);
    let of_service = past.iter().filter(|entry| entry.record.service.as_deref() == Some(&name));
    let entries: Vec<_> = of_service.map(|entry| (**entry).clone()).collect();
    let marks: Vec<Mark> = report::marks(0, &entries);
    Ok(Json(chart::release(&moments, span, Some(limits), &marks, chart::HALF)).into_response())
}

/// `GET /api/v1/decisions/ID/report`: one page.
pub(super) async fn report(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let number: u64 = id.parse().map_err(|_| unknown_decision(&id))?;
    let file = admin.state_dir.join(FILE_NAME);
    let drawn = tokio::task::spawn_blocking(move || {
        let (entry, course) = replay::course(&file, number)?;
        anyhow::Ok(report::html(&entry, &course))
    });
    let page = drawn.await.map_err(Failure::internal)?.map_err(|error| {
        let fix = "GET /api/v1/events lists what can be drawn; the journal is in server.state_dir";
        Failure::new(StatusCode::NOT_FOUND, format!("{error:#}"), fix)
    })?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, page).into_response())
}
