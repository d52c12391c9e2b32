//! What a file may say, and what becomes of it.

use serinus_config::{
    Action, BalanceSettings, Body, Capture, HstsSettings, RouteTarget, Settings, Template,
    TransportSettings, UpstreamProtocol, UpstreamTlsSettings, ValueCheck, parse,
};
use serinus_rollout::{Mode, OnAnomaly, RolloutPolicy};
use serinus_routing::balance::{Balance, HashBy};
use serinus_routing::{Asked, PathMatch, Place, Scheme, Sticky, Variant, Visited};
use std::path::Path;
use std::time::Duration;

/// The example of the design, letter by letter.
const CONTRACT: &str = include_str!("contract.toml");

/// Parses what must be right, as a file in `/etc/serinus`.
#[track_caller]
fn settings(text: &str) -> Settings {
    match parse(text, Path::new("/etc/serinus/serinus.toml")) {
        Ok(settings) => settings,
        Err(errors) => panic!("{errors}"),
    }
}

/// A service with a canary and this rollout, and whatever follows.
#[track_caller]
fn with_rollout(rollout: &str) -> Settings {
    settings(&format!(
        r#"
        [listener.web]
        address = "127.0.0.1:0"
        [route.all]
        service = "shop"
        [service.shop]
        stable = {{ version = "1", endpoints = ["a:1"] }}
        canary = {{ version = "2", endpoints = ["b:1"] }}
        {rollout}
        "#
    ))
}

#[test]
fn the_example_of_the_contract_means_what_it_says() {
    let settings = settings(CONTRACT);
    assert_eq!(settings.warnings, [""; 0]);
    assert_eq!(settings.server.state_dir, Path::new("/var/lib/serinus"));
    assert_eq!(settings.server.threads, 0);
    assert_eq!(settings.admin.listen.unwrap().to_string(), "127.0.0.1:9901");
    assert_eq!(settings.listeners[0].name, "web");
    let certificate = &settings.listeners[1].certificates[0];
    assert_eq!(certificate.cert, Path::new("/etc/serinus/certs/shop.pem"));
    assert_eq!(settings.routes[0].hosts, ["shop.example.com", "*.shop.example.com"]);

    let service = settings.service("checkout").unwrap();
    let endpoints: Vec<&str> = service.stable.addresses().collect();
    assert_eq!(endpoints, ["10.0.0.11:9000", "10.0.0.12:9000"]);
    assert_eq!(service.canary.as_ref().unwrap().version, "1.9.0");
    assert_eq!((service.sticky.clone(), service.shield), (Sticky::Cookie, true));
    let stages: Vec<_> =
        service.policy.stages.iter().map(|s| (s.weight.percent(), s.hold.as_secs())).collect();
    assert_eq!(stages, [(0.0, 60), (1.0, 300), (10.0, 600), (50.0, 600), (100.0, 1800)]);
    let RolloutPolicy { on_anomaly, mode, margin, anomaly_threshold, .. } = service.policy;
    assert_eq!((on_anomaly, mode), (OnAnomaly::Withdraw, Mode::Enforce));
    assert_eq!((margin, anomaly_threshold), (1.25, 0.999));

    assert!(settings.learning.enabled, "by default");
    let login = &settings.probes[0];
    assert_eq!((login.interval.as_secs(), login.timeout.as_secs()), (2, 5));
    assert_eq!(login.host.as_deref(), Some("shop.example.com"));
    assert_eq!(login.secrets, ["shop_password"]);
    let names: Vec<&str> = login.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["get /login", "submit form#login", "post /api/cart"]);
    let [_, submit, post] = login.steps.as_slice() else { panic!("three steps") };
    assert_eq!(submit.expect.status, [200, 302]);
    assert_eq!(submit.expect.max_latency, Some(Duration::from_millis(800)));
    assert!(
        matches!(&submit.captures[0], (name, Capture::Json(path)) if name == "token" && path == "$.token")
    );
    let Action::Request { method, body: Body::Json(json), .. } = &post.action else {
        panic!("{post:?}")
    };
    assert_eq!((method.as_str(), json.to_string().as_str()), ("POST", r#"{"item":7,"qty":1}"#));
    assert_eq!(
        post.headers,
        [("authorization".to_owned(), Template("Bearer {{ token }}".to_owned()))]
    );
    assert_eq!(post.expect.body_contains, [Template("ok".to_owned())]);
    assert!(matches!(&post.expect.json[0].check, ValueCheck::Equals(value) if *value == true));
    assert!(
        matches!(&post.expect.headers[0].check, ValueCheck::Matches(regex) if regex.is_match("application/json; charset=utf-8"))
    );
}

#[test]
fn routes_and_endpoints_become_what_the_full_example_says() {
    let settings = settings(include_str!("../examples/full.toml"));
    let route = |name: &str| settings.routes.iter().find(|route| route.name == name).unwrap();
    let api = route("api");
    let RouteTarget::Service { path, request_headers, response_headers, .. } = &api.target else {
        panic!("a service");
    };
    assert_eq!(path.of("/api/cart"), "/v2/cart");
    assert_eq!(api.conditions.methods, [http::Method::POST, http::Method::PUT]);
    assert_eq!((api.conditions.headers.len(), api.conditions.queries.len()), (3, 1));
    assert_eq!(request_headers.set[0].1, "serinus");
    assert_eq!(response_headers.remove[0], "server");
    assert_eq!(route("health").path, PathMatch::Exact("/healthz".to_owned()));
    assert_eq!(route("users").path.to_string(), "path regex '/user/[0-9]+'");
    let RouteTarget::Redirect(redirect) = &route("moved").target else { panic!("a redirect") };
    let visited = Visited {
        scheme: Scheme::Http,
        host: "shop.example.com",
        path: "/shop/a",
        query: Some("b"),
    };
    assert_eq!(redirect.location(&visited), "https://www.example.com:8443/a?b");
    assert_eq!((redirect.status, route("moved").service()), (302, None));

    let service = settings.service("checkout").unwrap();
    let weights: Vec<u32> = service.stable.endpoints.iter().map(|one| one.weight).collect();
    assert_eq!(weights, [1, 3]);
    let by = HashBy::Header("x-user-id".to_owned());
    assert_eq!(service.balance.method, Balance::Hash(by));
    let health = service.health.as_ref().unwrap();
    assert_eq!((health.status.first(), health.status.len()), (Some(&200), 100));
    assert_eq!(health.host.as_deref(), Some("shop.example.com"));
    assert_eq!(service.ejection.unwrap().rule.failures, 5);
    assert_eq!(service.limits.max_connections, Some(500));
    assert_eq!(service.retry.as_ref().unwrap().status, [502, 503, 504]);
    assert_eq!(service.timeouts.total, Some(Duration::from_secs(60)));
    assert_eq!(service.timeouts.stream_idle, Duration::from_secs(600));
    let blog = settings.service("blog").unwrap();
    assert_eq!(blog.balance, BalanceSettings::default());
    assert!(blog.health.is_none() && blog.ejection.is_none() && blog.retry.is_none());
}

#[test]
fn a_plain_get_of_a_route_is_what_its_upstream_sees() {
    let settings = settings(
        r#"
        [listener.web]
        address = "127.0.0.1:0"
        [service.shop.stable]
        endpoints = ["a:1"]
        [route.stripped]
        path_prefix = "/api"
        service = "shop"
        strip_prefix = true
        [route.pattern]
        path_regex = "/user/[0-9]+"
        service = "shop"
        [route.write]
        path_prefix = "/write"
        methods = ["POST"]
        service = "shop"
        [route.away]
        path_prefix = "/away"
        redirect = { host = "away.test" }
        "#,
    );
    let plain: Vec<_> = settings.routes.iter().map(|route| route.plain_get()).collect();
    assert_eq!(plain, [Some("/".to_owned()), None, None, None]);
}

#[test]
fn users_are_recognised_in_four_ways() {
    let sticky = |text: &str| {
        let settings = with_rollout(&format!("[service.shop.rollout]\nsticky = {text}"));
        settings.services[0].sticky.clone()
    };
    assert_eq!(sticky("\"none\""), Sticky::None);
    assert_eq!(sticky("\"cookie\""), Sticky::Cookie);
    assert_eq!(sticky("\"client_ip\""), Sticky::ClientIp);
    assert_eq!(sticky("{ header = \"X-User-Id\" }"), Sticky::Header("x-user-id".to_owned()));
}

#[test]
fn without_a_rollout_table_the_policy_is_the_default() {
    let plain = with_rollout("");
    assert_eq!(plain.services[0].policy, RolloutPolicy::default());

    let probed = with_rollout("[probe.home]\nservice = \"shop\"\nstep = [{ get = \"/\" }]");
    let stages = &probed.services[0].policy.stages;
    assert_eq!((stages[0].weight.percent(), stages[0].hold.as_secs()), (0.0, 60));
    assert_eq!(stages[1..], RolloutPolicy::default().stages);

    let own = with_rollout("[service.shop.rollout]\nstages = [{ weight = 100, hold = \"1m30s\" }]");
    assert_eq!(own.services[0].policy.stages[0].hold, Duration::from_secs(90));
}

#[test]
fn what_the_full_example_calls_a_default_is_one() {
    let full = include_str!("../examples/full.toml");
    let is_default = |line: &&str| {
        line.split_once("# default")
            .is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with(';'))
    };
    assert!(full.lines().filter(is_default).count() > 30);
    let short: String =
        full.lines().filter(|line| !is_default(line)).flat_map(|line| [line, "\n"]).collect();
    let told = |text: &str| format!("{:#?}", Settings { hash: String::new(), ..settings(text) });
    assert_eq!(told(&short), told(full));
}

#[test]
fn the_smallest_file_is_a_plain_proxy() {
    let settings = settings(include_str!("../examples/minimal.toml"));
    let service = &settings.services[0];
    assert_eq!((service.stable.version.as_str(), service.canary.is_none()), ("unversioned", true));
    let table = settings.plan().table;
    let (method, headers) = (http::Method::GET, http::HeaderMap::new());
    let asked = Asked { method: &method, headers: &headers, query: None };
    let Some(Place::Route(route)) = table.find("anything.example", "/x/y", &asked) else {
        panic!("a route");
    };
    let service = table.service(table.route(route).service);
    assert_eq!(&*service.pool(Variant::Stable).endpoints[0], "127.0.0.1:9000");
}

#[test]
fn the_plan_begins_with_nobody_on_any_canary() {
    let settings = settings(include_str!("../examples/full.toml"));
    let plan = settings.plan();
    assert_eq!(plan.config_hash, settings.hash);
    assert!(plan.table.services().iter().all(|service| service.weight.is_zero()));
    for service in &plan.services {
        assert_eq!(plan.table.service(service.index).name, service.name);
    }
    let told: Vec<_> = plan
        .services
        .iter()
        .map(|service| (&*service.name, service.canary_version.as_deref(), service.probed))
        .collect();
    assert_eq!(told, [("checkout", Some("1.9.0"), true), ("blog", None, false)]);
}

#[test]
fn entries_keep_the_order_of_the_file() {
    let settings = settings(
        r#"
        service.z.stable.endpoints = ["a:1"]
        service.a.stable.endpoints = ["a:1"]
        [route]
        z = { path_prefix = "/z", service = "z" }
        a = { path_prefix = "/a", service = "a" }
        [listener]
        z = { address = "127.0.0.1:0" }
        a = { address = "127.0.0.1:0" }
        [probe.p]
        service = "a"
        step = [{ post = "/", form = { z = "1", a = "2" } }]
        "#,
    );
    let services: Vec<&str> = settings.services.iter().map(|s| s.name.as_str()).collect();
    let routes: Vec<&str> = settings.routes.iter().map(|r| r.name.as_str()).collect();
    let listeners: Vec<&str> = settings.listeners.iter().map(|l| l.name.as_str()).collect();
    assert_eq!((services, routes, listeners), (vec!["z", "a"], vec!["z", "a"], vec!["z", "a"]));
    let Action::Request { body: Body::Form(fields), .. } = &settings.probes[0].steps[0].action
    else {
        panic!("a form");
    };
    assert_eq!(fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
}

#[test]
fn every_source_of_a_capture_and_every_kind_of_body_is_understood() {
    let settings = settings(include_str!("../examples/full.toml"));
    let steps = &settings.probes[0].steps;
    let captures: Vec<String> = steps
        .iter()
        .flat_map(|step| &step.captures)
        .map(|(name, capture)| format!("{name}: {capture:?}"))
        .collect();
    assert_eq!(
        captures,
        [
            "next: Css { selector: \"a.next\", attribute: Some(\"href\") }",
            "csrf: Cookie(\"csrf\")",
            "token: Json(\"$.token\")",
            "id: Regex(Regex(\"id=\\\"(\\\\w+)\\\"\"))",
            "code: Status",
            "place: Header(\"location\")",
        ]
    );
    let bodies: Vec<&str> = steps
        .iter()
        .map(|step| match &step.action {
            Action::Request { body: Body::Empty, .. } => "none",
            Action::Request { body: Body::Json(_), .. } => "json",
            Action::Request { body: Body::Form(_), .. } => "form",
            Action::Request { body: Body::Raw(_), .. } => "raw",
            Action::Submit { .. } => "submit",
            Action::Click { .. } => "click",
        })
        .collect();
    assert_eq!(bodies, ["none", "click", "submit", "json", "raw", "form", "none", "none", "none"]);
    assert_eq!(
        settings.secret_names().into_iter().collect::<Vec<_>>(),
        [("probe_key", "(all: probing.sign_with)"), ("shop_password", "login")]
    );
}

#[test]
fn the_hash_names_the_text() {
    let text = include_str!("../examples/minimal.toml");
    let hash = settings(text).hash;
    assert_eq!(hash, settings(text).hash);
    assert_ne!(hash, settings(&format!("{text}#")).hash);
    assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
}

#[test]
fn paths_start_from_the_folder_of_the_file() {
    let text = include_str!("../examples/full.toml");
    let settings = |file: &str| parse(text, Path::new(file)).unwrap();
    let here = settings("serinus.toml");
    assert_eq!(here.server.state_dir, Path::new("serinus-state"));
    let there = settings("conf/serinus.toml");
    assert_eq!(there.server.state_dir, Path::new("conf/serinus-state"));
    assert_eq!(there.listeners[1].certificates[0].key, Path::new("conf/certs/shop.key"));
}

#[test]
fn a_pool_is_spoken_to_as_it_says_itself_or_else_as_its_service_says() {
    let settings = settings(
        r#"
        [listener.web]
        address = "127.0.0.1:0"
        https_redirect = 8443
        [listener.tls]
        address = "127.0.0.1:1"
        certificate = [{ cert = "a.pem", key = "a.key" }]
        tls = { hsts = {} }
        [route.all]
        service = "shop"
        [service.shop]
        tls = { ca = "ca.pem", client_cert = "c.pem", client_key = "c.key" }
        protocol = "h2"
        stable = { version = "1", endpoints = ["[::1]:1", "[::1]:2"] }
        canary = { version = "2", endpoints = ["b:1", "c:1"], tls = false, protocol = "h2c" }
        "#,
    );
    assert_eq!(settings.listeners[0].https_redirect, Some(8443));
    let year = Duration::from_secs(365 * 86_400);
    let hsts = HstsSettings { max_age: year, include_subdomains: false, preload: false };
    assert_eq!(settings.listeners[1].tls.hsts, Some(hsts));
    let service = &settings.services[0];
    let tls = UpstreamTlsSettings {
        server_name: "::1".to_owned(),
        authorities: Some("/etc/serinus/ca.pem".into()),
        client_certificate: Some(("/etc/serinus/c.pem".into(), "/etc/serinus/c.key".into())),
        verify: true,
    };
    let protocol = UpstreamProtocol::Http2;
    assert_eq!(service.stable.transport, TransportSettings { tls: Some(tls), protocol });
    let cleartext = TransportSettings { tls: None, protocol: UpstreamProtocol::Http2Cleartext };
    assert_eq!(service.canary.as_ref().unwrap().transport, cleartext);
}

#[test]
fn who_asks_for_no_verification_is_warned() {
    let settings = settings(
        r#"
        listener.web.address = "127.0.0.1:0"
        route.all.service = "shop"
        service.shop.stable = { endpoints = ["10.0.0.1:443", "10.0.0.2:443"], tls = { verify = false } }
        "#,
    );
    assert_eq!(settings.warnings.len(), 1);
    assert!(settings.warnings[0].contains("anybody may answer"), "{:?}", settings.warnings);
}
