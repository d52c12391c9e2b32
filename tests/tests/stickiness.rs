//! A user keeps their version while the weight grows.

use serinus::demo::{FaultKind, FaultOrder};
use serinus_tests::browser::Browser;
use serinus_tests::lab::Lab;
use serinus_tests::setup::Setup;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

const USERS: u16 = 400;

/// Users that the canary answers, each on a connection from an address of their own.
async fn canary_addresses(lab: &Lab) -> BTreeSet<u16> {
    let mut canary = BTreeSet::new();
    for user in 0..USERS {
        let [high, low] = user.to_be_bytes();
        let address = Ipv4Addr::new(127, 7, high, low.max(1));
        let mut browser = Browser::open_from(lab.web, address).await.unwrap();
        if browser.get("/").await.unwrap().version() == Some("1.9.0") {
            canary.insert(user);
        }
    }
    canary
}

async fn raise_to_ten(lab: &mut Lab) {
    let event = lab.reload(|setup| setup.stages = vec![(10.0, "10m")]).await;
    assert_eq!(event["kind"], "config_reloaded", "{event:#}");
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
}

#[tokio::test]
async fn raising_five_to_ten_percent_moves_no_address_back_to_stable() {
    let setup =
        Setup { stages: vec![(5.0, "10m")], sticky: "client_ip", latency: 0.0, ..Setup::default() };
    let mut lab = Lab::start(setup).await;
    lab.until("at 5%", |status| status["weight"] == 5.0).await;
    let at_five = canary_addresses(&lab).await;
    assert_eq!(canary_addresses(&lab).await, at_five, "the same address, the same version");
    raise_to_ten(&mut lab).await;
    let at_ten = canary_addresses(&lab).await;
    assert!(at_five.is_subset(&at_ten), "{at_five:?} {at_ten:?}");
    // 400 users at 5% and 10%: 4 sigma are 17 and 24.
    assert!((3..=37).contains(&at_five.len()), "{}", at_five.len());
    assert!((16..=64).contains(&at_ten.len()), "{}", at_ten.len());
}

#[tokio::test]
async fn a_cookie_keeps_a_browser_where_it_is_while_the_weight_grows() {
    let setup =
        Setup { stages: vec![(5.0, "10m")], sticky: "cookie", latency: 0.0, ..Setup::default() };
    let mut lab = Lab::start(setup).await;
    lab.until("at 5%", |status| status["weight"] == 5.0).await;
    let mut browsers = Vec::new();
    for _ in 0..USERS {
        browsers.push(Browser::open(lab.web).await.unwrap());
    }
    let mut first = Vec::new();
    for browser in &mut browsers {
        // The very first answer must already be the one that the cookie stands for.
        let version = browser.get("/").await.unwrap().version().map(str::to_owned);
        for _ in 0..4 {
            let again = browser.get("/products/1").await.unwrap();
            assert_eq!(again.version(), version.as_deref());
        }
        first.push(version.unwrap());
    }
    raise_to_ten(&mut lab).await;
    let mut moved = 0;
    for (browser, before) in browsers.iter_mut().zip(&first) {
        let now = browser.get("/").await.unwrap();
        if before == "1.9.0" {
            assert_eq!(now.version(), Some("1.9.0"), "moved back to stable");
        } else {
            moved += u32::from(now.version() == Some("1.9.0"));
        }
    }
    // A nineteenth of the others should have moved over: 400 x 5% = 20, and 4 sigma are 17.
    assert!((2..=40).contains(&moved), "{moved}");
}

/// The version that answers each browser.
async fn versions(browsers: &mut [Browser]) -> Vec<String> {
    let mut versions = Vec::new();
    for browser in browsers {
        versions.push(browser.get("/").await.unwrap().version().unwrap().to_owned());
    }
    versions
}

#[tokio::test]
async fn after_a_withdrawal_the_same_browsers_return_to_the_canary_and_no_cookie_holds_one_there() {
    let setup =
        Setup { stages: vec![(20.0, "10m")], latency: 0.0, sticky: "cookie", ..Setup::default() };
    let lab = Lab::start(setup).await;
    lab.until("at 20%", |status| status["weight"] == 20.0).await;
    let mut browsers = Vec::new();
    for _ in 0..100 {
        browsers.push(Browser::open(lab.web).await.unwrap());
    }
    let before = versions(&mut browsers).await;
    assert!(before.contains(&"1.9.0".to_owned()) && before.contains(&"1.8.2".to_owned()));
    let load = lab.load(150.0);
    while load.tally.all().requests < 500 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let blip =
        FaultOrder { kind: FaultKind::Blip, rate: Some(0.5), after_ms: 0, for_ms: Some(2000) };
    lab.canary.order(&blip).await.unwrap();
    lab.until("withdrawn", |status| status["withdrawn"] == true).await;
    let during = versions(&mut browsers).await;
    let still = lab.status().await["withdrawn"] == true;
    assert!(still && during.iter().all(|version| version == "1.8.2"), "{during:?}");
    lab.until("restored", |status| status["weight"] == 20.0).await;
    assert_eq!(versions(&mut browsers).await, before, "the same users, the same versions");
    load.finish().await;
}

#[tokio::test]
async fn a_header_decides_wherever_the_user_comes_from() {
    let setup = Setup {
        stages: vec![(30.0, "10m")],
        sticky: "header x-user-id",
        latency: 0.0,
        ..Setup::default()
    };
    let lab = Lab::start(setup).await;
    lab.until("at 30%", |status| status["weight"] == 30.0).await;
    let mut versions = BTreeSet::new();
    for user in 0..50_u8 {
        let name = format!("user-{user}");
        let mut seen = BTreeSet::new();
        for place in 1..4 {
            let address = Ipv4Addr::new(127, 8, place, user.max(1));
            let browser = Browser::open_from(lab.web, address).await.unwrap();
            let mut browser = browser.with("x-user-id", &name);
            let version = browser.get("/").await.unwrap().version().map(str::to_owned);
            seen.insert(version.unwrap());
        }
        assert_eq!(seen.len(), 1, "{name}: {seen:?}");
        versions.extend(seen);
    }
    assert_eq!(versions.len(), 2, "50 users at 30% see both versions");
}
