//! The processes of the lab: started from this executable, gone with whoever started them.

use super::client::Client;
use super::shop::{FaultKind, FaultOrder};
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// A process of ours. It is killed when this is dropped, and when this process dies.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    /// Where what it says goes.
    pub log: PathBuf,
}

impl Child {
    /// Starts `executable ARGUMENTS...`; `log` gets what it says, `environment` is added to ours.
    ///
    /// To be called on a thread that lives as long as the child should: the kernel ties it to that.
    ///
    /// # Errors
    /// The log cannot be written, or the executable not started.
    pub fn start(
        executable: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        log: &Path,
    ) -> anyhow::Result<Child> {
        let output = open_log(log)?;
        Child::spawn(executable, arguments, environment, log, output.into())
    }

    fn spawn(
        executable: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        log: &Path,
        output: Stdio,
    ) -> anyhow::Result<Child> {
        let process = Command::new(executable)
            .arg("lab-child")
            .arg(std::process::id().to_string())
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(open_log(log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", executable.display()))?;
        Ok(Child { process, log: log.to_owned() })
    }

    /// Its process id; none once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Sends it a signal; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may end in this very moment: then there is nothing to signal.
            let _ = kill(Pid::from_raw(pid as i32), signal);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Waits for its end, at most so long; none if it is still running then.
    pub async fn wait(&mut self, at_most: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(at_most, self.process.wait()).await.ok()?.ok()
    }

    /// Asks it to end, and kills it if it does not within the given time.
    pub async fn stop(&mut self, patience: Duration) {
        self.signal(Signal::SIGTERM);
        if self.wait(patience).await.is_none() {
            // Already ended is as good.
            let _ = self.process.kill().await;
        }
    }

    /// The next line of its standard output.
    async fn line(&mut self) -> anyhow::Result<String> {
        let output = self.process.stdout.take().context("its output was read before")?;
        let mut line = String::new();
        let mut output = BufReader::new(output);
        let read = output.read_line(&mut line);
        tokio::time::timeout(Duration::from_secs(20), read).await.context("it says nothing")??;
        if line.is_empty() {
            bail!("it ended at once; see {}", self.log.display());
        }
        Ok(line)
    }
}

/// A shop as a process, with its back door.
#[derive(Debug)]
pub struct Shop {
    child: Child,
    executable: PathBuf,
    arguments: Vec<String>,
    /// Where users are served.
    pub address: SocketAddr,
    /// Where faults are ordered.
    pub control: SocketAddr,
    /// The version it says it is.
    pub version: String,
    client: Client,
}

impl Shop {
    /// Starts a shop; `latency` is its median time to answer in milliseconds. Log and counts go to `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub async fn open(
        executable: &Path,
        version: &str,
        latency: f64,
        seed: u64,
        folder: &Path,
    ) -> anyhow::Result<Shop> {
        let unknown = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // Two shops of one version may share a folder: the seed is part of the name.
        let name = format!("shop-{version}-{seed}");
        let counts = folder.join(format!("{name}.counts"));
        let arguments = ["--version", version, "--latency", &latency.to_string(), "--seed"];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.extend([seed.to_string(), "--counts".to_owned(), counts.display().to_string()]);
        let log = folder.join(format!("{name}.log"));
        let (child, address, control) =
            start_shop(executable, &arguments, unknown, unknown, &log).await?;
        Ok(Shop {
            child,
            executable: executable.to_owned(),
            arguments,
            address,
            control,
            version: version.to_owned(),
            client: Client::new(control),
        })
    }

    /// Puts a fault in force.
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn order(&self, order: &FaultOrder) -> anyhow::Result<()> {
        let (status, text) = self.client.put("/fault", &serde_json::to_value(order)?).await?;
        if status != 204 {
            bail!("the shop refused the fault: {status} {text}");
        }
        Ok(())
    }

    /// Shorthand for a fault of this kind at this rate, from now on; by default as long as usual.
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn suffer(&self, kind: FaultKind, rate: f64) -> anyhow::Result<()> {
        self.order(&FaultOrder { kind, rate: Some(rate), after_ms: 0, for_ms: None }).await
    }

    /// Ends any fault.
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn recover(&self) -> anyhow::Result<()> {
        self.suffer(FaultKind::None, 0.0).await
    }

    /// `user`, `synthetic`, `last_user_at` and `user_since`: requests received in all, and from
    /// users after `since` (milliseconds since the Unix epoch).
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn counts(&self, since: u64) -> anyhow::Result<Value> {
        self.client.get(&format!("/counts?since={since}")).await
    }

    /// Requests of users received after that moment (milliseconds since the Unix epoch).
    ///
    /// # Errors
    /// The shop does not answer.
    pub async fn users_since(&self, since: u64) -> anyhow::Result<u64> {
        self.counts(since).await?["user_since"].as_u64().context("no count in the answer")
    }

    /// Whether its process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.ended().is_some()
    }

    /// Starts it anew after a crash, at the same addresses; it crashes again a second and a half later.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn loop_crash(&mut self) -> anyhow::Result<()> {
        let mut arguments = self.arguments.clone();
        arguments.extend(["--fault", "crash", "--after", "1500ms"].map(str::to_owned));
        let log = self.child.log.clone();
        let started =
            start_shop(&self.executable, &arguments, self.address, self.control, &log).await?;
        self.child = started.0;
        Ok(())
    }

    /// Kills the process, as `kill -9` does: nobody listens at its addresses any more.
    pub async fn kill(&mut self) {
        self.child.signal(Signal::SIGKILL);
        let _ = self.child.wait(Duration::from_secs(5)).await;
    }
}

fn open_log(log: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(log);
    file.with_context(|| format!("cannot write {}", log.display()))
}

async fn start_shop(
    executable: &Path,
    arguments: &[String],
    listen: SocketAddr,
    control: SocketAddr,
    log: &Path,
) -> anyhow::Result<(Child, SocketAddr, SocketAddr)> {
    let (listen, control) = (listen.to_string(), control.to_string());
    let mut all = vec!["lab-upstream", "--listen", &listen, "--control", &control];
    all.extend(arguments.iter().map(String::as_str));
    let mut child = Child::spawn(executable, &all, &[], log, Stdio::piped())?;
    let line = child.line().await.context("cannot start the shop")?;
    let told: Value = serde_json::from_str(&line).context("the shop does not say where it is")?;
    let address = |name: &str| -> anyhow::Result<SocketAddr> {
        let text = told[name].as_str().context("the shop does not say where it is")?;
        Ok(text.parse()?)
    };
    Ok((child, address("listening")?, address("control")?))
}

/// Ports that no system hands out by itself: outgoing connections (a load of them, in the lab) take
/// those from 32768 upwards, and one that was free a moment ago may be theirs before it is used.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port of the loopback that is free. Two processes that ask begin at different places, and one never
/// gets the same port twice in a row; whoever loses a race all the same fails loudly when it binds.
///
/// # Errors
/// No port is free.
pub fn free_port() -> std::io::Result<u16> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Neighbouring pids begin far apart.
    let begin = std::process::id().wrapping_mul(2_654_435_761);
    let mut refused = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for _ in PORTS {
        let at = begin.wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed)) % count;
        let port = PORTS.start + at as u16;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let taken = free_port().unwrap();
        let _holder = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).unwrap();
        for _ in 0..5 {
            let next = free_port().unwrap();
            assert!(next != taken && PORTS.contains(&next));
        }
    }
}
