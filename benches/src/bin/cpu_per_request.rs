//! What one proxied request costs: CPU-seconds by the operating system's accounting, with every
//! contestant in turn in every round, and, with `--instructions`, instructions by callgrind.
//!
//! `cpu_per_request --serinus PATH --bare PATH [--rounds 7] [--seconds 3] [--instructions]`
//! prints one JSON record; `make bench` builds both binaries with the profile that is shipped.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use serinus_benches::process::{Running, free_address, wait_for};
use serinus_benches::proxies::{Binaries, Contestant, Upstream};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

struct Arguments {
    binaries: Binaries,
    rounds: usize,
    seconds: u32,
    instructions: bool,
}

fn arguments() -> Result<Arguments> {
    let (mut serinus, mut bare) = (None, None);
    let (mut rounds, mut seconds, mut instructions) = (7, 3, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--serinus" => serinus = Some(value()?.into()),
            "--bare" => bare = Some(value()?.into()),
            "--rounds" => rounds = value()?.parse()?,
            "--seconds" => seconds = value()?.parse()?,
            "--instructions" => instructions = true,
            _ => bail!("unknown argument {word}"),
        }
    }
    let binaries = Binaries {
        serinus: serinus.context("--serinus PATH is missing")?,
        bare_pingora: bare.context("--bare PATH is missing")?,
    };
    Ok(Arguments { binaries, rounds, seconds, instructions })
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start(folder.path())?;
    let mut record = json!({
        "command": std::env::args().collect::<Vec<_>>().join(" "),
        "machine": machine(),
        "load": format!("wrk -t1 -c32 -d{}s, 128-byte answers from one nginx, one proxy worker", arguments.seconds),
        "cpu": cpu_seconds(&arguments, folder.path(), &upstream)?,
    });
    if arguments.instructions {
        record["instructions"] = instructions(&arguments, folder.path(), &upstream)?;
    }
    println!("{}", serde_json::to_string_pretty(&record)?);
    Ok(())
}

/// Every contestant in every round, so that a slow minute of the machine hits all of them.
fn cpu_seconds(arguments: &Arguments, folder: &Path, upstream: &Upstream) -> Result<Value> {
    let mut running = Vec::new();
    for contestant in Contestant::ALL {
        let listen = free_address()?;
        let mut command = contestant.command(&arguments.binaries, folder, listen, upstream)?;
        running.push((contestant, listen, Running::start(&mut command)?));
        wait_for(listen)?;
    }
    for (_, listen, _) in &running {
        wrk(*listen, 1)?;
    }
    let mut rounds: Vec<Vec<f64>> = Vec::new();
    for round in 0..arguments.rounds {
        let mut micros = vec![0.0; running.len()];
        for turn in 0..running.len() {
            let at = (turn + round) % running.len();
            let (_, listen, process) = &running[at];
            let before = process.cpu_seconds()?;
            let requests = wrk(*listen, arguments.seconds)?;
            micros[at] = (process.cpu_seconds()? - before) * 1e6 / requests as f64;
        }
        rounds.push(micros);
    }
    let summary: Vec<Value> = running
        .iter()
        .enumerate()
        .map(|(at, (contestant, ..))| {
            let micros = median(rounds.iter().map(|round| round[at]).collect());
            let ratio = median(rounds.iter().map(|round| round[at] / round[0]).collect());
            json!({ "proxy": contestant.as_str(), "micros_per_request_median": micros, "ratio_to_bare_median": ratio })
        })
        .collect();
    Ok(json!({ "summary": summary, "micros_per_request_by_round": rounds }))
}

/// Instructions of one more request: the difference between a long and a short run, so that the
/// start, the probes' first runs and the end cancel.
fn instructions(arguments: &Arguments, folder: &Path, upstream: &Upstream) -> Result<Value> {
    const SHORT: u64 = 500;
    const LONG: u64 = 5_500;
    let mut results = Vec::new();
    for contestant in [Contestant::BarePingora, Contestant::SerinusPlain, Contestant::SerinusFull] {
        let short = callgrind(contestant, SHORT, arguments, folder, upstream)?;
        let long = callgrind(contestant, LONG, arguments, folder, upstream)?;
        let each = (long as f64 - short as f64) / (LONG - SHORT) as f64;
        results.push(json!({ "proxy": contestant.as_str(), "short": short, "long": long, "per_request": each }));
    }
    Ok(json!(results))
}

fn callgrind(
    contestant: Contestant,
    requests: u64,
    arguments: &Arguments,
    folder: &Path,
    upstream: &Upstream,
) -> Result<u64> {
    let listen = free_address()?;
    let plain = contestant.command(&arguments.binaries, folder, listen, upstream)?;
    let out = folder.join(format!("callgrind.{}.{requests}", contestant.as_str()));
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(plain.get_program())
        .args(plain.get_args());
    let process = Running::start(&mut command)?;
    wait_for(listen)?;
    serinus_benches::process::requests(listen, requests)?;
    process.finish()?;
    let text = std::fs::read_to_string(&out)?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    totals.context("callgrind wrote no totals")?.trim().parse().context("callgrind totals")
}

/// Loads `listen` and answers how many requests were answered 2xx.
fn wrk(listen: SocketAddr, seconds: u32) -> Result<u64> {
    let output = Command::new("wrk")
        .args(["-t1", "-c32", &format!("-d{seconds}s"), &format!("http://{listen}/")])
        .output()
        .context("wrk is missing")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("wrk against {listen}:\n{text}");
    }
    let line = text.lines().find(|line| line.contains(" requests in "));
    let count = line.and_then(|line| line.split_whitespace().next());
    count.context("wrk printed no count")?.parse().context("wrk's count")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn machine() -> Value {
    let first = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).lines().next()?.to_owned())
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown");
    json!({
        "cpu": model,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": first("uname", "-sr"),
        "rustc": first("rustc", "--version"),
        "nginx": first("nginx", "-v"),
        "haproxy": first("haproxy", "-v"),
        "pingora": "0.9.1",
    })
}
