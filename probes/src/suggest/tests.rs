use super::*;

fn line(route: &str, method: &str, path: &str, status: u16) -> String {
    format!(
        r#"{{"time":"t","client":"::1","method":"{method}","path":"{path}","status":{status},"route":"{route}"}}"#
    )
}

fn traffic() -> Traffic {
    let mut traffic = Traffic::default();
    let mut add = |times: usize, line: &str| (0..times).for_each(|_| traffic.read(line));
    add(50, &line("shop", "GET", "/", 200));
    add(20, &line("shop", "GET", "/product/17?ref=mail", 200));
    add(5, &line("shop", "GET", "/product/3", 200));
    add(9, &line("shop", "GET", "/old", 404));
    add(15, &line("shop", "POST", "/cart", 302));
    add(1, &line("shop", "GET", "/rare", 200));
    add(20, &line("blog", "GET", "/blog/{{ x }}", 200));
    add(2, &line("quiet", "GET", "/q", 200));
    add(1, "something else");
    add(1, "");
    traffic
}

fn known(route: &str) -> Option<String> {
    (route != "quiet").then(|| format!("{route}-service"))
}

#[test]
fn the_most_asked_for_paths_become_steps_with_their_share() {
    let suggestion = traffic().suggest(10, known);
    assert_eq!(
        suggestion.toml,
        r#"[probe.shop-top] # 82% of 122 requests
service = "shop-service"
interval = "5s"

[[probe.shop-top.step]] # 50% GET /
get = "/"

[[probe.shop-top.step]] # 25% GET /product/*
get = "/product/17"

[probe.blog-top] # 16% of 122 requests
service = "blog-service"
interval = "25s"

[[probe.blog-top.step]] # 100% GET /blog/{{ x }}
get = "/blog/{{ '{{' }} x }}"
"#
    );
    assert_eq!(
        suggestion.remarks,
        [
            "route shop: 15% POST /cart: record it (serinus import har)",
            "route quiet: 2 requests are too few",
        ]
    );
    assert_eq!(traffic().unread, 1);
}

#[test]
fn a_suggestion_passes_check() {
    let suggestion = traffic().suggest(10, known);
    let rest = "[listener.web]\naddress = \"0.0.0.0:80\"\n[route.all]\nservice = \"shop-service\"\n[service.shop-service.stable]\nendpoints = [\"a:1\"]\n[service.blog-service.stable]\nendpoints = [\"b:1\"]\n";
    let text = format!("{rest}{}", suggestion.toml);
    let settings = serinus_config::parse(&text, std::path::Path::new("s.toml"));
    assert_eq!(settings.unwrap_or_else(|errors| panic!("{errors}")).probes.len(), 2);
}

#[test]
fn a_route_that_is_not_configured_or_has_no_good_get_is_told() {
    let remarks = |route: &str, status| {
        let mut traffic = Traffic::default();
        (0..20).for_each(|_| traffic.read(&line(route, "GET", "/q", status)));
        traffic.suggest(10, known).remarks
    };
    assert_eq!(remarks("quiet", 200), ["route quiet is not in the configuration"]);
    let mut traffic = Traffic::default();
    (0..20).for_each(|_| traffic.read(r#"::1 - - [t] "GET /a HTTP/1.1" 200 5 "-" "-""#));
    assert_eq!(
        traffic.suggest(10, |_| None).remarks,
        ["20 requests of a log that names no route: say which it is with --route NAME"]
    );
    assert_eq!(remarks("shop", 500), ["route shop: no GET that is answered well"]);
}

#[test]
fn every_form_of_a_log_is_read_and_probes_are_not_counted() {
    let lines = [
        r#"{"method":"GET","path":"/a","status":200,"route":"shop"}"#,
        r#"serinus[12]: {"method":"GET","path":"/a","status":200,"route":"shop"}"#,
        r#"{"method":"GET","path":"/a","status":200}"#,
        r#"{"method":"GET","path":"/a","status":403,"rejected":"access","route":"shop"}"#,
        r#"1.2.3.4 - - [26/Nov/2026:14:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 512 "-" "Mozilla/5.0""#,
        r#"1.2.3.4 - - [26/Nov/2026:14:00:00 +0000] "GET /a HTTP/1.1" 200 512 "-" "serinus-probe/0.1.0""#,
        r#"1.2.3.4 - - [26/Nov/2026:14:00:00 +0000] "\x16\x03" 400 0 "-" "-""#,
        r#"{"target":"serinus","message":"x"}"#,
        "{",
    ];
    let mut traffic = Traffic::default();
    lines.iter().for_each(|line| traffic.read(line));
    assert_eq!((traffic.requests, traffic.unread), (4, 5));
    assert_eq!(traffic.routes["shop"].requests, 2);
    assert_eq!(traffic.routes["all"].requests, 2);
}

#[test]
fn numbers_and_ids_in_paths_are_left_open() {
    for (path, expected) in [
        ("/", "/"),
        ("/product/17", "/product/*"),
        ("/v2/users", "/v2/users"),
        ("/o/9f86d081-884c", "/o/*"),
        ("/o/deadbeef-cafe1", "/o/*"),
        ("/iphone-15-pro", "/iphone-15-pro"),
        ("/decade", "/decade"),
    ] {
        assert_eq!(shape(path), expected);
    }
}
