//! Every kind of assertion and capture that the configuration knows holds once and fails once, with a message
//! that names the step, what was expected and what came. The kinds come from the configuration's own schema: a
//! new one without both cases fails here.

use crate::builder::{run, secrets};
use crate::scheduling::{checkout, next, pool, scheduler};
use crate::shop::Shop;
use crate::tls;
use serde::Deserialize;
use serde_json::Value;
use serinus_config::{ProbeDefinition, Settings};
use serinus_probes::{ProbeRun, Runs, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a case is run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
enum Place {
    #[default]
    #[serde(rename = "shop")]
    Shop,
    /// One that speaks TLS.
    #[serde(rename = "encrypted")]
    Encrypted,
    /// Against a canary whose prices are not stable's.
    #[serde(rename = "beside stable")]
    BesideStable,
}

/// One of `kinds.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    place: Place,
    get: String,
    /// Where the failing rule asks, if not at the same place.
    fails_at: Option<String>,
    holds: String,
    fails: String,
    says: String,
}

/// By kind: `expect.status`.
fn cases() -> BTreeMap<String, Case> {
    toml::from_str(include_str!("kinds.toml")).unwrap_or_else(|why| panic!("kinds.toml: {why}"))
}

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
    let known: BTreeSet<String> = cases().into_keys().collect();
    assert_eq!(known, kinds(), "left: those with cases, right: those of the configuration");
}

#[tokio::test]
async fn every_kind_holds_and_fails_naming_the_step_what_was_expected_and_what_came() {
    for (kind, case) in cases() {
        let step = |path: &str, rule: &str| match kind.starts_with("capture.") {
            true => format!("get = {path:?}\ncapture = {{ it = {{ {rule} }} }}"),
            false => format!("get = {path:?}\nexpect = {{ {rule} }}"),
        };
        let run = play(&step(&case.get, &case.holds), case.place).await;
        assert_eq!(run.failure(), None, "{kind}");
        let path = case.fails_at.as_ref().unwrap_or(&case.get);
        let run = play(&step(path, &case.fails), case.place).await;
        let said = run.failure().unwrap_or_else(|| panic!("{kind}: it holds"));
        let pattern = format!("^step 1 `get {}`: {}$", regex::escape(path), case.says);
        assert!(regex::Regex::new(&pattern).unwrap().is_match(said), "{kind}: {said}\n{pattern}");
    }
}
