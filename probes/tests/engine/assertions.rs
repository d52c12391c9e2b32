//! Each kind of assertion holds once and fails once, with its exact message.

use crate::builder::*;
use crate::shop::Shop;
use regex::Regex;
use serde_json::{Value, json};
use serinus_config::{
    CssAssertion, Expect, HeaderAssertion, JsonAssertion, JsonSchema, JsonType, MaxPhases,
    Template, ValueCheck,
};
use serinus_models::Outcome;
use serinus_probes::Phase;
use std::sync::Arc;
use std::time::Duration;

async fn check(expect: Expect, expected: Option<&str>) {
    check_at("/json", expect, expected).await;
}

async fn check_at(path: &str, expect: Expect, expected: Option<&str>) {
    let shop = Shop::open().await;
    let run = run(&probe("p", vec![get(path).expect(expect)]), &shop.target).await;
    let expected = expected.map(|message| format!("step 1 `get {path}`: {message}"));
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
        ("$.no", ValueCheck::Absent, None),
        ("$.n", ValueCheck::Absent, Some("expected json `$.n` to be absent, got 3")),
        ("$.n", ValueCheck::Type(JsonType::Integer), None),
        (
            "$.n",
            ValueCheck::Type(JsonType::String),
            Some("expected json `$.n` to be of type string, got 3"),
        ),
        ("$.items", ValueCheck::Count(2), None),
        ("$.items[*].id", ValueCheck::Count(2), None),
        (
            "$.items",
            ValueCheck::Count(3),
            Some("expected json `$.items` to be there 3 times, got 2 values, the first {\"id\":1}"),
        ),
        ("$.n", ValueCheck::Less(3.5), None),
        ("$.n", ValueCheck::Less(3.0), Some("expected json `$.n` to be less than 3, got 3")),
        ("$.n", ValueCheck::Greater(2.0), None),
        (
            "$.name",
            ValueCheck::Greater(2.0),
            Some("expected json `$.name` to be greater than 2, got \"ann\""),
        ),
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
        ("x-no", ValueCheck::Absent, None),
        ("x-id", ValueCheck::Absent, Some("expected header `x-id` to be absent, got \"abc-1\"")),
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

#[tokio::test]
async fn elements_of_a_page() {
    let input = |attribute: Option<&str>, check| ("input", attribute.map(str::to_owned), check);
    let cases = [
        (input(None, ValueCheck::Exists), None),
        (("ul.cart", None, ValueCheck::Exists), Some("expected css `ul.cart` to exist, got none")),
        (("ul.cart", None, ValueCheck::Absent), None),
        (input(None, ValueCheck::Count(3)), None),
        (
            input(None, ValueCheck::Count(2)),
            Some("expected css `input` to be there 2 times, got 3 elements, the first \"\""),
        ),
        (input(Some("name"), equals(json!("password"))), None),
        (
            input(Some("type"), equals(json!("email"))),
            Some(
                "expected attribute `type` of css `input` to equal \"email\", \
                 got 2 elements, the first \"hidden\"",
            ),
        ),
        (input(Some("type"), matches("^pass")), None),
        (
            ("form", Some("action".to_owned()), matches("^/")),
            Some("expected attribute `action` of css `form` to match `^/`, got \"session\""),
        ),
    ];
    for ((selector, attribute, check), expected) in cases {
        let css = vec![CssAssertion { selector: selector.to_owned(), attribute, check }];
        check_at("/login", Expect { css, ..Expect::default() }, expected).await;
    }
    let of_text = [
        (".total", equals(json!("Total: 17.50 EUR")), None),
        (
            ".total",
            equals(json!("Total: 1.75 EUR")),
            Some("expected css `.total` to equal \"Total: 1.75 EUR\", got \"Total: 17.50 EUR\""),
        ),
        (".total", matches(r"^Total: \d"), None),
        (
            ".total",
            matches("USD"),
            Some("expected css `.total` to match `USD`, got \"Total: 17.50 EUR\""),
        ),
        (
            ".total",
            ValueCheck::Absent,
            Some("expected css `.total` to be absent, got \"Total: 17.50 EUR\""),
        ),
    ];
    for (selector, check, expected) in of_text {
        let css = vec![CssAssertion { selector: selector.to_owned(), attribute: None, check }];
        check_at("/cart?from=account", Expect { css, ..Expect::default() }, expected).await;
    }
}

#[tokio::test]
async fn a_body_by_its_schema() {
    let schema = |document: Value| {
        let validator = Arc::new(jsonschema::validator_for(&document).unwrap());
        Expect { json_schema: Some(JsonSchema { document, validator }), ..Expect::default() }
    };
    let items = json!({ "items": { "items": { "required": ["id"] } } });
    check(schema(json!({ "properties": items, "required": ["ok"] })), None).await;
    let wrong = json!({ "items": { "items": { "required": ["price"] } } });
    check(
        schema(json!({ "properties": wrong })),
        Some(
            "expected a body that conforms to the schema, \
             at `/items/0` \"price\" is a required property",
        ),
    )
    .await;
    check_at(
        "/cart?from=account",
        schema(json!({})),
        Some(
            "expected a body that conforms to the schema, \
             got a body that is not JSON: \"<p class=total>Total: 17.50 EUR</p>\"",
        ),
    )
    .await;
}

#[tokio::test]
async fn latency_of_each_phase() {
    let (second, instant) = (Duration::from_secs(5), Duration::from_nanos(1));
    let all = |limit| MaxPhases {
        resolve: Some(limit),
        connect: Some(limit),
        tls: Some(limit),
        processing: Some(limit),
        transfer: Some(limit),
    };
    let expect = |max_phases| Expect { max_phases, ..Expect::default() };
    check(expect(all(second)), None).await;
    let one = |phase: Phase| {
        let mut limits = MaxPhases::default();
        let limit = match phase {
            Phase::Resolve => &mut limits.resolve,
            Phase::Connect => &mut limits.connect,
            Phase::Tls => &mut limits.tls,
            Phase::Processing => &mut limits.processing,
            Phase::Transfer => &mut limits.transfer,
        };
        *limit = Some(instant);
        limits
    };
    let shop = Shop::open().await;
    // There is no TLS here, and what did not happen took no time.
    check(expect(one(Phase::Tls)), None).await;
    for phase in Phase::ALL.into_iter().filter(|phase| *phase != Phase::Tls) {
        let message = failure(vec![get("/json").expect(expect(one(phase)))], &shop.target).await;
        let wanted =
            format!("step 1 `get /json`: expected at most 1ns for {}, it took ", phase.as_str());
        assert!(message.starts_with(&wanted), "{message}");
    }
}
