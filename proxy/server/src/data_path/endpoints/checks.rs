//! Active health checks: a GET of every endpoint now and then, away from the data path.

use super::Pool;
use super::instance::Instance;
use bytes::Bytes;
use http::Request;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use serinus_config::HealthSettings;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

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
                            let result = check(&name, &instance, health).await;
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
async fn check(name: &str, instance: &Instance, health: &HealthSettings) -> Result<(), String> {
    let status = tokio::time::timeout(health.timeout, get(name, instance, health)).await;
    let status = status.map_err(|_| format!("no answer within {:?}", health.timeout))?;
    let status = status.map_err(|error| format!("{error:#}"))?;
    match health.status.binary_search(&status) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("answered {status}")),
    }
}

async fn get(name: &str, instance: &Instance, health: &HealthSettings) -> anyhow::Result<u16> {
    let stream = TcpStream::connect(instance.address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(health.path.as_str())
        .header(HOST, health.host.as_deref().unwrap_or(name))
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let exchange = sender.send_request(request);
    tokio::pin!(exchange);
    let answer = tokio::select! {
        answer = &mut exchange => answer?,
        ended = connection => {
            ended?;
            exchange.await?
        }
    };
    Ok(answer.status().as_u16())
}
