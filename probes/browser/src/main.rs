//! The worker that drives a browser: `serinus-browser CHROMIUM FOLDER`, started by Serinus for one run of a
//! probe. It reads the run's steps from standard input, tells of each on standard output, and ends with its
//! input: it does not outlive the process that wanted the run. It leads a group of processes, so that the
//! browser ends with it.

mod element;
mod job;
mod keys;
mod memory;
mod page;
mod play;

use anyhow::{Context, bail};
use chromiumoxide::browser::{Browser, BrowserConfig};
use job::{Job, Line, tell};
use rustix::process::{Signal, geteuid, kill_current_process_group, nice};
use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::time::Duration;
use tokio_stream::StreamExt;

/// How much a probe's browser gives way to those who serve users.
const NICENESS: i32 = 10;
/// For Chromium to say where it can be reached.
const LAUNCH: Duration = Duration::from_secs(25);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(chromium), Some(folder)) = (arguments.next(), arguments.next()) else {
        bail!("this is started by serinus, for probes with a browser");
    };
    // Being refused is no reason not to go on.
    let _ = nice(NICENESS);
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    input.read_line(&mut line)?;
    drop(input);
    let job: Job = serde_json::from_str(&line).context("no job came")?;
    std::thread::spawn(end_with_input);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(run(&job, chromium, folder));
    if let Err(error) = ended {
        tell(&Line::Unable(format!("{error:#}")));
    }
    end();
    Ok(())
}

/// Waits for the end of standard input, which is the end of all this.
fn end_with_input() {
    let mut nothing = [0; 64];
    let mut input = std::io::stdin().lock();
    while input.read(&mut nothing).is_ok_and(|read| read > 0) {}
    end();
}

/// Ends the browser, with everything that it has started, and this process.
fn end() {
    let _ = kill_current_process_group(Signal::KILL);
}

async fn run(job: &Job, chromium: PathBuf, folder: PathBuf) -> anyhow::Result<()> {
    let shown = chromium.display().to_string();
    let config = configuration(job, chromium, folder).map_err(anyhow::Error::msg)?;
    let launched = Browser::launch(config).await;
    let (browser, mut handler) = launched.with_context(|| format!("{shown} does not start"))?;
    tokio::spawn(async move { while handler.next().await.is_some() {} });
    let page = browser.new_page("about:blank").await.context("the browser opens no page")?;
    tell(&Line::Ready);
    tokio::select! {
        ended = play::play(job, page) => ended,
        used = memory::beyond(job.max_memory) => {
            let (used, most) = (used >> 20, job.max_memory >> 20);
            bail!("the browser used {used} MiB, more than the {most} MiB of probing.browser.max_memory")
        }
    }
}

fn configuration(job: &Job, chromium: PathBuf, folder: PathBuf) -> Result<BrowserConfig, String> {
    let mut config = BrowserConfig::builder()
        .chrome_executable(chromium)
        .user_data_dir(folder.join("profile"))
        .new_headless_mode()
        .window_size(1280, 800)
        .viewport(None)
        .launch_timeout(LAUNCH)
        .request_timeout(job.longest())
        .disable_https_first()
        // Everything through the gate, what is on this machine as well; it shows a certificate of its own.
        .arg(("proxy-server", job.gate.as_str()))
        .arg(("proxy-bypass-list", "<-loopback>"))
        .arg("ignore-certificate-errors")
        .arg(("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"))
        .arg("disable-quic")
        .arg("disable-gpu")
        .arg("no-pings")
        .arg("no-default-browser-check")
        .arg("disable-component-update")
        // What Chromium asks its maker would be told as if the page had.
        .arg(("disable-features", "OptimizationHints,OptimizationHintsFetching,MediaRouter"))
        .arg("disable-crash-reporter")
        .arg(("js-flags", "--max-old-space-size=512"));
    if geteuid().is_root() {
        // Chromium refuses to sandbox what runs as root.
        config = config.no_sandbox();
    }
    config.build()
}
