//! Where lines of the access log go: to a thread of its own, so that a slow disk delays no request.

use anyhow::{Context, bail};
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Lines that wait at most; more are lost, and their number is told.
const WAITING: usize = 16 * 1024;

/// The way to the thread, which is started for the first line.
#[derive(Debug)]
pub(super) struct Writer {
    file: Option<PathBuf>,
    lines: OnceLock<SyncSender<String>>,
    lost: AtomicU64,
}

impl Writer {
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn new(file: Option<PathBuf>) -> anyhow::Result<Writer> {
        if let Some(file) = &file {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            if !folder.is_dir() {
                bail!("log.access_file: there is no folder {}", folder.display());
            }
            let opened = open(Some(file)).map(drop);
            opened.with_context(|| format!("log.access_file: cannot open {}", file.display()))?;
        }
        Ok(Writer { file, lines: OnceLock::new(), lost: AtomicU64::new(0) })
    }

    pub(super) fn write(&self, line: String) {
        let lines = self.lines.get_or_init(|| {
            let (lines, waiting) = sync_channel(WAITING);
            let file = self.file.clone();
            let thread = std::thread::Builder::new()
                .name("access-log".to_owned())
                .spawn(move || run(file.as_deref(), &waiting));
            if let Err(error) = thread {
                tracing::error!("cannot start the thread of the access log: {error}");
            }
            lines
        });
        let line = match self.lost.load(Ordering::Relaxed) {
            0 => line,
            // Before the next line that is not lost.
            _ => format!("{{\"lost_lines\":{}}}\n{line}", self.lost.swap(0, Ordering::Relaxed)),
        };
        if let Err(TrySendError::Full(_)) = lines.try_send(line) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes until the last sender is gone.
fn run(file: Option<&Path>, lines: &Receiver<String>) {
    let mut out: BufWriter<Box<dyn Write>> = BufWriter::new(match open(file) {
        Ok(out) => out,
        Err(error) => {
            let file = file.map(|file| file.display().to_string()).unwrap_or_default();
            tracing::error!(file, "cannot open the access log: {error}");
            Box::new(io::stderr())
        }
    });
    let mut failing = false;
    while let Ok(line) = lines.recv() {
        let mut written = out.write_all(line.as_bytes());
        while let (Ok(()), Ok(line)) = (&written, lines.try_recv()) {
            written = out.write_all(line.as_bytes());
        }
        // Nothing more waits: what there is can be seen now.
        let written = written.and_then(|()| out.flush());
        match (&written, failing) {
            (Err(error), false) => tracing::error!("cannot write the access log: {error}"),
            (Ok(()), true) => tracing::info!("the access log is written again"),
            _ => {}
        }
        failing = written.is_err();
    }
}

fn open(file: Option<&Path>) -> io::Result<Box<dyn Write>> {
    Ok(match file {
        Some(file) => Box::new(OpenOptions::new().create(true).append(true).open(file)?),
        None => Box::new(io::stderr()),
    })
}
