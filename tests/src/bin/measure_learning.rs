//! Whether training delays requests, measured on real processes: `measure_learning ROUNDS`.
//!
//! A proxy carries open-loop load; learning is switched on by a reload, so that a challenger is fitted to
//! 5,000 episodes beside the traffic, and off again for as long. Latencies count from the moment at which a
//! request was due, so that a stall shows in all that it delays. With and without take turns, the first of each
//! pair by turns as well. Prints one JSON line per window and a summary: quantiles of both, and the ratio of the
//! p99 with an interval (the seconds are drawn anew, since what delays one request delays its neighbours). Beside
//! them, how long the proxy's threads, the learning one aside, were ready to run and had no core, as the kernel tells.
//!
//! The proxy, its learning included, has the first core for itself; users and endpoints have the others. So a training takes
//! nothing from them, and what users feel of it is what it does to the data path.

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use serinus_models::{
    CHECKPOINTS, Episode, Event, EventEvidence, Label, Pair, Timestamp, pretrain,
};
use serinus_tests::browser::Browser;
use serinus_tests::lab::{DEADLINE, Lab};
use serinus_tests::setup::Setup;
use std::collections::BTreeMap;
use std::fs;
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
/// Longest window: a training yields to everything else, so on a busy machine it may not end in it.
const LONGEST: Duration = Duration::from_secs(25);
/// How often seconds are drawn anew.
const DRAWS: usize = 2_000;
const OFF: &str = "[learning]\nenabled = false";
/// The thread that learns.
const LEARNING: &str = "learning";

/// Latencies in microseconds, by second of the window.
type Latencies = BTreeMap<u64, Vec<u32>>;

/// Writes the labelled episodes into a journal that no proxy uses; not as events, of which there are lists.
fn teach(state: &Path) -> anyhow::Result<()> {
    let played = pretrain::episodes(1 << 41, PLAYED);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let first = now - EPISODES * 300_000;
    let mut journal = Connection::open(state.join("journal.sqlite"))?;
    // Their records are left out: nobody reads them.
    journal.pragma_update(None, "foreign_keys", false)?;
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
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<Latencies>>>,
}

impl Load {
    async fn start(lab: &Lab) -> anyhow::Result<Load> {
        let stop = Arc::new(AtomicBool::new(false));
        let every = Duration::from_secs(1) * CONNECTIONS / RATE;
        let mut tasks = Vec::new();
        let began = Instant::now();
        for at in 0..CONNECTIONS {
            let (mut browser, stop) = (Browser::open(lab.web).await?, Arc::clone(&stop));
            let begin = Instant::now() + every * at / CONNECTIONS;
            tasks.push(tokio::spawn(async move {
                let mut took = Latencies::new();
                for turn in 0.. {
                    let due = begin + every * turn;
                    tokio::time::sleep_until(due.into()).await;
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let answer = browser.get("/").await?;
                    ensure!(answer.status == 200, "answered {}", answer.status);
                    let second = due.duration_since(began).as_secs();
                    took.entry(second).or_default().push(due.elapsed().as_micros() as u32);
                }
                Ok(took)
            }));
        }
        Ok(Load { stop, tasks })
    }

    async fn finish(self) -> anyhow::Result<Latencies> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Latencies::new();
        for task in self.tasks {
            for (second, took) in task.await?? {
                all.entry(second).or_default().extend(took);
            }
        }
        Ok(all)
    }
}

/// Keeps all threads of the process on these cores, and those that they will start.
fn keep_on(pid: Pid, cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().try_for_each(|core| set.set(*core))?;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.file_name().to_string_lossy().parse()?;
        match sched_setaffinity(Pid::from_raw(thread), &set) {
            // It has ended since it was listed.
            Err(Errno::ESRCH) => {}
            other => other?,
        }
    }
    Ok(())
}

/// The first core for the proxy of the lab.
fn keep_proxy_apart(lab: &Lab) -> anyhow::Result<()> {
    let pid = lab.proxy.pid().context("the proxy runs")?;
    keep_on(Pid::from_raw(pid.try_into()?), &[0])
}

/// What the kernel tells of the proxy's threads.
#[derive(Debug, Clone, Copy, Default)]
struct Scheduled {
    /// How long its threads, the learning ones aside, were ready to run and had no core.
    waited: Duration,
    is_learning: bool,
}

impl Scheduled {
    fn of(lab: &Lab) -> anyhow::Result<Scheduled> {
        let pid = lab.proxy.pid().context("the proxy runs")?;
        let mut told = Scheduled::default();
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?.path();
            // It may have ended since it was listed.
            let (Ok(name), Ok(times)) = (
                fs::read_to_string(thread.join("comm")),
                fs::read_to_string(thread.join("schedstat")),
            ) else {
                continue;
            };
            // Time on a core, time of waiting for one.
            let waited = times.split_whitespace().nth(1).and_then(|time| time.parse().ok());
            if name.trim_end() == LEARNING {
                told.is_learning = true;
            } else {
                told.waited += Duration::from_nanos(waited.unwrap_or_default());
            }
        }
        Ok(told)
    }
}

/// What was seen in one window.
struct Window {
    latencies: Latencies,
    lasted: Duration,
    /// Whether the training came to its end.
    finished: bool,
    /// How long the other threads waited for one.
    waited: Duration,
}

/// Requests beside a training, up to its end.
async fn with_training(lab: &mut Lab) -> anyhow::Result<Window> {
    // Nothing was learned yet.
    let models = lab.folder.path().join("state/models");
    if models.exists() {
        fs::remove_dir_all(&models).context("the models of the round before")?;
    }
    let last = |events: &[Value]| events.iter().filter_map(|event| event["id"].as_u64()).max();
    let before = last(&lab.events().await);
    lab.reload(|setup| setup.more = String::new()).await;
    let load = Load::start(lab).await?;
    let (began, at_first) = (Instant::now(), Scheduled::of(lab)?);
    let mut finished = false;
    while !finished && began.elapsed() < LONGEST {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let trained =
            |event: &Value| event["kind"] == "model_trained" && event["id"].as_u64() > before;
        finished = lab.events().await.iter().any(trained);
    }
    let (lasted, at_last) = (began.elapsed(), Scheduled::of(lab)?);
    let latencies = load.finish().await?;
    if finished {
        lab.reload(|setup| setup.more = OFF.to_owned()).await;
    } else {
        // It may be long before it is its turn to hear that it is called off.
        lab.setup.more = OFF.to_owned();
        lab.write_config();
        lab.restart(Signal::SIGKILL).await;
        keep_proxy_apart(lab)?;
    }
    let ended = Instant::now();
    while Scheduled::of(lab)?.is_learning {
        ensure!(ended.elapsed() < DEADLINE, "the training does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let waited = at_last.waited.saturating_sub(at_first.waited);
    Ok(Window { latencies, lasted, finished, waited })
}

/// Requests for as long, with nothing beside them but what asks for events as often.
async fn without_training(lab: &Lab, lasts: Duration) -> anyhow::Result<Window> {
    let load = Load::start(lab).await?;
    let (began, at_first) = (Instant::now(), Scheduled::of(lab)?);
    while began.elapsed() < lasts {
        tokio::time::sleep(Duration::from_millis(100)).await;
        lab.events().await;
    }
    let (lasted, at_last) = (began.elapsed(), Scheduled::of(lab)?);
    ensure!(!at_last.is_learning, "nothing is learned in between");
    let waited = at_last.waited.saturating_sub(at_first.waited);
    let latencies = load.finish().await?;
    Ok(Window { latencies, lasted, finished: false, waited })
}

/// The value below which that share of them is, in milliseconds.
fn quantile(took: &mut [u32], share: f64) -> Option<f64> {
    let place = ((took.len() as f64 * share) as usize).min(took.len().checked_sub(1)?);
    Some(f64::from(*took.select_nth_unstable(place).1) / 1e3)
}

/// Windows of one kind.
fn figures(windows: &[&Window]) -> Value {
    let mut took: Vec<u32> =
        windows.iter().flat_map(|window| window.latencies.values().flatten()).copied().collect();
    let sum = |of: fn(&Window) -> Duration| {
        windows.iter().map(|window| of(window)).sum::<Duration>().as_secs_f64()
    };
    let requests = took.len();
    let mut at = |share| quantile(&mut took, share);
    json!({
        "requests": requests,
        "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "p999_ms": at(0.999),
        "seconds": sum(|window| window.lasted),
        "trainings_finished": windows.iter().filter(|window| window.finished).count(),
        "waited_for_a_core_us_per_request": 1e6 * sum(|window| window.waited) / requests.max(1) as f64,
    })
}

/// How many times the p99 without training that with it is, and where that is in 95 of 100 draws of seconds.
fn ratio(with: &[&Window], without: &[&Window]) -> Value {
    let seconds = |windows: &[&Window]| -> Vec<Vec<u32>> {
        windows.iter().flat_map(|window| window.latencies.values().cloned()).collect()
    };
    let (with, without) = (seconds(with), seconds(without));
    let p99 = |mut took: Vec<u32>| quantile(&mut took, 0.99).unwrap_or(f64::NAN);
    let mut dice = fastrand::Rng::with_seed(1);
    let mut drawn = |of: &[Vec<u32>]| -> Vec<u32> {
        (0..of.len()).flat_map(|_| of[dice.usize(0..of.len())].iter().copied()).collect()
    };
    let mut ratios: Vec<f64> =
        (0..DRAWS).map(|_| p99(drawn(&with)) / p99(drawn(&without))).collect();
    ratios.sort_by(f64::total_cmp);
    json!({
        "p99_ratio": p99(with.concat()) / p99(without.concat()),
        "from": ratios[DRAWS / 40],
        "to": ratios[DRAWS - 1 - DRAWS / 40],
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let rounds: u32 = std::env::args().nth(1).context("measure_learning ROUNDS")?.parse()?;
    ensure!(rounds > 0, "at least one round");
    let cores = std::thread::available_parallelism()?.get();
    let others: Vec<usize> = if cores > 1 { (1..cores).collect() } else { vec![0] };
    keep_on(Pid::this(), &others)?;
    let more = OFF.to_owned();
    let setup = Setup { stages: vec![(0.0, "24h")], latency: 2.0, more, ..Setup::default() };
    let mut lab = Lab::start(setup).await;
    lab.until_event("rollout_started").await;
    lab.proxy.signal(Signal::SIGKILL);
    lab.proxy.wait(DEADLINE).await.context("the proxy ends")?;
    teach(&lab.folder.path().join("state"))?;
    lab.restart(Signal::SIGKILL).await;
    keep_proxy_apart(&lab)?;
    let (mut with, mut without, mut lasts) = (Vec::new(), Vec::new(), Duration::from_secs(10));
    for round in 0..rounds {
        for training in [round % 2 == 0, round % 2 != 0] {
            let window = if training {
                with_training(&mut lab).await?
            } else {
                without_training(&lab, lasts).await?
            };
            let told = figures(&[&window]);
            println!("{}", json!({ "round": round, "training": training, "figures": told }));
            if training {
                lasts = window.lasted;
                with.push(window);
            } else {
                without.push(window);
            }
        }
    }
    let (with, without): (Vec<_>, Vec<_>) = (with.iter().collect(), without.iter().collect());
    println!(
        "{}",
        json!({ "rounds": rounds, "with_training": figures(&with), "without": figures(&without), "ratio": ratio(&with, &without) })
    );
    Ok(())
}
