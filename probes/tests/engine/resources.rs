use axum::Router;
use axum::routing::get;
use serinus_config::{MetricNames, ResourceSettings, VariantPaths};
use serinus_models::{Pair, Resources};
use serinus_probes::orca::{LoadReport, LoadReports};
use serinus_probes::{Answered, Pool, ResourceReader, ServiceResources, Target};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// An endpoint whose page can be changed, and that tells when it was read.
struct Endpoint {
    page: Arc<Mutex<String>>,
    read: Arc<Notify>,
    target: Target,
    _serving: JoinSet<()>,
}

impl Endpoint {
    async fn open(page: &str) -> Endpoint {
        let page = Arc::new(Mutex::new(page.to_owned()));
        let read = Arc::new(Notify::new());
        let (shown, told) = (page.clone(), read.clone());
        let handler = async move || {
            told.notify_one();
            shown.lock().unwrap().clone()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::plain(listener.local_addr().unwrap().to_string());
        let mut serving = JoinSet::new();
        let router = Router::new().route("/metrics", get(handler));
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Endpoint { page, read, target, _serving: serving }
    }
}

fn page(cpu: f64, memory: u64, started: u64) -> String {
    format!(
        "process_cpu_seconds_total {cpu}\nprocess_resident_memory_bytes {memory}\n\
         process_start_time_seconds {started}\n"
    )
}

fn pool(targets: &[&Target]) -> Pool {
    Pool {
        version: "1".to_owned(),
        targets: targets.iter().map(|target| (*target).clone()).collect(),
    }
}

fn service(stable: Pool, canary: Option<Pool>) -> ServiceResources {
    ServiceResources {
        service: "checkout".into(),
        told: ResourceSettings {
            scrape: Some("/metrics".to_owned()),
            names: MetricNames::default(),
            orca: false,
            cgroup: VariantPaths::default(),
            pid_file: VariantPaths::default(),
            interval: Duration::from_millis(100),
        },
        stable,
        canary,
    }
}

fn reader(answered: impl Fn(&str) -> Pair<Answered> + Send + Sync + 'static) -> ResourceReader {
    ResourceReader::new(Arc::new(answered), LoadReports::default())
}

fn probed(probes: u64) -> Answered {
    Answered { live: 0, probes, bytes: 0 }
}

/// Reads until `done`; the test's own time limit is 10 s.
async fn until(
    reader: &ResourceReader,
    done: impl Fn(&Pair<Resources>) -> bool,
) -> Pair<Resources> {
    let wait = async {
        loop {
            let resources = reader.latest("checkout");
            if done(&resources) {
                return resources;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("resources that come")
}

#[tokio::test]
async fn cpu_memory_and_restarts_are_read_from_the_endpoints_pages() {
    let stable = Endpoint::open(&page(10.0, 100, 1000)).await;
    let canary = Endpoint::open(&page(10.0, 300, 1000)).await;
    let answered = Arc::new(AtomicU64::new(0));
    let counter = answered.clone();
    let mut reader = reader(move |service: &str| {
        assert_eq!(service, "checkout");
        let answered = counter.load(Ordering::Relaxed);
        Pair { stable: probed(answered), canary: probed(0) }
    });
    reader.apply(&[service(pool(&[&stable.target]), Some(pool(&[&canary.target])))]);
    let first = until(&reader, |resources| resources.canary.memory_bytes.is_some()).await;
    assert_eq!(first.stable.memory_bytes, Some(100.0));
    assert_eq!(first.canary.memory_bytes, Some(300.0));
    assert_eq!(first.stable.cpu_cores, None, "one reading tells no rate");
    let second = until(&reader, |resources| resources.canary.cpu_cores.is_some()).await;
    assert_eq!((second.stable.cpu_cores, second.stable.restarts), (Some(0.0), Some(0)));
    answered.store(50, Ordering::Relaxed);
    *stable.page.lock().unwrap() = page(11.0, 100, 1000);
    *canary.page.lock().unwrap() = page(0.5, 300, 2000);
    let third = until(&reader, |resources| resources.canary.restarts == Some(1)).await;
    assert_eq!(third.canary.cpu_seconds_per_request, None, "no requests");
    let third =
        until(&reader, |resources| resources.stable.cpu_seconds_per_request == Some(0.02)).await;
    assert_eq!(third.stable.restarts, Some(0));
    assert_eq!(reader.latest("checkout").canary.restarts, Some(0), "told once");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_or_tells_nothing_is_unknown() {
    let stable = Endpoint::open("<html>").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = Target::plain(listener.local_addr().unwrap().to_string());
    drop(listener);
    let mut reader = reader(|_: &str| Pair { stable: probed(5), canary: probed(5) });
    reader.apply(&[service(pool(&[&stable.target]), Some(pool(&[&gone])))]);
    for _ in 0..3 {
        stable.read.notified().await;
        for variant in [reader.latest("checkout").stable, reader.latest("checkout").canary] {
            let Resources { cpu_cores, cpu_seconds_per_request, memory_bytes, restarts, .. } =
                variant;
            assert_eq!((cpu_cores, cpu_seconds_per_request), (None, None));
            assert_eq!((memory_bytes, restarts), (None, None));
        }
    }
    assert_eq!(reader.latest("other"), Pair::default());
}

#[tokio::test]
async fn a_service_that_stays_as_it_was_keeps_what_is_known_and_one_that_left_is_forgotten() {
    let stable = Endpoint::open(&page(10.0, 100, 1000)).await;
    let mut reader = reader(|_: &str| Pair::default());
    let settings = service(pool(&[&stable.target]), None);
    reader.apply(std::slice::from_ref(&settings));
    until(&reader, |resources| resources.stable.cpu_cores.is_some()).await;
    reader.apply(&[settings]);
    assert!(reader.latest("checkout").stable.cpu_cores.is_some());
    reader.apply(&[]);
    assert_eq!(reader.latest("checkout"), Pair::default());
}

#[tokio::test]
async fn a_process_of_this_machine_and_load_reports_take_the_place_of_a_page() {
    let folder = std::env::temp_dir().join(format!("serinus-resources-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("canary.pid");
    std::fs::write(&file, std::process::id().to_string()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = Target::plain(listener.local_addr().unwrap().to_string());
    let mut settings = service(pool(&[&nobody]), Some(pool(&[&nobody])));
    settings.told.scrape = None;
    settings.told.orca = true;
    settings.told.pid_file.canary = Some(file);
    let loads = LoadReports::default();
    let mut reader = ResourceReader::new(Arc::new(|_: &str| Pair::default()), loads.clone());
    loads.of("checkout").stable.add(&LoadReport {
        cpu_utilization: Some(0.4),
        requests_per_second: Some(20.0),
        ..LoadReport::default()
    });
    reader.apply(&[settings]);
    let first = until(&reader, |resources| resources.canary.memory_bytes.is_some()).await;
    assert!(first.canary.memory_bytes > Some(1e6), "this very process: {first:?}");
    assert_eq!(first.stable.memory_bytes, None);
    until(&reader, |resources| resources.canary.cpu_cores.is_some()).await;
    loads.of("checkout").stable.add(&LoadReport {
        cpu_utilization: Some(0.4),
        requests_per_second: Some(20.0),
        ..LoadReport::default()
    });
    let told = until(&reader, |resources| resources.stable.cpu_utilization.is_some()).await;
    assert_eq!(told.stable.cpu_seconds_per_request, Some(0.02));
    assert_eq!(told.canary.cpu_utilization, None);
    std::fs::remove_dir_all(&folder).unwrap();
}
