//! `serinus run`: the proxy.

use super::judging::Judging;
use super::signals::{Asked, Signals};
use crate::admin;
use crate::control::{Lifecycle, Request, inputs_of, read_config};
use crate::data_path::DataPath;
use crate::lifecycle::{
    Heir, Inherited, ListeningSocket, Predecessor, from_service_manager, tell, was_go_between,
    with_main_pid,
};
use crate::logging::{self, LogFormat};
use anyhow::{Context, anyhow};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serinus_config::Settings;
use serinus_probes::Inputs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How log lines look; default: text on a terminal, else JSON.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

pub(super) fn run(arguments: RunArguments) -> anyhow::Result<ExitCode> {
    if was_go_between()? {
        return Ok(ExitCode::SUCCESS);
    }
    let signals = Signals::block().context("cannot block signals")?;
    let (settings, inputs) = read_config(&arguments.config).map_err(|why| anyhow!("{why}"))?;
    logging::start(arguments.log_format, &settings.log.level)?;
    raise_descriptor_limit();
    let (mut predecessor, inherited) = match Predecessor::find()? {
        Some((predecessor, inherited)) => (Some(predecessor), inherited),
        None => {
            let listeners = settings.listeners.iter().map(|listener| listener.address);
            let wanted = settings.admin.listen.into_iter().chain(listeners);
            (None, from_service_manager(wanted)?)
        }
    };
    for warning in &settings.warnings {
        tracing::warn!(%warning, "configuration");
    }
    let data_path = DataPath::new(&settings, settings.plan().table)?;
    if let Some(predecessor) = &mut predecessor {
        predecessor.wait_for_journal()?;
    }
    let proxy = start(arguments.config, Arc::new(settings), inputs, data_path, inherited)?;
    if let Some(predecessor) = predecessor {
        predecessor.say_serving().context("the process before is gone")?;
        tracing::info!("took over from the process before");
    }
    tell("READY=1");
    proxy.until_told_to_stop(signals)
}

/// A running proxy.
struct Proxy {
    file: PathBuf,
    data_path: DataPath,
    serving: crate::data_path::ServingHandle,
    /// For the next process.
    sockets: Vec<ListeningSocket>,
    shutdown: watch::Sender<bool>,
    judging: Judging,
}

fn start(
    file: PathBuf,
    settings: Arc<Settings>,
    inputs: Inputs,
    data_path: DataPath,
    mut inherited: Inherited,
) -> anyhow::Result<Proxy> {
    let mut sockets = Vec::new();
    if let Some(configured) = settings.admin.listen {
        let socket = admin::bind(configured, &mut inherited)?;
        tracing::info!(address = %socket.local_addr()?, "admin side");
        sockets.push(ListeningSocket { configured, socket });
    }
    // The weights of the journal are in force before the first request is accepted.
    let admin_socket = sockets.first().map(|admin| admin.socket.try_clone()).transpose()?;
    let judging = Judging::begin(&file, settings.clone(), inputs, &data_path, admin_socket)?;
    let (shutdown, shutdown_rx) = watch::channel(false);
    let (serving, listeners) = data_path.serve_on(&settings, &mut inherited, shutdown_rx)?;
    sockets.extend(listeners);
    for address in inherited.left() {
        tracing::warn!(%address, "a socket was passed that no listener is configured for: closed");
    }
    for (listener, address) in serving.addresses() {
        tracing::info!(listener = &**listener, %address, "listening");
    }
    judging.serve()?;
    Ok(Proxy { file, data_path, serving, sockets, shutdown, judging })
}

impl Proxy {
    fn until_told_to_stop(mut self, signals: Signals) -> anyhow::Result<ExitCode> {
        loop {
            match signals.wait().context("cannot wait for signals")? {
                Asked::Reload => {
                    tracing::info!("SIGHUP: reading the configuration again");
                    self.judging.ask(Request::Reload)?;
                }
                Asked::Stop => return self.stop(signals),
                Asked::Upgrade => {
                    tracing::info!("SIGUSR2: starting the next process");
                    self.judging.board.upgrade.store(Arc::new(None));
                    match self.hand_over()? {
                        Ok(pid) => return self.leave_to(pid, signals),
                        Err(error) => {
                            let why = format!("{error:#}");
                            tracing::error!("no upgrade, this process goes on: {why}");
                            self.judging.board.upgrade.store(Arc::new(Some(why)));
                        }
                    }
                }
            }
        }
    }

    /// Hands sockets and journal to the next process; why not, if it did not come up. Then this
    /// one judges again.
    ///
    /// # Errors
    /// It cannot judge again.
    fn hand_over(&mut self) -> anyhow::Result<anyhow::Result<u32>> {
        if std::process::id() == 1 {
            let why =
                "this is process 1 of a container, which ends with it: start another container";
            return Ok(Err(anyhow!(why)));
        }
        let heir = match Heir::start(&self.sockets) {
            Ok(heir) => heir,
            Err(error) => return Ok(Err(error)),
        };
        // Requests go on meanwhile, by the table in force.
        let settings = self.judging.board.settings.load_full();
        self.judging.stop();
        let result = heir.go();
        if result.is_err() {
            let inputs = inputs_of(&settings)?;
            let admin = settings.admin.listen.and_then(|configured| {
                self.sockets.iter().find(|socket| socket.configured == configured)
            });
            let admin = admin.map(|admin| admin.socket.try_clone()).transpose()?;
            self.judging = Judging::begin(&self.file, settings, inputs, &self.data_path, admin)?;
            self.judging.serve()?;
        }
        Ok(result)
    }

    /// The next process accepts connections: this one finishes what it has. Its clients have all of
    /// the grace period for their next request, which is answered with `connection: close`.
    fn leave_to(self, pid: u32, signals: Signals) -> anyhow::Result<ExitCode> {
        tell(&with_main_pid(pid));
        let in_flight = self.data_path.in_flight();
        tracing::info!(pid, in_flight, "handed over to the next process, finishing what is here");
        self.data_path.take_time();
        // A stop of the service goes to both processes: it is the next one's to obey.
        end_after_signals(2, signals)?;
        self.drain();
        Ok(ExitCode::SUCCESS)
    }

    fn stop(mut self, signals: Signals) -> anyhow::Result<ExitCode> {
        tell("STOPPING=1");
        let grace = self.judging.board.settings.load().server.grace_period;
        let in_flight = self.data_path.in_flight();
        tracing::info!(in_flight, grace_seconds = grace.as_secs_f64(), "stopping");
        self.judging.board.lifecycle.store(Arc::new(Lifecycle::Draining));
        end_after_signals(1, signals)?;
        self.sockets.clear();
        // If nobody receives it, the data path has ended already.
        let _ = self.shutdown.send(true);
        let cut = self.serving.join();
        self.data_path.flush_traces();
        self.judging.stop();
        report(cut);
        Ok(ExitCode::SUCCESS)
    }

    fn drain(self) {
        drop(self.sockets);
        // If nobody receives it, the data path has ended already.
        let _ = self.shutdown.send(true);
        let cut = self.serving.join();
        self.data_path.flush_traces();
        report(cut);
    }
}

fn report(cut: usize) {
    if cut > 0 {
        tracing::warn!(cut, "requests were cut at the end of the grace period");
    }
    tracing::info!("stopped");
}

/// Who asks again and again does not want to wait.
fn end_after_signals(number: usize, signals: Signals) -> std::io::Result<()> {
    let wait = move || {
        let mut asked = 0;
        while asked < number
            && let Ok(signal) = signals.wait()
        {
            asked += usize::from(signal == Asked::Stop);
        }
        tracing::warn!("asked to stop again: ending at once");
        std::process::exit(130);
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

/// Every connection is a descriptor, and the usual soft limit of 1 024 is soon reached.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}
