//! Child processes of a benchmark and what they cost, by the operating system's own accounting.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that is killed, by its pid, when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts `command` with its output thrown away.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Running(child))
    }

    /// CPU seconds (user and system) of the process and of its children so far.
    ///
    /// # Errors
    /// The process is gone.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let ticks: u64 = family(self.0.id())
            .into_iter()
            .filter_map(|pid| {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
                Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
            })
            .sum();
        if ticks == 0 && !std::path::Path::new(&format!("/proc/{}", self.0.id())).exists() {
            bail!("process {} is gone", self.0.id());
        }
        Ok(ticks as f64 / 100.0) // USER_HZ is 100 on every Linux we know
    }

    /// Asks the process to end and waits for it. SIGINT: on SIGTERM Pingora's own server sleeps
    /// for its whole grace period of five minutes.
    ///
    /// # Errors
    /// It does not end within 30 s.
    pub fn finish(mut self) -> Result<()> {
        Command::new("kill").arg("-INT").arg(self.0.id().to_string()).status()?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.0.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("process {} does not end", self.0.id());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for pid in family(self.0.id()).into_iter().skip(1) {
            let _gone = Command::new("kill").arg("-KILL").arg(pid.to_string()).status();
        }
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A process and its direct children (nginx and HAProxy do their work in those).
fn family(pid: u32) -> Vec<u32> {
    let children =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    std::iter::once(pid)
        .chain(children.split_whitespace().filter_map(|pid| pid.parse().ok()))
        .collect()
}

/// A port that nobody listens on now.
///
/// # Errors
/// None is to be had.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Waits until something listens at `address`.
///
/// # Errors
/// Nothing does within 60 s (under valgrind a start takes a while).
pub fn wait_for(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            bail!("nothing listens at {address}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Sends `count` requests, one after the other, over one kept connection.
///
/// # Errors
/// One of them is not answered 200, or the connection ends.
pub fn requests(address: SocketAddr, count: u64) -> Result<()> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut body = vec![0; 4096];
    for number in 0..count {
        writer.write_all(request.as_bytes())?;
        let mut status = String::new();
        reader.read_line(&mut status)?;
        if !status.starts_with("HTTP/1.1 200") {
            bail!("request {number} was answered '{}'", status.trim());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        reader.read_exact(body.get_mut(..length).context("a body over 4 KiB")?)?;
    }
    Ok(())
}
