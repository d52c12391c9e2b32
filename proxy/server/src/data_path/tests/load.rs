//! Load reports (ORCA) in answers.

use super::lab::{Reply, Upstream};
use super::{Running, settings};
use serinus_config::{MetricNames, ResourceSettings, VariantPaths};
use std::time::Duration;

const REPORT: &str = "HTTP/1.1 200 OK\r\nEndpoint-Load-Metrics: TEXT cpu_utilization=0.25\r\n\
    endpoint-load-metrics-bin: \r\nx-other: 1\r\ncontent-length: 2\r\n\r\nok";

const ONE: &str = "HTTP/1.1 200 OK\r\nEndpoint-Load-Metrics: TEXT cpu_utilization=0.25, \
    rps_fractional=20\r\ncontent-length: 2\r\n\r\nok";

fn asking(orca: bool) -> ResourceSettings {
    ResourceSettings {
        scrape: None,
        names: MetricNames::default(),
        orca,
        cgroup: VariantPaths::default(),
        pid_file: VariantPaths::default(),
        interval: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn a_report_is_heard_for_its_variant_and_taken_off_before_the_client() {
    let stable = Upstream::start("stable", Reply::Raw(ONE)).await;
    let canary = Upstream::start("canary", Reply::Raw(ONE)).await;
    let mut settings = settings(&[stable.address], &[canary.address]);
    settings.services[0].resources = Some(asking(true));
    let running = Running::start(settings, 100.0);
    let answer = running.get("/").await;
    assert_eq!((answer.status, answer.variant()), (200, "canary"));
    assert_eq!(answer.field("endpoint-load-metrics"), None);
    let heard = running.path.loads().of("checkout");
    let told = heard.canary.take();
    assert_eq!((told.cpu_utilization, told.requests_per_second), (Some(0.25), Some(20.0)));
    assert_eq!(heard.stable.take().cpu_utilization, None);
    // Told twice: refused, and taken off all the same.
    canary.reply(Reply::Raw(REPORT));
    tokio::time::sleep(Duration::from_millis(60)).await; // one report in 50 ms is read
    let answer = running.get("/").await;
    assert_eq!(answer.field("x-other"), Some("1"));
    for name in ["endpoint-load-metrics", "endpoint-load-metrics-bin"] {
        assert_eq!(answer.field(name), None);
    }
    assert_eq!(heard.canary.take().cpu_utilization, None);
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_does_not_ask_passes_reports_on_as_they_are() {
    let stable = Upstream::start("stable", Reply::Raw(ONE)).await;
    for resources in [None, Some(asking(false))] {
        let mut settings = settings(&[stable.address], &[]);
        settings.services[0].resources = resources;
        let running = Running::start(settings, 0.0);
        let answer = running.get("/").await;
        assert!(answer.field("endpoint-load-metrics").is_some());
        assert_eq!(running.path.loads().of("checkout").stable.take().cpu_utilization, None);
        running.stop().await;
    }
}
