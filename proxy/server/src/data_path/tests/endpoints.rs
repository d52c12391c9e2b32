//! Several endpoints: who is asked, who is left out, what is tried again.

use super::hardening::counted;
use super::lab::{Answer, Reply, Upstream, ask};
use super::{PATIENCE, Running, endpoint, get, post, settings, table};
use crate::data_path::{DrainError, EndpointState, EndpointStatus, Reason};
use serinus_config::{
    ConcurrencySettings, EjectionSettings, HealthSettings, RetrySettings, ServiceSettings, Settings,
};
use serinus_models::Outcome;
use serinus_routing::balance::{Balance, EjectionRule, HashBy, HealthRule};
use serinus_routing::{Variant, Weight};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

async fn two() -> (Upstream, Upstream) {
    let one = Upstream::start("one", Reply::Status(200)).await;
    let two = Upstream::start("two", Reply::Status(200)).await;
    (one, two)
}

/// A stable version at `one` and `two`, and what else `with` says.
fn service(one: &Upstream, two: &Upstream, with: impl FnOnce(&mut ServiceSettings)) -> Settings {
    let mut settings = settings(&[one.address, two.address], &[]);
    with(&mut settings.services[0]);
    settings
}

fn checks() -> HealthSettings {
    HealthSettings {
        path: "/healthz?deep".to_owned(),
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(1),
        rule: HealthRule { unhealthy_after: 2, healthy_after: 2 },
        status: vec![200],
        host: Some("health.test".to_owned()),
    }
}

fn ejection(failures: u32, time: Duration) -> EjectionSettings {
    let longest = Duration::from_secs(600);
    let rule = EjectionRule { failures, connect_failures: failures, time, longest };
    EjectionSettings { rule, most: Weight::HALF }
}

impl Running {
    fn endpoints(&self) -> Vec<EndpointStatus> {
        self.path.endpoints().remove(0).1
    }

    /// Waits until the endpoints are in these states.
    async fn until(&self, states: &[EndpointState]) {
        let started = Instant::now();
        loop {
            let now: Vec<_> = self.endpoints().iter().map(|endpoint| endpoint.state).collect();
            if now == states {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{now:?}, not {states:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until so many requests are at endpoints.
    async fn until_active(&self, requests: u32) {
        let started = Instant::now();
        while self.endpoints().iter().filter_map(|endpoint| endpoint.active).sum::<u32>()
            != requests
        {
            assert!(started.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Bodies of the answers to so many GETs.
    async fn bodies(&self, requests: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        for _ in 0..requests {
            bodies.push(self.get("/").await.body);
        }
        bodies
    }

    fn asks(&self, request: String) -> tokio::task::JoinHandle<Answer> {
        let address = self.address;
        tokio::spawn(async move { ask(address, &request).await.unwrap() })
    }
}

use EndpointState::{Ejected, Healthy, Unhealthy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes_them_again() {
    let (one, two) = two().await;
    two.reply(Reply::Status(503));
    let running = Running::start(service(&one, &two, |it| it.health = Some(checks())), 0.0);
    running.until(&[Healthy, Unhealthy]).await;
    let check = two.seen().remove(0);
    assert!(check.starts_with("GET /healthz?deep HTTP/1.1\r\n"), "{check}");
    assert_eq!(super::lab::field(&check, "host"), Some("health.test"));
    assert_eq!(running.bodies(10).await, ["one"; 10]);
    assert_eq!(
        running.observed(10).await.stable.outcomes.of(Outcome::Ok),
        10,
        "checks do not count"
    );
    let why = running.endpoints().remove(1).why;
    assert_eq!(why.as_deref(), Some("answered 503"));

    // A reload that leaves the endpoint there does not make it well.
    let mut next = running.settings.clone();
    next.services[0].stable.endpoints.reverse();
    next.services[0].health =
        Some(HealthSettings { interval: Duration::from_secs(60), ..checks() });
    running.path.reconfigure(&next, table(&next, 0.0)).unwrap();
    let states: Vec<_> = running.endpoints().iter().map(|endpoint| endpoint.state).collect();
    assert_eq!(states, [Unhealthy, Healthy]);
    assert_eq!(running.bodies(4).await, ["one"; 4]);

    let back = running.settings.clone();
    running.path.reconfigure(&back, table(&back, 0.0)).unwrap();
    two.reply(Reply::Status(200));
    running.until(&[Healthy, Healthy]).await;
    assert!(running.bodies(6).await.contains(&"two".to_owned()));
    two.reply(Reply::Hang);
    running.until(&[Healthy, Unhealthy]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_fails_all_its_checks_is_still_judged_by_its_failures() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let canary = Upstream::start("canary", Reply::Status(500)).await;
    let mut settings = settings(&[stable.address], &[canary.address]);
    settings.services[0].health = Some(checks());
    settings.services[0].ejection = Some(ejection(2, Duration::from_secs(60)));
    settings.services[0].shield = false;
    let running = Running::start(settings, 100.0);
    running.until(&[Healthy, Unhealthy]).await;
    assert!(running.endpoints()[1].asked, "there is nobody else of its variant");
    for _ in 0..6 {
        assert_eq!(running.get("/").await.status, 500);
    }
    let seen = running.observed(6).await;
    assert_eq!(seen.canary.outcomes.of(Outcome::ServerError), 6);
    assert_eq!(seen.stable.outcomes.total(), 0);
    assert!(running.path.service_totals()[1].panic);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_whose_requests_fail_is_left_out_and_every_failure_counts() {
    let (one, two) = two().await;
    two.reply(Reply::Close);
    let long = ejection(3, Duration::from_secs(600));
    let running = Running::start(service(&one, &two, |it| it.ejection = Some(long)), 0.0);
    let mut failed = 0;
    for _ in 0..30 {
        failed += u64::from(running.ask(&post("x")).await.status == 502);
    }
    assert_eq!(failed, 3);
    assert_eq!(two.seen().len(), 3);
    running.until(&[Healthy, Ejected]).await;
    assert_eq!(running.path.totals()[0].totals.codes[4], 3, "each failure is stable's");
    assert_eq!((running.endpoints()[1].ejections, running.endpoints()[1].asked), (1, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ejected_endpoint_comes_back() {
    let (one, two) = two().await;
    two.reply(Reply::Status(500));
    let short = ejection(1, Duration::from_millis(100));
    let running = Running::start(service(&one, &two, |it| it.ejection = Some(short)), 0.0);
    let started = Instant::now();
    while running.endpoints()[1].ejections == 0 {
        assert!(started.elapsed() < PATIENCE);
        running.get("/").await;
    }
    two.reply(Reply::Status(200));
    running.until(&[Healthy, Healthy]).await;
    assert!(running.bodies(8).await.contains(&"two".to_owned()));
}

/// The request whose failure leaves an endpoint out is passed on to the other one like those before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_the_failure_that_ejects() {
    let (one, two) = two().await;
    two.reply(Reply::Status(503));
    let retry = RetrySettings { attempts: 1, status: vec![502, 503, 504] };
    let settings = service(&one, &two, |it| {
        it.retry = Some(retry);
        it.ejection = Some(ejection(2, Duration::from_secs(60)));
    });
    let running = Running::start(settings, 0.0);
    assert_eq!(running.bodies(12).await, ["one"; 12]);
    assert_eq!(running.endpoints()[1].ejections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotent_request_that_failed_is_asked_of_another_endpoint() {
    let (one, two) = two().await;
    two.reply(Reply::Status(503));
    let retry = RetrySettings { attempts: 1, status: vec![502, 503, 504] };
    let settings = service(&one, &two, |it| it.retry = Some(retry));
    let running = Running::start(settings, 0.0);
    assert_eq!(running.bodies(12).await, ["one"; 12]);
    let tried = two.seen().len() as u64;
    assert!(tried > 2, "{tried}");
    let seen = running.observed(12 + tried).await.stable;
    assert_eq!(seen.outcomes.of(Outcome::ServerError), tried, "what failed is not hidden");
    assert_eq!(running.path.service_totals()[0].retries, tried);
    two.reply(Reply::Close);
    assert_eq!(running.bodies(6).await, ["one"; 6]);
    two.reply(Reply::Status(500));
    let statuses: Vec<u16> = {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(running.get("/").await.status);
        }
        statuses
    };
    assert!(statuses.contains(&500), "500 is not among them: {statuses:?}");
    two.reply(Reply::Status(503));
    let mut posts = Vec::new();
    for _ in 0..6 {
        posts.push(running.ask(&post("x")).await.status);
    }
    assert!(posts.contains(&503), "a POST is never sent twice: {posts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shield_of_a_canary_comes_before_its_own_retries() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let (one, two) = two().await;
    one.reply(Reply::Status(503));
    two.reply(Reply::Status(503));
    let mut settings = settings(&[stable.address], &[one.address, two.address]);
    settings.services[0].retry = Some(RetrySettings { attempts: 2, status: vec![503] });
    let running = Running::start(settings.clone(), 100.0);
    assert_eq!(running.get("/").await.body, "stable");
    assert_eq!(one.seen().len() + two.seen().len(), 1);
    settings.services[0].shield = false;
    let running = Running::start(settings, 100.0);
    assert_eq!(running.get("/").await.status, 503);
    let seen = running.observed(3).await;
    assert_eq!(seen.canary.outcomes.of(Outcome::ServerError), 3, "and each attempt is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_has_its_own_time_and_the_request_as_well() {
    let (one, two) = two().await;
    two.reply(Reply::Hang);
    let settings = service(&one, &two, |it| {
        it.timeouts.attempt = Some(Duration::from_millis(700));
        it.retry = Some(RetrySettings { attempts: 1, status: vec![504] });
    });
    let running = Running::start(settings, 0.0);
    assert_eq!(running.bodies(4).await, ["one"; 4]);
    let tried = two.seen().len() as u64;
    let seen = running.observed(4 + tried).await.stable;
    assert_eq!(seen.outcomes.of(Outcome::Timeout), tried);

    let (one, two) = self::two().await;
    one.reply(Reply::Hang);
    two.reply(Reply::Hang);
    let settings = service(&one, &two, |it| {
        it.timeouts.total = Some(Duration::from_millis(200));
        it.retry = Some(RetrySettings { attempts: 5, status: vec![504] });
    });
    let running = Running::start(settings, 0.0);
    assert_eq!(running.get("/").await.status, 504);
    assert_eq!(running.observed(1).await.stable.outcomes.of(Outcome::Timeout), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_beyond_the_limit_is_turned_away_and_blamed_on_nobody() {
    let told = Arc::new(Notify::new());
    let one = Upstream::start("one", Reply::When(Arc::clone(&told))).await;
    let mut settings = settings(&[one.address], &[]);
    settings.services[0].limits = ConcurrencySettings { max_connections: Some(1), max_pending: 1 };
    settings.services[0].timeouts.connect = Duration::from_secs(120);
    settings.services[0].timeouts.read = Duration::from_secs(120);
    let running = Running::start(settings, 0.0);
    let first = running.asks(get("/first"));
    one.until_seen(1).await;
    let second = running.asks(get("/second"));
    // Of these two one waits and the other is turned away at once, whichever came first.
    let third = running.asks(get("/third"));
    let started = Instant::now();
    while running.path.service_totals()[0].refused == 0 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    told.notify_one();
    assert_eq!(first.await.unwrap().status, 200);
    one.until_seen(2).await;
    told.notify_one();
    let mut statuses = [second.await.unwrap().status, third.await.unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    let seen = running.observed(2).await.stable;
    assert_eq!(seen.outcomes.of(Outcome::Ok), 2);
    assert_eq!(running.path.service_totals()[0].refused, 1);
    counted(&running, Reason::Full, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_waited_for_in_vain_is_the_fault_of_the_slow_upstream() {
    let one = Upstream::start("one", Reply::Hang).await;
    let mut settings = settings(&[one.address], &[]);
    settings.services[0].limits = ConcurrencySettings { max_connections: Some(1), max_pending: 1 };
    settings.services[0].timeouts.connect = Duration::from_millis(100);
    settings.services[0].timeouts.read = Duration::from_secs(120);
    let running = Running::start(settings, 0.0);
    let first = running.asks(get("/first"));
    one.until_seen(1).await;
    assert_eq!(running.get("/second").await.status, 503);
    assert_eq!(running.observed(1).await.stable.outcomes.of(Outcome::Timeout), 1);
    first.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_with_the_fewest_requests_is_asked() {
    for method in [Balance::LeastConnections, Balance::PowerOfTwo] {
        let (one, two) = two().await;
        let told = Arc::new(Notify::new());
        one.reply(Reply::When(Arc::clone(&told)));
        two.reply(Reply::When(Arc::clone(&told)));
        let running = Running::start(service(&one, &two, |it| it.balance.method = method), 0.0);
        let waiting = running.asks(get("/"));
        let started = Instant::now();
        while one.seen().len() + two.seen().len() == 0 {
            assert!(started.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (busy, free) = if one.seen().is_empty() { (two, one) } else { (one, two) };
        free.reply(Reply::Status(200));
        for _ in 0..10 {
            running.get("/").await;
            // A request gives its place back just after its answer was sent.
            running.until_active(1).await;
        }
        assert_eq!((busy.seen().len(), free.seen().len()), (1, 10));
        told.notify_one();
        assert_eq!(waiting.await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_user_reaches_the_same_endpoint() {
    let by_header = HashBy::Header("x-user".to_owned());
    let by_cookie = HashBy::Cookie("session".to_owned());
    for (by, header) in [(by_header, "x-user: "), (by_cookie, "cookie: a=b; session=")] {
        let (one, two) = two().await;
        let method = Balance::Hash(by);
        let running = Running::start(service(&one, &two, |it| it.balance.method = method), 0.0);
        for user in 0..20 {
            let line = format!("\r\n{header}user-{user}\r\n\r\n");
            let request = get("/").replace("\r\n\r\n", &line);
            let first = running.ask(&request).await.body;
            for _ in 0..3 {
                assert_eq!(running.ask(&request).await.body, first, "{line}");
            }
        }
        assert!(one.seen().len() > 8 && two.seen().len() > 8, "users are spread");
    }
    let (one, two) = two().await;
    let method = Balance::Hash(HashBy::ClientIp);
    let running = Running::start(service(&one, &two, |it| it.balance.method = method), 0.0);
    let bodies = running.bodies(8).await;
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_are_the_split_and_change_on_reload() {
    let (one, two) = two().await;
    let mut settings = service(&one, &two, |it| it.stable.endpoints[1].weight = 3);
    settings.server.threads = 1;
    let running = Running::start(settings, 0.0);
    running.bodies(16).await;
    assert_eq!((one.seen().len(), two.seen().len()), (4, 12));
    let mut next = running.settings.clone();
    next.services[0].stable.endpoints[1].weight = 1;
    running.path.reconfigure(&next, table(&next, 0.0)).unwrap();
    running.bodies(16).await;
    assert_eq!((one.seen().len(), two.seen().len()), (12, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_endpoint_ends_what_it_has_and_gets_nothing_new() {
    let (one, two) = two().await;
    let told = Arc::new(Notify::new());
    two.reply(Reply::When(Arc::clone(&told)));
    let mut settings = service(&one, &two, |_| ());
    settings.server.threads = 1;
    let running = Running::start(settings, 0.0);
    let in_flight = [running.asks(get("/")), running.asks(get("/"))];
    two.until_seen(1).await;
    let name = two.address.to_string();
    running.path.drain_endpoint("checkout", &name, true).unwrap();
    assert_eq!(running.bodies(6).await, ["one"; 6]);
    let last = running.path.drain_endpoint("checkout", &one.address.to_string(), true);
    assert_eq!(last, Err(DrainError::NobodyLeft(one.address.to_string())));
    told.notify_one();
    for answer in in_flight {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    // It stays so over a reload, also beside another endpoint.
    let mut next = running.settings.clone();
    let three = Upstream::start("three", Reply::Status(200)).await;
    next.services[0].stable.endpoints.push(endpoint(three.address));
    running.path.reconfigure(&next, table(&next, 0.0)).unwrap();
    assert!(!running.bodies(6).await.contains(&"two".to_owned()));
    two.reply(Reply::Status(200));
    running.path.drain_endpoint("checkout", &name, false).unwrap();
    assert!(running.bodies(6).await.contains(&"two".to_owned()));
    let states = running.endpoints();
    assert!(states.iter().all(|one| one.state == Healthy && one.variant == Variant::Stable));
}
