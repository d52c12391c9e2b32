//! Recordings played by a real Chromium against real servers, as the proxy does it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code throughout: the configured exception covers only functions marked as tests"
)]

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};
use serinus_models::{Outcome, Pair};
use serinus_probes::{
    Inputs, ProbeRun, Recordings, Round, Runs, Scheduler, Secrets, ServiceProbes, Urgency,
};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What is wrong with a shop.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The button's script has a mistake: every answer is a 200 as before.
    Script,
    /// The order is never answered.
    Hang,
    /// The order is a 500.
    Error,
}

/// Method, path, headers and body of a request.
type Seen = (Method, String, HeaderMap, String);

#[derive(Clone)]
struct Shop {
    fault: Fault,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Shop {
    async fn open(fault: Fault) -> (Shop, String) {
        let shop = Shop { fault, seen: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(shop.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (shop, address)
    }

    fn bodies(&self, path: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|one| one.1 == path).map(|one| one.3.clone()).collect()
    }
}

async fn answer(
    State(shop): State<Shop>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let cookie = headers.get(header::COOKIE).is_some_and(|cookie| cookie == "cart=1");
    shop.seen.lock().unwrap().push((method, uri.path().to_owned(), headers, body));
    match uri.path() {
        "/" => {
            let script = if shop.fault == Fault::Script { "nosuch.thing();" } else { "" };
            let page = PAGE.replace("FAULT", script);
            ([(header::SET_COOKIE, "cart=1; Secure; HttpOnly; Path=/")], Html(page)).into_response()
        }
        "/order" if shop.fault == Fault::Hang => std::future::pending().await,
        "/order" if shop.fault == Fault::Error => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "/order" if !cookie => StatusCode::FORBIDDEN.into_response(),
        "/order" => Html("<h1 id=thanks>Thank you</h1>").into_response(),
        "/menu" => "hovered".into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The field and the button live in a shadow root, the list below is made by a script.
const PAGE: &str = r#"<!doctype html><title>Shop</title><body style="height: 3000px">
<form id=form method=post action=/order><label>Name <input name=name></label>
<select name=size><option value=s>S<option value=l>L</select></form>
<ul id=items></ul><div id=menu>Menu</div><x-buy></x-buy>
<script>
setTimeout(() => { for (const item of 'abc') items.append(Object.assign(document.createElement('li'), {textContent: item})) }, 100);
menu.addEventListener('mouseenter', () => fetch('/menu').then(answer => answer.text()).then(text => menu.textContent = text));
customElements.define('x-buy', class extends HTMLElement {
  constructor() {
    super();
    this.attachShadow({mode: 'open'}).innerHTML = '<button>Buy now</button>';
    this.shadowRoot.querySelector('button').onclick = () => { FAULT form.requestSubmit(); };
  }
});
</script>"#;

fn recording() -> Value {
    json!({ "title": "order", "timeout": 20_000, "steps": [
        { "type": "setViewport", "width": 900, "height": 600, "deviceScaleFactor": 1, "isMobile": false },
        { "type": "navigate", "url": "https://localhost:3000/", "assertedEvents": [{ "type": "navigation" }] },
        { "type": "waitForElement", "selectors": ["#items li"], "count": 3, "operator": "==" },
        { "type": "hover", "selectors": [["#menu"]] },
        { "type": "waitForExpression", "expression": "document.querySelector('#menu').textContent === 'hovered'" },
        { "type": "scroll", "x": 0, "y": 1000 },
        { "type": "change", "selectors": [["aria/Name"], ["input"]], "value": "{{ secret.name }} {{ random.hex(8) }}" },
        { "type": "keyDown", "key": "!" },
        { "type": "keyUp", "key": "!" },
        { "type": "change", "selectors": [["select"]], "value": "l" },
        { "type": "click", "selectors": [["x-buy", "button"]], "assertedEvents": [{ "type": "navigation" }] },
        { "type": "waitForElement", "selectors": ["text/Thank you"] },
    ] })
}

/// A busy machine is no failure.
const PATIENT: &str = "timeout = \"110s\"";

struct Stage {
    _folder: TempDir,
    scheduler: Scheduler,
    rounds: UnboundedReceiver<Round>,
}

impl Stage {
    /// Both shops under one probe with a browser; `more` is added to its table.
    fn new(stable: &str, canary: &str, chromium: &str, more: &str) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let worker = env!("CARGO_BIN_EXE_serinus-browser");
        std::fs::write(folder.path().join("order.json"), recording().to_string()).unwrap();
        let text = format!(
            r#"
[listener.web]
address = "127.0.0.1:0"
[route.shop]
hosts = ["shop.test"]
service = "shop"
[service.shop.stable]
version = "1"
endpoints = ["{stable}"]
[service.shop.canary]
version = "2"
endpoints = ["{canary}"]
[probing.browser]
worker = "{worker}"
{chromium}
[probe.order]
service = "shop"
browser = "order.json"
interval = "2m"
{more}
"#
        );
        let file = folder.path().join("serinus.toml");
        let settings = serinus_config::parse(&text, &file).unwrap_or_else(|why| panic!("{why}"));
        let recordings = Recordings::read(&settings).unwrap();
        let secrets = Secrets::new([("name".to_owned(), "Ann".to_owned())]);
        let inputs = Inputs::read(&settings, secrets, recordings).unwrap();
        let (sender, rounds) = unbounded_channel();
        let hook = move |round: &Round| drop(sender.send(round.clone()));
        let mut scheduler = Scheduler::new(7, Arc::new(hook));
        scheduler.apply(&ServiceProbes::of(&settings).unwrap(), inputs);
        // A round is due at once.
        scheduler.urgency("shop", Urgency::Suspicion);
        Stage { _folder: folder, scheduler, rounds }
    }

    async fn round(&mut self) -> Runs {
        loop {
            let round = self.rounds.recv().await.unwrap();
            // Under suspicion the route is asked plainly, too.
            if &*round.probe == "order" {
                return round.runs;
            }
        }
    }

    async fn both(&mut self) -> Pair<ProbeRun> {
        match self.round().await {
            Runs::Both(pair) => pair,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_played_on_both_variants_with_the_same_inputs_and_every_request_is_marked() {
    let (stable, at_stable) = Shop::open(Fault::None).await;
    let (canary, at_canary) = Shop::open(Fault::None).await;
    let mut stage = Stage::new(&at_stable, &at_canary, "", PATIENT);
    let pair = stage.both().await;
    for run in [&pair.stable, &pair.canary] {
        assert_eq!(run.failure(), None);
        assert_eq!((run.outcome, run.steps.len()), (Outcome::Ok, 12));
        assert!(run.steps.iter().all(|step| !step.phases.latency().is_zero()), "{run:?}");
        assert_eq!(run.steps[1].name, "navigate /");
        assert_eq!((run.steps[1].status, run.steps[10].status), (Some(200), Some(200)));
        assert!(run.steps[1].requests > 0 && run.steps[1].bytes > 500, "{run:?}");
    }
    let order = stable.bodies("/order");
    assert_eq!(order, canary.bodies("/order"));
    let [order] = order.as_slice() else { panic!("{order:?}") };
    assert!(order.starts_with("name=Ann+") && order.ends_with("%21&size=l"), "{order}");
    for (shop, run) in [(&stable, &pair.stable), (&canary, &pair.canary)] {
        let seen = shop.seen.lock().unwrap();
        assert!(seen.len() >= 3, "the page, the script's request and the order: {seen:?}");
        for (_, path, headers, _) in seen.iter() {
            let mark = headers["x-synthetic"].to_str().unwrap();
            if mark.starts_with("shop-plain/") {
                continue;
            }
            assert_eq!(mark, format!("order/{}", run.run), "{path}");
            assert_eq!(headers["baggage"], "synthetic_request=true", "{path}");
            assert!(
                headers["user-agent"].to_str().unwrap().starts_with("serinus-probe/"),
                "{path}"
            );
            assert_eq!(
                (&headers["host"], &headers["x-forwarded-proto"]),
                (&"shop.test".parse().unwrap(), &"https".parse().unwrap())
            );
        }
    }
    let kept = stage.scheduler.drain("shop");
    let kept: Vec<_> = kept.iter().filter(|round| &*round.probe == "order").collect();
    assert_eq!(kept.len(), 1, "it counts as any probe does");
    assert_eq!(kept[0].steps.len(), 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_in_a_script_that_no_request_shows_fails_its_step_and_is_named() {
    let (_stable, at_stable) = Shop::open(Fault::None).await;
    let (_canary, at_canary) = Shop::open(Fault::Script).await;
    let pair = Stage::new(&at_stable, &at_canary, "", PATIENT).both().await;
    assert_eq!(pair.stable.failure(), None);
    assert_eq!(pair.canary.outcome, Outcome::Timeout);
    assert_eq!(
        pair.canary.failure(),
        Some(
            "step 11 `click x-buy >> button`: expected another page within 20s, it did not come \
             (the page threw: ReferenceError: nosuch is not defined)"
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_answers_500_is_a_server_error() {
    let (_stable, at_stable) = Shop::open(Fault::None).await;
    let (_canary, at_canary) = Shop::open(Fault::Error).await;
    let pair = Stage::new(&at_stable, &at_canary, "", PATIENT).both().await;
    assert_eq!((pair.stable.outcome, pair.canary.outcome), (Outcome::Ok, Outcome::ServerError));
    let failure = pair.canary.failure().unwrap();
    assert!(failure.ends_with("expected a page with a status below 400, got 500"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_hangs_is_ended_with_all_its_processes_and_an_endpoint_that_is_gone_is_one() {
    let (_stable, at_stable) = Shop::open(Fault::Hang).await;
    // Nobody listens there any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut stage = Stage::new(&at_stable, &gone.to_string(), "", "timeout = \"10s\"");
    let pair = stage.both().await;
    assert_eq!(pair.stable.outcome, Outcome::Timeout);
    let failure = pair.stable.failure().unwrap();
    assert!(failure.contains("expected the run to end within 10s"), "{failure}");
    assert_eq!(pair.canary.outcome, Outcome::ConnectError, "{:?}", pair.canary.failure());
    assert!(pair.canary.failure().unwrap().contains("no connection to"));
    drop(stage);
    // Killed already; only their names may be there for a moment.
    while browsers_of(std::process::id()) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_a_browser_nothing_is_known_and_nothing_has_failed() {
    let (shop, address) = Shop::open(Fault::None).await;
    let mut stage = Stage::new(&address, &address, "chromium = \"/nowhere/chromium\"", "");
    let Runs::NotRun(why) = stage.round().await else { panic!("it ran") };
    assert!(why.to_string().starts_with("there is no Chromium at /nowhere/chromium"), "{why}");
    assert!(stage.scheduler.drain("shop").iter().all(|round| &*round.probe != "order"));
    let seen = shop.seen.lock().unwrap();
    let plain = |headers: &HeaderMap| headers["x-synthetic"].as_bytes().starts_with(b"shop-plain/");
    assert!(seen.iter().all(|(_, _, headers, _)| plain(headers)));
}

/// Processes that the workers of this process began and that are still alive.
fn browsers_of(parent: u32) -> usize {
    let folders = std::fs::read_dir("/proc").unwrap().flatten();
    let is_worker = |folder: &Path| {
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let of_ours = fields.get(1)?.parse() == Ok(parent) && fields.first()? != &"Z";
        let name = std::fs::read_to_string(folder.join("comm")).ok()?;
        (of_ours && name.starts_with("serinus-browser")).then_some(())
    };
    folders.filter(|folder| is_worker(&folder.path()).is_some()).count()
}
