//! `/`: one page that holds no data, reads the API, and loads nothing from anywhere else.

use crate::chart;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::hash::{BuildHasher, RandomState};

const PAGE: &str = include_str!("dashboard.html");

pub(super) async fn page() -> Response {
    let nonce = nonce();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    (headers, PAGE.replace("{{nonce}}", &nonce).replace("{{chart-style}}", chart::STYLE))
        .into_response()
}

/// Unguessable: SipHash under keys that the operating system drew.
fn nonce() -> String {
    let keys = RandomState::new();
    format!("{:016x}{:016x}", keys.hash_one(0), keys.hash_one(1))
}
