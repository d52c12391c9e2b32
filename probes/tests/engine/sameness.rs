//! A canary that answers 200 with something else than stable is caught by comparing the two.

use crate::builder::*;
use crate::scheduling::{checkout, next, pool, scheduler};
use crate::shop::Shop;
use serinus_config::{Differences, Expect, ProbeDefinition};
use serinus_models::{Outcome, Pair};
use serinus_probes::{ProbeRun, Runs};
use std::sync::Arc;
use std::time::Duration;

fn differing(json: &[&str], css: &[&str], patterns: &[&str]) -> Differences {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let patterns = patterns.iter().map(|pattern| regex::Regex::new(pattern).unwrap());
    Differences { json: owned(json), css: owned(css), patterns: patterns.collect() }
}

/// One round against shops with these prices.
async fn round(path: &str, may_differ: Differences, prices: (f64, f64)) -> Pair<ProbeRun> {
    let (stable, canary) = (Shop::with_price(prices.0).await, Shop::with_price(prices.1).await);
    let (mut scheduler, mut rounds) = scheduler();
    let expect = Expect { same_as_stable: Some(may_differ), ..Expect::default() };
    let definition = ProbeDefinition {
        interval: Duration::from_millis(50),
        ..probe("price", vec![get(path).expect(expect), get("/json")])
    };
    let canary_pool = Some(pool("2", &[&canary.target]));
    let service = checkout(pool("1", &[&stable.target]), canary_pool, vec![Arc::new(definition)]);
    scheduler.apply(&[service], &secrets());
    match next(&mut rounds).await.runs {
        Runs::Both(pair) => pair,
        other => panic!("there is a canary: {other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_price_in_a_200_is_the_canarys_failure() {
    let may_differ = differing(&["$.answered"], &[], &[]);
    let pair = round("/price", may_differ.clone(), (17.5, 1.75)).await;
    assert_eq!((pair.stable.outcome, pair.canary.outcome), (Outcome::Ok, Outcome::Assertion));
    assert_eq!(
        pair.canary.failure(),
        Some(
            "step 1 `get /price`: expected the body that stable sends, with \
             `{\"answered\":\"[may differ]\",\"price\":17.5}`, \
             got `{\"answered\":\"[may differ]\",\"price\":1.75}`"
        )
    );
    assert_eq!(pair.canary.steps.len(), 1, "what came after is not told as if nothing had been");
    let pair = round("/price", may_differ, (17.5, 17.5)).await;
    assert_eq!((pair.stable.outcome, pair.canary.outcome), (Outcome::Ok, Outcome::Ok));
}

#[tokio::test]
async fn what_stable_does_not_say_twice_is_no_evidence() {
    let pair = round("/price", Differences::default(), (17.5, 1.75)).await;
    assert_eq!((pair.stable.outcome, pair.canary.outcome), (Outcome::Ok, Outcome::Ok));
    assert_eq!(pair.canary.steps.len(), 2);
}

#[tokio::test]
async fn elements_and_text_may_differ_too() {
    for may_differ in
        [differing(&[], &["i.now"], &[]), differing(&[], &[], &["<i class=now>[^<]*</i>"])]
    {
        let pair = round("/shelf", may_differ.clone(), (17.5, 17.5)).await;
        assert_eq!(pair.canary.failure(), None);
        let pair = round("/shelf", may_differ, (17.5, 18.5)).await;
        assert!(pair.canary.failure().unwrap().contains("18.5 EUR"), "{:?}", pair.canary);
    }
}
