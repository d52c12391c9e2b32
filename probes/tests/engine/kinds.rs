//! Every kind of assertion and capture that the configuration knows holds once and fails once, with a message
//! that names the step, what was expected and what came. The kinds come from the configuration's own schema: a
//! new one without both cases fails here.

use crate::builder::{run, secrets};
use crate::scheduling::{checkout, next, pool, scheduler};
use crate::shop::Shop;
use crate::tls;
use serde_json::Value;
use serinus_config::{ProbeDefinition, Settings};
use serinus_probes::{ProbeRun, Runs, Target};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a case is run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Shop,
    /// One that speaks TLS.
    Encrypted,
    /// Against a canary whose prices are not stable's.
    BesideStable,
}

/// A kind, where, a step that holds, one that fails, and what its message says after the step's name; a
/// pattern, for times and ports.
type Case = (&'static str, Place, &'static str, &'static str, &'static str);

const CASES: [Case; 37] = [
    (
        "expect.status",
        Place::Shop,
        r#"get = "/json"
expect = { status = "2xx" }"#,
        r#"get = "/json"
expect = { status = 201 }"#,
        "expected status 201, got 200",
    ),
    (
        "expect.max_latency",
        Place::Shop,
        r#"get = "/json"
expect = { max_latency = "5s" }"#,
        r#"get = "/echo"
expect = { max_latency = "1ms" }"#,
        "expected the answer within 1ns, got it after .+",
    ),
    (
        "expect.max_phases.resolve",
        Place::Shop,
        r#"get = "/json"
expect = { max_phases = { resolve = "5s" } }"#,
        r#"get = "/json"
expect = { max_phases = { resolve = "1ms" } }"#,
        "expected at most 1ns for resolve, it took .+",
    ),
    (
        "expect.max_phases.connect",
        Place::Shop,
        r#"get = "/json"
expect = { max_phases = { connect = "5s" } }"#,
        r#"get = "/json"
expect = { max_phases = { connect = "1ms" } }"#,
        "expected at most 1ns for connect, it took .+",
    ),
    (
        "expect.max_phases.tls",
        Place::Encrypted,
        r#"get = "/json"
expect = { max_phases = { tls = "5s" } }"#,
        r#"get = "/json"
expect = { max_phases = { tls = "1ms" } }"#,
        "expected at most 1ns for tls, it took .+",
    ),
    (
        "expect.max_phases.processing",
        Place::Shop,
        r#"get = "/json"
expect = { max_phases = { processing = "5s" } }"#,
        r#"get = "/json"
expect = { max_phases = { processing = "1ms" } }"#,
        "expected at most 1ns for processing, it took .+",
    ),
    (
        "expect.max_phases.transfer",
        Place::Shop,
        r#"get = "/full"
expect = { max_phases = { transfer = "5s" } }"#,
        r#"get = "/full"
expect = { max_phases = { transfer = "1ms" } }"#,
        "expected at most 1ns for transfer, it took .+",
    ),
    (
        "expect.body_contains",
        Place::Shop,
        r#"get = "/json"
expect = { body_contains = "ann" }"#,
        r#"get = "/json"
expect = { body_contains = "bob" }"#,
        "expected a body that contains \"bob\", got .+",
    ),
    (
        "expect.body_matches",
        Place::Shop,
        r#"get = "/json"
expect = { body_matches = "a.n" }"#,
        r#"get = "/json"
expect = { body_matches = "^<" }"#,
        "expected a body that matches `\\^<`, got .+",
    ),
    (
        "expect.json_schema",
        Place::Shop,
        r#"get = "/json"
expect = { json_schema = { required = ["ok"] } }"#,
        r#"get = "/json"
expect = { json_schema = { required = ["price"] } }"#,
        "expected a body that conforms to the schema, .*\"price\" is a required property",
    ),
    (
        "expect.json.equals",
        Place::Shop,
        r#"get = "/json"
expect = { json = [{ path = "$.n", equals = 3 }] }"#,
        r#"get = "/json"
expect = { json = [{ path = "$.n", equals = 4 }] }"#,
        "expected json `\\$\\.n` to equal 4, got 3",
    ),
    (
        "expect.json.matches",
        Place::Shop,
        r#"get = "/json"
expect = { json = [{ path = "$.name", matches = "^a" }] }"#,
        r#"get = "/json"
expect = { json = [{ path = "$.name", matches = "^b" }] }"#,
        "expected json `\\$\\.name` to match `\\^b`, got \"ann\"",
    ),
    (
        "expect.json.exists",
        Place::Shop,
        r#"get = "/json"
expect = { json = [{ path = "$.no", exists = false }] }"#,
        r#"get = "/json"
expect = { json = [{ path = "$.no", exists = true }] }"#,
        "expected json `\\$\\.no` to exist, got none",
    ),
    (
        "expect.json.type",
        Place::Shop,
        r#"get = "/json"
expect = { json = [{ path = "$.n", type = "integer" }] }"#,
        r#"get = "/json"
expect = { json = [{ path = "$.n", type = "string" }] }"#,
        "expected json `\\$\\.n` to be of type string, got 3",
    ),
    (
        "expect.json.count",
        Place::Shop,
        r#"get = "/json"
expect = { json = [{ path = "$.items", count = 2 }] }"#,
        r#"get = "/json"
expect = { json = [{ path = "$.items", count = 3 }] }"#,
        "expected json `\\$\\.items` to be there 3 times, got 2 values, .+",
    ),
    (
        "expect.json.less",
        Place::Shop,
        r#"get = "/json"
expect = { json = [{ path = "$.n", less = 4 }] }"#,
        r#"get = "/json"
expect = { json = [{ path = "$.n", less = 3 }] }"#,
        "expected json `\\$\\.n` to be less than 3, got 3",
    ),
    (
        "expect.json.greater",
        Place::Shop,
        r#"get = "/json"
expect = { json = [{ path = "$.n", greater = 2 }] }"#,
        r#"get = "/json"
expect = { json = [{ path = "$.n", greater = 3 }] }"#,
        "expected json `\\$\\.n` to be greater than 3, got 3",
    ),
    (
        "expect.css.attribute",
        Place::Shop,
        r#"get = "/login"
expect = { css = [{ selector = "form", attribute = "method", equals = "post" }] }"#,
        r#"get = "/login"
expect = { css = [{ selector = "form", attribute = "method", equals = "get" }] }"#,
        "expected attribute `method` of css `form` to equal \"get\", got \"post\"",
    ),
    (
        "expect.css.equals",
        Place::Shop,
        r#"get = "/cart?from=account"
expect = { css = [{ selector = ".total", equals = "Total: 17.50 EUR" }] }"#,
        r#"get = "/cart?from=account"
expect = { css = [{ selector = ".total", equals = "Total: 1 EUR" }] }"#,
        "expected css `\\.total` to equal \"Total: 1 EUR\", got \"Total: 17\\.50 EUR\"",
    ),
    (
        "expect.css.matches",
        Place::Shop,
        r#"get = "/cart?from=account"
expect = { css = [{ selector = ".total", matches = "EUR" }] }"#,
        r#"get = "/cart?from=account"
expect = { css = [{ selector = ".total", matches = "USD" }] }"#,
        "expected css `\\.total` to match `USD`, got \"Total: 17\\.50 EUR\"",
    ),
    (
        "expect.css.exists",
        Place::Shop,
        r#"get = "/login"
expect = { css = [{ selector = "form", exists = true }] }"#,
        r#"get = "/login"
expect = { css = [{ selector = "ul", exists = true }] }"#,
        "expected css `ul` to exist, got none",
    ),
    (
        "expect.css.count",
        Place::Shop,
        r#"get = "/login"
expect = { css = [{ selector = "input", count = 3 }] }"#,
        r#"get = "/login"
expect = { css = [{ selector = "input", count = 2 }] }"#,
        "expected css `input` to be there 2 times, got 3 elements, .+",
    ),
    (
        "expect.header.equals",
        Place::Shop,
        r#"get = "/json"
expect = { header = [{ name = "x-id", equals = "abc-1" }] }"#,
        r#"get = "/json"
expect = { header = [{ name = "x-id", equals = "abc" }] }"#,
        "expected header `x-id` to equal \"abc\", got \"abc-1\"",
    ),
    (
        "expect.header.matches",
        Place::Shop,
        r#"get = "/json"
expect = { header = [{ name = "x-id", matches = "^abc" }] }"#,
        r#"get = "/json"
expect = { header = [{ name = "x-id", matches = "^x" }] }"#,
        "expected header `x-id` to match `\\^x`, got \"abc-1\"",
    ),
    (
        "expect.header.exists",
        Place::Shop,
        r#"get = "/json"
expect = { header = [{ name = "x-no", exists = false }] }"#,
        r#"get = "/json"
expect = { header = [{ name = "x-no", exists = true }] }"#,
        "expected header `x-no` to exist, got none",
    ),
    (
        "expect.certificate_days_left",
        Place::Encrypted,
        r#"get = "/json"
expect = { certificate_days_left = 7 }"#,
        r#"get = "/json"
expect = { certificate_days_left = 3650 }"#,
        "expected a certificate that is valid for 3650 days more, got one with [0-9]+",
    ),
    (
        "expect.same_as_stable.json",
        Place::BesideStable,
        r#"get = "/price"
expect = { same_as_stable = { json = ["$.price", "$.answered"] } }"#,
        r#"get = "/price"
expect = { same_as_stable = { json = "$.answered" } }"#,
        "expected the body that stable sends, with `.*17\\.5.*`, got `.*1\\.75.*`",
    ),
    (
        "expect.same_as_stable.css",
        Place::BesideStable,
        r#"get = "/shelf"
expect = { same_as_stable = { css = ["b", ".now"] } }"#,
        r#"get = "/shelf"
expect = { same_as_stable = { css = ".now" } }"#,
        "expected the body that stable sends, with `.*17\\.5.*`, got `.*1\\.75.*`",
    ),
    (
        "expect.same_as_stable.matches",
        Place::BesideStable,
        r#"get = "/shelf"
expect = { same_as_stable = { matches = ["[0-9.]+ EUR", "00-[0-9a-f-]+"] } }"#,
        r#"get = "/shelf"
expect = { same_as_stable = { matches = "00-[0-9a-f-]+" } }"#,
        "expected the body that stable sends, with `.*17\\.5.*`, got `.*1\\.75.*`",
    ),
    (
        "capture.json",
        Place::Shop,
        r#"get = "/json"
capture = { it = { json = "$.n" } }"#,
        r#"get = "/json"
capture = { it = { json = "$.no" } }"#,
        "capture `it`: expected a value at json `\\$\\.no`, got none in .+",
    ),
    (
        "capture.header",
        Place::Shop,
        r#"get = "/json"
capture = { it = { header = "x-id" } }"#,
        r#"get = "/json"
capture = { it = { header = "x-no" } }"#,
        "capture `it`: expected header `x-no`, got none",
    ),
    (
        "capture.cookie",
        Place::Shop,
        r#"get = "/login"
capture = { it = { cookie = "session" } }"#,
        r#"get = "/json"
capture = { it = { cookie = "session" } }"#,
        "capture `it`: expected the answer to set cookie `session`, it did not",
    ),
    (
        "capture.regex",
        Place::Shop,
        r#"get = "/json"
capture = { it = { regex = "a.n" } }"#,
        r#"get = "/json"
capture = { it = { regex = "b.b" } }"#,
        "capture `it`: expected a body that matches `b\\.b`, got .+",
    ),
    (
        "capture.css",
        Place::Shop,
        r#"get = "/cart?from=account"
capture = { it = { css = ".total" } }"#,
        r##"get = "/cart?from=account"
capture = { it = { css = "#sum" } }"##,
        "capture `it`: expected an element at `#sum`, got a page without one",
    ),
    (
        "capture.attribute",
        Place::Shop,
        r#"get = "/login"
capture = { it = { css = "form", attribute = "action" } }"#,
        r#"get = "/login"
capture = { it = { css = "form", attribute = "title" } }"#,
        "capture `it`: expected attribute `title` at `form`, got <form .+",
    ),
    // Every answer has a status: what fails is the step, and nothing is kept of it.
    (
        "capture.status",
        Place::Shop,
        r#"get = "/none"
expect = { status = 404 }
capture = { it = { status = true } }"#,
        r#"get = "/none"
capture = { it = { status = true } }"#,
        "expected a status below 400, got 404",
    ),
    (
        "expect.same_as_stable",
        Place::BesideStable,
        r#"get = "/json"
expect = { same_as_stable = true }"#,
        r#"get = "/shelf"
expect = { same_as_stable = { css = ".now" } }"#,
        "expected the body that stable sends, .+",
    ),
];

/// Keys that say where to look and not what for.
const PLACES: [&str; 5] = ["path", "selector", "name", "attribute", "of"];

/// All kinds below `expect` and `capture`, from the schema of a step.
fn kinds() -> BTreeSet<String> {
    fn step(schema: &Value) -> Option<&Value> {
        match schema {
            Value::Object(fields) => {
                let properties = fields.get("properties");
                let found = properties.filter(|keys| keys.get("always_run").is_some());
                found.or_else(|| fields.values().find_map(step))
            }
            Value::Array(items) => items.iter().find_map(step),
            _ => None,
        }
    }
    /// The keys of the table in a list, a map or a choice.
    fn table(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
        if let Some(keys) = schema["properties"].as_object() {
            return Some(keys);
        }
        let inner =
            [&schema["items"], &schema["additionalProperties"]].into_iter().find_map(table_of);
        inner.or_else(|| schema["anyOf"].as_array()?.iter().find_map(table))
    }
    fn table_of(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
        schema.is_object().then(|| table(schema)).flatten()
    }
    let schema = serinus_config::schema();
    let step = step(&schema).expect("the schema of a step");
    let mut kinds = BTreeSet::new();
    for (name, kind) in step["expect"]["properties"].as_object().expect("the keys of expect") {
        match table(kind).filter(|_| name != "json_schema") {
            None => drop(kinds.insert(format!("expect.{name}"))),
            Some(keys) => {
                if kind["anyOf"].is_array() {
                    kinds.insert(format!("expect.{name}"));
                }
                // What is looked at and whether an element has it are one thing in `css`.
                let looked_at = |key: &&String| {
                    (name == "css" && *key == "attribute") || !PLACES.contains(&key.as_str())
                };
                let keys = keys.keys().filter(looked_at);
                kinds.extend(keys.map(|key| format!("expect.{name}.{key}")));
            }
        }
    }
    let captures = table(&step["capture"]).expect("the keys of capture");
    kinds.extend(captures.keys().map(|key| format!("capture.{key}")));
    kinds
}

fn definition(step: &str, encrypted: bool) -> ProbeDefinition {
    let tls = if encrypted { "tls = true" } else { "" };
    let text = format!(
        "[listener.web]\naddress = \"127.0.0.1:1\"\n[route.all]\nservice = \"checkout\"\n\
         [service.checkout]\n{tls}\nstable = {{ endpoints = [\"127.0.0.1:9\"] }}\n\
         [probe.p]\nservice = \"checkout\"\ninterval = \"1s\"\n[[probe.p.step]]\n{step}\n"
    );
    let settings: Settings =
        serinus_config::parse(&text, Path::new("s.toml")).unwrap_or_else(|why| panic!("{why}"));
    let mut probe = settings.probes[0].as_ref().clone();
    // The shortest limit that can be written is too long to be sure of on a fast machine.
    let expect = &mut probe.steps[0].expect;
    let phases = &mut expect.max_phases;
    let limits = [
        &mut expect.max_latency,
        &mut phases.resolve,
        &mut phases.connect,
        &mut phases.tls,
        &mut phases.processing,
        &mut phases.transfer,
    ];
    for limit in limits.into_iter().flatten().filter(|limit| limit.as_millis() == 1) {
        *limit = Duration::from_nanos(1);
    }
    probe
}

/// What a step came to in the place where it belongs; the canary's, where there are two.
async fn play(step: &str, place: Place) -> ProbeRun {
    let definition = definition(step, place == Place::Encrypted);
    match place {
        Place::Shop => run(&definition, &Shop::open().await.target).await,
        Place::Encrypted => {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let year = 1970 + (since_1970.as_secs() / 31_556_952) as i32;
            let (endpoint, authority, _serving) = tls::server_until(year + 2).await;
            let tls =
                serinus_probes::Tls::with_authority(authority.as_bytes(), "shop.test").unwrap();
            run(&definition, &Target { endpoint, tls: Some(tls), http2: false }).await
        }
        Place::BesideStable => {
            let (stable, canary) = (Shop::with_price(17.5).await, Shop::with_price(1.75).await);
            let (mut scheduler, mut rounds) = scheduler();
            let canary_pool = Some(pool("2", &[&canary.target]));
            let service =
                checkout(pool("1", &[&stable.target]), canary_pool, vec![Arc::new(definition)]);
            scheduler.apply(&[service], &secrets());
            match next(&mut rounds).await.runs {
                Runs::Both(pair) => pair.canary,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn every_kind_has_its_cases() {
    let known: BTreeSet<String> = CASES.iter().map(|(kind, ..)| (*kind).to_owned()).collect();
    assert_eq!(known.len(), CASES.len(), "one entry for each");
    assert_eq!(known, kinds(), "left: those with cases, right: those of the configuration");
}

#[tokio::test]
async fn every_kind_holds_and_fails_naming_the_step_what_was_expected_and_what_came() {
    for (kind, place, holds, fails, message) in CASES {
        let run = play(holds, place).await;
        assert_eq!(run.failure(), None, "{kind}");
        let run = play(fails, place).await;
        let said = run.failure().unwrap_or_else(|| panic!("{kind}: it holds"));
        let path = fails.split('"').nth(1).unwrap();
        let pattern = format!("^step 1 `get {}`: {message}$", regex::escape(path));
        assert!(regex::Regex::new(&pattern).unwrap().is_match(said), "{kind}: {said}\n{pattern}");
    }
}
