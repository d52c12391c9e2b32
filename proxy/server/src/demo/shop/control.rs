//! The shop's back door: faults are ordered and counts read on a socket of their own.

use super::{FaultKind, FaultOrder, Shop};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
struct Since {
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    since: u64,
}

/// `PUT /fault`, `DELETE /fault`, `GET /counts?since=MILLISECONDS`.
pub(super) fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/fault", put(order).delete(clear))
        .route("/counts", get(counts))
        .with_state(shop)
}

async fn order(State(shop): State<Arc<Shop>>, Json(order): Json<FaultOrder>) -> StatusCode {
    shop.fault.order(order);
    StatusCode::NO_CONTENT
}

async fn clear(State(shop): State<Arc<Shop>>) -> StatusCode {
    shop.fault.order(FaultOrder { kind: FaultKind::None, rate: None, after_ms: 0, for_ms: None });
    StatusCode::NO_CONTENT
}

async fn counts(
    State(shop): State<Arc<Shop>>,
    Query(since): Query<Since>,
) -> Json<super::counts::Count> {
    Json(shop.counts.read(since.since))
}
