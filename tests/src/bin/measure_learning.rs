//! Whether training delays requests, measured on real processes: `measure_learning ROUNDS`.
//!
//! A proxy carries open-loop load; learning is switched on by a reload, so that a challenger is fitted to
//! 5,000 episodes beside the traffic, and off again for as long. Latencies count from the moment at which a
//! request was due, so that a stall shows in all that it delays. With and without take turns, the first of each
//! pair by turns as well. Prints one JSON line per window and a summary.

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use serinus_models::{
    CHECKPOINTS, Episode, Event, EventEvidence, Label, Pair, Timestamp, pretrain,
};
use serinus_tests::browser::Browser;
use serinus_tests::lab::{DEADLINE, Lab};
use serinus_tests::setup::Setup;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Episodes in the journal, of which so many different ones are played.
const EPISODES: u64 = 5_000;
const PLAYED: u64 = 600;
/// Requests per second, over so many connections.
const RATE: u32 = 400;
const CONNECTIONS: u32 = 16;
/// Longest wait for a training: it yields to everything else.
const TRAINING: Duration = Duration::from_secs(300);
const OFF: &str = "[learning]\nenabled = false";

/// Writes the labelled episodes into a journal that no proxy uses; not as events, of which there are lists.
fn teach(state: &Path) -> anyhow::Result<()> {
    let played = pretrain::episodes(1 << 41, PLAYED);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let first = now - EPISODES * 300_000;
    let mut journal = Connection::open(state.join("journal.sqlite"))?;
    let all = journal.transaction()?;
    for at in 0..EPISODES {
        let of = &played[at as usize % played.len()];
        let look = |age: &u32| Some((*age, of.at(u64::from(*age))?.features.clone()));
        let alarm_at = Timestamp(first + at * 300_000);
        let label = if of.sustained() { Label::Sustained } else { Label::Transient };
        let service = format!("service {}", at % 10);
        let episode = Episode {
            alarm_at,
            fired: EventEvidence {
                stream: "shop".into(),
                event: Event::Failure,
                e_value: 1e4,
                trials: Pair { stable: 500, canary: 50 },
                hits: Pair { stable: 1, canary: 40 },
            },
            withdrawn_at: Some(alarm_at),
            returned_at: None,
            label,
            why: "written by a bench".to_owned(),
            checkpoints: CHECKPOINTS.iter().filter_map(look).collect(),
        };
        let mut details = serde_json::to_value(&episode)?;
        details["deployed"] = json!(alarm_at.0 - 60_000);
        let (id, at) = (1_000 + at, alarm_at.0 + 300_000);
        all.execute(
            "INSERT INTO episodes (id, at, service, label, body) VALUES (?, ?, ?, ?, ?)",
            params![id, at, service, label.as_str(), details.to_string()],
        )?;
    }
    Ok(all.commit()?)
}

/// Load until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<Vec<u32>>>>,
}

impl Load {
    async fn start(lab: &Lab) -> anyhow::Result<Load> {
        let stop = Arc::new(AtomicBool::new(false));
        let every = Duration::from_secs(1) * CONNECTIONS / RATE;
        let mut tasks = Vec::new();
        for at in 0..CONNECTIONS {
            let (mut browser, stop) = (Browser::open(lab.web).await?, Arc::clone(&stop));
            let begin = Instant::now() + every * at / CONNECTIONS;
            tasks.push(tokio::spawn(async move {
                let mut took = Vec::new();
                for turn in 0.. {
                    let due = begin + every * turn;
                    tokio::time::sleep_until(due.into()).await;
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let answer = browser.get("/").await?;
                    ensure!(answer.status == 200, "answered {}", answer.status);
                    took.push(due.elapsed().as_micros() as u32);
                }
                Ok(took)
            }));
        }
        Ok(Load { stop, tasks })
    }

    async fn finish(self) -> anyhow::Result<Vec<u32>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await??);
        }
        Ok(all)
    }
}

/// Requests beside a whole training, and how long it took.
async fn with_training(lab: &mut Lab) -> anyhow::Result<(Vec<u32>, Duration)> {
    // Nothing was learned yet.
    let models = lab.folder.path().join("state/models");
    if models.exists() {
        std::fs::remove_dir_all(&models).context("the models of the round before")?;
    }
    let before = lab.events().await.len();
    let load = Load::start(lab).await?;
    let began = Instant::now();
    lab.reload(|setup| setup.more = String::new()).await;
    loop {
        let trained = |event: &Value| event["kind"] == "model_trained";
        if lab.events().await.iter().skip(before).any(trained) {
            break;
        }
        ensure!(began.elapsed() < TRAINING, "no model after {TRAINING:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (took, took_training) = (load.finish().await?, began.elapsed());
    lab.reload(|setup| setup.more = OFF.to_owned()).await;
    Ok((took, took_training))
}

/// Requests for as long, with nothing beside them but what asks for events as often.
async fn without_training(lab: &Lab, lasts: Duration) -> anyhow::Result<Vec<u32>> {
    let load = Load::start(lab).await?;
    let began = Instant::now();
    while began.elapsed() < lasts {
        lab.events().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.finish().await
}

fn figures(mut took: Vec<u32>) -> Value {
    took.sort_unstable();
    let at = |share: f64| {
        let place = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
        took.get(place).map(|micros| f64::from(*micros) / 1e3)
    };
    json!({ "requests": took.len(), "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "p999_ms": at(0.999) })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let rounds: u32 = std::env::args().nth(1).context("measure_learning ROUNDS")?.parse()?;
    let more = OFF.to_owned();
    let setup = Setup { stages: vec![(0.0, "24h")], latency: 2.0, more, ..Setup::default() };
    let mut lab = Lab::start(setup).await;
    lab.until_event("rollout_started").await;
    lab.proxy.signal(Signal::SIGKILL);
    lab.proxy.wait(DEADLINE).await.context("the proxy ends")?;
    teach(&lab.folder.path().join("state"))?;
    lab.restart(Signal::SIGKILL).await;
    let (mut with, mut without, mut lasts) = (Vec::new(), Vec::new(), Duration::from_secs(15));
    for round in 0..rounds {
        let first = round % 2 == 0;
        if !first {
            let took = without_training(&lab, lasts).await?;
            println!(
                "{}",
                json!({ "round": round, "training": false, "figures": figures(took.clone()) })
            );
            without.extend(took);
        }
        let (took, training) = with_training(&mut lab).await?;
        lasts = training;
        println!(
            "{}",
            json!({ "round": round, "training": true, "seconds": training.as_secs_f64(), "figures": figures(took.clone()) })
        );
        with.extend(took);
        if first {
            let took = without_training(&lab, lasts).await?;
            println!(
                "{}",
                json!({ "round": round, "training": false, "figures": figures(took.clone()) })
            );
            without.extend(took);
        }
    }
    println!(
        "{}",
        json!({ "rounds": rounds, "with_training": figures(with), "without": figures(without) })
    );
    Ok(())
}
