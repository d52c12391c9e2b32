//! Pools without sockets: who is asked, and who is left out.

use super::super::recorder::Ending;
use super::place::Chosen;
use super::*;
use serinus_config::ConcurrencySettings;
use serinus_routing::Weight;
use serinus_routing::balance::{EjectionRule, RequestKey};

const SHARD: Shard = Shard::of_thread(0);
const SECOND: Duration = Duration::from_secs(1);

fn rules() -> Rules {
    Rules {
        balance: BalanceSettings::default(),
        health: None,
        ejection: None,
        limits: ConcurrencySettings::default(),
    }
}

fn ejecting() -> Rules {
    let rule =
        EjectionRule { failures: 3, connect_failures: 2, time: 10 * SECOND, longest: 60 * SECOND };
    Rules { ejection: Some(EjectionSettings { rule, most: Weight::FULL }), ..rules() }
}

fn pool_with(names: &[&str], weights: &[u32], rules: Rules, before: &[&Arc<Pool>]) -> Arc<Pool> {
    let names: Arc<[Arc<str>]> = names.iter().map(|name| Arc::from(*name)).collect();
    let upstream = Upstream::read(&serinus_config::TransportSettings::default()).unwrap();
    Arc::new(Pool::new(&"shop".into(), &names, weights, rules, Arc::new(upstream), 1, before))
}

fn three(rules: Rules) -> Arc<Pool> {
    pool_with(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"], &[1, 1, 1], rules, &[])
}

fn ask(pool: &Arc<Pool>, tried: Option<u16>) -> Chosen {
    let tried = tried.map(|port| format!("127.0.0.1:{port}").parse().unwrap());
    pool.choose(SHARD, tried, None).unwrap()
}

fn ports(pool: &Arc<Pool>, requests: usize) -> Vec<u16> {
    (0..requests).map(|_| ask(pool, None).address.port()).collect()
}

/// Asks until the endpoint at `port` is asked, and ends that request as `ending`.
fn end(pool: &Arc<Pool>, port: u16, ending: Ending, now: Instant) {
    let chosen = (0..100).map(|_| ask(pool, None)).find(|chosen| chosen.address.port() == port);
    chosen.unwrap().engaged.unwrap().note(ending, now);
}

#[test]
fn endpoints_take_turns_and_the_one_that_failed_is_passed_over() {
    let pool = three(rules());
    assert_eq!(ports(&pool, 6), [1, 2, 3, 1, 2, 3]);
    assert_eq!(ask(&pool, Some(1)).address.port(), 2);
    let weighted = pool_with(&["127.0.0.1:1", "127.0.0.1:2"], &[1, 3], rules(), &[]);
    assert_eq!(ports(&weighted, 8).iter().filter(|port| **port == 2).count(), 6);
    for _ in 0..8 {
        assert_eq!(ask(&weighted, Some(2)).address.port(), 1);
    }
}

#[test]
fn a_second_attempt_takes_nobodys_turn() {
    for rules in [rules(), ejecting()] {
        let pool = pool_with(&["127.0.0.1:1", "127.0.0.1:2"], &[1, 1], rules, &[]);
        let first = |_| {
            let port = ask(&pool, None).address.port();
            if port == 2 {
                assert_eq!(ask(&pool, Some(2)).address.port(), 1);
            }
            port
        };
        assert_eq!((0..6).map(first).collect::<Vec<_>>(), [1, 2, 1, 2, 1, 2]);
    }
}

#[test]
fn whoever_fails_in_a_row_is_left_out_for_a_while_and_comes_back() {
    let pool = three(ejecting());
    let now = Instant::now();
    for ending in [Ending::ServerError, Ending::Reset, Ending::Success, Ending::ServerError] {
        end(&pool, 2, ending, now);
    }
    end(&pool, 2, Ending::Timeout, now);
    assert!(ports(&pool, 6).contains(&2), "two in a row are not enough");
    end(&pool, 2, Ending::ServerError, now);
    assert!(!ports(&pool, 6).contains(&2));
    assert_eq!(pool.status(serinus_routing::Variant::Stable, now)[1].state, EndpointState::Ejected);
    pool.tend(now + 9 * SECOND);
    assert!(!ports(&pool, 6).contains(&2));
    pool.tend(now + 11 * SECOND);
    assert!(ports(&pool, 6).contains(&2));
    for _ in 0..2 {
        end(&pool, 2, Ending::ConnectError, now + 12 * SECOND);
    }
    pool.tend(now + 31 * SECOND);
    assert!(!ports(&pool, 6).contains(&2), "the second time in a row it is twice as long");
    pool.tend(now + 33 * SECOND);
    assert!(ports(&pool, 6).contains(&2));
}

#[test]
fn the_last_one_is_never_ejected_and_when_most_are_out_all_are_asked() {
    let pool = three(ejecting());
    let now = Instant::now();
    let fail = |port| (0..3).for_each(|_| end(&pool, port, Ending::ServerError, now));
    fail(1);
    assert_eq!(ports(&pool, 4).iter().filter(|port| **port == 1).count(), 0);
    assert!(!pool.is_in_panic());
    fail(2);
    // One of three is below the panic threshold: everybody is asked again, and fails visibly.
    assert!(pool.is_in_panic());
    let mut asked = ports(&pool, 3);
    asked.sort_unstable();
    assert_eq!(asked, [1, 2, 3]);
    fail(3);
    let states = pool.status(serinus_routing::Variant::Stable, now);
    assert_eq!(states[2].state, EndpointState::Healthy);
    let alone = pool_with(&["127.0.0.1:1"], &[1], ejecting(), &[]);
    (0..9).for_each(|_| end(&alone, 1, Ending::ConnectError, now));
    assert_eq!(ports(&alone, 2), [1, 1]);
}

#[test]
fn a_failed_check_takes_an_endpoint_out_and_a_reload_does_not_forget_it() {
    let health = HealthSettings {
        path: "/".to_owned(),
        interval: SECOND,
        timeout: SECOND,
        rule: serinus_routing::balance::HealthRule { unhealthy_after: 2, healthy_after: 1 },
        status: vec![200],
        host: None,
    };
    let checked = Rules { health: Some(health.clone()), ..rules() };
    let pool = three(checked.clone());
    let (name, second) = pool.instances().remove(1);
    pool.checked(&name, &second, &health, Ok(()));
    pool.checked(&name, &second, &health, Err("answered 500".to_owned()));
    assert_eq!(ports(&pool, 3), [1, 2, 3]);
    pool.checked(&name, &second, &health, Err("answered 500".to_owned()));
    assert_eq!(ports(&pool, 4).iter().filter(|port| **port == 2).count(), 0);
    let names = ["127.0.0.1:2", "127.0.0.1:4", "127.0.0.1:5"];
    let next = pool_with(&names, &[1, 1, 1], checked, &[&pool]);
    assert!(!ports(&next, 6).contains(&2));
    assert_ne!(next.key, pool.key);
    // What the old pool's last check says reaches the new one.
    pool.checked(&name, &second, &health, Ok(()));
    next.tend(Instant::now());
    assert!(ports(&next, 6).contains(&2));
    let unchecked = pool_with(&names, &[1, 1, 2], rules(), &[&next]);
    assert_eq!(unchecked.key, next.key, "the same endpoints keep their connections");
}

#[test]
fn newcomers_grow_into_their_share() {
    let slow = BalanceSettings { slow_start: 10 * SECOND, ..BalanceSettings::default() };
    let slow = Rules { balance: slow, ..rules() };
    let one = pool_with(&["127.0.0.1:1"], &[1], slow.clone(), &[]);
    let both = pool_with(&["127.0.0.1:1", "127.0.0.1:2"], &[1, 1], slow, &[&one]);
    let share = |pool: &Arc<Pool>| ports(pool, 1_100).iter().filter(|port| **port == 2).count();
    let early = share(&both);
    assert!((95..=130).contains(&early), "{early} of 1100 at first");
    both.tend(Instant::now() + 11 * SECOND);
    assert_eq!(share(&both), 550);
}

#[test]
fn the_least_busy_is_asked_and_full_ones_are_not() {
    let least = BalanceSettings { method: Balance::LeastConnections, ..BalanceSettings::default() };
    let limits = ConcurrencySettings { max_connections: Some(2), max_pending: 0 };
    let pool = three(Rules { balance: least, limits, ..rules() });
    let mut held: Vec<Chosen> = (0..6).map(|_| ask(&pool, None)).collect();
    let mut busy: Vec<u16> = held.iter().map(|chosen| chosen.address.port()).collect();
    busy.sort_unstable();
    assert_eq!(busy, [1, 1, 2, 2, 3, 3]);
    assert_eq!(pool.choose(SHARD, None, None).unwrap_err(), Unavailable::Full);
    let freed = held.remove(4).address;
    assert_eq!(ask(&pool, None).address, freed);
}

#[tokio::test]
async fn a_place_that_becomes_free_goes_to_whoever_waits() {
    let limits = ConcurrencySettings { max_connections: Some(1), max_pending: 1 };
    let pool = pool_with(&["127.0.0.1:1"], &[1], Rules { limits, ..rules() }, &[]);
    let held = ask(&pool, None);
    let waiting = Arc::clone(&pool);
    let waiting = tokio::spawn(async move { waiting.place(SHARD, None, None, 60 * SECOND).await });
    while pool.pending.load(Ordering::Acquire) == 0 {
        tokio::task::yield_now().await;
    }
    let refused = pool.place(SHARD, None, None, 60 * SECOND).await;
    assert_eq!(refused.unwrap_err(), Unavailable::Full);
    drop(held);
    let held = waiting.await.unwrap().unwrap();
    assert!(held.waited && held.engaged.is_some());
    let in_vain = pool.place(SHARD, None, None, Duration::from_millis(1)).await;
    assert_eq!(in_vain.unwrap_err(), Unavailable::WaitedInVain);
}

#[test]
fn the_same_key_reaches_the_same_endpoint_and_moves_only_when_that_is_out() {
    let by = Balance::Hash(HashBy::ClientIp);
    let hashed =
        Rules { balance: BalanceSettings { method: by, ..BalanceSettings::default() }, ..rules() };
    let pool = three(hashed);
    let port = |key: u32| {
        let key = RequestKey::of(&key.to_be_bytes());
        pool.choose(SHARD, None, Some(key)).unwrap().address.port()
    };
    let before: Vec<u16> = (0..300).map(port).collect();
    assert_eq!((0..300).map(port).collect::<Vec<_>>(), before);
    assert!([1, 2, 3].iter().all(|one| before.iter().filter(|port| *port == one).count() > 60));
    assert!(pool.drain("127.0.0.1:2", true, Instant::now()));
    for (key, before) in (0..300).zip(before) {
        let after = port(key);
        assert!(after != 2 && (before == 2 || after == before), "{key}: {before} -> {after}");
    }
}

#[test]
fn a_drained_endpoint_gets_nothing_until_it_is_ready_and_the_last_one_is_needed() {
    let pool = three(rules());
    let now = Instant::now();
    assert!(pool.drain("127.0.0.1:2", true, now));
    assert_eq!(ports(&pool, 4).iter().filter(|port| **port == 2).count(), 0);
    assert!(!pool.needs("127.0.0.1:1"));
    assert!(pool.drain("127.0.0.1:1", true, now));
    assert!(pool.needs("127.0.0.1:3") && !pool.needs("127.0.0.1:9"));
    assert!(!pool.drain("127.0.0.1:9", true, now));
    pool.drain("127.0.0.1:1", false, now);
    pool.drain("127.0.0.1:2", false, now);
    assert!(!pool.altered.load(Ordering::Acquire), "back on the short way");
}

#[tokio::test]
async fn a_name_is_resolved_off_the_path_and_kept_when_it_cannot_be() {
    let pool = pool_with(&["localhost:7", "name.invalid:8"], &[1, 1], rules(), &[]);
    assert_eq!(pool.choose(SHARD, None, None).unwrap_err(), Unavailable::Unresolved);
    pool.resolve().await;
    let found = ask(&pool, None).address;
    assert!(found.ip().is_loopback() && found.port() == 7, "{found}");
}

/// Messages that are logged while `doing`.
fn logged(doing: impl FnOnce()) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let writer = file.reopen().unwrap();
    let subscriber =
        tracing_subscriber::fmt().with_writer(std::sync::Mutex::new(writer)).with_ansi(false);
    tracing::subscriber::with_default(subscriber.finish(), doing);
    std::fs::read_to_string(file.path()).unwrap()
}

#[test]
fn that_too_few_are_well_is_said_once_however_often_the_configuration_is_read() {
    const TOO_FEW: &str = "too few endpoints are well";
    const ENOUGH: &str = "enough endpoints are well again";
    let (now, names) = (Instant::now(), ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    let said = logged(|| {
        let mut pool = pool_with(&names, &[1, 1, 1], ejecting(), &[]);
        for port in [1, 2] {
            (0..3).for_each(|_| end(&pool, port, Ending::ServerError, now));
        }
        for weight in 2..5 {
            pool = pool_with(&names, &[1, 1, weight], ejecting(), &[&pool]);
            assert!(pool.is_in_panic());
        }
        // Others of the same service are news.
        let other = pool_with(&["127.0.0.1:4"], &[1], ejecting(), &[&pool]);
        assert!(!other.is_in_panic());
        pool.tend(now + 11 * SECOND);
        assert!(!pool.is_in_panic());
    });
    assert_eq!((said.matches(TOO_FEW).count(), said.matches(ENOUGH).count()), (1, 1), "{said}");
    assert!(said.contains("127.0.0.1:2"), "which ones: {said}");
}
