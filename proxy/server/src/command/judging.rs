//! The side of a running proxy that judges: journal, control loop, probes, admin. It can end and begin
//! again while the data path carries requests.

use crate::admin::{self, Admin, AdminHandle, Metrics, ProbeMetrics, Traffic};
use crate::control::journal::Journal;
use crate::control::{Beginning, Board, Clock, Conductor, Lifecycle, Parts, Request};
use crate::data_path::recorder::DURATION_BOUNDS;
use crate::data_path::{DataPath, RouteTotals};
use anyhow::anyhow;
use serinus_config::Settings;
use serinus_probes::Inputs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// All of it, running.
pub(super) struct Judging {
    pub(super) board: Arc<Board>,
    control: UnboundedSender<Request>,
    conductor: Option<JoinHandle<()>>,
    admin: Option<AdminHandle>,
}

impl Judging {
    /// Goes on from where the journal says that rollouts stood; when this returns, their weights
    /// are in force.
    ///
    /// # Errors
    /// No thread can be started, or a file cannot be used.
    pub(super) fn begin(
        file: &Path,
        settings: Arc<Settings>,
        inputs: Inputs,
        data_path: &DataPath,
        admin_socket: Option<TcpListener>,
    ) -> anyhow::Result<Judging> {
        let (control, inbox) = unbounded_channel();
        let answers = control.clone();
        let (journal, restored) = Journal::start(&settings.server.state_dir, move |answer| {
            // The loop may have stopped already: then nobody waits for the answer.
            let _ = answers.send(Request::Journal(answer));
        })?;
        let board = Arc::new(Board::new(file.to_owned(), settings.clone(), journal.health()));
        board.drains.restore(data_path);
        let probe_metrics = ProbeMetrics::new()?;
        let metrics = Metrics::new(
            board.clone(),
            traffic(data_path.clone()),
            data_path.clone(),
            &probe_metrics,
        )?;
        metrics.add_rejections(rejections(data_path.clone()))?;
        let admin = admin_socket.map(|listener| {
            let admin = Admin {
                board: board.clone(),
                control: control.clone(),
                metrics: Arc::new(metrics),
                data_path: data_path.clone(),
                state_dir: Arc::new(settings.server.state_dir.clone()),
            };
            admin::serve(listener, admin)
        });
        let admin = admin.transpose()?;
        let mut conductor = Conductor::begin(Beginning {
            clock: Clock::set(),
            board: board.clone(),
            parts: Parts::new(
                data_path.clone(),
                probe_metrics,
                board.acme.clone(),
                &settings,
                inputs,
            )?,
            journal,
            restored,
            inbox,
            own_inbox: control.clone(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let conductor = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || runtime.block_on(conductor.run()))?;
        Ok(Judging { board, control, conductor: Some(conductor), admin })
    }

    /// The listeners are open: says so, and begins what needs them.
    ///
    /// # Errors
    /// The control loop is gone.
    pub(super) fn serve(&self) -> anyhow::Result<()> {
        self.board.lifecycle.store(Arc::new(Lifecycle::Serving));
        self.ask(Request::Serve)
    }

    /// Hands a request to the control loop.
    ///
    /// # Errors
    /// It is gone.
    pub(super) fn ask(&self, request: Request) -> anyhow::Result<()> {
        self.control.send(request).map_err(|_| anyhow!("the control loop is gone"))
    }

    /// Ends it: when this returns, the journal is closed and nobody answers on the admin side.
    pub(super) fn stop(&mut self) {
        // It may have ended already.
        let _ = self.control.send(Request::Stop);
        if let Some(conductor) = self.conductor.take() {
            // Its panic, if any, was logged; what matters now is that the journal is closed.
            let _ = conductor.join();
        }
        if let Some(admin) = self.admin.take() {
            admin.stop();
        }
    }
}

fn rejections(data_path: DataPath) -> crate::admin::RejectionSource {
    Box::new(move || {
        let rejections = data_path.rejections().into_iter();
        rejections.map(|(reason, count)| (reason.as_str(), count)).collect()
    })
}

fn traffic(data_path: DataPath) -> crate::admin::TrafficSource {
    Box::new(move || data_path.totals().into_iter().map(in_families).collect())
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
