//! The admin side: health, metrics, API, event stream, dashboard. On a thread of its own, so that
//! nothing that is asked here can hold up a request of a user or a decision.

mod certificates;
mod dashboard;
mod endpoints;
mod events;
mod failure;
mod guard;
mod health;
mod labels;
mod metrics;
mod pictures;
mod services;
mod views;

#[cfg(test)]
mod tests;

use crate::control::{Board, Request};
use crate::data_path::DataPath;
use crate::lifecycle::Inherited;
use anyhow::Context;
use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
pub(crate) use certificates::Certificates;
use failure::Failure;
use guard::Guard;
pub(crate) use metrics::{Metrics, ProbeMetrics, RejectionSource, Traffic, TrafficSource};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) board: Arc<Board>,
    pub(crate) control: UnboundedSender<Request>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) data_path: DataPath,
    pub(crate) state_dir: Arc<PathBuf>,
}

/// Binds the admin listener, or takes it over.
///
/// # Errors
/// The address is taken or not this machine's.
pub(crate) fn bind(address: SocketAddr, inherited: &mut Inherited) -> anyhow::Result<TcpListener> {
    crate::lifecycle::bind(address, inherited).with_context(|| {
        format!("cannot listen on {address} for the admin side: choose another admin.listen, or stop what uses it")
    })
}

/// How long answers may take that are under way when it is told to stop.
const LINGER: Duration = Duration::from_millis(250);

/// A running admin side.
#[derive(Debug)]
pub(crate) struct AdminHandle {
    stop: Arc<Notify>,
    thread: JoinHandle<()>,
}

impl AdminHandle {
    /// Ends it, and waits until nobody listens any more.
    pub(crate) fn stop(self) {
        self.stop.notify_one();
        // A panic of the thread was reported by the panic hook.
        let _ = self.thread.join();
    }
}

/// Answers on `listener` until it is told to stop, or the process ends.
///
/// # Errors
/// No thread or runtime can be started.
pub(crate) fn serve(listener: TcpListener, admin: Admin) -> anyhow::Result<AdminHandle> {
    let guard = Guard {
        token: admin.board.settings.load().admin.token.clone(),
        loopback: listener.local_addr()?.ip().is_loopback(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = Arc::new(Notify::new());
    let (told, closing) = (Arc::clone(&stop), Arc::new(Notify::new()));
    let run = move || {
        let result: std::io::Result<()> = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let begin = Arc::clone(&closing);
            let serving = axum::serve(listener, router(admin, guard))
                .with_graceful_shutdown(async move { begin.notified().await });
            tokio::select! {
                result = serving => result,
                // Event streams have no end of their own.
                () = async {
                    told.notified().await;
                    closing.notify_one();
                    tokio::time::sleep(LINGER).await;
                } => Ok(()),
            }
        });
        if let Err(error) = result {
            tracing::error!(%error, "the admin side stopped");
        }
    };
    let thread = std::thread::Builder::new().name("admin".into()).spawn(run)?;
    Ok(AdminHandle { stop, thread })
}

fn router(admin: Admin, guard: Guard) -> Router {
    Router::new()
        .route("/", get(dashboard::page))
        .route("/healthz", get(health::healthz))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::page))
        .route("/api/v1/proxy", get(services::proxy))
        .route("/api/v1/services", get(services::list))
        .route("/api/v1/services/{name}", get(services::one))
        .route("/api/v1/services/{name}/{verb}", post(services::command))
        .route(
            "/api/v1/services/{name}/endpoints/{address}/{verb}",
            post(endpoints::drain_or_ready),
        )
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/services/{name}/pictures", get(pictures::of_service))
        .route("/api/v1/decisions/{id}", get(services::decision))
        .route("/api/v1/decisions/{id}/report", get(pictures::report))
        .route("/api/v1/decisions/{id}/label", post(labels::label))
        .route("/api/v1/models", get(labels::models))
        .route("/api/v1/certificates", get(certificates::list))
        .route("/api/v1/certificates/{name}/renew", post(certificates::renew))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state((admin.clone(), Arc::new(guard)), check))
        .with_state(admin)
}

async fn check(
    State((admin, guard)): State<(Admin, Arc<Guard>)>,
    request: HttpRequest,
    next: Next,
) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let guard = guard.with_token(admin.board.settings.load().admin.token.as_deref());
    let mut response = match guard.check(method, path, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", axum::http::HeaderValue::from_static("nosniff"));
    headers.entry("cache-control").or_insert(axum::http::HeaderValue::from_static("no-store"));
    response
}

async fn unknown(request: HttpRequest) -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {}", request.uri().path()),
        "see /, /healthz, /ready, /metrics, /api/v1/services, /api/v1/events, /api/v1/decisions/ID",
    )
}

async fn wrong_method(request: HttpRequest) -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} {} is not possible", request.method(), request.uri().path()),
        "reading is GET; promote, pause, resume, abort, retry, drain and ready are POST",
    )
}
