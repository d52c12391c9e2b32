//! The access log on the disk.

use super::lab::{Reply, Upstream};
use super::{PATIENCE, Running, access_log, settings, table};
use serde_json::Value;
use serinus_config::{AccessFormat, AccessLogSettings};
use serinus_routing::Weight;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

async fn started(
    change: impl FnOnce(&mut AccessLogSettings),
) -> (tempfile::TempDir, PathBuf, Running) {
    let stable = Upstream::start("stable", Reply::Status(200)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let mut log = AccessLogSettings { file: Some(file.clone()), ..access_log() };
    change(&mut log);
    let mut settings = settings(&[stable.address], &[]);
    settings.log.access = Some(log);
    (folder, file, Running::start(settings, 0.0))
}

/// Waits until the file has so many lines.
async fn lines(file: &Path, count: usize) -> Vec<String> {
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(started.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_a_line_without_secrets() {
    let (_folder, file, running) = started(|_| {}).await;
    let asked = "GET /a?token=t0psecret HTTP/1.1\r\nhost: shop.test\r\ncookie: t0psecret\r\n\
                 authorization: Bearer t0psecret\r\nreferer: http://a/b?t0psecret\r\nuser-agent: test\r\n\
                 connection: close\r\n\r\n";
    assert_eq!(running.ask(asked).await.status, 200);
    assert_eq!(running.ask("GET /x?t0psecret HTTP/1.1\r\n\r\n").await.status, 400);
    assert_eq!(running.get("/../y").await.status, 400);
    let lines = lines(&file, 3).await;
    assert!(lines.iter().all(|line| !line.contains("t0psecret")), "{lines:?}");
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    let first = of("/a");
    for (name, value) in [
        ("client", "127.0.0.1"),
        ("method", "GET"),
        ("host", "shop.test"),
        ("protocol", "HTTP/1.1"),
        ("route", "shop"),
        ("variant", "stable"),
        ("user_agent", "test"),
        ("referer", "http://a/b"),
    ] {
        assert_eq!(first[name], value, "{name} in {first}");
    }
    assert_eq!((&first["status"], &first["bytes"]), (&200.into(), &6.into()));
    assert!(first["endpoint"].is_string() && first["duration_ms"].is_number(), "{first}");
    assert_eq!(of("/x")["rejected"], "host_missing");
    assert_eq!(of("/../y")["rejected"], "path");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_is_written_but_every_failure() {
    let (_folder, file, running) =
        started(|log| log.sample = Weight::from_percent(0.0).unwrap()).await;
    for _ in 0..20 {
        assert_eq!(running.get("/").await.status, 200);
    }
    assert_eq!(running.ask("GET / HTTP/1.1\r\nhost: other.test\r\n\r\n").await.status, 404);
    let lines = lines(&file, 1).await;
    assert!(lines.len() == 1 && lines[0].contains("no_route"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_moved_away_is_made_again_on_reload() {
    let (folder, file, running) = started(|log| log.format = AccessFormat::Combined).await;
    assert_eq!(running.get("/first").await.status, 200);
    let first = lines(&file, 1).await;
    assert!(first[0].contains("] \"GET /first HTTP/1.1\" 200 6 \"-\" \"-\""), "{first:?}");
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&file, &moved).unwrap();
    running.path.reconfigure(&running.settings, table(&running.settings, 0.0)).unwrap();
    assert_eq!(running.get("/second").await.status, 200);
    assert!(lines(&file, 1).await[0].contains("/second"));
    assert_eq!(lines(&moved, 1).await, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_not_there_is_said_at_once() {
    let (_folder, _file, running) = started(|_| {}).await;
    let mut next = running.settings.clone();
    next.log.access =
        Some(AccessLogSettings { file: Some("/nowhere/a.log".into()), ..access_log() });
    let error = running.path.reconfigure(&next, table(&next, 0.0)).unwrap_err();
    assert!(format!("{error:#}").contains("/nowhere"), "{error:#}");
}
