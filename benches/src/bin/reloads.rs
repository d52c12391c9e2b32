//! Reloads and binary upgrades under load: no request may fail, and nothing may grow.
//!
//! `reloads --serinus PATH --record FOLDER [--reloads 1000] [--upgrades 20] [--rate 300] [--users 32]`
//!
//! Nothing else goes wrong here (the soak is for that), so there is nothing to excuse: every request must
//! be answered 200 with every byte that is due. Each reload changes the configuration and begins when the
//! one before is in force; each upgrade is `serinus upgrade`. `make bench-reloads`.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use serinus_benches::process::free_address;
use serinus_benches::soak::account::Books;
use serinus_benches::soak::endpoint::{Endpoint, serve_if_asked};
use serinus_benches::soak::load::Load;
use serinus_benches::soak::subject::{Sample, Subject};
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Reloads between two samples.
const SAMPLE_EVERY: u64 = 50;
/// Between two upgrades, so that the process before has ended.
const BETWEEN_UPGRADES: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(served) = serve_if_asked(&words) {
        return served;
    }
    let arguments = Arguments::read(words)?;
    fs::create_dir_all(&arguments.record)?;
    let folder = tempfile::tempdir()?;
    let each = |at| Ok(Endpoint::new(&format!("stable{at}"), free_address()?, folder.path()));
    let mut endpoints: Vec<Endpoint> = (0..3).map(each).collect::<Result<_>>()?;
    for endpoint in &mut endpoints {
        endpoint.start()?;
    }
    let places = (free_address()?, free_address()?);
    let text = config(0, places, &endpoints);
    let mut subject = Subject::start(&arguments.serinus, folder.path(), places, &text)?;
    let load = Load::start(subject.web, arguments.users, Some(arguments.rate), 1)?;
    let mut samples = File::create(arguments.record.join("samples.csv"))?;
    writeln!(samples, "reload,rss_kib,pss_kib,descriptors,threads,cpu_seconds")?;
    let mut note = |number: u64, subject: &Subject| -> Result<Sample> {
        let sample = subject.sample()?;
        let Sample { rss, pss, descriptors, threads, cpu, .. } = sample;
        writeln!(samples, "{number},{rss},{pss},{descriptors},{threads},{cpu:.2}")?;
        Ok(sample)
    };
    let (began, mut reloads, mut half) = (Instant::now(), Vec::new(), None);
    for number in 1..=arguments.reloads {
        let text = config(number, places, &endpoints);
        reloads.push(subject.reload(&text)?.as_secs_f64());
        if number % SAMPLE_EVERY == 0 {
            let sample = note(number, &subject)?;
            if number * 2 >= arguments.reloads {
                half.get_or_insert(sample);
            }
        }
    }
    let reloading = began.elapsed().as_secs_f64();
    let requests_while_reloading = load.tally.begun();
    let last = note(arguments.reloads + 1, &subject)?;
    let (began, mut upgrades) = (Instant::now(), Vec::new());
    for _ in 0..arguments.upgrades {
        std::thread::sleep(BETWEEN_UPGRADES);
        let before = subject.pid;
        upgrades.push(subject.upgrade(&arguments.serinus)?.as_secs_f64());
        if subject.pid == before {
            bail!("an upgrade left the same process");
        }
    }
    let upgrading = began.elapsed().as_secs_f64();
    let tally = load.finish();
    let mishaps = tally.mishaps();
    for mishap in &mishaps {
        println!("{mishap:?}");
    }
    let books = Books::read(folder.path())?;
    let unaccounted = tally.begun() as i64 - tally.good() as i64 - mishaps.len() as i64;
    let half = half.unwrap_or(last);
    let growth =
        |value: fn(&Sample) -> u64| json!({ "at_half": value(&half), "at_the_end": value(&last) });
    let summary = json!({
        "command": std::env::args().collect::<Vec<_>>().join(" "),
        "requests": tally.begun(),
        "requests_while_reloading": requests_while_reloading,
        "connections": tally.connections(),
        "good": tally.good(),
        "failed": mishaps.len(),
        "not_accounted_for": unaccounted,
        "orders": {
            "carried_out": books.orders.len(),
            "answered": tally.good_orders(),
            "twice": books.orders.values().filter(|times| **times > 1).count(),
        },
        "reloads": spread(reloads),
        "reloads_took_seconds": reloading,
        "upgrades": spread(upgrades),
        "upgrades_took_seconds": upgrading,
        "latency_ms": {
            "p50": tally.latency_ms(0.5), "p99": tally.latency_ms(0.99),
            "p999": tally.latency_ms(0.999), "most": tally.latency_ms(1.0),
        },
        "over_the_last_half_of_the_reloads": {
            "rss_kib": growth(|sample| sample.rss),
            "descriptors": growth(|sample| sample.descriptors),
            "threads": growth(|sample| sample.threads),
        },
    });
    subject.finish()?;
    let text = serde_json::to_string_pretty(&summary)?;
    println!("{text}");
    fs::write(arguments.record.join("summary.json"), text + "\n")?;
    let orders = books.orders.len() as u64 == tally.good_orders();
    let twice = books.orders.values().any(|times| *times > 1);
    if !mishaps.is_empty() || unaccounted != 0 || !orders || twice {
        fs::copy(folder.path().join("serinus.log"), arguments.record.join("serinus.log"))?;
        bail!("requests failed");
    }
    Ok(())
}

struct Arguments {
    serinus: PathBuf,
    record: PathBuf,
    reloads: u64,
    upgrades: u64,
    rate: f64,
    users: u64,
}

impl Arguments {
    fn read(words: Vec<String>) -> Result<Arguments> {
        let (mut serinus, mut record) = (None, None);
        let (mut reloads, mut upgrades, mut rate, mut users) = (1_000, 20, 300.0, 32);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = words.next().with_context(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--serinus" => serinus = Some(fs::canonicalize(value)?),
                "--record" => record = Some(value.into()),
                "--reloads" => reloads = value.parse()?,
                "--upgrades" => upgrades = value.parse()?,
                "--rate" => rate = value.parse()?,
                "--users" => users = value.parse()?,
                _ => bail!("unknown argument {word}"),
            }
        }
        let serinus = serinus.context("--serinus PATH is missing")?;
        let record = record.context("--record FOLDER is missing")?;
        Ok(Arguments { serinus, record, reloads, upgrades, rate, users })
    }
}

/// A canary at a tenth of the users, too; every number differs in weights, routes, headers and timeouts.
fn config(number: u64, (web, admin): (SocketAddr, SocketAddr), endpoints: &[Endpoint]) -> String {
    let [one, two, three] = endpoints else { return String::new() };
    let (one, two, three) = (one.address, two.address, three.address);
    let weight = 1 + number % 2;
    let routes: String = (0..number % 5)
        .map(|at| format!("[route.extra{at}]\npath_prefix = \"/extra{at}\"\nservice = \"shop\"\n"))
        .collect();
    format!(
        r#"
[server]
state_dir = "state"
threads = 2
[admin]
listen = "{admin}"
[listener.web]
address = "{web}"
[route.all]
service = "shop"
[route.all.response_headers]
set = {{ x-configuration = "{number}" }}
{routes}
[service.shop.stable]
version = "1"
endpoints = [{{ address = "{one}", weight = {weight} }}, "{two}"]
[service.shop.canary]
version = "2"
endpoints = ["{three}"]
[service.shop.rollout]
stages = [{{ weight = 10, hold = "10h" }}]
sticky = {{ header = "x-user-id" }}
[service.shop.timeouts]
read = "{}s"
[probe.home]
service = "shop"
interval = "1s"
[[probe.home.step]]
get = "/item/0"
expect = {{ status = 200 }}
"#,
        20 + number % 7
    )
}

fn spread(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((share * (values.len() as f64 - 1.0)) as usize);
    json!({
        "count": values.len(),
        "seconds_median": at(0.5), "seconds_p99": at(0.99), "seconds_most": at(1.0),
    })
}
