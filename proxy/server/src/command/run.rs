//! `serinus run`: the proxy.

use super::signals::{Asked, Signals};
use crate::admin::{self, Admin, Metrics, ProbeMetrics, Traffic};
use crate::control::journal::Journal;
use crate::control::{Beginning, Board, Clock, Conductor, Lifecycle, Parts, Request, read_config};
use crate::data_path::recorder::DURATION_BOUNDS;
use crate::data_path::{DataPath, RouteTotals};
use crate::logging::{self, LogFormat};
use anyhow::{Context, anyhow};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serinus_config::Settings;
use serinus_probes::Inputs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
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
    let signals = Signals::block().context("cannot block signals")?;
    let (settings, inputs) = read_config(&arguments.config).map_err(|why| anyhow!("{why}"))?;
    logging::start(arguments.log_format, &settings.log.level)?;
    raise_descriptor_limit();
    for warning in &settings.warnings {
        tracing::warn!(%warning, "configuration");
    }
    let proxy = start(arguments.config, Arc::new(settings), inputs)?;
    proxy.until_told_to_stop(signals)
}

/// A running proxy.
struct Proxy {
    settings: Arc<Settings>,
    board: Arc<Board>,
    data_path: DataPath,
    serving: crate::data_path::ServingHandle,
    shutdown: watch::Sender<bool>,
    control: UnboundedSender<Request>,
    conductor: JoinHandle<()>,
}

fn start(file: PathBuf, settings: Arc<Settings>, inputs: Inputs) -> anyhow::Result<Proxy> {
    let (control, inbox) = unbounded_channel();
    let answers = control.clone();
    let (journal, restored) = Journal::start(&settings.server.state_dir, move |answer| {
        // The loop may have stopped already: then nobody waits for the answer.
        let _ = answers.send(Request::Journal(answer));
    })?;
    let board = Arc::new(Board::new(file, settings.clone(), journal.health()));
    let data_path = DataPath::new(&settings, settings.plan().table)?;
    let probe_metrics = ProbeMetrics::new()?;
    let metrics =
        Metrics::new(board.clone(), traffic(data_path.clone()), data_path.clone(), &probe_metrics)?;
    metrics.add_rejections(rejections(data_path.clone()))?;
    if let Some(address) = settings.admin.listen {
        let listener = admin::bind(address)?;
        tracing::info!(address = %listener.local_addr()?, "admin side");
        let admin = Admin {
            board: board.clone(),
            control: control.clone(),
            metrics: Arc::new(metrics),
            data_path: data_path.clone(),
            state_dir: Arc::new(settings.server.state_dir.clone()),
        };
        admin::serve(listener, admin)?;
    }
    // The weights of the journal are in force before the first request is accepted.
    let mut conductor = Conductor::begin(Beginning {
        clock: Clock::set(),
        board: board.clone(),
        parts: Parts::new(data_path.clone(), probe_metrics, &settings, inputs)?,
        journal,
        restored,
        inbox,
        own_inbox: control.clone(),
    });
    let (shutdown, shutdown_rx) = watch::channel(false);
    let serving = data_path.serve(&settings, shutdown_rx)?;
    for (listener, address) in serving.addresses() {
        tracing::info!(listener = &**listener, %address, "listening");
    }
    board.lifecycle.store(Arc::new(Lifecycle::Serving));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let conductor = std::thread::Builder::new()
        .name("control".into())
        .spawn(move || runtime.block_on(conductor.run()))?;
    Ok(Proxy { settings, board, data_path, serving, shutdown, control, conductor })
}

impl Proxy {
    fn until_told_to_stop(self, signals: Signals) -> anyhow::Result<ExitCode> {
        while let Asked::Reload = signals.wait().context("cannot wait for signals")? {
            tracing::info!("SIGHUP: reading the configuration again");
            self.control.send(Request::Reload).map_err(|_| anyhow!("the control loop is gone"))?;
        }
        let grace = self.settings.server.grace_period;
        let in_flight = self.data_path.in_flight();
        tracing::info!(in_flight, grace_seconds = grace.as_secs_f64(), "stopping");
        self.board.lifecycle.store(Arc::new(Lifecycle::Draining));
        end_at_a_second_signal(signals)?;
        // If nobody receives it, the data path has ended already.
        let _ = self.shutdown.send(true);
        let cut = self.serving.join();
        let _ = self.control.send(Request::Stop);
        // Its panic, if any, was logged; what matters now is that the journal is closed.
        let _ = self.conductor.join();
        if cut > 0 {
            tracing::warn!(cut, "requests were cut at the end of the grace period");
        }
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }
}

/// Who asks twice does not want to wait.
fn end_at_a_second_signal(signals: Signals) -> std::io::Result<()> {
    let wait = move || {
        while let Ok(asked) = signals.wait() {
            if asked == Asked::Stop {
                tracing::warn!("asked to stop again: ending at once");
                std::process::exit(130);
            }
        }
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

fn traffic(data_path: DataPath) -> crate::admin::TrafficSource {
    Box::new(move || data_path.totals().into_iter().map(in_families).collect())
}

fn rejections(data_path: DataPath) -> crate::admin::RejectionSource {
    Box::new(move || {
        let rejections = data_path.rejections().into_iter();
        rejections.map(|(reason, count)| (reason.as_str(), count)).collect()
    })
}

fn in_families(totals: RouteTotals) -> Traffic {
    let RouteTotals { route, service, variant, totals } = totals;
    Traffic {
        route,
        service,
        variant: variant.as_str(),
        codes: totals.codes,
        durations: DURATION_BOUNDS.into_iter().zip(totals.durations.counts).collect(),
        beyond: totals.durations.beyond,
        sum_seconds: totals.durations.sum_seconds,
        shielded: totals.shielded,
    }
}
