//! The worker process: what it is told, what it tells, and its end.

use super::program::Programs;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::Value;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{env, fs, io};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// One line of its standard output.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The browser is there, no page is open.
    Ready,
    /// A step begins; from 0.
    Begin(usize),
    /// The step that had begun has ended.
    Done(Done),
    /// All steps are done, or one has failed.
    End,
    /// It cannot go on, for a reason that the site has no part in.
    Unable(String),
}

/// What came of a step.
#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct Done {
    pub(super) micros: u64,
    /// Of the page that is open.
    pub(super) status: Option<u16>,
    /// What was expected and what came.
    pub(super) failure: Option<String>,
    /// Whether the failure is that it took too long.
    #[serde(default)]
    pub(super) late: bool,
}

/// A worker and its browser: one group of processes, ended as a whole when this is dropped.
pub(super) struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Its end is the worker's end: so it does not outlive this process, however that ends.
    #[allow(dead_code, reason = "held, not used")]
    input: Option<ChildStdin>,
    group: Option<Pid>,
    /// The browser's profile, which nothing is left of.
    folder: PathBuf,
}

impl Worker {
    /// Starts it and tells it what to do.
    pub(super) async fn start(programs: &Programs, job: &Value) -> io::Result<Worker> {
        let folder = env::temp_dir().join(format!("serinus-browser-{:016x}", fastrand::u64(..)));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let (mut worker, mut input) = match spawn(programs, &folder) {
            Ok(spawned) => spawned,
            Err(error) => {
                let _ = fs::remove_dir_all(&folder);
                return Err(error);
            }
        };
        input.write_all(format!("{job}\n").as_bytes()).await?;
        input.flush().await?;
        worker.input = Some(input);
        Ok(worker)
    }

    /// What it tells next; none once it is gone. A line that is none is passed over.
    pub(super) async fn next(&mut self) -> Option<Line> {
        while let Ok(Some(line)) = self.lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(line) => return Some(line),
                Err(error) => tracing::debug!(%error, "the browser's worker says something else"),
            }
        }
        None
    }
}

fn spawn(programs: &Programs, folder: &Path) -> io::Result<(Worker, ChildStdin)> {
    let mut child = Command::new(&programs.worker)
        .arg(&programs.chromium)
        .arg(folder)
        // No secret of this process is any business of a page.
        .env_clear()
        .envs(["PATH", "LANG", "TZ"].iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("it has no input or output"));
    };
    let lines = BufReader::new(output).lines();
    Ok((Worker { child, lines, input: None, group, folder: folder.to_owned() }, input))
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Gone already is as good.
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = self.child.start_kill();
        let folder = std::mem::take(&mut self.folder);
        // A profile is some megabytes: not on a thread that others wait for.
        let remove = move || {
            let _ = fs::remove_dir_all(&folder);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood_as_the_worker_writes_them() {
        let line = |text: &str| serde_json::from_str::<Line>(text).unwrap();
        assert_eq!(line(r#""ready""#), Line::Ready);
        assert_eq!(line(r#"{"begin": 2}"#), Line::Begin(2));
        let done = Done { micros: 7, status: Some(200), failure: None, late: false };
        assert_eq!(
            line(r#"{"done": {"micros": 7, "status": 200, "failure": null}}"#),
            Line::Done(done)
        );
        assert_eq!(line(r#"{"unable": "x"}"#), Line::Unable("x".to_owned()));
    }
}
