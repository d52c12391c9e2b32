use crate::builder::*;
use crate::shop::{PASSWORD, Shop};
use serde_json::json;
use serinus_config::{Body, Capture, Template};
use serinus_models::Outcome;
use serinus_probes::{Phase, RunContext, run_probe};

fn login() -> Vec<serinus_config::Step> {
    vec![
        get("/login").status(&[200]),
        submit("form#login", &[("user", "ann"), ("password", "{{ secret.shop_password }}")]),
    ]
}

fn token() -> Capture {
    Capture::Css { selector: "meta[name=token]".to_owned(), attribute: Some("content".to_owned()) }
}

#[tokio::test]
async fn a_user_logs_in_and_fills_a_cart() {
    let shop = Shop::open().await;
    let mut steps = login();
    steps[1] = steps[1].clone().capture("token", token());
    steps.push(click("a.cart").status(&[200]));
    let body = json!({ "item": 7, "qty": "{{ random.int(2, 2) }}" });
    steps.push(
        request("POST", "/api/cart", Body::Json(body))
            .header("authorization", "Bearer {{ token }}")
            .status(&[201]),
    );
    let run = succeed(steps, &shop.target).await;
    assert_eq!(run.outcome, Outcome::Ok);
    let paths: Vec<_> = shop.seen().iter().map(|s| format!("{} {}", s.method, s.path)).collect();
    let expected =
        ["GET /login", "POST /session", "GET /account", "GET /cart?from=account", "POST /api/cart"];
    assert_eq!(paths, expected);
    let seen = shop.seen();
    assert_eq!(seen[3].headers["referer"], format!("http://{}/account", shop.target.endpoint));
    assert_eq!(seen[4].headers["content-type"], "application/json");
    assert_eq!(seen[4].body, r#"{"item":7,"qty":2}"#);
    assert_eq!(seen[4].headers["cookie"], "session=s1; user=ann");
}

#[tokio::test]
async fn the_connection_is_kept_between_steps_and_phases_tell() {
    let shop = Shop::open().await;
    let run = succeed(vec![get("/login"), get("/json")], &shop.target).await;
    let [first, second] = run.steps.as_slice() else { panic!("two steps") };
    assert!(!first.reused && second.reused);
    assert!(!first.phases.of(Phase::Connect).is_zero());
    assert!(first.phases.of(Phase::Tls).is_zero(), "plain HTTP");
    for phase in [Phase::Resolve, Phase::Connect, Phase::Tls] {
        assert!(second.phases.of(phase).is_zero(), "{phase:?} of a kept connection");
    }
    assert!(!second.phases.of(Phase::Processing).is_zero());
    assert_eq!(run.latency(), first.phases.latency() + second.phases.latency());
    assert_eq!(u128::from(run.result().micros), run.latency().as_micros());
}

#[tokio::test]
async fn a_redirect_is_followed_unless_its_status_is_expected() {
    let shop = Shop::open().await;
    let run = succeed(login(), &shop.target).await;
    assert_eq!((run.steps[1].status, run.steps[1].redirects), (Some(200), 1));
    let mut named = login();
    named[1] = named[1].clone().status(&[200, 302]);
    let run = succeed(named, &shop.target).await;
    assert_eq!((run.steps[1].status, run.steps[1].redirects), (Some(302), 0));
}

#[tokio::test]
async fn a_307_repeats_method_and_body() {
    let shop = Shop::open().await;
    succeed(vec![request("POST", "/moved", Body::Raw(Template("text".to_owned())))], &shop.target)
        .await;
    let seen = shop.seen();
    assert_eq!((seen[1].method.as_str(), seen[1].path.as_str()), ("POST", "/echo"));
    assert_eq!(seen[1].body, "text");
}

#[tokio::test]
async fn a_redirect_off_the_site_is_the_answer_itself() {
    let shop = Shop::open().await;
    let run = succeed(vec![get("/out")], &shop.target).await;
    assert_eq!(run.steps[0].status, Some(302));
    assert_eq!(
        failure(vec![get("/out").status(&[200])], &shop.target).await,
        "step 1 `get /out`: expected status 200, got 302 (to elsewhere.test, off the site: not followed)"
    );
}

#[tokio::test]
async fn a_redirect_loop_ends_in_a_failure() {
    let shop = Shop::open().await;
    assert_eq!(
        failure(vec![get("/round")], &shop.target).await,
        "step 1 `get /round`: expected at most 10 redirects, got another"
    );
    assert_eq!(shop.seen().len(), 11);
}

#[tokio::test]
async fn every_kind_of_body_arrives_as_meant() {
    let shop = Shop::open().await;
    let text = |text: &str| Template(text.to_owned());
    let form = Body::Form(vec![("a b".to_owned(), text("{{ secret.shop_password }}"))]);
    let steps = vec![
        request("PUT", "/echo?form", form),
        request("PATCH", "/echo?raw", Body::Raw(text("raw {{ 1 + 1 }}"))),
        request("DELETE", "/echo?none", Body::Empty),
        request("POST", "/echo?json", Body::Json(json!(["{{ random.hex(4) }}", null]))),
    ];
    succeed(steps, &shop.target).await;
    let seen = shop.seen();
    let methods: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(methods, ["PUT", "PATCH", "DELETE", "POST"]);
    assert_eq!(seen[0].body, "a+b=hunter+2%26more");
    assert_eq!(seen[0].headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(seen[1].body, "raw 2");
    assert!(!seen[1].headers.contains_key("content-type"));
    assert_eq!(seen[2].body, "");
    assert_eq!(seen[3].headers["content-type"], "application/json");
}

#[tokio::test]
async fn the_same_seed_sends_the_same_inputs_and_another_seed_others() {
    let shop = Shop::open().await;
    let body = json!({ "id": "{{ random.uuid }}", "n": "{{ random.int(1, 1000000) }}" });
    let steps = vec![get("/echo/{{ random.hex(8) }}"), request("POST", "/echo", Body::Json(body))];
    let definition = probe("p", steps);
    for seed in [1, 1, 2] {
        run_probe(&definition, &shop.target, &RunContext::new(seed, secrets())).await;
    }
    let sent: Vec<_> = shop.seen().into_iter().map(|seen| (seen.path, seen.body)).collect();
    assert_eq!(sent[0..2], sent[2..4]);
    assert_ne!(sent[0].0, sent[4].0);
    assert_ne!(sent[1].1, sent[5].1);
}

#[tokio::test]
async fn the_host_header_is_the_steps_or_the_probes_or_the_endpoint() {
    let shop = Shop::open().await;
    let mut definition = probe("p", vec![get("/json"), get("/json").header("host", "other.test")]);
    definition.host = Some("shop.test".to_owned());
    run(&definition, &shop.target).await;
    definition.host = None;
    run(&definition, &shop.target).await;
    let hosts: Vec<_> = shop.seen().iter().map(|seen| seen.headers["host"].clone()).collect();
    assert_eq!(hosts, ["shop.test", "other.test", &shop.target.endpoint, "other.test"]);
}

#[tokio::test]
async fn a_secret_never_shows_in_results_although_the_server_sends_it_back() {
    let shop = Shop::open().await;
    let mut steps = login();
    steps[1] =
        submit("form#login", &[("user", "ann"), ("password", "{{ secret.shop_password }}x")]);
    steps[1].expect.status = vec![401];
    steps[1].expect.body_contains = vec![Template("welcome {{ secret.shop_password }}".to_owned())];
    let context = RunContext::new(7, secrets());
    let run = run_probe(&probe("p", steps), &shop.target, &context).await;
    assert!(shop.seen()[1].body.contains("hunter+2%26more"), "the server was sent it");
    assert_eq!(
        run.failure().unwrap(),
        "step 2 `submit form#login`: expected a body that contains \"welcome [redacted]\", \
         got \"csrf=c5rf%2Btoken%2F%3D&user=ann&password=[redacted]x\""
    );
    for shown in [format!("{run:?}"), format!("{context:?}")] {
        assert!(!shown.contains(PASSWORD) && !shown.contains("hunter"), "{shown}");
    }
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_step_is_told() {
    let shop = Shop::open().await;
    let cases = [
        (vec![click("a")], "step 1 `click a`: expected a page from a step before, there is none"),
        (
            vec![get("/login"), submit("#signup", &[])],
            "step 2 `submit #signup`: expected an element at `#signup`, got a page without one",
        ),
        (
            vec![get("/json").header("x-a", "{{ tokn }}")],
            "step 1 `get /json`: template `{{ tokn }}`: `tokn` is unknown here",
        ),
        (
            vec![get("/{{ secret.none }}")],
            "step 1 `get /{{ secret.none }}`: template `/{{ secret.none }}`: `secret.none` is unknown here",
        ),
        (
            vec![get("http://elsewhere.test/")],
            "step 1 `get http://elsewhere.test/`: expected a link within the site, got one to elsewhere.test",
        ),
    ];
    for (steps, expected) in cases {
        assert_eq!(failure(steps, &shop.target).await, expected);
    }
}

#[tokio::test]
async fn a_secret_at_the_cut_of_an_excerpt_leaves_no_part_of_itself() {
    let shop = Shop::open().await;
    let text = format!("{}{{{{ secret.shop_password }}}}{}", "x".repeat(115), "y".repeat(200));
    let mut step = request("PUT", "/echo", Body::Raw(Template(text)));
    step.expect.body_contains = vec![Template("welcome".to_owned())];
    let message = failure(vec![step], &shop.target).await;
    let expected = format!("got \"{}[reda\"... (325 bytes)", "x".repeat(115));
    assert!(message.ends_with(&expected), "{message}");
}
