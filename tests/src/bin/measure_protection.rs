//! How quickly users are protected, measured on real processes: `measure_protection CASE RUNS`.
//!
//! Prints one JSON line per run and a summary. 200 requests/s, 10% of the users on the canary, one
//! probe twice a second, cookies; times are from the moment the canary's fault is in force to the
//! moment of the proxy's decision, in seconds.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use serinus::demo::{FaultKind, FaultOrder};
use serinus_tests::lab::Lab;
use serinus_tests::setup::Setup;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One kind of run.
struct Case {
    name: &'static str,
    kind: FaultKind,
    rate: f64,
    /// Share of requests that cannot be repeated.
    carts: f64,
    shield: bool,
    /// How long the fault lasts; none for ever.
    lasting: Option<Duration>,
    /// How long is watched for a rollback.
    watched: Duration,
}

const fn case(name: &'static str, kind: FaultKind, rate: f64) -> Case {
    let watched = Duration::from_secs(30);
    Case { name, kind, rate, carts: 0.0, shield: true, lasting: None, watched }
}

const fn passing(name: &'static str, kind: FaultKind, rate: f64, seconds: u64) -> Case {
    let lasting = Some(Duration::from_secs(seconds));
    Case { lasting, watched: Duration::from_secs(seconds + 20), ..case(name, kind, rate) }
}

const CASES: [Case; 9] = [
    case("all-500", FaultKind::Errors, 1.0),
    Case { carts: 0.05, ..case("all-500-with-orders", FaultKind::Errors, 1.0) },
    Case { shield: false, ..case("all-500-without-shield", FaultKind::Errors, 1.0) },
    case("fifth-500", FaultKind::Errors, 0.2),
    passing("blip", FaultKind::Blip, 0.5, 2),
    passing("cold-start", FaultKind::ColdStart, 0.2, 8),
    passing("shared", FaultKind::Shared, 0.5, 10),
    Case { watched: Duration::from_secs(600), ..case("healthy", FaultKind::None, 0.0) },
    Case { watched: Duration::from_secs(60), ..case("healthy-minute", FaultKind::None, 0.0) },
];

/// Requests on their way when the table is published: routed by the one before.
const UNDER_WAY_MS: u64 = 20;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

async fn run(case: &Case) -> anyhow::Result<Value> {
    let lab = Lab::start(Setup { sticky: "cookie", shield: case.shield, ..Setup::default() }).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    let load = lab.load_of(200.0, case.carts);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = load.tally.all().failures;
    let for_ms = case.lasting.map(|time| time.as_millis() as u64);
    let order = FaultOrder { kind: case.kind, rate: Some(case.rate), after_ms: 0, for_ms };
    if case.kind == FaultKind::Shared {
        lab.stable.order(&order).await?;
    }
    lab.canary.order(&order).await?;
    let struck = now();
    while now() < struck + case.watched.as_millis() as u64 {
        if lab.status().await["phase"] == "rolled_back" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Long enough that a user who should not be there would show.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let events = lab.events().await;
    let at = |kind: &str| {
        events.iter().find(|event| event["kind"] == kind).and_then(|event| event["at"].as_u64())
    };
    // Negative: before the fault, which would be a false alarm.
    let seconds = |kind: &str| at(kind).map(|at| (at as f64 - struck as f64) / 1000.0);
    let late = match (at("withdrawn"), at("restored")) {
        (Some(at), None) => Some(lab.canary.users_since(at + UNDER_WAY_MS).await?),
        _ => None,
    };
    let tally = load.finish().await;
    Ok(json!({
        "case": case.name,
        "requests": tally.all().requests,
        "user_visible_errors": tally.all().failures - before,
        "withdrawn_s": seconds("withdrawn"),
        "rolled_back_s": seconds("rolled_back"),
        "restored_s": seconds("restored"),
        "withdrawals": events.iter().filter(|event| event["kind"] == "withdrawn").count(),
        "users_on_canary_after_publish": late,
        // Above all for a healthy canary: what was held against it.
        "why": said(&events),
    }))
}

/// What the decisions about users said, each with its time in seconds after the first event.
fn said(events: &[Value]) -> Vec<String> {
    let first = events.first().and_then(|event| event["at"].as_u64()).unwrap_or_default();
    let decisions = ["anomaly_detected", "withdrawn", "restored", "rolled_back"];
    events
        .iter()
        .filter(|event| decisions.iter().any(|kind| event["kind"] == *kind))
        .map(|event| {
            let after = event["at"].as_u64().unwrap_or_default().saturating_sub(first) as f64 / 1e3;
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            format!("{after:.1} s {}: {}", text("kind"), text("text"))
        })
        .collect()
}

/// Smallest, median and largest of a field over the runs that have it, and how many have it.
fn spread(runs: &[Value], field: &str) -> Value {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| run[field].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    json!({
        "runs": values.len(),
        "min": values.first(),
        "median": values.get(values.len() / 2),
        "max": values.last(),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let names = CASES.map(|case| case.name).join(", ");
    let usage = format!("measure_protection CASE RUNS, where CASE is one of {names}");
    let name = arguments.next().with_context(|| usage.clone())?;
    let Some(case) = CASES.iter().find(|case| case.name == name) else { bail!(usage) };
    let count: usize = arguments.next().context(usage)?.parse()?;
    let mut runs = Vec::new();
    for _ in 0..count {
        let measured = run(case).await?;
        println!("{measured}");
        runs.push(measured);
    }
    let fields = [
        "user_visible_errors",
        "withdrawn_s",
        "rolled_back_s",
        "restored_s",
        "users_on_canary_after_publish",
    ];
    let summary: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), spread(&runs, field))).collect();
    println!("{}", json!({ "case": case.name, "runs": count, "summary": summary }));
    Ok(())
}
