//! Names that others build on: API fields, metrics, exit codes.

use serde_json::Value;
use serinus_tests::browser::Browser;
use serinus_tests::lab::{Lab, command};
use serinus_tests::setup::Setup;
use std::io::Write;
use std::process::{Command, Stdio};

#[tokio::test]
async fn the_api_shows_a_service_with_the_promised_fields() {
    let lab = Lab::start(Setup::default()).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    let status = lab.status().await;
    let field = |name: &str| status.get(name).unwrap_or_else(|| panic!("no {name}: {status:#}"));
    assert_eq!(field("name"), "shop");
    assert_eq!(field("phase"), "progressing");
    assert_eq!(field("stage"), 0);
    assert_eq!(field("stable")["version"], "1.8.2");
    assert_eq!(field("canary")["version"], "1.9.0");
    assert_eq!(field("withdrawn"), false);
    assert!(field("anomaly_score").is_number());
    assert!(field("failure_probability").is_null() || field("failure_probability").is_number());
    assert!(field("verdict").is_string() && field("reasons").is_array());
    let all = lab.admin.get("/api/v1/services").await.unwrap();
    assert_eq!(all.as_array().map(Vec::len), Some(1));
    let event = lab.until_event("rollout_started").await;
    let decision = lab.admin.get(&format!("/api/v1/decisions/{}", event["id"])).await.unwrap();
    assert_eq!(decision["kind"], "rollout_started");
    for (path, status) in [
        ("/api/v1/services/nowhere", 404),
        ("/api/v1/decisions/999999", 404),
        ("/api/v1/nothing", 404),
        ("/healthz", 200),
        ("/ready", 200),
        ("/", 200),
    ] {
        let (code, text) = lab.admin.send(hyper::Method::GET, path, &Value::Null).await.unwrap();
        assert_eq!(code, status, "{path}: {text}");
    }
    let (code, _) = lab.admin.post("/api/v1/services/shop/resume", &Value::Null).await.unwrap();
    assert_eq!(code, 409, "it is not paused");
}

#[tokio::test]
async fn pause_resume_promote_and_abort_do_what_they_say() {
    let lab =
        Lab::start(Setup { stages: vec![(10.0, "10m"), (100.0, "10m")], ..Setup::default() }).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    let admin = lab.admin_address.to_string();
    for (verb, phase) in [
        ("pause", "paused"),
        ("resume", "progressing"),
        ("promote", "promoted"),
        ("abort", "rolled_back"),
    ] {
        let (code, output, errors) = command(&[verb, "shop", "--admin", &admin]).await;
        assert_eq!(code, 0, "{verb}: {output}{errors}");
        lab.until(phase, |status| status["phase"] == phase).await;
    }
    let (code, output, _) = command(&["status", "--admin", &admin]).await;
    assert_eq!(code, 0);
    assert!(output.contains("shop") && output.contains("1.9.0"), "{output}");
    let (code, _, errors) = command(&["pause", "nowhere", "--admin", &admin]).await;
    assert_ne!(code, 0);
    assert!(errors.contains("nowhere") && errors.contains("shop"), "{errors}");
}

#[tokio::test]
async fn exit_codes_tell_right_from_wrong() {
    let lab = Lab::start(Setup::default()).await;
    let config = lab.config();
    let config = config.to_str().unwrap();
    assert_eq!(command(&["check", "--config", config]).await.0, 0);
    let (code, _, errors) = command(&["check", "--config", "/nonexistent/serinus.toml"]).await;
    assert_eq!(code, 1);
    assert!(errors.contains("/nonexistent/serinus.toml"), "{errors}");
    // The ports are taken by the running proxy, and its journal is in use.
    let (code, _, errors) = command(&["run", "--config", config]).await;
    assert_ne!(code, 0);
    assert!(!errors.is_empty());
    // Nobody listens on port 1.
    let (code, _, errors) = command(&["status", "--admin", "127.0.0.1:1"]).await;
    assert_ne!(code, 0);
    assert!(errors.contains("127.0.0.1:1"), "{errors}");
    assert_eq!(command(&["nonsense"]).await.0, 2);
    let (code, output, _) = command(&["schema"]).await;
    assert_eq!(code, 0);
    assert!(serde_json::from_str::<Value>(&output).unwrap()["properties"]["service"].is_object());
}

#[tokio::test]
async fn one_run_of_a_probe_is_shown_phase_by_phase() {
    let lab = Lab::start(Setup::default()).await;
    let config = lab.config();
    let config = config.to_str().unwrap();
    let run = async |variant| {
        command(&["probe", "order", "--variant", variant, "--config", config]).await
    };
    let (code, text, errors) = run("canary").await;
    assert_eq!(code, 0, "{text}{errors}");
    for word in ["connect", "/login", "/api/cart"] {
        assert!(text.contains(word), "no '{word}' in\n{text}");
    }
    assert!(!text.contains(serinus::demo::PASSWORD), "a secret is shown:\n{text}");
    lab.canary.suffer(serinus::demo::FaultKind::Corrupt, 1.0).await.unwrap();
    assert_ne!(run("canary").await.0, 0);
    assert_eq!(run("stable").await.0, 0);
}

/// `promtool check metrics`, where it is installed; what it complains about.
fn promtool(page: &str) -> Option<String> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some(if output.status.success() {
        String::new()
    } else {
        String::from_utf8_lossy(&text).into()
    })
}

#[tokio::test]
async fn the_metrics_page_has_the_promised_names_and_no_label_per_request() {
    let lab = Lab::start(Setup::default()).await;
    lab.until("at 10%", |status| status["weight"] == 10.0).await;
    let mut browser = Browser::open(lab.web).await.unwrap();
    for number in 0..100 {
        browser.get(&format!("/products/1?visit={number}")).await.unwrap();
    }
    let deadline = std::time::Instant::now() + serinus_tests::lab::DEADLINE;
    let promised = [
        "serinus_requests_total{",
        "serinus_request_duration_seconds_bucket{",
        "serinus_rollout_phase{",
        "serinus_rollout_weight_ratio{",
        "serinus_rollouts_total{",
        "serinus_withdrawn{",
        "serinus_shielded_requests_total{",
        "serinus_anomaly_score{",
        "serinus_probe_runs_total{",
        "serinus_probe_duration_seconds_bucket{",
        "serinus_config_last_reload_success",
        "serinus_endpoint_up{",
        "serinus_build_info{",
    ];
    // The first probe runs may still be under way.
    let page = loop {
        let (kind, page) = lab.metrics().await;
        assert!(kind.starts_with("text/plain"), "{kind}");
        let missing: Vec<_> = promised.iter().filter(|name| !page.contains(**name)).collect();
        let requests: f64 = page
            .lines()
            .filter(|line| line.starts_with("serinus_requests_total{"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        // A request is counted a moment after its answer has left.
        if missing.is_empty() && requests >= 100.0 {
            break page;
        }
        let late = std::time::Instant::now() >= deadline;
        assert!(!late, "missing {missing:?}, {requests} requests in\n{page}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    // Endpoints are named, as many as the configuration has; clients and paths are not.
    let others = page.lines().filter(|line| !line.starts_with("serinus_endpoint_"));
    for line in others {
        for part in ["visit=", "/products/1", "127.0.0.1"] {
            assert!(!line.contains(part), "a label per request: {line}");
        }
    }
    assert!(page.contains("serinus_rollout_weight_ratio{service=\"shop\"} 0.1\n"), "{page}");
    match promtool(&page) {
        Some(complaints) => assert_eq!(complaints, "", "{page}"),
        None => println!("promtool is not installed: its check was left out"),
    }
}

const SITE: &str = "[listener.web]\naddress = \"127.0.0.1:1\"\n[route.shop]\nservice = \"shop\"\n[service.shop.stable]\nendpoints = [\"127.0.0.1:1\"]\n";

#[tokio::test]
async fn probes_are_linted_with_a_telling_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("serinus.toml");
    let file = config.to_str().unwrap();
    let write = |probe: &str| std::fs::write(&config, format!("{SITE}{probe}")).unwrap();
    write(
        "[probe.home]\nservice = \"shop\"\n[[probe.home.step]]\nget = \"/\"\nexpect = { body_contains = \"cart\" }\n",
    );
    let (code, output, errors) = command(&["probe", "lint", "--config", file]).await;
    assert_eq!((code, output.as_str()), (0, "1 probe looked at, nothing to say\n"), "{errors}");
    write(
        "[probe.home]\nservice = \"shop\"\n[[probe.home.step]]\nget = \"/\"\nexpect = { css = [{ selector = \"li:nth-child(2)\" }] }\n",
    );
    let (code, output, _) = command(&["probe", "lint", "home", "--config", file]).await;
    assert_eq!(code, 1);
    assert!(
        output.starts_with("probe home: step 1 `get /`: `li:nth-child(2)` goes by position"),
        "{output}"
    );
    let (code, _, errors) = command(&["probe", "lint", "away", "--config", file]).await;
    assert!(code == 1 && errors.contains("there is no probe 'away'"), "{errors}");
}

#[tokio::test]
async fn probes_are_suggested_from_the_log_of_another_server() {
    let folder = tempfile::tempdir().unwrap();
    let (config, log) = (folder.path().join("serinus.toml"), folder.path().join("access.log"));
    std::fs::write(&config, SITE).unwrap();
    let line = |path: &str| {
        format!(
            "1.2.3.4 - - [26/Nov/2026:14:00:00 +0000] \"GET {path} HTTP/1.1\" 200 9 \"-\" \"-\"\n"
        )
    };
    let text = [line("/").repeat(90), line("/product/7?session=s3cret").repeat(30)].concat();
    std::fs::write(&log, text).unwrap();
    let (config, log) = (config.to_str().unwrap(), log.to_str().unwrap());
    let arguments = ["probe", "suggest", "--config", config, "--access-log", log];
    let (code, output, errors) = command(&arguments).await;
    assert_eq!(code, 0, "{errors}");
    assert!(output.contains("get = \"/product/7\"") && !output.contains("s3cret"), "{output}");
    std::fs::write(config, format!("{SITE}{output}")).unwrap();
    let (code, output, errors) = command(&["check", "--config", config]).await;
    assert_eq!(code, 0, "{output}{errors}");
    std::fs::write(log, "nothing\n").unwrap();
    assert_eq!(command(&arguments).await.0, 1);
}
