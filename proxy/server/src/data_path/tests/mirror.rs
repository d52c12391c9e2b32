//! Copies of stable's requests for the canary: what is copied, when, and who notices.

use super::lab::{Reply, Upstream, field};
use super::{PATIENCE, Running, get, post, settings};
use serinus_models::Sample;
use serinus_routing::Weight;
use std::time::{Duration, Instant};

/// Nobody on the canary; so many percent of stable's requests copied to it.
async fn mirroring(percent: f64, reply: Reply) -> (Running, Upstream, Upstream) {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let canary = Upstream::start("canary", reply).await;
    let mut settings = settings(&[stable.address], &[canary.address]);
    settings.services[0].mirror = Weight::from_percent(percent).unwrap();
    let running = Running::start(settings, 0.0);
    (running, stable, canary)
}

/// Waits until so many copies were answered, and so many left out or in vain.
async fn until_mirrored(running: &Running, answered: u64, left_out: u64) {
    let began = Instant::now();
    loop {
        let told = running.path.mirrored();
        if (told[0].1, told[0].2) == (answered, left_out) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{told:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_asks_and_changes_nothing_is_copied_once_marked_and_counted_for_nobody() {
    let (running, stable, canary) = mirroring(100.0, Reply::Status(500)).await;
    running.path.mirror(|service| service == "checkout");
    for turn in 0..5 {
        let answer = running.get(&format!("/page/{turn}?q=1")).await;
        assert_eq!((answer.status, answer.variant()), (200, "stable"));
    }
    // What changes something, and what has a body, whatever it asks for.
    let with_body = post("item=7").replacen("POST", "GET", 1);
    let without = get("/item/7").replacen("GET", "DELETE", 1);
    for uncopied in [post("item=7"), with_body, without] {
        assert_eq!(running.ask(&uncopied).await.status, 200, "{uncopied}");
    }
    until_mirrored(&running, 5, 0).await;
    let copies = canary.seen();
    assert_eq!(copies.len(), 5);
    for copy in &copies {
        assert!(copy.starts_with("GET /page/") && copy.contains("?q=1 HTTP/1.1"), "{copy}");
        assert_eq!(field(copy, "x-serinus-mirror"), Some("1"), "{copy}");
        assert_eq!(field(copy, "host"), Some("shop.test"), "{copy}");
        assert_eq!(field(copy, "x-synthetic"), None, "{copy}");
    }
    assert!(stable.seen().iter().all(|seen| field(seen, "x-serinus-mirror").is_none()));
    let seen = running.observed(8).await;
    assert_eq!(seen.canary, Sample::default(), "a copy is no user's request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_is_a_share() {
    let (running, _stable, canary) = mirroring(25.0, Reply::Status(200)).await;
    running.path.mirror(|_| true);
    for _ in 0..400 {
        running.get("/").await;
    }
    running.observed(400).await;
    // 5 sigma of a binomial(400, 0.25) are 43.
    let copies = canary.seen().len();
    assert!((57..=143).contains(&copies), "{copies} of 400");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_copied_unless_it_is_asked_for_and_the_canary_is_judged() {
    let (running, _stable, canary) = mirroring(100.0, Reply::Status(200)).await;
    running.get("/before").await;
    running.path.mirror(|_| true);
    running.get("/judged").await;
    until_mirrored(&running, 1, 0).await;
    running.path.mirror(|service| service != "checkout");
    running.get("/after").await;
    running.path.mirror(|_| true);
    running.get("/again").await;
    until_mirrored(&running, 2, 0).await;
    let paths: Vec<String> =
        canary.seen().iter().map(|seen| seen.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(paths, ["/judged", "/again"]);
    // Over a reload that leaves it on it goes on, and so does its count; one that switches it off is followed.
    let mut settings = running.settings.clone();
    settings.services[0].timeouts.read *= 2;
    running.path.reconfigure(&settings, super::table(&settings, 0.0)).unwrap();
    running.get("/reloaded").await;
    until_mirrored(&running, 3, 0).await;
    settings.services[0].mirror = Weight::ZERO;
    running.path.reconfigure(&settings, super::table(&settings, 0.0)).unwrap();
    running.path.mirror(|_| true);
    running.get("/off").await;
    assert_eq!((running.path.mirrored(), canary.seen().len()), (Vec::new(), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_never_answers_keeps_nobody_waiting_and_few_copies() {
    let (running, _stable, canary) = mirroring(100.0, Reply::Hang).await;
    running.path.mirror(|_| true);
    for _ in 0..100 {
        assert_eq!(running.get("/").await.variant(), "stable");
    }
    // What was not sent, and what was given up after the timeout of a request.
    until_mirrored(&running, 0, 100).await;
    assert_eq!(canary.seen().len(), 64, "so many at a time");
    assert_eq!(running.observed(100).await.canary, Sample::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_users_of_stable_are_copied() {
    let (running, _stable, canary) = mirroring(100.0, Reply::Status(200)).await;
    running.path.mirror(|_| true);
    running.get("/first").await;
    until_mirrored(&running, 1, 0).await;
    running.get("/second").await;
    until_mirrored(&running, 2, 0).await;
    assert_eq!(canary.seen().len(), 2);
    // Who is on the canary is seen there already.
    running.path.publish(super::table(&running.settings, 100.0));
    assert_eq!(running.get("/user").await.variant(), "canary");
    running.observed(3).await;
    let copies =
        canary.seen().iter().filter(|seen| field(seen, "x-serinus-mirror").is_some()).count();
    assert_eq!((copies, canary.seen().len()), (2, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_passes_for_a_copy_and_an_upgrade_is_none() {
    let (running, stable, canary) = mirroring(100.0, Reply::Status(200)).await;
    running.path.mirror(|_| true);
    let forged = get("/").replace("connection", "x-serinus-mirror: 7\r\nconnection");
    running.ask(&forged).await;
    until_mirrored(&running, 1, 0).await;
    assert_eq!(field(&stable.seen()[0], "x-serinus-mirror"), None);
    assert_eq!(field(&canary.seen()[0], "x-serinus-mirror"), Some("1"));
    let upgrade =
        "GET / HTTP/1.1\r\nhost: shop.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    running.ask(upgrade).await;
    running.get("/last").await;
    until_mirrored(&running, 2, 0).await;
    assert!(canary.seen()[1].starts_with("GET /last"), "{:?}", canary.seen());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_keep_their_connections_and_one_whose_answer_is_endless_is_hung_up() {
    let (running, _stable, canary) = mirroring(100.0, Reply::Status(200)).await;
    running.path.mirror(|_| true);
    let workers = running.settings.server.threads as u64;
    for turn in 1..=5 * workers {
        running.get("/").await;
        until_mirrored(&running, turn, 0).await;
    }
    assert!(canary.connections() as u64 <= workers, "{} connections", canary.connections());
    let before = canary.connections();
    canary.reply(Reply::Large(3 << 20));
    for turn in 1..=5 * workers {
        running.get("/").await;
        until_mirrored(&running, 5 * workers + turn, 0).await;
    }
    // At least those beyond the first of each worker had to open one.
    assert!(canary.connections() - before >= 4 * workers as usize, "{}", canary.connections());
}
