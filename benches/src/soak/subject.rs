//! The proxy under test: its configuration, its reloads, and what it takes of the machine.

use crate::process::wait_for;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a reload, a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `serinus`.
#[derive(Debug)]
pub struct Subject {
    /// Where users come.
    pub web: SocketAddr,
    admin: SocketAddr,
    folder: PathBuf,
    child: Child,
    /// Of the process that serves: after an upgrade not the child.
    pub pid: u32,
}

/// What it takes now.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Resident, in KiB.
    pub rss: u64,
    /// Its share of what is resident, in KiB.
    pub pss: u64,
    /// Of what is resident, what no file stands behind, in KiB.
    pub anonymous: u64,
    /// ... and of that, what the kernel has made huge pages of, half used or not.
    pub huge: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Bytes of the journal.
    pub journal: u64,
    /// Bytes of what is not yet in it.
    pub journal_ahead: u64,
    /// CPU seconds so far.
    pub cpu: f64,
}

impl Subject {
    /// Starts `binary` in `folder` with this configuration.
    ///
    /// # Errors
    /// It does not listen.
    pub fn start(
        binary: &Path,
        folder: &Path,
        (web, admin): (SocketAddr, SocketAddr),
        config: &str,
    ) -> Result<Subject> {
        fs::write(folder.join("serinus.toml"), config)?;
        let log = fs::File::create(folder.join("serinus.log"))?;
        let child = Command::new(binary)
            .args(["run", "--config", "serinus.toml"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let pid = child.id();
        let subject = Subject { web, admin, folder: folder.to_owned(), child, pid };
        wait_for(web)?;
        Ok(subject)
    }

    /// The JSON at `path` of the admin side.
    ///
    /// # Errors
    /// It does not answer 200.
    pub fn admin(&self, path: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin);
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("{path}: {head}");
        }
        Ok(serde_json::from_str(body)?)
    }

    /// Sends a signal to the process that serves.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(self.pid.to_string()).status()?;
        if sent.success() { Ok(()) } else { bail!("process {} is gone", self.pid) }
    }

    fn config_in_force(&self) -> Result<String> {
        let proxy = self.admin("/api/v1/proxy")?;
        if !proxy["reload"]["refused"].is_null() {
            bail!("the configuration was refused: {}", proxy["reload"]["refused"]);
        }
        Ok(proxy["config_hash"].as_str().unwrap_or_default().to_owned())
    }

    /// Writes another configuration, sends SIGHUP and waits until it is in force; how long that took.
    ///
    /// # Errors
    /// It is refused, or nothing happens.
    pub fn reload(&self, config: &str) -> Result<Duration> {
        let before = self.config_in_force()?;
        let next = self.folder.join("serinus.toml.next");
        fs::write(&next, config)?;
        fs::rename(&next, self.folder.join("serinus.toml"))?;
        let began = Instant::now();
        self.signal("HUP")?;
        while self.config_in_force()? == before {
            if began.elapsed() > PATIENCE {
                bail!("a reload has not happened within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(began.elapsed())
    }

    /// Runs `serinus upgrade`, and goes on with the next process; how long that took.
    ///
    /// # Errors
    /// It fails.
    pub fn upgrade(&mut self, binary: &Path) -> Result<Duration> {
        let began = Instant::now();
        let admin = self.admin.to_string();
        let output = Command::new(binary).args(["upgrade", "--admin", &admin]).output()?;
        let took = began.elapsed();
        if !output.status.success() {
            bail!("upgrade: {}", String::from_utf8_lossy(&output.stderr));
        }
        // The line of processes ends with this one; the child that was started here is only its first.
        let pid = self.admin("/api/v1/proxy")?["pid"].as_u64().context("no process id")?;
        self.pid = u32::try_from(pid)?;
        // Reaped as soon as it has ended, so that it is no zombie.
        self.child.try_wait()?;
        Ok(took)
    }

    /// What it takes now.
    ///
    /// # Errors
    /// It is gone.
    pub fn sample(&self) -> Result<Sample> {
        let read = |what: &str| fs::read_to_string(format!("/proc/{}/{what}", self.pid));
        let number = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let (status, pages) = (read("status")?, read("smaps_rollup")?);
        let stat = read("stat")?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok());
        let size = |name: &str| {
            fs::metadata(self.folder.join("state").join(name)).map_or(0, |file| file.len())
        };
        Ok(Sample {
            rss: number(&status, "VmRSS:"),
            pss: number(&pages, "Pss:"),
            anonymous: number(&pages, "Anonymous:"),
            huge: number(&pages, "AnonHugePages:"),
            descriptors: fs::read_dir(format!("/proc/{}/fd", self.pid))?.count() as u64,
            threads: number(&status, "Threads:"),
            journal: size("journal.sqlite"),
            journal_ahead: size("journal.sqlite-wal"),
            cpu: (ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0, // USER_HZ
        })
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// It does not.
    pub fn finish(self) -> Result<()> {
        self.signal("TERM")?;
        let began = Instant::now();
        while is_running(self.pid) {
            if began.elapsed() > PATIENCE {
                bail!("process {} does not end", self.pid);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

impl Drop for Subject {
    fn drop(&mut self) {
        if self.pid != self.child.id() && is_running(self.pid) {
            // It may end by itself meanwhile.
            let _ = self.signal("KILL");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
