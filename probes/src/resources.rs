//! Reading what the variants' processes use: from the endpoints' Prometheus pages, from cgroups and
//! processes of this machine, and from what answers told (ORCA).

use crate::client::{Client, ExchangeError, Progress};
use crate::exposition::{self, ProcessFigures};
use crate::local;
use crate::marks::PROBE_AGENT;
use crate::orca::{LoadReport, LoadReports, RecentLoad};
use crate::plan::Pool;
use crate::target::{Target, TlsError};
use crate::usage::{Answered, Reading, Usage, take_both};
use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use serinus_config::{
    DEFAULT_MAX_BODY, MetricNames, ResourceSettings, ServiceSettings, Settings, VariantPaths,
};
use serinus_models::{Pair, Resources};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Longest wait for one page; shorter where the interval is.
const PATIENCE: Duration = Duration::from_secs(5);
/// A reading is known for this many intervals.
const FRESH_INTERVALS: u32 = 3;

/// A service whose endpoints tell what they use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceResources {
    /// The service's name.
    pub service: Arc<str>,
    /// Where it is told.
    pub told: ResourceSettings,
    /// Where stable runs.
    pub stable: Pool,
    /// Where the canary runs, if there is one.
    pub canary: Option<Pool>,
}

impl ServiceResources {
    /// Every service of a configuration that says where its endpoints tell.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn of(settings: &Settings) -> Result<Vec<ServiceResources>, TlsError> {
        let told = settings
            .services
            .iter()
            .filter_map(|service| Some((service, service.resources.as_ref()?)));
        let service = |(service, resources): (&ServiceSettings, &ResourceSettings)| {
            Ok(ServiceResources {
                service: service.name.as_str().into(),
                told: resources.clone(),
                stable: Pool::of(&service.stable)?,
                canary: service.canary.as_ref().map(Pool::of).transpose()?,
            })
        };
        told.map(service).collect()
    }
}

/// Answers how many requests each variant of a service has answered since the start, live and probes
/// together: what CPU is set against. Called at every reading, so that both cover the same time.
pub type RequestCounter = Arc<dyn Fn(&str) -> Pair<Answered> + Send + Sync>;

/// Owns the readers' tasks; dropping it ends them.
pub struct ResourceReader {
    services: HashMap<Arc<str>, Reader>,
    requests: RequestCounter,
    loads: LoadReports,
    epoch: Instant,
}

struct Reader {
    settings: ServiceResources,
    usage: Arc<Mutex<Pair<Usage>>>,
    /// Holds the one task of the service, and ends it when dropped.
    _running: JoinSet<()>,
}

impl ResourceReader {
    /// A reader of nothing yet. `loads` is where load reports come in.
    pub fn new(requests: RequestCounter, loads: LoadReports) -> ResourceReader {
        ResourceReader { services: HashMap::new(), requests, loads, epoch: Instant::now() }
    }

    /// Reads these services and no others; one that is as before goes on with what it knows. Call it
    /// within a tokio runtime.
    pub fn apply(&mut self, services: &[ServiceResources]) {
        let mut before = std::mem::take(&mut self.services);
        for settings in services {
            let reader = before
                .remove(&settings.service)
                .filter(|reader| reader.settings == *settings)
                .unwrap_or_else(|| self.start(settings.clone()));
            self.services.insert(settings.service.clone(), reader);
        }
    }

    /// What both variants use now. What is not told, or was told too long ago, is none; restarts are those
    /// seen since the last call.
    pub fn latest(&self, service: &str) -> Pair<Resources> {
        let Some(reader) = self.services.get(service) else { return Pair::default() };
        let fresh = reader.settings.told.interval * FRESH_INTERVALS;
        let now = self.epoch.elapsed();
        take_both(&mut lock(&reader.usage), now, fresh)
    }

    fn start(&self, settings: ServiceResources) -> Reader {
        let usage: Arc<Mutex<Pair<Usage>>> = Arc::default();
        let (shared, wanted) = (usage.clone(), settings.clone());
        let (requests, epoch) = (self.requests.clone(), self.epoch);
        let loads = wanted.told.orca.then(|| self.loads.of(&wanted.service));
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut ticks = tokio::time::interval(wanted.told.interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            let mut silent = Silent::default();
            let mut recent = Pair::<RecentLoad>::default();
            let fresh = wanted.told.interval * FRESH_INTERVALS;
            loop {
                ticks.tick().await;
                let place = |of: fn(&VariantPaths) -> &Option<PathBuf>| Place {
                    cgroup: of(&wanted.told.cgroup).clone(),
                    pid_file: of(&wanted.told.pid_file).clone(),
                };
                let stable = read(&wanted.stable, place(|paths| &paths.stable), &wanted.told);
                let canary = async {
                    match &wanted.canary {
                        Some(pool) => read(pool, place(|paths| &paths.canary), &wanted.told).await,
                        None => Vec::new(),
                    }
                };
                let (stable, canary) = tokio::join!(stable, canary);
                let stable = silent.remember(&wanted.service, stable);
                let canary = silent.remember(&wanted.service, canary);
                let answered = requests(&wanted.service);
                let now = epoch.elapsed();
                let mut usage = lock(&shared);
                let load = loads.as_ref().map_or_else(Pair::<LoadReport>::default, |loads| Pair {
                    stable: recent.stable.hear(now, &loads.stable.take(), fresh),
                    canary: recent.canary.hear(now, &loads.canary.take(), fresh),
                });
                usage.stable.read(now, &stable, Some(answered.stable), &load.stable);
                usage.canary.read(now, &canary, Some(answered.canary), &load.canary);
            }
        });
        Reader { settings, usage, _running: running }
    }
}

/// Where a variant runs on this machine, if that is known.
struct Place {
    cgroup: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

/// What a place told, or why it told nothing.
type Told = (String, Result<ProcessFigures, Silence>);

/// Why a place tells nothing.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("it cannot be read")]
    Unreadable,
    #[error("no whole page within {0:?}")]
    Late(Duration),
    #[error("its page is no request's target: {0}")]
    Target(#[from] http::Error),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("its page is answered with {}", .0.as_u16())]
    Status(StatusCode),
    #[error(
        "its page has none of the series that are looked for (names in [service.NAME.resources])"
    )]
    Nothing,
}

/// The places that told nothing when they were last asked: each is worth one line of the log, and another
/// when it tells again.
#[derive(Default)]
struct Silent(HashSet<String>);

impl Silent {
    fn remember(&mut self, service: &str, told: Vec<Told>) -> Vec<Reading> {
        let reading = |(place, told): Told| {
            match &told {
                Ok(_) if self.0.remove(&place) => {
                    tracing::info!(service, place, "resource figures are told again");
                }
                Err(why) if self.0.insert(place.clone()) => {
                    tracing::warn!(service, place, %why, "no resource figures");
                }
                _ => {}
            }
            (place, told.ok())
        };
        told.into_iter().map(reading).collect()
    }
}

/// Reads a variant: its place on this machine, else its endpoints' pages.
async fn read(pool: &Pool, place: Place, told: &ResourceSettings) -> Vec<Told> {
    let from = match (place.cgroup, place.pid_file, &told.scrape) {
        (Some(folder), ..) => {
            let name = folder.display().to_string();
            (name, tokio::task::spawn_blocking(move || local::cgroup(&folder)).await)
        }
        (None, Some(file), _) => {
            let name = file.display().to_string();
            (name, tokio::task::spawn_blocking(move || local::process(&file)).await)
        }
        (None, None, Some(path)) => return scrape(pool, path, &told.names, told.interval).await,
        (None, None, None) => return Vec::new(),
    };
    vec![(from.0, from.1.ok().flatten().ok_or(Silence::Unreadable))]
}

/// Reads every endpoint of a pool at the same time.
async fn scrape(pool: &Pool, path: &str, names: &MetricNames, interval: Duration) -> Vec<Told> {
    let mut pages = JoinSet::new();
    for (index, target) in pool.targets.iter().enumerate() {
        let (target, path, names) = (target.clone(), path.to_owned(), names.clone());
        let patience = interval.min(PATIENCE);
        pages.spawn(async move {
            let page = tokio::time::timeout(patience, page(&target, &path)).await;
            let page = page.unwrap_or(Err(Silence::Late(patience)));
            (index, page.and_then(|page| figures_of(&page, &names)))
        });
    }
    let unread = |target: &Target| (target.endpoint.clone(), Err(Silence::Unreadable));
    let mut readings: Vec<Told> = pool.targets.iter().map(unread).collect();
    while let Some(ended) = pages.join_next().await {
        if let Ok((index, figures)) = ended {
            readings[index].1 = figures;
        }
    }
    readings
}

/// What a page tells, if it is anything.
fn figures_of(page: &str, names: &MetricNames) -> Result<ProcessFigures, Silence> {
    let figures = exposition::read(page, names);
    if figures == ProcessFigures::default() { Err(Silence::Nothing) } else { Ok(figures) }
}

/// The page's text, if it comes whole with a 200.
async fn page(target: &Target, path: &str) -> Result<String, Silence> {
    let request = Request::get(path)
        .header(HOST, target.endpoint.as_str())
        .header(USER_AGENT, HeaderValue::from_static(PROBE_AGENT))
        .header(ACCEPT, "text/plain;version=0.0.4")
        .body(Full::new(Bytes::new()))?;
    let mut progress = Progress::default();
    let answer = Client::new(target, DEFAULT_MAX_BODY).send(request, &mut progress).await?;
    match answer.status {
        StatusCode::OK => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        status => Err(Silence::Status(status)),
    }
}

/// Nothing that is done under this lock can leave it half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
