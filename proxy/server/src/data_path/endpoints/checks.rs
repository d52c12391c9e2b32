//! Active health checks: a GET of every endpoint now and then, away from the data path, spoken as
//! users' requests are.

use super::Pool;
use super::instance::Instance;
use crate::data_path::upstream::Upstream;
use bytes::Bytes;
use http::Request;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serinus_config::HealthSettings;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How often it is looked whose check is due.
const LOOK: Duration = Duration::from_millis(50);
/// ... while nobody wants any.
const SELDOM: Duration = Duration::from_secs(1);
const AGENT: &str = concat!("serinus-health/", env!("CARGO_PKG_VERSION"));

/// Checks the endpoints of `pools`, which may be others at each look, until it is dropped.
pub(crate) async fn check_endpoints(pools: impl Fn() -> Vec<Arc<Pool>>) {
    loop {
        let mut wanted = false;
        let now = Instant::now();
        for pool in pools() {
            let Some(health) = &pool.rules.health else { continue };
            wanted = true;
            for (name, instance) in pool.instances() {
                if instance.is_check_due(now, health.interval) {
                    let pool = Arc::clone(&pool);
                    tokio::spawn(async move {
                        if let Some(health) = &pool.rules.health {
                            let upstream = &pool.upstream;
                            let result = check(&name, &instance, health, upstream).await;
                            pool.checked(&name, &instance, health, result);
                        }
                    });
                }
            }
        }
        tokio::time::sleep(if wanted { LOOK } else { SELDOM }).await;
    }
}

/// One check; what went wrong in words.
async fn check(
    name: &str,
    instance: &Instance,
    health: &HealthSettings,
    upstream: &Upstream,
) -> Result<(), String> {
    let get = get(name, instance, health, upstream);
    let status = tokio::time::timeout(health.timeout, get).await;
    let status = status.map_err(|_| format!("no answer within {:?}", health.timeout))?;
    let status = status.map_err(|error| format!("{error:#}"))?;
    match health.status.binary_search(&status) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("answered {status}")),
    }
}

async fn get(
    name: &str,
    instance: &Instance,
    health: &HealthSettings,
    upstream: &Upstream,
) -> anyhow::Result<u16> {
    let host = health.host.as_deref().unwrap_or(name);
    let stream = TcpStream::connect(instance.address).await?;
    match upstream.check_tls() {
        Some(tls) => ask(tls.connect(stream).await?, host, health, upstream.is_http2()).await,
        None => ask(stream, host, health, upstream.is_http2()).await,
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    health: &HealthSettings,
    http2: bool,
) -> anyhow::Result<u16> {
    let io = TokioIo::new(stream);
    // Dropped with the answer, which ends the connection.
    let mut driver = JoinSet::new();
    let request = Request::builder().header(USER_AGENT, AGENT);
    let answer = if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        driver.spawn(async move { drop(connection.await) });
        let request = request.uri(format!("http://{host}{}", health.path));
        sender.send_request(request.body(Empty::<Bytes>::new())?).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        driver.spawn(async move { drop(connection.await) });
        let request =
            request.uri(health.path.as_str()).header(HOST, host).header(CONNECTION, "close");
        sender.send_request(request.body(Empty::<Bytes>::new())?).await?
    };
    Ok(answer.status().as_u16())
}
