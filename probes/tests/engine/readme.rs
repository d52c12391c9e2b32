//! What README.md shows is what the configuration takes and the engine runs.

use crate::builder::*;
use crate::shop::Shop;
use serinus_config::Settings;
use std::path::Path;

/// The n-th TOML block of the README.
fn block(number: usize) -> &'static str {
    let text = include_str!("../../README.md");
    let rest = text.split("```toml\n").nth(number).expect("a block of TOML");
    rest.split("```").next().expect("its end")
}

fn parse(text: &str) -> Settings {
    const SITE: &str = r#"
        [listener.web]
        address = "127.0.0.1:8080"
        [route.shop]
        service = "checkout"
        [service.checkout]
        stable = { endpoints = ["127.0.0.1:9000"] }
    "#;
    let text = format!("{SITE}{text}");
    serinus_config::parse(&text, Path::new("README.md")).unwrap_or_else(|errors| panic!("{errors}"))
}

#[tokio::test]
async fn the_journey_of_the_readme_runs_green() {
    let settings = parse(block(1));
    let [login] = settings.probes.as_slice() else { panic!("one probe") };
    assert_eq!(
        settings.secret_names().into_iter().collect::<Vec<_>>(),
        [("shop_password", "login")]
    );
    let shop = Shop::open().await;
    let run = run(login, &shop.target).await;
    assert_eq!(run.failure(), None);
    assert_eq!(run.steps.len(), 3);
}

#[tokio::test]
async fn the_order_of_the_readme_takes_rows_and_cleans_up() {
    let settings = parse(block(2));
    let [order] = settings.probes.as_slice() else { panic!("one probe") };
    assert_eq!(order.data.as_deref(), Some(Path::new("users.csv")));
    assert_eq!(order.seasons.len(), 2);
    assert!(order.steps[1].always_run && !order.steps[0].always_run);
    assert_eq!(serinus_probes::lint(order), [""; 0]);
}

#[test]
fn every_capture_and_expectation_of_the_readme_is_valid() {
    let lines: Vec<&str> = block(3).lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 10);
    for line in lines {
        let probe = "[probe.p]\nservice = \"checkout\"\n[[probe.p.step]]\nget = \"/\"\n";
        assert_eq!(parse(&format!("{probe}{line}")).probes.len(), 1);
    }
}

#[test]
fn the_readmes_way_to_resources_is_valid() {
    assert!(parse(block(5)).services[0].resources.is_some());
}

#[test]
fn the_browser_of_the_readme_has_the_defaults_that_it_tells() {
    let text = block(4).replace("\"shop\"", "\"checkout\"");
    let told = parse(&text).probes[0].clone();
    assert_eq!(told.browser.as_deref(), Some(Path::new("recordings/checkout.json")));
    let keys = ["interval", "timeout"];
    let lines = text.lines().filter(|line| !keys.iter().any(|key| line.starts_with(key)));
    let silent = parse(&lines.collect::<Vec<_>>().join("\n")).probes[0].clone();
    assert_eq!((silent.interval, silent.timeout), (told.interval, told.timeout));
}
