//! Start, reload under load, drain.

use super::lab::{Reply, Upstream, ask, exchange};
use super::{Running, get, settings, table};
use crate::data_path::DataPath;
use crate::lifecycle::Inherited;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_said_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(&[taken.local_addr().unwrap()], &[]);
    settings.listeners[0].address = taken.local_addr().unwrap();
    let path = super::DataPath::new(&settings, table(&settings, 0.0)).unwrap();
    let (_shutdown, shutting_down) = watch::channel(false);
    let error = format!("{:#}", path.serve(&settings, shutting_down).unwrap_err());
    let expected = format!("cannot listen on {} (listener web): ", settings.listeners[0].address);
    assert!(error.starts_with(&expected) && error.contains("in use"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_waits_for_requests_in_flight_and_for_nothing_else() {
    let told = Arc::new(Notify::new());
    let stable = Upstream::start("stable", Reply::When(Arc::clone(&told))).await;
    let running = Running::start(settings(&[stable.address], &[]), 0.0);
    let address = running.address;
    let _idle = TcpStream::connect(address).await.unwrap();
    let waiting = tokio::spawn(async move {
        ask(address, "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n").await.unwrap()
    });
    stable.until_seen(1).await;
    let stopping = tokio::spawn(running.stop());
    // The listener is gone while the request is still waiting.
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!stopping.is_finished());
    told.notify_one();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    let cut = tokio::time::timeout(Duration::from_secs(5), stopping).await;
    assert_eq!(cut.expect("well before the grace period").unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_grace_period_ends_what_does_not_end_itself() {
    let stable = Upstream::start("stable", Reply::Hang).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.server.grace_period = Duration::from_millis(300);
    settings.services[0].timeouts.read = Duration::from_secs(60);
    let running = Running::start(settings, 0.0);
    let address = running.address;
    let hanging = tokio::spawn(async move { ask(address, &get("/")).await });
    stable.until_seen(1).await;
    assert_eq!(running.stop().await, 1);
    assert!(hanging.await.unwrap().is_err());
}

/// A connection may be accepted, and its request sent, at the moment in which the listeners close: it is the
/// process before's to answer, or the next one's if it still waits in the queue that both hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_the_listeners_close_is_answered() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let mut settings = settings(&[stable.address], &[]);
    settings.listeners[0].address = "127.0.0.1:0".parse().unwrap();
    let mut inherited = Inherited::default();
    let mut waiting = Vec::new();
    for round in 0..100 {
        let path = DataPath::new(&settings, table(&settings, 0.0)).unwrap();
        let (shutdown, shutting_down) = watch::channel(false);
        let (handle, sockets) = path.serve_on(&settings, &mut inherited, shutting_down).unwrap();
        for mut client in waiting.drain(..) {
            let answer = super::lab::read_answer(&mut client).await;
            assert!(answer.is_ok_and(|answer| answer.status == 200), "before round {round}");
        }
        let address = handle.addresses()[0].1;
        shutdown.send_replace(true);
        // Without giving way: all of them come while the threads are about to end.
        for _ in 0..8 {
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.write_all(get("/").as_bytes()).unwrap();
            client.set_nonblocking(true).unwrap();
            waiting.push(TcpStream::from_std(client).unwrap());
        }
        tokio::task::spawn_blocking(|| handle.join()).await.unwrap();
        inherited = Inherited::new(sockets);
    }
}

/// Asks on one kept connection until told to stop; how many answers came.
async fn keep_asking(running: &Running, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let (address, stop) = (running.address, Arc::clone(stop));
    tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut answers = 0;
        while !stop.load(Ordering::Acquire) {
            let request = "GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n";
            assert_eq!(exchange(&mut stream, request).await.unwrap().status, 200);
            answers += 1;
        }
        answers
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_under_load_lose_no_request_and_no_count() {
    let one = Upstream::start("one", Reply::Status(200)).await;
    let two = Upstream::start("two", Reply::Status(200)).await;
    let running = Running::start(settings(&[one.address], &[two.address]), 50.0);
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(keep_asking(&running, &stop).await);
    }
    let counted = AtomicU64::new(0);
    let count = || {
        for live in running.path.drain("checkout") {
            let samples = live.samples;
            let total = samples.stable.outcomes.total() + samples.canary.outcomes.total();
            counted.fetch_add(total, Ordering::Relaxed);
        }
    };
    for turn in 0..1_000 {
        let mut next = running.settings.clone();
        if turn % 2 == 0 {
            next.services[0].stable.endpoints.reverse();
            next.services[0].timeouts.read = Duration::from_secs(3);
        }
        let published = table(&next, f64::from(turn % 100));
        running.path.reconfigure(&next, published).unwrap();
        count();
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Release);
    let mut answers = 0;
    for client in clients {
        answers += client.await.unwrap();
    }
    while running.path.in_flight() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    count();
    assert!(answers > 0);
    assert_eq!(counted.load(Ordering::Relaxed), answers);
    let totals: u64 =
        running.path.totals().iter().map(|route| route.totals.codes.iter().sum::<u64>()).sum();
    assert_eq!(totals, answers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_another_configuration_is_not_published() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let canary = Upstream::start("canary", Reply::Status(200)).await;
    let running = Running::start(settings(&[stable.address], &[]), 0.0);
    let other = settings(&[stable.address], &[canary.address]);
    running.path.publish(table(&other, 100.0));
    assert_eq!(running.get("/").await.variant(), "stable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_is_not_blamed_for_late_answers_of_the_last_one() {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let canary = Upstream::start("canary", Reply::Hang).await;
    let mut before = settings(&[stable.address], &[canary.address]);
    before.services[0].shield = false;
    let running = Running::start(before, 100.0);
    let address = running.address;
    let late = tokio::spawn(async move { ask(address, &get("/")).await.unwrap() });
    canary.until_seen(1).await;
    let mut next = running.settings.clone();
    if let Some(pool) = &mut next.services[0].canary {
        pool.version = "3".to_owned();
    }
    running.path.reconfigure(&next, table(&next, 100.0)).unwrap();
    assert_eq!(late.await.unwrap().status, 504);
    assert_eq!(running.path.drain("checkout"), []);
}
