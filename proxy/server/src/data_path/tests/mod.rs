//! The data path with real sockets: real upstreams on one side, real clients on the other.

mod access;
mod attribution;
mod authority;
mod endpoints;
mod front;
mod grpc;
mod guard;
mod hardening;
mod lab;
mod lifecycle;
mod load;
mod mirror;
mod protocols;
mod routing;
mod rules;
mod shield;
mod stalls;
mod tls;
mod upstream;

use super::{DataPath, ServingHandle};
use lab::{Answer, ask};
use serinus_config::{
    AccessField, AccessFormat, AccessLogSettings, AdminSettings, BalanceSettings,
    ConcurrencySettings, EndpointSettings, IntakeSettings, LearningSettings, ListenerSettings,
    ListenerTlsSettings, LogSettings, PoolSettings, ProbingSettings, RouteSettings, ServerSettings,
    ServiceSettings, Settings, TimeoutSettings, TransportSettings,
};
use serinus_models::{Pair, Sample};
use serinus_rollout::RolloutPolicy;
use serinus_routing::{RouteTable, ServiceIndex, Sticky, Weight};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// One route to one service on one listener at a free port.
fn settings(stable: &[SocketAddr], canary: &[SocketAddr]) -> Settings {
    let pool = |version: &str, endpoints: &[SocketAddr]| PoolSettings {
        version: version.to_owned(),
        endpoints: endpoints.iter().map(|address| endpoint(*address)).collect(),
        transport: TransportSettings::default(),
    };
    Settings {
        server: ServerSettings {
            state_dir: "state".into(),
            threads: 2,
            grace_period: Duration::from_secs(10),
        },
        admin: AdminSettings { listen: None, token: None },
        log: LogSettings { level: "info".to_owned(), access: Some(access_log()) },
        learning: LearningSettings { enabled: false },
        acme: None,
        otlp: None,
        listeners: vec![ListenerSettings {
            name: "web".to_owned(),
            address: "127.0.0.1:0".parse().unwrap(),
            certificates: Vec::new(),
            tls: ListenerTlsSettings::default(),
            acme: Vec::new(),
            https_redirect: None,
            h2c: false,
            header_timeout: Duration::from_secs(5),
            keepalive_timeout: Duration::from_secs(5),
            intake: IntakeSettings::default(),
        }],
        routes: vec![RouteSettings::of_prefix(
            "shop",
            vec!["shop.test".to_owned()],
            "/",
            "checkout",
        )],
        services: vec![ServiceSettings {
            name: "checkout".to_owned(),
            stable: pool("1", stable),
            canary: (!canary.is_empty()).then(|| pool("2", canary)),
            policy: RolloutPolicy::default(),
            sticky: Sticky::None,
            shield: true,
            mirror: Weight::ZERO,
            expose_variant_header: true,
            timeouts: TimeoutSettings {
                connect: Duration::from_secs(1),
                read: Duration::from_secs(2),
                write: Duration::from_secs(2),
                stream_idle: Duration::from_secs(60),
                idle: Duration::from_secs(30),
                attempt: None,
                total: None,
            },
            balance: BalanceSettings::default(),
            health: None,
            ejection: None,
            limits: ConcurrencySettings::default(),
            retry: None,
            resources: None,
        }],
        probing: ProbingSettings::default(),
        probes: Vec::new(),
        hash: String::new(),
        warnings: Vec::new(),
    }
}

/// Everything, thrown away.
fn access_log() -> AccessLogSettings {
    AccessLogSettings {
        format: AccessFormat::Json,
        fields: AccessField::ALL.to_vec(),
        sample: Weight::from_percent(100.0).unwrap(),
        file: Some("/dev/null".into()),
    }
}

fn endpoint(address: SocketAddr) -> EndpointSettings {
    EndpointSettings { address: address.to_string(), weight: 1 }
}

/// The table of `settings` with `percent` of the users on the canary.
fn table(settings: &Settings, percent: f64) -> RouteTable {
    let weight = Weight::from_percent(percent).unwrap();
    settings.plan().table.with_weights([(ServiceIndex(0), weight)])
}

/// A running data path.
struct Running {
    path: DataPath,
    settings: Settings,
    address: SocketAddr,
    shutdown: watch::Sender<bool>,
    handle: ServingHandle,
}

impl Running {
    fn start(settings: Settings, percent: f64) -> Running {
        let path = DataPath::new(&settings, table(&settings, percent)).unwrap();
        let (shutdown, shutting_down) = watch::channel(false);
        let handle = path.serve(&settings, shutting_down).unwrap();
        let address = handle.addresses()[0].1;
        Running { path, settings, address, shutdown, handle }
    }

    async fn ask(&self, request: &str) -> Answer {
        ask(self.address, request).await.unwrap()
    }

    /// One GET of a user who has no cookie.
    async fn get(&self, path: &str) -> Answer {
        self.ask(&get(path)).await
    }

    /// Drains until `requests` have been counted: an answer is counted just after it was sent.
    async fn observed(&self, requests: u64) -> Pair<Sample> {
        let mut sum = Pair::<Sample>::default();
        let started = Instant::now();
        loop {
            for live in self.path.drain("checkout") {
                add(&mut sum.stable, &live.samples.stable);
                add(&mut sum.canary, &live.samples.canary);
            }
            let counted = sum.stable.outcomes.total() + sum.canary.outcomes.total();
            if counted >= requests {
                assert_eq!(counted, requests, "{sum:?}");
                return sum;
            }
            assert!(started.elapsed() < PATIENCE, "{counted} of {requests} counted: {sum:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it; how many requests were cut.
    async fn stop(self) -> usize {
        self.shutdown.send_replace(true);
        tokio::task::spawn_blocking(|| self.handle.join()).await.unwrap()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n\r\n")
}

fn post(body: &str) -> String {
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn add(sum: &mut Sample, sample: &Sample) {
    sum.outcomes.merge(&sample.outcomes);
    sum.bytes += sample.bytes;
    sum.repeated += sample.repeated;
    sum.latency.0.extend(&sample.latency.0);
}
