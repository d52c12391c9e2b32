//! The data path: carries requests and counts what becomes of them.
//!
//! A request loads one immutable [`View`] and keeps it to its end. Everything that changes
//! (weights, configuration, certificates) is a new value that later requests load.

mod access;
mod admission;
mod answer;
mod attribution;
mod certificates;
mod connection;
mod crowd;
mod drains;
mod endpoints;
mod flights;
mod forwarding;
mod gateway;
mod guard;
mod identity;
mod intake;
mod listener_tls;
mod load;
mod mirror;
mod networks;
mod origin;
mod paths;
mod patience;
mod pem;
mod proxy_header;
mod quality;
mod readings;
pub mod recorder;
mod recovery;
mod rejection;
mod repeats;
mod request;
mod rewriting;
mod screening;
mod serve;
pub mod shards;
mod shield;
mod totals;
mod traces;
mod upstream;
mod view;
mod worker;

#[cfg(test)]
mod tests;

pub use drains::DrainError;
pub use endpoints::{EndpointState, EndpointStatus};
pub use readings::{RouteTotals, ServiceTotals};
pub use rejection::Reason;
pub use serve::ServingHandle;

use crate::acme::{Challenges, Store};
use crate::lifecycle::{Inherited, ListeningSocket};
pub use certificates::CertificateExpiry;
pub(crate) use certificates::Chain;
use connection::Limits;
use endpoints::Pool;
use listener_tls::ListenerTls;
pub(crate) use pem::authorities;
use recorder::Recorder;
use serinus_config::{AcmeSettings, ListenerSettings, Settings};
use serinus_models::{LiveSample, Pair, Sample};
use serinus_probes::orca::LoadReports;
use serinus_routing::RouteTable;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, watch};
use view::{Setup, View};
use worker::Worker;

/// How long the end of the process waits for the collector.
const FLUSH: Duration = Duration::from_secs(2);

/// Turns true (or loses its sender) when the proxy shall end.
pub type ShutdownRx = watch::Receiver<bool>;

/// The data path; cloning gives another handle to the same one.
#[derive(Debug, Clone)]
pub struct DataPath(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// One per thread; never empty.
    workers: Vec<Arc<Worker>>,
    listeners: Vec<Arc<ListenerState>>,
    /// The configuration in force; locked by those who change or read it, never by a request.
    setup: Mutex<Arc<Setup>>,
    /// What CAs are shown.
    challenges: Arc<Challenges>,
    /// Wakes the resolver.
    reloaded: Notify,
    /// Idle clients need not be closed soon after the listeners.
    has_time: AtomicBool,
}

/// A listener as it was started. Limits and certificates follow reloads.
#[derive(Debug)]
struct ListenerState {
    name: Arc<str>,
    address: SocketAddr,
    limits: Arc<Limits>,
    tls: Option<Arc<ListenerTls>>,
}

impl DataPath {
    /// Pools, recorders and certificates for `settings`; no sockets yet.
    ///
    /// # Errors
    /// A certificate that cannot be used, or a `table` that is not one of `settings`.
    pub fn new(settings: &Settings, table: RouteTable) -> anyhow::Result<DataPath> {
        let threads = threads(settings);
        let epoch = Instant::now();
        let setup = Arc::new(Setup::new(settings, &table, threads, None, epoch)?);
        let challenges = Arc::new(Challenges::default());
        let store = store(settings);
        let ca = settings.acme.as_ref().zip(store.as_ref());
        let listener =
            |listener: &ListenerSettings| ListenerState::new(listener, ca, Arc::clone(&challenges));
        let listeners = settings.listeners.iter().map(listener).collect::<anyhow::Result<_>>()?;
        let worker = |thread| {
            let view = View { table: table.clone(), setup: Arc::clone(&setup) };
            Arc::new(Worker::new(thread, view, epoch, Arc::clone(&challenges)))
        };
        let workers = (0..threads).map(worker).collect();
        Ok(DataPath(Arc::new(Inner {
            workers,
            listeners,
            setup: Mutex::new(setup),
            challenges,
            reloaded: Notify::new(),
            has_time: AtomicBool::new(false),
        })))
    }

    /// Routes by `table` from now on: when this returns, no new request sees an older one.
    /// The table must be of the configuration in force; another one changes nothing.
    pub fn publish(&self, table: RouteTable) {
        let setup = self.0.setup();
        if !View::fits(&setup, &table) {
            tracing::error!("a route table of another configuration was not published");
            return;
        }
        for worker in &self.0.workers {
            worker.publish(View { table: table.clone(), setup: Arc::clone(&setup) });
        }
    }

    /// Carries requests by another configuration from now on. Routes and endpoints that stay keep
    /// their counters and connections; threads and addresses of listeners stay until a restart.
    ///
    /// # Errors
    /// As [`DataPath::new`]; then nothing has changed.
    pub fn reconfigure(&self, settings: &Settings, table: RouteTable) -> anyhow::Result<()> {
        let mut current = self.0.setup();
        let threads = self.0.workers.len();
        let setup =
            Arc::new(Setup::new(settings, &table, threads, Some(&current), Instant::now())?);
        let store = store(settings);
        let ca = settings.acme.as_ref().zip(store.as_ref());
        let mut prepared = Vec::new();
        for (state, now) in self.0.listeners_of(settings) {
            if let Some(tls) = &state.tls
                && now.is_encrypted()
            {
                prepared.push((tls, listener_tls::prepare(now, ca)?));
            }
        }
        // What is left can fail only where the TLS library contradicts itself.
        for (tls, prepared) in prepared {
            tls.replace(prepared)?;
        }
        for (state, now) in self.0.listeners_of(settings) {
            state.limits.set(now);
        }
        for worker in &self.0.workers {
            worker.publish(View { table: table.clone(), setup: Arc::clone(&setup) });
        }
        *current = setup;
        drop(current);
        self.0.warn_of_expiries();
        self.0.reloaded.notify_one();
        Ok(())
    }

    /// What was seen of `service` since the last drain, by route. Requests that have waited for
    /// long are in the latencies already, at the age they have now.
    pub fn drain(&self, service: &str) -> Vec<LiveSample> {
        let setup = self.0.setup();
        let recorders: Vec<_> = setup.recorders_of(service).collect();
        let Some(service) = setup.services.iter().find(|known| *known.name == *service) else {
            return Vec::new();
        };
        let all = || recorders.iter().flat_map(|pair| [&pair.stable, &pair.canary]);
        let now = Instant::now();
        for worker in &self.0.workers {
            worker.flights.overdue(
                now,
                service.lookout(),
                |owner| all().any(|recorder| recorder.id == owner),
                |owner, age| {
                    if let Some(recorder) = all().find(|recorder| recorder.id == owner) {
                        recorder.overdue(age.as_micros() as u64);
                    }
                },
            );
        }
        let drained: Vec<_> = recorders.iter().map(|pair| drain_pair(pair)).collect();
        let slowest = drained.iter().filter_map(|live| live.samples.stable.latency.quantile(0.9));
        service.learn_lookout(slowest.max().unwrap_or(0));
        drained.into_iter().filter(|live| live.samples != Pair::default()).collect()
    }

    /// Failures of both variants together since the last drain.
    pub fn failures_since_drain(&self, service: &str) -> u64 {
        let setup = self.0.setup();
        setup
            .recorders_of(service)
            .map(|pair| pair.stable.failures() + pair.canary.failures())
            .sum()
    }

    /// What CAs are shown.
    pub(crate) fn challenges(&self) -> &Arc<Challenges> {
        &self.0.challenges
    }

    /// Shows what a CA issued for `name`, on the listeners that list it.
    pub(crate) fn show_issued(&self, name: &str, chain: &Arc<Chain>) {
        for tls in self.0.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
            tls.show_issued(name, chain);
        }
    }

    /// Sends what there is of traces, now that the last request is answered.
    pub(crate) fn flush_traces(&self) {
        let exporter = self.0.setup().exporter.clone();
        if let Some(exporter) = exporter {
            exporter.flush(FLUSH);
        }
    }

    /// Where the load that answers tell of is gathered.
    pub fn loads(&self) -> LoadReports {
        self.0.setup().loads.clone()
    }

    /// Copies requests to the canaries of the services that are `judged`, as far as they are to be mirrored,
    /// and to no other.
    pub(crate) fn mirror(&self, judged: impl Fn(&str) -> bool) {
        for service in &self.0.setup().services {
            if let Some(mirror) = &service.mirror {
                mirror.open(judged(&service.name));
            }
        }
    }

    /// Requests whose answer is not finished.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    /// Listens and carries requests on threads of its own, until `shutdown`: then the listeners
    /// close at once, and the requests in flight have the grace period of `settings` to finish.
    ///
    /// # Errors
    /// An address that cannot be listened on, with the listener's name.
    pub fn serve(
        &self,
        settings: &Settings,
        shutdown: ShutdownRx,
    ) -> anyhow::Result<ServingHandle> {
        let grace = settings.server.grace_period;
        let (handle, _) = serve::serve(&self.0, grace, &mut Inherited::default(), shutdown)?;
        Ok(handle)
    }

    /// The same, on sockets that were `inherited` where there are any. Gives all sockets back as
    /// well, for a process that comes after this one: as long as they are held, nothing is refused.
    ///
    /// # Errors
    /// As [`DataPath::serve`].
    pub(crate) fn serve_on(
        &self,
        settings: &Settings,
        inherited: &mut Inherited,
        shutdown: ShutdownRx,
    ) -> anyhow::Result<(ServingHandle, Vec<ListeningSocket>)> {
        serve::serve(&self.0, settings.server.grace_period, inherited, shutdown)
    }

    /// Lets idle clients have all of the grace period of a shutdown for their next request: nobody
    /// waits for this process to end.
    pub(crate) fn take_time(&self) {
        self.0.has_time.store(true, Ordering::Release);
    }
}

fn drain_pair(pair: &Pair<Arc<Recorder>>) -> LiveSample {
    let drained = |recorder: &Recorder| -> Sample { recorder.drain() };
    LiveSample {
        route: Arc::clone(&pair.stable.route),
        samples: Pair { stable: drained(&pair.stable), canary: drained(&pair.canary) },
    }
}

impl Inner {
    /// Never held while waiting; a panic of a holder left a complete value.
    fn setup(&self) -> MutexGuard<'_, Arc<Setup>> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        self.setup().pools().into_iter().map(Arc::clone).collect()
    }

    fn in_flight(&self) -> usize {
        self.workers.iter().map(|worker| worker.requests()).sum()
    }

    fn has_time(&self) -> bool {
        self.has_time.load(Ordering::Acquire)
    }

    fn expiries(&self) -> Vec<CertificateExpiry> {
        let listeners = self.listeners.iter();
        let encrypted = listeners.filter_map(|listener| Some((listener, listener.tls.as_ref()?)));
        encrypted.flat_map(|(listener, tls)| tls.expiries(&listener.name)).collect()
    }

    /// Says in the log which certificates end soon.
    fn warn_of_expiries(&self) {
        let now = SystemTime::now();
        self.expiries().iter().for_each(|expiry| expiry.warn(now));
    }

    /// Running listeners with what `settings` say of them.
    fn listeners_of<'a>(
        &'a self,
        settings: &'a Settings,
    ) -> impl Iterator<Item = (&'a ListenerState, &'a ListenerSettings)> {
        self.listeners.iter().filter_map(|state| {
            let now = settings.listeners.iter().find(|now| *now.name == *state.name)?;
            Some((&**state, now))
        })
    }
}

impl ListenerState {
    fn new(
        settings: &ListenerSettings,
        ca: Option<(&AcmeSettings, &Store)>,
        challenges: Arc<Challenges>,
    ) -> anyhow::Result<Arc<ListenerState>> {
        let tls = match settings.is_encrypted() {
            false => None,
            true => {
                let prepared = listener_tls::prepare(settings, ca)?;
                Some(Arc::new(ListenerTls::new(prepared, challenges)?))
            }
        };
        Ok(Arc::new(ListenerState {
            name: settings.name.as_str().into(),
            address: settings.address,
            limits: Arc::new(Limits::new(settings)),
            tls,
        }))
    }
}

/// What the CA of `settings` has issued.
fn store(settings: &Settings) -> Option<Store> {
    settings.acme.as_ref().map(|acme| Store::of(&settings.server.state_dir, acme))
}

/// Data path threads; 0 in the settings means one per core.
fn threads(settings: &Settings) -> usize {
    match settings.server.threads {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get()),
        threads => threads,
    }
}
