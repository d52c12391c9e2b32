//! Each kind of assertion holds once and fails once, with its exact message.

use crate::builder::*;
use crate::shop::Shop;
use regex::Regex;
use serde_json::{Value, json};
use serinus_config::{Expect, HeaderAssertion, JsonAssertion, Template, ValueCheck};
use serinus_models::Outcome;
use std::time::Duration;

async fn check(expect: Expect, expected: Option<&str>) {
    let shop = Shop::open().await;
    let run = run(&probe("p", vec![get("/json").expect(expect)]), &shop.target).await;
    let expected = expected.map(|message| format!("step 1 `get /json`: {message}"));
    assert_eq!(run.failure(), expected.as_deref());
    let outcome = if expected.is_some() { Outcome::Assertion } else { Outcome::Ok };
    assert_eq!(run.outcome, outcome);
}

fn matches(pattern: &str) -> ValueCheck {
    ValueCheck::Matches(Regex::new(pattern).unwrap())
}

fn equals(value: Value) -> ValueCheck {
    ValueCheck::Equals(value)
}

fn json_at(path: &str, check: ValueCheck) -> Expect {
    Expect { json: vec![JsonAssertion { path: path.to_owned(), check }], ..Expect::default() }
}

fn header(name: &str, check: ValueCheck) -> Expect {
    Expect { headers: vec![HeaderAssertion { name: name.to_owned(), check }], ..Expect::default() }
}

fn contains(text: &str) -> Expect {
    Expect { body_contains: vec![Template(text.to_owned())], ..Expect::default() }
}

fn body_matches(pattern: &str) -> Expect {
    Expect { body_matches: vec![Regex::new(pattern).unwrap()], ..Expect::default() }
}

const BODY: &str =
    r#""{\"ok\": true, \"n\": 3, \"name\": \"ann\", \"items\": [{\"id\": 1}, {\"id\": 2}]}""#;

#[tokio::test]
async fn status() {
    check(Expect { status: vec![200], ..Expect::default() }, None).await;
    check(
        Expect { status: vec![201, 302], ..Expect::default() },
        Some("expected status 201 or 302, got 200"),
    )
    .await;
}

#[tokio::test]
async fn an_unexpected_5xx_is_a_server_error_and_an_unexpected_4xx_an_assertion() {
    let shop = Shop::broken().await;
    let failed = run(&probe("p", vec![get("/x").status(&[201])]), &shop.target).await;
    assert_eq!(failed.outcome, Outcome::ServerError);
    assert_eq!(failed.failure(), Some("step 1 `get /x`: expected status 201, got 500"));
    succeed(vec![get("/x").status(&[500])], &shop.target).await;
    let shop = Shop::open().await;
    let failed = run(&probe("p", vec![get("/none")]), &shop.target).await;
    assert_eq!(failed.outcome, Outcome::Assertion);
    assert_eq!(failed.failure(), Some("step 1 `get /none`: expected a status below 400, got 404"));
}

#[tokio::test]
async fn latency() {
    let within = |limit| Expect { max_latency: Some(limit), ..Expect::default() };
    check(within(Duration::from_secs(5)), None).await;
    let shop = Shop::open().await;
    let message =
        failure(vec![get("/json").expect(within(Duration::from_nanos(1)))], &shop.target).await;
    let pattern =
        "^step 1 `get /json`: expected the answer within 1ns, got it after [0-9.]+(µs|ms)$";
    assert!(Regex::new(pattern).unwrap().is_match(&message), "{message}");
}

#[tokio::test]
async fn body() {
    check(contains(r#""name": "ann""#), None).await;
    let message = format!("expected a body that contains \"error\", got {BODY}");
    check(contains("error"), Some(&message)).await;
    check(body_matches(r#""n": \d+"#), None).await;
    let message = format!("expected a body that matches `^<html`, got {BODY}");
    check(body_matches("^<html"), Some(&message)).await;
}

#[tokio::test]
async fn json_values() {
    let cases = [
        ("$.ok", ValueCheck::Exists, None),
        ("$.no", ValueCheck::Exists, Some("expected json `$.no` to exist, got none")),
        ("$.n", equals(json!(3.0)), None),
        ("$.n", equals(json!("3")), Some("expected json `$.n` to equal \"3\", got 3")),
        ("$.name", equals(json!("{{ 'ann' }}")), None),
        ("$.items[*].id", equals(json!(2)), None),
        (
            "$.items[*].id",
            equals(json!(3)),
            Some("expected json `$.items[*].id` to equal 3, got 2 values, the first 1"),
        ),
        ("$.name", matches("^a"), None),
        ("$.name", matches("^b"), Some("expected json `$.name` to match `^b`, got \"ann\"")),
    ];
    for (path, rule, expected) in cases {
        check(json_at(path, rule), expected).await;
    }
}

#[tokio::test]
async fn json_of_a_body_that_is_none() {
    let shop = Shop::open().await;
    let step = get("/cart?from=account").expect(json_at("$.ok", equals(json!(true))));
    assert_eq!(
        failure(vec![step], &shop.target).await,
        "step 1 `get /cart?from=account`: expected json `$.ok` to equal true, \
         got a body that is not JSON: \"<p class=total>Total: 17.50 EUR</p>\""
    );
}

#[tokio::test]
async fn headers() {
    let cases = [
        ("x-id", ValueCheck::Exists, None),
        ("x-no", ValueCheck::Exists, Some("expected header `x-no` to exist, got none")),
        ("x-id", equals(json!("abc-1")), None),
        (
            "x-id",
            equals(json!("abc")),
            Some("expected header `x-id` to equal \"abc\", got \"abc-1\""),
        ),
        ("content-type", matches("^application/json"), None),
        (
            "content-type",
            matches("^text/"),
            Some("expected header `content-type` to match `^text/`, got \"application/json\""),
        ),
    ];
    for (name, rule, expected) in cases {
        check(header(name, rule), expected).await;
    }
}
