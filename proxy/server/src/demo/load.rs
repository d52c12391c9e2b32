//! Open-loop load: requests leave when users come, not when answers do.
//!
//! A closed loop slows down with the server and hides what it should show. Here the arrivals are a
//! Poisson process, and the latency of a request runs from the moment it was due.

use super::tally::{Mishap, Side, Tally};
use super::visitor::{Errand, Visitor};
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Who comes, and how often.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// The proxy.
    pub target: SocketAddr,
    /// The Host header.
    pub host: String,
    /// Requests per second, in the mean.
    pub rps: f64,
    /// Different users, each with their own cookies.
    pub users: usize,
    /// Share of the requests that put something into the cart, which no proxy may repeat.
    pub carts: f64,
    /// When a user gives up waiting.
    pub patience: Duration,
    /// What the canary says it is in `x-shop-version`.
    pub canary_version: String,
    /// Seed of arrivals and errands.
    pub seed: u64,
}

/// Requests under way at once, for the machine's sake. Beyond it arrivals are counted as failed.
const MOST_UNDER_WAY: usize = 4000;

struct Crowd {
    plan: LoadPlan,
    pooled: Pooled<HttpConnector, Full<Bytes>>,
    visitors: Vec<Mutex<Visitor>>,
    tally: Arc<Tally>,
}

/// Sends load until `stop` says true, then waits for the answers still under way.
pub async fn send(plan: LoadPlan, tally: Arc<Tally>, mut stop: watch::Receiver<bool>) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(plan.patience));
    let pooled = Pooled::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .build(connector);
    let visitors = (0..plan.users.max(1)).map(|_| Mutex::default()).collect();
    let mut dice = fastrand::Rng::with_seed(plan.seed);
    let crowd = Arc::new(Crowd { plan, pooled, visitors, tally });
    let mut under_way = JoinSet::new();
    let mut due = Instant::now();
    while !*stop.borrow() {
        due += Duration::from_secs_f64(-(1.0 - dice.f64()).ln() / crowd.plan.rps.max(0.001));
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            _ = stop.changed() => break,
        }
        while under_way.try_join_next().is_some() {}
        let user = dice.usize(..crowd.visitors.len());
        let errand = Errand::draw(&mut dice, crowd.plan.carts);
        if under_way.len() >= MOST_UNDER_WAY {
            crowd.tally.record(Side::Unknown, Duration::ZERO, Some(Mishap::NotSent));
            continue;
        }
        under_way.spawn(visit(Arc::clone(&crowd), user, errand, due));
    }
    while under_way.join_next().await.is_some() {}
}

async fn visit(crowd: Arc<Crowd>, user: usize, errand: Errand, due: Instant) {
    let first = crowd.visitor(user, |visitor| visitor.first(errand));
    crowd.request(user, first, due).await;
    if first != errand && crowd.visitor(user, |visitor| visitor.first(errand)) == errand {
        crowd.request(user, errand, Instant::now()).await;
    }
}

impl Crowd {
    fn visitor<T>(&self, user: usize, act: impl FnOnce(&mut Visitor) -> T) -> T {
        act(&mut self.visitors[user].lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One request, counted.
    async fn request(&self, user: usize, errand: Errand, due: Instant) {
        let (method, path, json) = errand.request(user);
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.plan.target))
            .header(header::HOST, &self.plan.host)
            .header(header::USER_AGENT, "serinus-demo-load");
        for (name, value) in self.visitor(user, |visitor| visitor.headers()) {
            builder = builder.header(name, value);
        }
        let body = if json.is_null() { String::new() } else { json.to_string() };
        if !json.is_null() {
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        let exchange = async {
            let request = builder.body(Full::from(body)).map_err(|_| Mishap::NotSent)?;
            let response = self.pooled.request(request).await.map_err(|_| Mishap::NoAnswer)?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|_| Mishap::CutOff)?.to_bytes();
            Ok((parts, body))
        };
        let answer = tokio::time::timeout_at(due + self.plan.patience, exchange)
            .await
            .unwrap_or(Err(Mishap::GaveUp));
        let (side, mishap) = match answer {
            Ok((parts, body)) => {
                self.visitor(user, |visitor| visitor.keep(errand, &parts.headers, &body));
                let side = match parts.headers.get("x-shop-version") {
                    Some(version) if version == self.plan.canary_version.as_str() => Side::Canary,
                    Some(_) => Side::Stable,
                    None => Side::Unknown,
                };
                (side, Mishap::of_status(parts.status.as_u16()))
            }
            Err(mishap) => (Side::Unknown, Some(mishap)),
        };
        self.tally.record(side, due.elapsed(), mishap);
    }
}
