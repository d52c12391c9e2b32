//! The admin side over real sockets.

use super::*;
use crate::control::journal::{Entry, Health};
use crate::control::{Lifecycle, Refusal};
use crate::explain::tests::{entry, evaluation};
use serde_json::{Value, json};
use serinus_models::{Pair, Resources, Verdict};
use serinus_rollout::{Command, CommandError, Phase, RecordKind, ServiceStatus, VersionStatus};
use serinus_routing::Weight;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const CONFIG: &str = r#"
[listener.web]
address = "127.0.0.1:0"
[route.shop]
service = "checkout"
[service.checkout.stable]
version = "1.8.2"
endpoints = ["127.0.0.1:1"]
[service.checkout.canary]
version = "1.9.0"
endpoints = ["127.0.0.1:2"]
"#;

/// An admin side with nothing behind it but what a test puts there.
struct Lab {
    address: SocketAddr,
    board: Arc<Board>,
    requests: UnboundedReceiver<Request>,
    state: tempfile::TempDir,
}

async fn lab(config: &str) -> Lab {
    let state = tempfile::tempdir().unwrap();
    let mut settings = serinus_config::parse(config, Path::new("serinus.toml")).unwrap();
    settings.server.state_dir = state.path().to_owned();
    let data_path = DataPath::new(&settings, settings.plan().table).unwrap();
    let journal = Arc::new(arc_swap::ArcSwap::from_pointee(Health::Working));
    let board = Arc::new(Board::new("serinus.toml".into(), Arc::new(settings), journal));
    board.services.store(Arc::new(vec![status()]));
    let used = Resources {
        cpu_seconds_per_request: Some(0.01),
        memory_bytes: Some(1e6),
        ..Resources::default()
    };
    let used = [("checkout".into(), Pair { stable: used, canary: Resources::default() })];
    board.resources.store(Arc::new(used.into()));
    let probes = ProbeMetrics::new().unwrap();
    let metrics =
        Metrics::new(board.clone(), Box::new(traffic), data_path.clone(), &probes).unwrap();
    let (control, requests) = unbounded_channel();
    let admin = Admin {
        board: board.clone(),
        control,
        metrics: Arc::new(metrics),
        data_path,
        state_dir: Arc::new(state.path().to_owned()),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let guard = Guard { token: None, loopback: true };
    tokio::spawn(async move { axum::serve(listener, router(admin, guard)).await });
    Lab { address, board, requests, state }
}

fn status() -> ServiceStatus {
    let version = |version: &str| VersionStatus { version: version.into() };
    ServiceStatus {
        name: "checkout".into(),
        phase: Phase::Progressing,
        stage: 1,
        stages: 4,
        weight: Weight::from_percent(10.0).unwrap(),
        stable: version("1.8.2"),
        canary: Some(version("1.9.0")),
        anomaly_score: 0.25,
        failure_probability: None,
        withdrawn: false,
        verdict: Verdict::Continue,
        reasons: vec![],
        observe: false,
        evaluation: Some(evaluation()),
        last_label: None,
        watched: true,
    }
}

fn traffic() -> Vec<Traffic> {
    ["stable", "canary"]
        .map(|variant| Traffic {
            route: "shop".into(),
            service: "checkout".into(),
            variant,
            codes: [0, 7, 0, 2, 1],
            durations: vec![(0.001, 4), (0.01, 5)],
            beyond: 1,
            sum_seconds: 0.5,
            shielded: 3,
        })
        .into()
}

/// Sends a request and reads the answer to the end: status, headers, body.
async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

impl Lab {
    async fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String, String) {
        ask(self.address, method, path, headers).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.ask("GET", path, "").await;
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    fn happened(&self, id: u64, kind: RecordKind) {
        self.board.events.publish(Entry { id, ..entry(kind, Phase::Progressing, None) });
    }
}

#[tokio::test]
async fn ready_says_why_not_and_a_failing_journal_is_no_reason() {
    let lab = lab(CONFIG).await;
    let (status, body) = lab.get("/ready").await;
    assert_eq!(
        (status, &body["reasons"][0]),
        (503, &json!("starting: the listeners are not open yet"))
    );
    assert_eq!(lab.get("/healthz").await.0, 200);
    lab.board.lifecycle.store(Arc::new(Lifecycle::Serving));
    lab.board.journal.store(Arc::new(crate::control::board::failing("the disk is full")));
    let (status, body) = lab.get("/ready").await;
    assert_eq!((status, &body["ready"]), (200, &json!(true)));
    assert!(body["troubles"][0].as_str().unwrap().contains("the disk is full"));
    lab.board.lifecycle.store(Arc::new(Lifecycle::Draining));
    assert_eq!(lab.get("/ready").await.0, 503);
}

#[tokio::test]
async fn a_service_has_the_fields_of_the_contract() {
    let lab = lab(CONFIG).await;
    let (status, body) = lab.get("/api/v1/services/checkout").await;
    assert_eq!(status, 200);
    for (field, value) in [
        ("/name", json!("checkout")),
        ("/phase", json!("progressing")),
        ("/stage", json!(1)),
        ("/weight", json!(10.0)),
        ("/stable/version", json!("1.8.2")),
        ("/canary/version", json!("1.9.0")),
        ("/anomaly_score", json!(0.25)),
        ("/failure_probability", Value::Null),
        ("/withdrawn", json!(false)),
        ("/verdict", json!("continue")),
        ("/reasons", json!([])),
        ("/thresholds/rollback", json!(0.8)),
    ] {
        assert_eq!(body.pointer(field), Some(&value), "{field}");
    }
    assert_eq!(lab.get("/api/v1/services").await.1[0], body);
    let (status, body) = lab.get("/api/v1/services/other").await;
    assert_eq!(status, 404);
    assert_eq!(body["error"], "there is no service 'other'; known: checkout");
    assert_eq!(body["fix"], "use one of: checkout");
}

#[tokio::test]
async fn a_command_is_answered_when_the_control_loop_has_answered() {
    let mut lab = lab(CONFIG).await;
    let refusal = CommandError::WrongPhase {
        service: "checkout".into(),
        command: "retry",
        phase: Phase::Progressing,
    };
    let answers =
        [Ok(()), Err(refusal.into()), Err(Refusal::NotDurable("the disk is full".into()))];
    for (answer, expect) in answers.into_iter().zip([200, 409, 503]) {
        let control = async {
            match lab.requests.recv().await {
                Some(Request::Command { service, command: Command::Retry, reply }) => {
                    assert_eq!(service, "checkout");
                    reply.send(answer).unwrap();
                }
                other => panic!("{other:?}"),
            }
        };
        let asking = ask(lab.address, "POST", "/api/v1/services/checkout/retry", "");
        let ((asked, ..), ()) = tokio::join!(asking, control);
        assert_eq!(asked, expect);
    }
    assert_eq!(lab.ask("POST", "/api/v1/services/checkout/explode", "").await.0, 404);
    assert_eq!(lab.ask("GET", "/api/v1/services/checkout/retry", "").await.0, 405);
    let foreign = "origin: http://evil.example\r\n";
    assert_eq!(lab.ask("POST", "/api/v1/services/checkout/abort", foreign).await.0, 403);
    assert!(lab.requests.try_recv().is_err(), "nothing foreign gets through");
}

#[tokio::test]
async fn events_are_listed_selected_and_explained() {
    let lab = lab(CONFIG).await;
    for (id, kind) in
        [(1, RecordKind::RolloutStarted), (2, RecordKind::Withdrawn), (3, RecordKind::RolledBack)]
    {
        lab.happened(id, kind);
    }
    let ids = |body: &Value| -> Vec<u64> {
        body.as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(&lab.get("/api/v1/events").await.1), [1, 2, 3]);
    assert_eq!(ids(&lab.get("/api/v1/events?limit=2").await.1), [2, 3]);
    assert_eq!(ids(&lab.get("/api/v1/events?after=1&limit=1").await.1), [2]);
    assert_eq!(ids(&lab.get("/api/v1/events?service=other").await.1), [0u64; 0]);
    assert_eq!(lab.get("/api/v1/events?limit=many").await.0, 400);
    let (status, body) = lab.get("/api/v1/decisions/3").await;
    assert_eq!((status, &body["kind"], &body["id"]), (200, &json!("rolled_back"), &json!(3)));
    assert!(body["explanation"].as_str().unwrap().contains("serinus retry checkout"));
    assert_eq!(lab.get("/api/v1/decisions/x").await.0, 404);
}

#[tokio::test]
async fn the_event_stream_goes_on_where_a_client_left_off() {
    let lab = lab(CONFIG).await;
    lab.happened(1, RecordKind::RolloutStarted);
    lab.happened(2, RecordKind::Withdrawn);
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\nlast-event-id: 1\r\n\r\n",
        lab.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut events = Vec::new();
    while events.len() < 4 {
        let line = lines.next_line().await.unwrap().unwrap();
        if line.starts_with("id:") || line.starts_with("event:") {
            events.push(line.replace(' ', ""));
        }
        if events.len() == 2 {
            // Told after the client came.
            lab.happened(3, RecordKind::RolledBack);
        }
    }
    events.truncate(4);
    events.sort();
    assert_eq!(events, ["event:rolled_back", "event:withdrawn", "id:2", "id:3"]);
}

#[tokio::test]
async fn the_metrics_page_has_every_name_and_label_of_the_contract() {
    let lab = lab(CONFIG).await;
    lab.board.count(Some(&"checkout".into()), RecordKind::RolledBack);
    let (_, head, text) = lab.ask("GET", "/metrics", "").await;
    assert!(head.contains("text/plain; version=0.0.4"));
    for line in [
        r#"serinus_requests_total{code_class="2xx",route="shop",variant="canary"} 7"#,
        r#"serinus_request_duration_seconds_bucket{route="shop",variant="stable",le="0.01"} 9"#,
        r#"serinus_request_duration_seconds_bucket{route="shop",variant="stable",le="+Inf"} 10"#,
        r#"serinus_request_duration_seconds_sum{route="shop",variant="stable"} 0.5"#,
        r#"serinus_rollout_phase{phase="progressing",service="checkout"} 1"#,
        r#"serinus_rollout_phase{phase="rolled_back",service="checkout"} 0"#,
        r#"serinus_rollout_weight_ratio{service="checkout"} 0.1"#,
        r#"serinus_rollouts_total{outcome="rolled_back",service="checkout"} 1"#,
        r#"serinus_rollouts_total{outcome="promoted",service="checkout"} 0"#,
        r#"serinus_withdrawn{service="checkout"} 0"#,
        r#"serinus_shielded_requests_total{service="checkout"} 6"#,
        r#"serinus_anomaly_score{service="checkout"} 0.25"#,
        r#"serinus_failure_probability{service="checkout"} NaN"#,
        r#"serinus_upstream_cpu_seconds_per_request{service="checkout",variant="stable"} 0.01"#,
        r#"serinus_upstream_memory_bytes{service="checkout",variant="stable"} 1000000"#,
        "serinus_config_last_reload_success 1",
        "serinus_journal_writable 1",
        r#"serinus_models_total{outcome="trained"} 0"#,
        "serinus_learning_labels 0",
        "serinus_learning_labels_set_aside 0",
        "serinus_learning_challengers 0",
        "serinus_build_info{version=",
    ] {
        let found = text.lines().any(|have| same(have, line));
        assert!(found, "{line} is not in\n{text}");
    }
}

/// Whether a line of the page is the expected one, whatever the order of its labels.
fn same(have: &str, expect: &str) -> bool {
    let parts = |line: &str| -> Vec<String> {
        let (name, rest) = line.split_once('{').unwrap_or((line, ""));
        let (labels, value) = rest.split_once('}').unwrap_or((rest, ""));
        let mut labels: Vec<String> = labels.split(',').map(str::to_owned).collect();
        labels.sort();
        labels.extend([name.to_owned(), value.to_owned()]);
        labels
    };
    parts(have) == parts(expect) || (expect.ends_with('=') && have.starts_with(expect))
}

#[tokio::test]
async fn the_dashboard_loads_nothing_from_anywhere_else() {
    let lab = lab(CONFIG).await;
    let (status, head, page) = lab.ask("GET", "/", "").await;
    assert_eq!(status, 200);
    let policy = head.lines().find(|line| line.starts_with("content-security-policy:")).unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(page.contains(&format!("<script nonce=\"{nonce}\">")) && !page.contains("{{nonce}}"));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains(" style="));
    let other = lab.ask("GET", "/", "").await.1;
    assert!(!other.contains(nonce), "the nonce is never the same");
}

#[tokio::test]
async fn an_endpoint_is_drained_and_made_ready_and_shown() {
    let two = CONFIG.replace("[\"127.0.0.1:1\"]", "[\"127.0.0.1:1\", \"127.0.0.1:3\"]");
    let lab = lab(&two).await;
    let state = |body: &Value| {
        let endpoints = body["endpoints"].as_array().unwrap().clone();
        let of = |one: &Value| format!("{} {} {}", one["endpoint"], one["state"], one["asked"]);
        endpoints.iter().map(of).collect::<Vec<_>>().join(", ").replace('"', "")
    };
    let path =
        |address: &str, verb: &str| format!("/api/v1/services/checkout/endpoints/{address}/{verb}");
    let post = async |path: String| {
        let (status, _, body) = lab.ask("POST", &path, "").await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let (status, body) = post(path("127.0.0.1:3", "drain")).await;
    assert_eq!(status, 200);
    let drained = "127.0.0.1:1 healthy true, 127.0.0.1:3 draining false, 127.0.0.1:2 healthy true";
    assert_eq!(state(&body), drained);
    let (_, page) = lab.get("/metrics").await;
    let up = "serinus_endpoint_up{service=\"checkout\",variant=\"stable\",endpoint=\"127.0.0.1:3\",address=\"127.0.0.1:3\"} 0";
    assert!(page.as_str().unwrap().contains(up), "{page}");
    let (status, body) = post(path("127.0.0.1:1", "drain")).await;
    assert_eq!(status, 409);
    assert!(body["error"].as_str().unwrap().contains("last endpoint"), "{body}");
    let (status, body) = post(path("127.0.0.1:3", "ready")).await;
    assert_eq!((status, state(&body).contains("draining")), (200, false));
    for (path, status) in [
        (path("127.0.0.1:9", "drain"), 404),
        (path("127.0.0.1:1", "explode"), 404),
        (path("127.0.0.1:1", "drain").replace("checkout", "other"), 404),
    ] {
        let (got, body) = post(path).await;
        assert_eq!(got, status, "{body}");
    }
    assert_eq!(lab.ask("GET", &path("127.0.0.1:1", "drain"), "").await.0, 405);
    // Done, but not remembered: that is said.
    let folder = lab.state.path().to_owned();
    std::fs::remove_dir_all(&folder).unwrap();
    let (status, body) = post(path("127.0.0.1:3", "drain")).await;
    assert_eq!(status, 503);
    assert!(body["error"].as_str().unwrap().contains("restart will not remember"), "{body}");
    let (_, body) = lab.get("/api/v1/services/checkout").await;
    assert_eq!(state(&body), drained);
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(post(path("127.0.0.1:3", "drain")).await.0, 200);
    assert!(folder.join("drains.json").exists());
}

#[tokio::test]
async fn a_token_of_the_configuration_is_required() {
    let lab = lab(&format!("[admin]\ntoken = \"0123456789abcdef0123\"\n{CONFIG}")).await;
    let (status, body) = lab.get("/api/v1/services").await;
    assert_eq!((status, &body["error"]), (401, &json!("a token is required")));
    let token = "authorization: Bearer 0123456789abcdef0123\r\n";
    assert_eq!(lab.ask("GET", "/api/v1/services", token).await.0, 200);
}
