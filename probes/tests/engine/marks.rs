use crate::builder::*;
use crate::shop::Shop;
use serinus_probes::PROBE_AGENT;
use std::collections::HashSet;

#[tokio::test]
async fn every_request_of_a_run_is_marked_even_redirects() {
    let shop = Shop::open().await;
    let steps = vec![
        get("/login").header("user-agent", "Mozilla/5.0").header("x-synthetic", "no"),
        submit("form", &[("password", "{{ secret.shop_password }}")]),
    ];
    let run = run(&probe("login", steps), &shop.target).await;
    let seen = shop.seen();
    assert_eq!(seen.len(), 3);
    let pattern = regex::Regex::new("^00-([0-9a-f]{32})-([0-9a-f]{16})-01$").unwrap();
    let (mut traces, mut spans) = (HashSet::new(), HashSet::new());
    for request in &seen {
        assert_eq!(request.headers["user-agent"], PROBE_AGENT);
        assert_eq!(request.headers["x-synthetic"], format!("login/{}", run.run));
        assert_eq!(request.headers["baggage"], "synthetic_request=true");
        let parent = request.headers["traceparent"].to_str().unwrap();
        let parts = pattern.captures(parent).expect(parent);
        traces.insert(parts[1].to_owned());
        spans.insert(parts[2].to_owned());
    }
    assert_eq!((traces.len(), spans.len()), (1, 3), "one trace, a span per request");
    assert!(PROBE_AGENT.starts_with("serinus-probe/"));
}
