//! An hour of everything at once, with an account of every request.
//!
//! `soak --serinus PATH --record FOLDER [--seconds 3600] [--share 0.6] [--users 64]`
//!
//! First a short calibration finds what the proxy carries with one worker thread on this machine, now;
//! then it gets that share of it for the whole time, while every 10 s another configuration is loaded
//! (SIGHUP), every 15 s an endpoint of stable is killed (SIGKILL) and started again 5 s later, and every
//! minute a canary is deployed, fails (500s, a crash, resets, in turn), must be rolled back, and is taken
//! away. `make bench-soak`.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use serinus_benches::process::free_address;
use serinus_benches::soak::account::{Books, Whose, judge};
use serinus_benches::soak::configuration::configuration;
use serinus_benches::soak::endpoint::{Endpoint, Fault, Kill, serve_if_asked};
use serinus_benches::soak::load::{Load, Mishap, Tally};
use serinus_benches::soak::samples::{COLUMNS, flatness, load_average, median, write_sample};
use serinus_benches::soak::subject::Subject;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CALIBRATION: Duration = Duration::from_secs(20);
const SAMPLE_EVERY: f64 = 10.0;
const RELOAD_EVERY: f64 = 10.0;
const KILL_EVERY: f64 = 15.0;
const DOWN_FOR: f64 = 5.0;
/// Reloads of one release: it comes with the first and goes with the last but one.
const CYCLE: u64 = 6;
/// Seconds after its deployment at which a canary begins to fail, while a tenth of the users are on it.
const FAULT_AFTER: f64 = 22.0;
const STABLE: usize = 3;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(served) = serve_if_asked(&words) {
        return served;
    }
    let arguments = Arguments::read(words)?;
    fs::create_dir_all(&arguments.record)?;
    let folder = tempfile::tempdir()?;
    let mut soak = Soak::set_up(arguments, folder.path())?;
    soak.calibrate()?;
    soak.run()
}

struct Arguments {
    serinus: PathBuf,
    record: PathBuf,
    seconds: f64,
    share: f64,
    users: u64,
}

impl Arguments {
    fn read(words: Vec<String>) -> Result<Arguments> {
        let (mut serinus, mut record) = (None, None);
        let (mut seconds, mut share, mut users) = (3_600.0, 0.6, 64);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--serinus" => serinus = Some(fs::canonicalize(value)?),
                "--record" => record = Some(value.into()),
                "--seconds" => seconds = value.parse()?,
                "--share" => share = value.parse()?,
                "--users" => users = value.parse()?,
                _ => bail!("unknown argument {word}"),
            }
        }
        let serinus = serinus.context("--serinus PATH is missing")?;
        let record = record.context("--record FOLDER is missing")?;
        Ok(Arguments { serinus, record, seconds, share, users })
    }
}

struct Soak {
    arguments: Arguments,
    folder: PathBuf,
    subject: Subject,
    stable: Vec<Endpoint>,
    canary: Vec<Endpoint>,
    admin: SocketAddr,
    rate: f64,
    kills: Vec<Kill>,
    events: File,
    calibration: Value,
}

/// A release on trial.
struct Release {
    version: String,
    fault: &'static str,
    deployed: f64,
    failing: Option<f64>,
    /// Nobody is sent there any more: withdrawn or rolled back.
    protected: Option<f64>,
    rolled_back: Option<f64>,
}

impl Soak {
    fn set_up(arguments: Arguments, folder: &Path) -> Result<Soak> {
        let endpoints = |kind: &str, count: usize| -> Result<Vec<Endpoint>> {
            let each = |at| Ok(Endpoint::new(&format!("{kind}{at}"), free_address()?, folder));
            (0..count).map(each).collect()
        };
        let (mut stable, canary) = (endpoints("stable", STABLE)?, endpoints("canary", 2)?);
        for endpoint in &mut stable {
            endpoint.start()?;
        }
        let (web, admin) = (free_address()?, free_address()?);
        let config = configuration(0, web, admin, &stable, &canary, None);
        let subject = Subject::start(&arguments.serinus, folder, (web, admin), &config)?;
        let events = File::create(arguments.record.join("events.jsonl"))?;
        let (folder, calibration) = (folder.to_owned(), Value::Null);
        let kills = Vec::new();
        Ok(Soak {
            arguments,
            folder,
            subject,
            stable,
            canary,
            admin,
            rate: 0.0,
            kills,
            events,
            calibration,
        })
    }

    /// As much as goes through one worker, nothing else happening.
    fn calibrate(&mut self) -> Result<()> {
        let cpu = self.subject.sample()?.cpu;
        let (load, began) =
            (Load::start(self.subject.web, self.arguments.users, None, 1)?, Instant::now());
        std::thread::sleep(CALIBRATION);
        let tally = load.finish();
        let seconds = began.elapsed().as_secs_f64();
        let carried = tally.good() as f64 / seconds;
        if !tally.mishaps().is_empty() {
            bail!("the calibration failed: {:?}", tally.mishaps().first());
        }
        self.rate = (carried * self.arguments.share).floor();
        self.calibration = json!({
            "seconds": seconds,
            "requests_per_second": carried.round(),
            "cpu_cores_of_the_proxy": (self.subject.sample()?.cpu - cpu) / seconds,
            "load_average": load_average(),
        });
        println!("calibration: {}; load: {} requests/s", self.calibration, self.rate);
        Ok(())
    }

    fn note(&mut self, at: f64, what: &str, more: Value) -> Result<()> {
        let mut event = json!({ "at": (at * 1e3).round() / 1e3, "what": what });
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        writeln!(self.events, "{event}")?;
        Ok(())
    }

    fn kill(&mut self, at: f64, of_canary: bool, number: usize) -> Result<()> {
        let endpoints = if of_canary { &mut self.canary } else { &mut self.stable };
        let Some(endpoint) = endpoints.get_mut(number) else { return Ok(()) };
        let name = endpoint.name.clone();
        if let Some(kill) = endpoint.kill()? {
            let took = (kill.gone - kill.sent).as_secs_f64();
            let more = json!({ "endpoint": name, "in_hand": kill.in_hand.len(), "took": took });
            self.kills.push(kill);
            self.note(at, "killed", more)?;
        }
        Ok(())
    }

    fn run(mut self) -> Result<()> {
        let load = Load::start(self.subject.web, self.arguments.users, Some(self.rate), 2)?;
        let mut samples = File::create(self.arguments.record.join("samples.csv"))?;
        writeln!(samples, "{COLUMNS}")?;
        let began = Instant::now();
        let (mut next_sample, mut next_reload, mut next_kill) =
            (0.0, RELOAD_EVERY, KILL_EVERY / 2.0);
        let (mut reloads, mut killed, mut down) = (0_u64, 0_usize, Vec::<(f64, usize)>::new());
        let (mut release, mut releases) = (None::<Release>, Vec::new());
        let (mut taken, mut slowest_reload) = (Vec::new(), 0.0_f64);
        let mut all = Vec::new();
        loop {
            let at = began.elapsed().as_secs_f64();
            if at >= self.arguments.seconds {
                break;
            }
            if at >= next_sample {
                next_sample += SAMPLE_EVERY;
                let sample = self.subject.sample()?;
                write_sample(&mut samples, at, &sample, &load.tally)?;
                all.push((at, sample));
            }
            if at >= next_kill && at + DOWN_FOR + 5.0 < self.arguments.seconds {
                next_kill += KILL_EVERY;
                let number = killed % STABLE;
                killed += 1;
                self.kill(at, false, number)?;
                down.push((at + DOWN_FOR, number));
            }
            if let Some((due, number)) = down.first().copied()
                && at >= due
            {
                down.remove(0);
                if let Some(endpoint) = self.stable.get_mut(number) {
                    endpoint.start()?;
                    let more = json!({ "endpoint": endpoint.name });
                    self.note(at, "started", more)?;
                }
            }
            if at >= next_reload {
                next_reload += RELOAD_EVERY;
                reloads += 1;
                let step = reloads % CYCLE;
                if step == 1 && at + 50.0 < self.arguments.seconds {
                    for endpoint in &mut self.canary {
                        endpoint.start()?;
                    }
                    let turn = reloads / CYCLE;
                    let fault = ["errors", "crash", "resets"][(turn % 3) as usize];
                    let version = format!("2.{turn}");
                    release = Some(Release {
                        version,
                        fault,
                        deployed: at,
                        failing: None,
                        protected: None,
                        rolled_back: None,
                    });
                } else if step == 0
                    && let Some(release) = release.take()
                {
                    releases.push(release);
                }
                let version = release.as_ref().map(|release| release.version.clone());
                let web = self.subject.web;
                let next = configuration(
                    reloads,
                    web,
                    self.admin,
                    &self.stable,
                    &self.canary,
                    version.as_deref(),
                );
                let took = self.subject.reload(&next)?.as_secs_f64();
                slowest_reload = slowest_reload.max(took);
                taken.push(took);
                self.note(
                    at,
                    "reloaded",
                    json!({ "number": reloads, "took": took, "canary": version }),
                )?;
                if release.is_none() {
                    // Nobody is sent there any more.
                    self.kill(at, true, 0)?;
                    self.kill(at, true, 1)?;
                }
            }
            self.watch_release(at, &mut release)?;
            std::thread::sleep(Duration::from_millis(50));
        }
        releases.extend(release.take());
        let seconds = began.elapsed().as_secs_f64();
        let tally = load.finish();
        let sample = self.subject.sample()?;
        write_sample(&mut samples, seconds, &sample, &tally)?;
        let resources = flatness(&all);
        let summary = self.judge(
            &tally,
            seconds,
            &releases,
            json!({
                "reloads": reloads,
                "reload_seconds_median": median(taken),
                "reload_seconds_most": slowest_reload,
                "resources": resources,
            }),
        )?;
        self.subject.finish()?;
        let bad = summary["lost"].as_u64() != Some(0)
            || summary["orders"]["twice"].as_u64() != Some(0)
            || summary["orders"]["answered_but_not_carried_out"].as_i64() != Some(0)
            || summary["not_accounted_for"].as_i64() != Some(0);
        println!("{}", serde_json::to_string_pretty(&summary)?);
        fs::write(
            self.arguments.record.join("summary.json"),
            serde_json::to_string_pretty(&summary)? + "\n",
        )?;
        if bad {
            let log = self.arguments.record.join("serinus.log");
            fs::copy(self.folder.join("serinus.log"), log)?;
            bail!("requests were lost");
        }
        Ok(())
    }

    /// Lets a release fail when its time has come, and sees whether it is rolled back.
    fn watch_release(&mut self, at: f64, release: &mut Option<Release>) -> Result<()> {
        let Some(release) = release else { return Ok(()) };
        if release.failing.is_none() && at >= release.deployed + FAULT_AFTER {
            release.failing = Some(at);
            let more = json!({ "version": release.version, "fault": release.fault });
            self.note(at, "canary_fails", more)?;
            match release.fault {
                "errors" => self.canary.iter().try_for_each(|e| e.set_fault(Fault::Errors))?,
                "resets" => self.canary.iter().try_for_each(|e| e.set_fault(Fault::Resets))?,
                _ => {
                    self.kill(at, true, 0)?;
                    self.kill(at, true, 1)?;
                }
            }
        }
        if release.failing.is_some() && release.rolled_back.is_none() {
            let status = self.subject.admin("/api/v1/services/shop")?;
            if release.protected.is_none() && status["weight"].as_f64() == Some(0.0) {
                release.protected = Some(at);
                let more = json!({ "version": release.version });
                self.note(at, "users_off_the_canary", more)?;
            }
            if status["phase"] == "rolled_back" {
                release.rolled_back = Some(at);
                let more = json!({ "version": release.version });
                self.note(at, "rolled_back", more)?;
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        tally: &Tally,
        seconds: f64,
        releases: &[Release],
        more: Value,
    ) -> Result<Value> {
        let books = Books::read(&self.folder)?;
        let mishaps = tally.mishaps();
        let mut by_whose = BTreeMap::<Whose, u64>::new();
        let mut file = File::create(self.arguments.record.join("mishaps.jsonl"))?;
        let first = mishaps.iter().map(|mishap| mishap.sent).min();
        let (mut late, mut orders_mishaps_done) = (Duration::ZERO, 0_u64);
        for mishap in &mishaps {
            let whose = judge(mishap, &self.kills, &books);
            *by_whose.entry(whose).or_insert(0) += 1;
            orders_mishaps_done += u64::from(books.orders.contains_key(&mishap.number));
            if whose == Whose::InItsSocket {
                late = late.max(self.after_the_end(mishap));
            }
            writeln!(
                file,
                "{}",
                json!({
                    "whose": whose.as_str(), "number": mishap.number, "kind": format!("{:?}", mishap.kind),
                    "what": format!("{:?}", mishap.what), "endpoint": mishap.endpoint,
                    "after_the_first": first.map(|first| (mishap.sent - first).as_secs_f64()),
                    "took": (mishap.ended - mishap.sent).as_secs_f64(), "before": mishap.before,
                })
            )?;
        }
        let count = |whose| by_whose.get(&whose).copied().unwrap_or(0);
        let named: BTreeMap<&str, u64> =
            by_whose.iter().map(|(whose, count)| (whose.as_str(), *count)).collect();
        // The calibration's orders have numbers of their own.
        let orders = books.orders.keys().filter(|number| **number >> 40 == 2).count() as u64;
        let failed = releases.iter().filter(|release| release.failing.is_some());
        let back =
            releases.iter().filter_map(|r| Some(r.rolled_back? - r.failing?)).collect::<Vec<_>>();
        let mut summary = json!({
            "command": std::env::args().collect::<Vec<_>>().join(" "),
            "calibration": self.calibration,
            "load_requests_per_second": self.rate,
            "seconds": seconds,
            "requests": tally.begun(),
            "connections": tally.connections(),
            "good": tally.good(),
            "mishaps": named,
            "lost": count(Whose::Lost),
            "not_accounted_for": tally.begun() as i64 - tally.good() as i64 - mishaps.len() as i64,
            "orders": {
                "carried_out": orders,
                "answered": tally.good_orders(),
                "twice": books.orders.values().filter(|times| **times > 1).count(),
                "answered_but_not_carried_out":
                    tally.good_orders() as i64 + orders_mishaps_done as i64 - orders as i64,
            },
            "sent_after_the_endpoint_was_gone_seconds_most": late.as_secs_f64(),
            "endpoints_killed": self.kills.len(),
            "releases": releases.len(),
            "releases_that_failed": failed.count(),
            "releases_that_failed_and_lost_their_users":
                releases.iter().filter(|release| release.protected.is_some()).count(),
            "releases_rolled_back": back.len(),
            "seconds_to_rollback_median": median(back.clone()),
            "seconds_to_rollback_most": back.iter().copied().fold(0.0, f64::max),
            "latency_ms": {
                "p50": tally.latency_ms(0.5), "p90": tally.latency_ms(0.9), "p99": tally.latency_ms(0.99),
                "p999": tally.latency_ms(0.999), "most": tally.latency_ms(1.0),
            },
            "load_average_at_the_end": load_average(),
        });
        if let (Some(summary), Value::Object(more)) = (summary.as_object_mut(), more) {
            summary.extend(more);
        }
        Ok(summary)
    }

    /// How long after the end of an endpoint this was sent: the nearest end before it.
    fn after_the_end(&self, mishap: &Mishap) -> Duration {
        let since = |kill: &Kill| mishap.sent.checked_duration_since(kill.gone);
        self.kills.iter().filter_map(since).min().filter(|t| t.as_secs() < 1).unwrap_or_default()
    }
}
