//! Signals: a new configuration, a wrong one, many of them, and the end.

use nix::sys::signal::Signal;
use serinus_tests::browser::{Answer, Browser};
use serinus_tests::lab::{DEADLINE, Lab, command};
use serinus_tests::setup::Setup;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_says_where_and_why() {
    let mut lab = Lab::start(Setup::default()).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    let event = lab
        .reload(|setup| {
            setup.stages = vec![(50.0, "10m")];
            setup.rollout = "anomaly_treshold = 0.99";
        })
        .await;
    assert_eq!(event["kind"], "config_rejected", "{event:#}");
    let text = lab.setup.text(&serinus_tests::setup::Places {
        state: &lab.folder.path().join("state"),
        web: lab.web,
        admin: lab.admin_address,
        stable: lab.stable.address,
        canary: lab.canary.address,
    });
    let line = 1 + text.lines().position(|line| line.starts_with("anomaly_treshold")).unwrap();
    let place = format!("serinus.toml:{line}:1");
    let decision = lab.admin.get(&format!("/api/v1/decisions/{}", event["id"])).await.unwrap();
    let told = decision.to_string();
    assert!(told.contains(&place) && told.contains("anomaly_threshold"), "{place}: {told}");
    let status = lab.status().await;
    assert_eq!(status["weight"], 10.0, "{status:#}");
    let (code, output, errors) =
        command(&["check", "--config", lab.config().to_str().unwrap()]).await;
    assert_eq!(code, 1);
    let told = output + &errors;
    assert!(told.contains(&place) && told.contains("anomaly_threshold"), "{told}");
    // And the right one is taken again.
    let event = lab.reload(|setup| setup.rollout = "").await;
    assert_eq!(event["kind"], "config_reloaded", "{event:#}");
    lab.until("at 50%", |status| status["weight"] == 50.0).await;
}

/// The name of the configuration in force.
async fn hash(lab: &Lab) -> String {
    let proxy = lab.admin.get("/api/v1/proxy").await.unwrap();
    proxy["config_hash"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_thousand_reloads_under_load_lose_no_request() {
    let mut lab = Lab::start(Setup { sticky: "cookie", ..Setup::default() }).await;
    let load = lab.load(100.0);
    let deadline = Instant::now() + Duration::from_secs(150);
    let began = Instant::now();
    for number in 0..1000 {
        let before = hash(&lab).await;
        lab.setup.more = format!("# {number}\n");
        lab.write_config();
        lab.proxy.signal(Signal::SIGHUP);
        while hash(&lab).await == before {
            assert!(Instant::now() < deadline, "reload {number} is not in force\n{}", lab.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    println!("1000 reloads in {:?}", began.elapsed());
    let tally = load.finish().await;
    println!("{:?}", tally.all());
    assert!(tally.all().requests > 300);
    assert_eq!(tally.all().failures, 0, "{:?}", tally.mishaps());
}

/// What is on the metrics page of this name.
async fn series(lab: &Lab, name: &str) -> Vec<String> {
    let (_, page) = lab.metrics().await;
    page.lines()
        .filter(|line| !line.starts_with('#') && line.contains(name))
        .map(str::to_owned)
        .collect()
}

/// Threads and descriptors of the proxy.
fn held(lab: &Lab) -> (usize, usize) {
    let count = |what| {
        std::fs::read_dir(format!("/proc/{}/{what}", lab.proxy.pid().unwrap())).unwrap().count()
    };
    (count("task"), count("fd"))
}

#[tokio::test]
async fn what_is_configured_no_more_leaves_nothing_behind() {
    const ROUNDS: usize = 30;
    let mut lab = Lab::start(Setup::default()).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    let before = held(&lab);
    for number in 0..ROUNDS {
        let (stable, canary) = (lab.stable.address, lab.canary.address);
        let event = lab
            .reload(|setup| {
                setup.canary_version = format!("gone-{number}").leak();
                setup.more = format!(
                    r#"
[route.gone-{number}]
path_prefix = "/gone-{number}"
service = "gone-{number}"
[service.gone-{number}.stable]
version = "1"
endpoints = ["{stable}"]
[service.gone-{number}.canary]
version = "2"
endpoints = ["{canary}"]
[service.gone-{number}.health]
path = "/"
interval = "100ms"
[probe.gone-{number}]
service = "gone-{number}"
interval = "100ms"
[[probe.gone-{number}.step]]
get = "/"
"#
                );
            })
            .await;
        assert_eq!(event["kind"], "config_reloaded", "{event:#}");
        let name = format!("gone-{number}\"");
        let deadline = Instant::now() + DEADLINE;
        let is_probe = |line: &String| line.starts_with("serinus_probe_runs_total");
        while !series(&lab, &name).await.iter().any(is_probe) {
            assert!(Instant::now() < deadline, "nothing is probed\n{}", lab.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let event = lab
        .reload(|setup| {
            setup.canary_version = "1.9.0";
            setup.more.clear();
        })
        .await;
    assert_eq!(event["kind"], "config_reloaded", "{event:#}");
    assert_eq!(series(&lab, "gone-").await, Vec::<String>::new());
    let after = held(&lab);
    println!("threads and descriptors: {before:?} before, {after:?} after {ROUNDS} rounds");
    // Each may come and go by itself; one for each round may not stay.
    assert!(after.0 < before.0 + ROUNDS / 2 && after.1 < before.1 + ROUNDS, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_new_endpoint_is_used_after_a_reload_and_the_old_one_is_left() {
    let mut lab = Lab::start(Setup { probe: false, ..Setup::default() }).await;
    let other = serinus::demo::Shop::open(
        &serinus_tests::lab::binary(),
        "1.8.2",
        lab.setup.latency,
        77,
        lab.folder.path(),
    )
    .await
    .unwrap();
    let old = std::mem::replace(&mut lab.stable, other);
    let event = lab.reload(|_| ()).await;
    assert_eq!(event["kind"], "config_reloaded", "{event:#}");
    let before = old.counts(0).await.unwrap()["user"].clone();
    let mut browser = Browser::open(lab.web).await.unwrap();
    for _ in 0..50 {
        assert_eq!(browser.get("/").await.unwrap().status, 200);
    }
    assert_eq!(old.counts(0).await.unwrap()["user"], before);
    assert!(lab.stable.counts(0).await.unwrap()["user"].as_u64().unwrap() > 0);
}

/// A proxy that got SIGTERM while a request that takes `latency` milliseconds was under way.
async fn ending(latency: f64, grace: &'static str) -> (Lab, JoinHandle<anyhow::Result<Answer>>) {
    let stages = vec![(0.0, "10m")];
    let setup = Setup { latency, probe: false, grace, stages, ..Setup::default() };
    let lab = Lab::start(setup).await;
    let mut browser = Browser::open(lab.web).await.unwrap();
    let request = tokio::spawn(async move { browser.get("/products/1").await });
    let deadline = Instant::now() + DEADLINE;
    while lab.stable.counts(0).await.unwrap()["user"] == 0 {
        assert!(Instant::now() < deadline, "the request does not arrive");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    lab.proxy.signal(Signal::SIGTERM);
    (lab, request)
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight_and_then_ends() {
    let (mut lab, request) = ending(1_500.0, "20s").await;
    let answer = request.await.unwrap().expect("the request in flight is answered");
    assert_eq!(answer.status, 200);
    let began = Instant::now();
    let ended = lab.proxy.wait(DEADLINE).await.expect("the proxy ends");
    assert!(ended.success(), "{ended}\n{}", lab.log());
    println!("ended {:?} after the last answer", began.elapsed());
    assert!(Browser::open(lab.web).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn sigterm_cuts_what_takes_longer_than_the_grace_period() {
    let (mut lab, request) = ending(60_000.0, "1s").await;
    assert!(lab.proxy.wait(Duration::from_secs(30)).await.is_some(), "it waits for ever");
    assert!(request.await.unwrap().is_err());
}
