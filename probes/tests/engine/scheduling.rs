use crate::builder::*;
use crate::shop::Shop;
use serinus_config::{Differences, Expect, ProbeDefinition, SideEffect};
use serinus_models::{Outcome, ProbeRound};
use serinus_probes::{Inputs, Pool, Round, Runs, Scheduler, ServiceProbes, Target, Urgency};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A scheduler whose rounds come out of a channel.
pub(crate) fn scheduler() -> (Scheduler, UnboundedReceiver<Round>) {
    let (sender, receiver) = unbounded_channel();
    let hook = Arc::new(move |round: &Round| {
        let _ = sender.send(round.clone());
    });
    (Scheduler::new(1, hook), receiver)
}

pub(crate) async fn next(rounds: &mut UnboundedReceiver<Round>) -> Round {
    let round = tokio::time::timeout(Duration::from_secs(10), rounds.recv());
    round.await.expect("a round in time").expect("a scheduler that lives")
}

/// Passes over rounds of other probes; panics if none of this one comes.
async fn next_of(probe: &str, rounds: &mut UnboundedReceiver<Round>) {
    let wait = async { while &*next(rounds).await.probe != probe {} };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("a round of that probe");
}

pub(crate) fn pool(version: &str, targets: &[&Target]) -> Pool {
    let targets = targets.iter().map(|target| (*target).clone()).collect();
    Pool { version: version.to_owned(), targets }
}

fn every(name: &str, millis: u64, path: &str) -> Arc<ProbeDefinition> {
    let mut definition = probe(name, vec![get(path)]);
    definition.interval = Duration::from_millis(millis);
    Arc::new(definition)
}

pub(crate) fn checkout(
    stable: Pool,
    canary: Option<Pool>,
    probes: Vec<Arc<ProbeDefinition>>,
) -> ServiceProbes {
    ServiceProbes { service: "checkout".into(), stable, canary, probes, plain: None }
}

#[tokio::test]
async fn both_variants_get_the_same_inputs_and_their_difference_comes_out_of_the_drain() {
    let (stable, canary) = (Shop::open().await, Shop::broken().await);
    let (mut scheduler, mut rounds) = scheduler();
    let probes = vec![every("hash", 50, "/echo/{{ random.hex(16) }}")];
    let service =
        checkout(pool("1", &[&stable.target]), Some(pool("2", &[&canary.target])), probes);
    scheduler.apply(&[service], &secrets());
    let mut drained: Vec<ProbeRound> = Vec::new();
    for _ in 0..5 {
        let round = next(&mut rounds).await;
        let names: Vec<_> =
            round.runs.each().map(|(variant, run)| (variant, run.outcome)).collect();
        assert_eq!(names, [("stable", Outcome::Ok), ("canary", Outcome::ServerError)]);
        let Runs::Both(pair) = round.runs else { panic!("a pair") };
        assert_ne!(pair.stable.run, pair.canary.run, "each run has its name");
        drained.extend(scheduler.drain("checkout"));
    }
    assert!(drained.len() >= 5);
    for round in &drained {
        assert_eq!(&*round.probe, "hash");
        assert_eq!(round.results.stable.outcome, Outcome::Ok);
        assert_eq!(round.results.canary.outcome, Outcome::ServerError);
        assert!(round.results.stable.micros > 0);
    }
    let paths =
        |shop: &Shop| shop.seen().iter().map(|seen| seen.path.clone()).take(5).collect::<Vec<_>>();
    assert_eq!(paths(&stable), paths(&canary));
    assert_ne!(paths(&stable)[0], paths(&stable)[1], "rounds differ");
}

#[tokio::test]
async fn without_a_canary_stable_is_probed_for_metrics_and_nothing_is_drained() {
    let stable = Shop::open().await;
    let (mut scheduler, mut rounds) = scheduler();
    let service = checkout(pool("1", &[&stable.target]), None, vec![every("p", 50, "/json")]);
    scheduler.apply(&[service], &secrets());
    let round = next(&mut rounds).await;
    assert!(matches!(round.runs, Runs::StableOnly(run) if run.outcome == Outcome::Ok));
    assert_eq!(scheduler.drain("checkout"), []);
}

#[tokio::test]
async fn endpoints_of_a_pool_are_probed_in_turns() {
    let shops = [Shop::open().await, Shop::open().await, Shop::open().await];
    let (mut scheduler, mut rounds) = scheduler();
    let targets: Vec<&Target> = shops.iter().map(|shop| &shop.target).collect();
    scheduler
        .apply(&[checkout(pool("1", &targets), None, vec![every("p", 20, "/json")])], &secrets());
    let mut endpoints = Vec::new();
    for _ in 0..6 {
        let round = next(&mut rounds).await;
        endpoints.extend(round.runs.each().map(|(_, run)| run.endpoint.clone()));
    }
    assert_eq!(endpoints[..3], endpoints[3..]);
    endpoints.sort();
    endpoints.dedup();
    assert_eq!(endpoints.len(), 3);
}

#[tokio::test]
async fn suspicion_brings_a_round_at_once() {
    let (stable, canary) = (Shop::open().await, Shop::open().await);
    let (mut scheduler, mut rounds) = scheduler();
    let slow = every("slow", 3_600_000, "/json");
    let service =
        checkout(pool("1", &[&stable.target]), Some(pool("2", &[&canary.target])), vec![slow]);
    scheduler.apply(&[service], &secrets());
    let raised = Instant::now();
    scheduler.urgency("checkout", Urgency::Suspicion);
    scheduler.urgency("unknown", Urgency::Suspicion);
    next(&mut rounds).await;
    assert!(raised.elapsed() < Duration::from_secs(5));
    assert_eq!(scheduler.drain("checkout").len(), 1);
}

#[tokio::test]
async fn plain_requests_are_made_only_where_evidence_is_wanted_and_their_rounds_say_so() {
    let (stable, canary) = (Shop::open().await, Shop::broken().await);
    let (mut scheduler, mut rounds) = scheduler();
    let mut plain = probe("checkout-plain", vec![get("/").status(&[200, 404])]);
    plain.interval = Duration::from_millis(20);
    let service = ServiceProbes {
        plain: Some(Arc::new(plain)),
        ..checkout(pool("1", &[&stable.target]), Some(pool("2", &[&canary.target])), Vec::new())
    };
    scheduler.apply(std::slice::from_ref(&service), &secrets());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(rounds.try_recv().is_err() && stable.seen().is_empty());
    scheduler.urgency("checkout", Urgency::Suspicion);
    let round = next(&mut rounds).await;
    assert_eq!(&*round.probe, "checkout-plain");
    next(&mut rounds).await;
    assert!(scheduler.drain("checkout").iter().all(|round| round.plain));
    // A reload that gives it a probe of its own for that route ends the plain one.
    let own = vec![every("own", 20, "/json")];
    let service = ServiceProbes { probes: own, plain: None, ..service };
    scheduler.apply(&[service], &secrets());
    next_of("own", &mut rounds).await;
    assert_eq!(&*next(&mut rounds).await.probe, "own");
    assert!(scheduler.drain("checkout").iter().any(|round| !round.plain));
}

#[tokio::test]
async fn a_plain_round_that_fails_on_both_sides_says_nothing() {
    let (stable, canary) = (Shop::broken().await, Shop::broken().await);
    let (mut scheduler, mut rounds) = scheduler();
    let service = |plain: Option<Arc<ProbeDefinition>>, probes| ServiceProbes {
        plain,
        ..checkout(pool("1", &[&stable.target]), Some(pool("2", &[&canary.target])), probes)
    };
    let failing = every("failing", 20, "/json");
    scheduler.apply(&[service(Some(failing.clone()), Vec::new())], &secrets());
    scheduler.urgency("checkout", Urgency::Suspicion);
    next(&mut rounds).await;
    next(&mut rounds).await;
    assert_eq!(scheduler.drain("checkout"), []);
    // Of a probe that somebody wrote it says that both fail.
    scheduler.apply(&[service(None, vec![failing])], &secrets());
    next(&mut rounds).await;
    next(&mut rounds).await;
    assert!(!scheduler.drain("checkout").is_empty());
}

#[tokio::test]
async fn a_probe_that_is_out_of_date_is_no_fault_of_either_side() {
    let (stable, canary) = (Shop::open().await, Shop::open().await);
    let (mut scheduler, mut rounds) = scheduler();
    let mut outdated = probe("outdated", vec![get("/json").status(&[201])]);
    outdated.interval = Duration::from_millis(20);
    let service = checkout(
        pool("1", &[&stable.target]),
        Some(pool("2", &[&canary.target])),
        vec![Arc::new(outdated)],
    );
    scheduler.apply(&[service], &secrets());
    for _ in 0..2 {
        let round = next(&mut rounds).await;
        assert!(round.runs.each().all(|(_, run)| run.outcome == Outcome::Assertion));
    }
    assert_eq!(scheduler.drain("checkout"), []);
}

#[tokio::test]
async fn a_reload_restarts_changed_probes_alone_and_ends_removed_ones() {
    let stable = Shop::open().await;
    let (mut scheduler, mut rounds) = scheduler();
    let hour = 3_600_000;
    let service = |probes| checkout(pool("1", &[&stable.target]), None, probes);
    let (same, changed) = (every("same", 20, "/json"), every("changed", hour, "/json"));
    scheduler.apply(&[service(vec![same.clone(), changed])], &secrets());
    assert_eq!(&*next(&mut rounds).await.probe, "same");
    // The same text, read again: not the same allocation.
    let again = Arc::new(ProbeDefinition::clone(&same));
    let changed = every("changed", 20, "/login");
    scheduler.apply(&[service(vec![again, changed.clone()])], &secrets());
    next_of("changed", &mut rounds).await;
    assert!(stable.seen().iter().any(|seen| seen.path == "/login"));
    scheduler.apply(&[service(vec![changed])], &secrets());
    while rounds.try_recv().is_ok() {}
    // One that was ending may have been in the channel's way.
    for _ in 0..5 {
        assert_eq!(&*next(&mut rounds).await.probe, "changed");
    }
    scheduler.apply(&[], &secrets());
    while rounds.try_recv().is_ok() {}
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(rounds.try_recv().is_err());
}

#[tokio::test]
async fn rounds_against_another_version_are_forgotten_on_reload() {
    let (stable, canary) = (Shop::open().await, Shop::open().await);
    let (mut scheduler, mut rounds) = scheduler();
    let probes = vec![every("p", 3_600_000, "/json")];
    let service = |version: &str| {
        checkout(
            pool("1", &[&stable.target]),
            Some(pool(version, &[&canary.target])),
            probes.clone(),
        )
    };
    scheduler.apply(&[service("2")], &secrets());
    scheduler.urgency("checkout", Urgency::Raised);
    next(&mut rounds).await;
    scheduler.apply(&[service("2")], &secrets());
    assert_eq!(scheduler.drain("checkout").len(), 1, "nothing changed, nothing is forgotten");
    scheduler.urgency("checkout", Urgency::Suspicion);
    next(&mut rounds).await;
    scheduler.apply(&[service("3")], &secrets());
    assert_eq!(scheduler.drain("checkout"), []);
}

#[tokio::test]
async fn one_round_at_a_time_goes_on_and_the_others_are_left_out_and_counted() {
    let hang = crate::raw::Raw::open(&[""], crate::raw::Then::Hang).await;
    let (mut scheduler, mut rounds) = scheduler();
    let mut slow = probe("slow", vec![get("/")]);
    (slow.interval, slow.timeout) = (Duration::from_millis(50), Duration::from_millis(220));
    scheduler
        .apply(&[checkout(pool("1", &[&hang.target]), None, vec![Arc::new(slow)])], &secrets());
    assert_eq!(next(&mut rounds).await.left_out, 0);
    let second = next(&mut rounds).await;
    assert!((3..20).contains(&second.left_out), "{}", second.left_out);
}

#[tokio::test]
async fn a_reload_leaves_a_round_of_an_unchanged_probe_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::plain(listener.local_addr().unwrap().to_string());
    let (mut scheduler, mut rounds) = scheduler();
    let same = every("same", 3_600_000, "/");
    let service = |probe| checkout(pool("1", &[&target]), None, vec![probe]);
    scheduler.apply(&[service(same.clone())], &secrets());
    scheduler.urgency("checkout", Urgency::Suspicion);
    let (mut stream, _) = listener.accept().await.unwrap();
    scheduler.apply(&[service(Arc::new(ProbeDefinition::clone(&same)))], &secrets());
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let round = next(&mut rounds).await;
    assert!(round.runs.each().all(|(_, run)| run.outcome == Outcome::Ok));
}

#[tokio::test]
async fn rounds_that_find_no_place_are_left_out_and_counted_and_others_go_on() {
    let hang = crate::raw::Raw::open(&[""], crate::raw::Then::Hang).await;
    let (mut scheduler, mut rounds) = scheduler();
    let mut slow = probe("slow", vec![get("/")]);
    (slow.interval, slow.timeout) = (Duration::from_secs(3600), Duration::from_millis(400));
    let mut waiting = probe("waiting", vec![get("/")]);
    (waiting.interval, waiting.timeout) = (Duration::from_millis(50), Duration::from_millis(1));
    let mut inputs = Inputs::from(&secrets());
    inputs.concurrency = 1;
    let service =
        checkout(pool("1", &[&hang.target]), None, vec![Arc::new(slow), Arc::new(waiting)]);
    scheduler.apply(&[service], inputs);
    assert_eq!(&*next(&mut rounds).await.probe, "waiting", "there is a place");
    // The slow one takes the only place: the other one's rounds are dropped, not queued.
    scheduler.urgency("checkout", Urgency::Suspicion);
    let mut crowded = 0;
    loop {
        let round = next(&mut rounds).await;
        if &*round.probe == "slow" {
            break;
        }
        // Told of at once, while there is still no place.
        crowded += u32::from(matches!(round.runs, Runs::Crowded));
    }
    assert!((2..=9).contains(&crowded), "{crowded}");
    let after = loop {
        let round = next(&mut rounds).await;
        if !matches!(round.runs, Runs::Crowded) {
            break round;
        }
    };
    assert_eq!(&*after.probe, "waiting");
    assert!(
        after.lag < Duration::from_millis(400),
        "it did not wait for its place: {:?}",
        after.lag
    );
}

#[tokio::test]
async fn a_journey_that_charges_is_not_carried_out_again_where_answers_differ() {
    let (stable, canary) = (Shop::open().await, Shop::open().await);
    let (mut scheduler, mut rounds) = scheduler();
    let expect = Expect { same_as_stable: Some(Differences::default()), ..Expect::default() };
    let mut definition = probe("pay", vec![get("/shelf").expect(expect)]);
    definition.interval = Duration::from_secs(3600);
    for (side_effect, asked) in [(SideEffect::Charges, 1), (SideEffect::Creates, 3)] {
        definition.side_effect = side_effect;
        let canary_pool = Some(pool("2", &[&canary.target]));
        let probes = vec![Arc::new(definition.clone())];
        scheduler.apply(&[checkout(pool("1", &[&stable.target]), canary_pool, probes)], &secrets());
        scheduler.urgency("checkout", Urgency::Suspicion);
        next(&mut rounds).await;
        assert_eq!(stable.seen().len(), asked, "{side_effect:?}");
        scheduler.urgency("checkout", Urgency::Routine);
    }
}
