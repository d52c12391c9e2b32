//! Traces: a collector that reads them by the official definitions, and collectors that do not work.

use nix::sys::signal::Signal;
use serde_json::Value;
use serinus::demo::Client;
use serinus_tests::browser::Browser;
use serinus_tests::lab::{DEADLINE, Lab};
use serinus_tests::pebble::local;
use serinus_tests::setup::Setup;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// The collector of `otlp/collector.py` as a process.
struct Collector {
    address: SocketAddr,
    client: Client,
    _process: Child,
}

impl Collector {
    async fn start() -> Collector {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = std::env::var_os("SERINUS_OTLP_PYTHON").map(PathBuf::from);
        let python = python.unwrap_or_else(|| folder.join("../target/otlp-venv/bin/python"));
        assert!(python.exists(), "there is no {}: `make setup-test` makes it", python.display());
        let address = local();
        let process = Command::new(python)
            .arg(folder.join("otlp/collector.py"))
            .arg(address.port().to_string())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let collector = Collector { address, client: Client::new(address), _process: process };
        let deadline = Instant::now() + DEADLINE;
        while collector.client.get("/spans").await.is_err() {
            assert!(Instant::now() < deadline, "the collector does not start");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        collector
    }

    /// Waits until so many spans are there.
    async fn spans(&self, lab: &Lab, number: usize) -> Vec<Value> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let spans =
                self.client.get("/spans").await.unwrap()["spans"].as_array().unwrap().clone();
            if spans.len() >= number {
                return spans;
            }
            assert!(Instant::now() < deadline, "{spans:#?}\n{}", lab.log());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

/// An endpoint that answers this to everything and remembers what it was asked.
async fn endpoint(status: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let heard = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                let mut text = String::new();
                let mut bytes = [0; 4096];
                while !is_whole(&text) {
                    match stream.read(&mut bytes).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => text += &String::from_utf8_lossy(&bytes[..read]),
                    }
                }
                heard.lock().unwrap().push(text);
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
                );
                // It may have left.
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (address, seen)
}

/// Whether a request is there with its body: an answer before it could be lost.
fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn setup(otlp: &str, endpoints: &[SocketAddr]) -> Setup {
    let endpoints: Vec<String> = endpoints.iter().map(|one| format!("\"{one}\"")).collect();
    let more = format!(
        "[otlp]\n{otlp}\n[route.echo]\npath_prefix = \"/echo\"\nservice = \"echo\"\n\
         [service.echo]\nretry = {{ attempts = 1 }}\n[service.echo.stable]\nendpoints = [{}]\n",
        endpoints.join(", ")
    );
    Setup { probe: false, more, ..Setup::default() }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The parent in the `traceparent` that an endpoint got, and the flags.
fn told(request: &str) -> (String, String) {
    let line = request.lines().find_map(|line| line.strip_prefix("traceparent: ")).unwrap();
    let parts: Vec<&str> = line.split('-').collect();
    assert_eq!(parts[1], TRACE, "{line}");
    (parts[2].to_owned(), parts[3].to_owned())
}

#[tokio::test]
async fn a_request_is_a_span_of_its_parents_trace_and_each_attempt_one_below_it() {
    let collector = Collector::start().await;
    let ((good, good_seen), (bad, bad_seen)) =
        (endpoint("200 OK").await, endpoint("503 Service Unavailable").await);
    let otlp = format!(
        "endpoint = \"http://{}/v1/traces\"\nservice_name = \"edge-eu\"\nsample = 0\n\
         headers = {{ authorization = \"Bearer secret\" }}",
        collector.address
    );
    let mut lab = Lab::start(setup(&otlp, &[good, bad])).await;
    let with = async |flags: &str| {
        let parent = format!("00-{TRACE}-{PARENT}-{flags}");
        let browser = Browser::open(lab.web).await.unwrap();
        browser.with("traceparent", &parent).with("tracestate", "a=b")
    };
    // Until both endpoints were asked: one of them is asked by a retry.
    let mut browser = with("01").await;
    let mut asked = 0;
    while bad_seen.lock().unwrap().is_empty() {
        assert_eq!(browser.get("/echo/a?secret=1").await.unwrap().status, 200);
        asked += 1;
        assert!(asked < 10, "it is never its turn");
    }
    // Neither of these is recorded, and who comes after knows.
    let before = good_seen.lock().unwrap().len() + bad_seen.lock().unwrap().len();
    with("00").await.get("/echo/b").await.unwrap();
    Browser::open(lab.web).await.unwrap().get("/echo/c").await.unwrap();
    assert!(good_seen.lock().unwrap().len() + bad_seen.lock().unwrap().len() >= before + 2);
    let unrecorded: Vec<String> = good_seen.lock().unwrap().clone();
    let b = unrecorded.iter().find(|request| request.starts_with("GET /echo/b")).unwrap();
    assert_eq!(told(b).1, "00");
    let c = unrecorded.iter().find(|request| request.starts_with("GET /echo/c")).unwrap();
    assert!(c.contains("traceparent: 00-") && c.contains("-00\r\n"), "{c}");

    // The end of the process sends what is left.
    lab.proxy.signal(Signal::SIGTERM);
    lab.proxy.wait(DEADLINE).await.expect("it ends");
    let spans = collector.spans(&lab, 2 * asked + 1).await;
    assert_eq!(spans.len(), 2 * asked + 1, "{spans:#?}");
    let all = collector.client.get("/spans").await.unwrap();
    assert_eq!(all["authorization"][0], "Bearer secret");
    for span in &spans {
        assert_eq!(span["trace"], TRACE, "{span:#}");
        assert_eq!(span["resource"]["service.name"], "edge-eu", "{span:#}");
        assert!(span["start"].as_u64() <= span["end"].as_u64(), "{span:#}");
        assert!(!span.to_string().contains("secret"), "{span:#}");
    }
    let children = |parent: &Value| -> Vec<&Value> {
        spans.iter().filter(|span| span["parent"] == parent["span"]).collect()
    };
    let servers: Vec<&Value> =
        spans.iter().filter(|span| span["kind"] == "SPAN_KIND_SERVER").collect();
    assert_eq!(servers.len(), asked);
    for server in &servers {
        assert_eq!(server["parent"], PARENT);
        assert_eq!((&server["name"], &server["state"]), (&"GET echo".into(), &"a=b".into()));
        let about = &server["attributes"];
        for (name, value) in [
            ("http.request.method", "GET"),
            ("url.path", "/echo/a"),
            ("url.scheme", "http"),
            ("client.address", "127.0.0.1"),
            ("serinus.route", "echo"),
            ("serinus.service", "echo"),
            ("serinus.variant", "stable"),
        ] {
            assert_eq!(about[name], value, "{name} in {server:#}");
        }
        assert_eq!(about["http.response.status_code"], 200);
        assert_eq!(server["error"], false);
    }
    let retried = servers.iter().find(|server| children(server).len() == 2).expect("a retry");
    let attempts = children(retried);
    let (first, second) = (attempts[0], attempts[1]);
    assert_eq!((&first["error"], &second["error"]), (&true.into(), &false.into()), "{attempts:#?}");
    assert_eq!(first["attributes"]["error.type"], "503");
    assert_eq!(first["attributes"]["server.port"], bad.port());
    assert_eq!(second["attributes"]["http.request.resend_count"], 1);
    assert_eq!(second["attributes"]["server.port"], good.port());
    assert_eq!(first["kind"], "SPAN_KIND_CLIENT");
    // An endpoint's span will be a child of the attempt that asked it.
    let bad_request = bad_seen.lock().unwrap()[0].clone();
    assert_eq!(told(&bad_request), (first["span"].as_str().unwrap().to_owned(), "01".to_owned()));
    let asked_good: Vec<String> = unrecorded
        .iter()
        .filter(|text| text.starts_with("GET /echo/a"))
        .map(|text| told(text).0)
        .collect();
    assert!(asked_good.contains(&second["span"].as_str().unwrap().to_owned()), "{asked_good:?}");
}

/// Waits until a counter of spans has a value above `least`.
async fn until_counted(lab: &Lab, result: &str, least: u64) {
    let deadline = Instant::now() + DEADLINE;
    let name = format!("serinus_trace_spans_total{{result=\"{result}\"}} ");
    loop {
        let (_, metrics) = lab.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        if value.is_some_and(|value| value.parse::<u64>().unwrap() >= least) {
            return;
        }
        assert!(Instant::now() < deadline, "{name}{value:?}\n{}", lab.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_collector_that_refuses_or_hangs_costs_no_request() {
    let (good, _) = endpoint("200 OK").await;
    let (refusing, _) = endpoint("400 Bad Request").await;
    let otlp = |collector: SocketAddr| format!("endpoint = \"http://{collector}/v1/traces\"");
    let mut lab = Lab::start(setup(&otlp(refusing), &[good])).await;
    let mut browser = Browser::open(lab.web).await.unwrap();
    for _ in 0..20 {
        assert_eq!(browser.get("/echo").await.unwrap().status, 200);
    }
    until_counted(&lab, "lost", 40).await;
    assert!(lab.log().contains("traces are lost"), "{}", lab.log());

    // One that takes connections and says nothing, from a reload on.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = setup(&otlp(hanging.local_addr().unwrap()), &[good]).more;
    let event = lab.reload(|setup| setup.more = more).await;
    assert_eq!(event["kind"], "config_reloaded", "{event:#}");
    for _ in 0..20 {
        assert_eq!(browser.get("/echo").await.unwrap().status, 200);
    }
    let (connection, _) = hanging.accept().await.unwrap();
    for _ in 0..20 {
        assert_eq!(browser.get("/echo").await.unwrap().status, 200);
    }
    // Nor does it hold up the end.
    drop(browser);
    lab.proxy.signal(Signal::SIGTERM);
    assert!(lab.proxy.wait(DEADLINE).await.is_some_and(|ended| ended.success()), "{}", lab.log());
    drop(connection);
}
