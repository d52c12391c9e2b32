//! Each kind of capture reaches a later step, and one that finds nothing fails with its exact message.

use crate::builder::*;
use crate::shop::Shop;
use regex::Regex;
use serinus_config::{Body, Capture, Step, Template};

/// Captures as `it` from the page at `path`, and sends it.
fn steps(path: &str, capture: Capture) -> Vec<Step> {
    let echo = Body::Raw(Template("[{{ it }}]".to_owned()));
    vec![get(path).capture("it", capture), request("POST", "/echo", echo)]
}

async fn finds(path: &str, capture: Capture, expected: &str) {
    let shop = Shop::open().await;
    succeed(steps(path, capture), &shop.target).await;
    assert_eq!(shop.seen().last().unwrap().body, format!("[{expected}]"));
}

async fn misses(path: &str, capture: Capture, expected: &str) {
    let shop = Shop::open().await;
    let message = failure(steps(path, capture), &shop.target).await;
    assert_eq!(message, format!("step 1 `get {path}`: capture `it`: {expected}"));
    assert_eq!(shop.seen().len(), 1, "the run ends there");
}

fn css(selector: &str, attribute: Option<&str>) -> Capture {
    Capture::Css { selector: selector.to_owned(), attribute: attribute.map(str::to_owned) }
}

fn regex(pattern: &str) -> Capture {
    Capture::Regex(Regex::new(pattern).unwrap())
}

const CART: &str = "/cart?from=account";

#[tokio::test]
async fn json() {
    finds("/json", Capture::Json("$.items[1].id".to_owned()), "2").await;
    finds("/json", Capture::Json("$.name".to_owned()), "ann").await;
    misses(
        "/json",
        Capture::Json("$.token".to_owned()),
        "expected a value at json `$.token`, got none in \"{\\\"ok\\\": true, \\\"n\\\": 3, \
         \\\"name\\\": \\\"ann\\\", \\\"items\\\": [{\\\"id\\\": 1}, {\\\"id\\\": 2}]}\"",
    )
    .await;
    misses(
        CART,
        Capture::Json("$.token".to_owned()),
        "expected a value at json `$.token`, got a body that is not JSON: \
         \"<p class=total>Total: 17.50 EUR</p>\"",
    )
    .await;
}

#[tokio::test]
async fn header() {
    finds("/json", Capture::Header("x-id".to_owned()), "abc-1").await;
    misses("/json", Capture::Header("x-no".to_owned()), "expected header `x-no`, got none").await;
}

#[tokio::test]
async fn cookie() {
    finds("/login", Capture::Cookie("session".to_owned()), "s1").await;
    misses(
        "/json",
        Capture::Cookie("session".to_owned()),
        "expected the answer to set cookie `session`, it did not",
    )
    .await;
}

#[tokio::test]
async fn regular_expression() {
    finds(CART, regex(r"Total: ([\d.]+)"), "17.50").await;
    finds(CART, regex(r"\d+\.\d+"), "17.50").await;
    misses(
        CART,
        regex("USD"),
        "expected a body that matches `USD`, got \"<p class=total>Total: 17.50 EUR</p>\"",
    )
    .await;
}

#[tokio::test]
async fn css_selector() {
    finds(CART, css(".total", None), "Total: 17.50 EUR").await;
    finds("/login", css("input[name=csrf]", Some("value")), crate::shop::CSRF).await;
    misses(CART, css("#sum", None), "expected an element at `#sum`, got a page without one").await;
    misses(
        CART,
        css(".total", Some("title")),
        "expected attribute `title` at `.total`, got <p class=\"total\">",
    )
    .await;
}

#[tokio::test]
async fn status() {
    finds("/json", Capture::Status, "200").await;
}
