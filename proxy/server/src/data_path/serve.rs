//! Sockets and threads: binding, serving, draining.

use super::connection::Front;
use super::endpoints::check_endpoints;
use super::gateway::{ATTEMPTS, Gateway};
use super::worker::Worker;
use super::{Inner, ListenerState};
use crate::lifecycle::{Inherited, ListeningSocket, bind};
use anyhow::Context;
use pingora::apps::HttpServerOptions;
use pingora::listeners::{L4BufferSettings, ListenerConfig, Listeners};
use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use pingora::server::{Fds, ListenFds, ShutdownWatch};
use pingora::services::Service as _;
use pingora::services::listening::Service;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Idle connections to upstreams that a thread keeps.
const KEPT_UPSTREAM: usize = 1024;
/// Time between two look-ups of endpoint names.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// Time between two looks at endpoints that were ejected or have just come.
const TEND_EVERY: Duration = Duration::from_millis(200);
/// How long idle clients may still send a request after the listeners closed: it is answered with
/// `connection: close`, which loses nothing, where closing at once could cross a request.
const LINGER: Duration = Duration::from_millis(250);
/// Time between two warnings of the same certificate.
const WARN_EVERY: Duration = Duration::from_secs(86_400);
/// How often the drain is looked at.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Stage {
    Serving,
    /// Idle connections are closed.
    ClosingIdle,
    /// Threads end, whatever is left.
    Over,
}

/// A running data path.
#[derive(Debug)]
pub struct ServingHandle {
    addresses: Vec<(Arc<str>, SocketAddr)>,
    supervisor: JoinHandle<usize>,
}

impl ServingHandle {
    /// The listeners and where they listen: with port 0 in the settings, the port that was found.
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.supervisor.is_finished()
    }

    /// Waits (blocking) until the shutdown is over: every request answered, or the grace period
    /// spent. Returns how many requests were cut.
    pub fn join(self) -> usize {
        self.supervisor.join().unwrap_or_else(|_| {
            tracing::error!("the data path's supervisor panicked");
            0
        })
    }
}

/// Binds and starts; see [`super::DataPath::serve_on`].
pub(super) fn serve(
    inner: &Arc<Inner>,
    grace_period: Duration,
    inherited: &mut Inherited,
    shutdown: ShutdownWatch,
) -> anyhow::Result<(ServingHandle, Vec<ListeningSocket>)> {
    // Sockets first: whatever is wrong with them is known before anything runs.
    let mut bound = Vec::with_capacity(inner.listeners.len());
    let mut addresses = Vec::with_capacity(inner.listeners.len());
    let mut sockets = Vec::with_capacity(inner.listeners.len());
    for listener in &inner.listeners {
        let socket = bind(listener.address, inherited).with_context(|| {
            format!("cannot listen on {} (listener {})", listener.address, listener.name)
        })?;
        addresses.push((Arc::clone(&listener.name), socket.local_addr()?));
        let (configured, same) = (listener.address, socket.try_clone()?);
        sockets.push(ListeningSocket { configured, socket: same });
        bound.push((Arc::clone(listener), socket));
    }
    let inner = Arc::clone(inner);
    let (report, started) = mpsc::channel();
    // Runtimes are made and dropped in a thread of their own: the caller may be inside one.
    let supervisor = std::thread::Builder::new()
        .name("data-path".to_owned())
        .spawn(move || match Threads::start(&inner, bound) {
            Ok(threads) => {
                let _ = report.send(Ok(())); // the caller waits for it
                threads.supervise(&inner, grace_period, shutdown)
            }
            Err(error) => {
                let _ = report.send(Err(error));
                0
            }
        })
        .context("cannot start the data path's supervisor")?;
    started.recv().context("the data path's supervisor ended at once")??;
    Ok((ServingHandle { addresses, supervisor }, sockets))
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot make a tokio runtime")
}

/// Those who serve, and how they are told to stop.
struct Threads {
    runtime: Runtime,
    workers: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    stage: watch::Sender<Stage>,
}

impl Threads {
    fn start(
        inner: &Inner,
        bound: Vec<(Arc<ListenerState>, TcpListener)>,
    ) -> anyhow::Result<Threads> {
        let runtime = runtime()?;
        let (stop, stopping) = watch::channel(false);
        let (stage, stages) = watch::channel(Stage::Serving);
        let mut workers = Vec::with_capacity(inner.workers.len());
        for (position, worker) in inner.workers.iter().enumerate() {
            let mut sockets = Vec::with_capacity(bound.len());
            for (listener, socket) in &bound {
                sockets.push((Arc::clone(listener), socket.try_clone()?));
            }
            let (worker, stopping, stages) = (Arc::clone(worker), stopping.clone(), stages.clone());
            let own = self::runtime()?;
            let thread = std::thread::Builder::new()
                .name(format!("data-path-{position}"))
                .spawn(move || run_worker(&own, worker, sockets, stopping, stages))
                .context("cannot start a data path thread")?;
            workers.push(thread);
        }
        // The workers hold the sockets now, and close them.
        Ok(Threads { runtime, workers, stop, stage })
    }

    /// Resolves names until the shutdown, then drains. Returns how many requests were cut.
    fn supervise(
        self,
        inner: &Inner,
        grace_period: Duration,
        mut shutdown: ShutdownWatch,
    ) -> usize {
        let cut = self.runtime.block_on(async {
            tokio::select! {
                // A dropped sender is a shutdown as well.
                _ = shutdown.wait_for(|shutdown| *shutdown) => {}
                () = resolve_names(inner) => {}
                () = warn_of_expiries(inner) => {}
                () = tend_endpoints(inner) => {}
                () = check_endpoints(|| inner.pools()) => {}
            }
            let began = Instant::now();
            // Listeners close, and no connection is kept for another request.
            inner.workers.iter().for_each(|worker| worker.close());
            self.stop.send_replace(true);
            let linger = if inner.has_time() { grace_period } else { LINGER.min(grace_period) };
            drained(inner, began + linger).await;
            self.stage.send_replace(Stage::ClosingIdle);
            drained(inner, began + grace_period).await;
            inner.in_flight()
        });
        if cut > 0 {
            tracing::warn!(requests = cut, "the grace period is over: cutting requests in flight");
        }
        self.stage.send_replace(Stage::Over);
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a data path thread panicked");
            }
        }
        cut
    }
}

/// One data path thread: every listener, one pool of upstream connections.
fn run_worker(
    runtime: &Runtime,
    worker: Arc<Worker>,
    sockets: Vec<(Arc<ListenerState>, TcpListener)>,
    stopping: ShutdownWatch,
    mut stages: watch::Receiver<Stage>,
) {
    runtime.block_on(async move {
        let conf = Arc::new(ServerConf {
            threads: 1,
            max_retries: ATTEMPTS,
            upstream_keepalive_pool_size: KEPT_UPSTREAM,
            ..ServerConf::default()
        });
        let mut proxy = http_proxy(&conf, Gateway { worker: Arc::clone(&worker) });
        let mut options = HttpServerOptions::default();
        // The front decides who speaks it.
        options.h2c = true;
        // The hooks refuse it, so that it is counted and logged.
        options.allow_connect_method_proxying = true;
        options.h2_idle_timeout =
            sockets.iter().map(|(listener, _)| listener.limits.terms().keepalive_timeout).max();
        proxy.server_options = Some(options);
        let proxy = Arc::new(proxy);
        let mut accepting = Vec::with_capacity(sockets.len());
        for (listener, socket) in sockets {
            let address = listener.address.to_string();
            let mut fds = Fds::new();
            fds.add(address.clone(), socket.into_raw_fd()); // Pingora takes it from here
            let fds: ListenFds = Arc::new(fds.into());
            let front = Front {
                proxy: Arc::clone(&proxy),
                worker: Arc::clone(&worker),
                limits: Arc::clone(&listener.limits),
                tls: listener.tls.clone(),
                stages: stages.clone(),
            };
            // Whoever reads has a buffer: the gate, the body, rustls. Pingora's own of 64 KiB for every
            // connection would be most of what an idle one costs.
            let buffers = L4BufferSettings::default().read(0);
            let mut sockets = Listeners::new();
            sockets.add_listener(ListenerConfig::tcp(&address).l4_buffer(buffers));
            let mut service = Service::with_listeners(listener.name.to_string(), sockets, front);
            let stopping = stopping.clone();
            let serving = async move { service.start_service(Some(fds), stopping, 1).await };
            accepting.push(tokio::spawn(serving));
        }
        tokio::spawn(async move {
            for listener in accepting {
                // One that panicked accepts nothing either.
                let _ = listener.await;
            }
            // A connection that was accepted last is a task that may not have begun: this one begins after it.
            let _ = tokio::spawn(async {}).await;
            worker.shut();
        });
        // An error means that the supervisor is gone, which ends this thread as well.
        let _ = stages.wait_for(|stage| *stage >= Stage::ClosingIdle).await;
        pingora::apps::HttpServerApp::http_cleanup(&*proxy).await;
        let _ = stages.wait_for(|stage| *stage == Stage::Over).await;
    });
}

/// Until no client is connected and none can come, or `deadline`.
async fn drained(inner: &Inner, deadline: Instant) {
    let busy = || inner.workers.iter().any(|worker| worker.is_busy());
    while busy() && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

async fn warn_of_expiries(inner: &Inner) {
    loop {
        inner.warn_of_expiries();
        tokio::time::sleep(WARN_EVERY).await;
    }
}

async fn resolve_names(inner: &Inner) {
    loop {
        for pool in inner.pools().iter().filter(|pool| pool.has_names()) {
            pool.resolve().await;
        }
        // A reload does not wait for the next round.
        let _ = tokio::time::timeout(RESOLVE_EVERY, inner.reloaded.notified()).await;
    }
}

/// Lets endpoints come back whose time is over, and newcomers grow.
async fn tend_endpoints(inner: &Inner) {
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        let now = Instant::now();
        inner.pools().iter().for_each(|pool| pool.tend(now));
    }
}
