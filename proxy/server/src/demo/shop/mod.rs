//! `lab-upstream`: a small shop as its own process, with faults to order.
//!
//! Pages with a login form, a JSON API and a cart, as a real application has them, with the
//! latency of one. Users are told from synthetic users by the `x-synthetic` header only.

mod control;
mod counts;
mod fault;
mod latency;
mod pages;
mod tokens;
mod usage;

pub use fault::{FaultKind, FaultOrder};
pub use pages::PASSWORD;

use super::arguments::UpstreamArguments;
use anyhow::Context;
use axum::Router;
use axum::body::Body;
use counts::Counts;
use fault::{Ending, FaultSwitch};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use latency::Latency;
use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// One running shop.
struct Shop {
    version: String,
    fault: FaultSwitch,
    counts: Arc<Counts>,
    /// Draws latencies and who is hit.
    latency: Mutex<Latency>,
}

/// Serves until the process is killed. Must not be called inside an async runtime.
///
/// # Errors
/// A socket that cannot be had.
pub fn serve(arguments: UpstreamArguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(arguments: UpstreamArguments) -> anyhow::Result<()> {
    let listener = bind(arguments.listen).await?;
    let control = match arguments.control {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let counts = Arc::new(Counts::continued(arguments.counts));
    let shop = Arc::new(Shop {
        version: arguments.version,
        fault: FaultSwitch::new(Arc::clone(&counts)),
        counts,
        latency: Mutex::new(Latency::new(arguments.latency, arguments.seed)),
    });
    shop.fault.order(FaultOrder {
        kind: arguments.fault,
        rate: arguments.rate,
        after_ms: arguments.after.as_millis() as u64,
        for_ms: arguments.lasting.map(|time| time.as_millis() as u64),
    });
    let addresses = serde_json::json!({
        "listening": listener.local_addr()?,
        "control": control.as_ref().map(TcpListener::local_addr).transpose()?,
        "version": shop.version,
        "pid": std::process::id(),
    });
    println!("{addresses}");
    let pages = pages::router(&shop.version);
    match control {
        Some(control) => {
            let orders = axum::serve(control, control::router(Arc::clone(&shop)));
            tokio::select! {
                ended = accept(listener, shop, pages) => ended,
                ended = async { orders.await } => Ok(ended?),
            }
        }
        None => accept(listener, shop, pages).await,
    }
}

async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

async fn accept(listener: TcpListener, shop: Arc<Shop>, pages: Router) -> anyhow::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A client that is gone already is no reason to stop.
                let _ = stream.set_nodelay(true);
                tokio::spawn(converse(stream, Arc::clone(&shop), pages.clone()));
            }
            // Out of descriptors, or a connection that broke in the queue: go on with the next.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn converse(stream: TcpStream, shop: Arc<Shop>, pages: Router) {
    let pages = TowerToHyperService::new(pages);
    let service = service_fn(|request| answer(Arc::clone(&shop), pages.clone(), request));
    // Ends with the connection; how it ended is the client's business, or the fault's.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// One request. An error closes the connection without an answer.
async fn answer(
    shop: Arc<Shop>,
    pages: TowerToHyperService<Router>,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    // Whoever reads these is not a user; and a page of metrics must come even from a shop in trouble.
    if matches!(request.uri().path(), "/metrics" | "/healthz") {
        return Ok(never_fails(pages.call(request).await));
    }
    let has = |name: &str| request.headers().contains_key(name);
    match has("x-serinus-mirror") {
        true => shop.counts.copied(),
        false => shop.counts.arrived(has("x-synthetic")),
    }
    let (delay, ending) = {
        let mut latency = shop.latency.lock().unwrap_or_else(PoisonError::into_inner);
        let effect = shop.fault.effect(Instant::now(), latency.dice());
        (latency.draw().mul_f64(effect.slower) + effect.extra, effect.ending)
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match ending {
        Ending::Answer => Ok(never_fails(pages.call(request).await)),
        Ending::Fail => Ok(page_of(StatusCode::INTERNAL_SERVER_ERROR, &shop.version)),
        Ending::Corrupt => Ok(pages::corrupted(never_fails(pages.call(request).await))),
        Ending::Drop => Err(io::Error::other("dropped")),
        Ending::Hang => {
            shop.fault.over().await;
            Err(io::Error::other("never answered"))
        }
    }
}

fn never_fails(answer: Result<Response<Body>, Infallible>) -> Response<Body> {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn page_of(status: StatusCode, version: &str) -> Response<Body> {
    let mut response = Response::new(Body::from("Internal server error"));
    *response.status_mut() = status;
    pages::sign(&mut response, version);
    response
}
