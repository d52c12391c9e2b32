//! Certificates of a CA: a real one, pebble, which looks whose a name is and issues for minutes.

use nix::sys::signal::Signal;
use serde_json::Value;
use serinus_tests::browser::Browser;
use serinus_tests::lab::{DEADLINE, Lab, command};
use serinus_tests::pebble::{Pebble, greet, leaf, local};
use serinus_tests::setup::Setup;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::RootCertStore;

/// A plain listener that sends clients to HTTPS, a TLS listener without files, and a CA.
fn config(
    pebble: &Pebble,
    http: SocketAddr,
    tls: SocketAddr,
    challenge: &str,
    names: &str,
) -> String {
    format!(
        "[acme]\naccept_terms = true\nemail = \"ops@example.com\"\nchallenge = \"{challenge}\"\n\
         directory = \"https://{}/dir\"\nca = {:?}\n\
         [listener.plain]\naddress = \"{http}\"\nhttps_redirect = true\n\
         [listener.tls]\naddress = \"{tls}\"\ntls = {{ acme = [{names}] }}\n",
        pebble.address,
        pebble.authority(),
    )
}

fn setup(more: String) -> Setup {
    Setup { probe: false, more, ..Setup::default() }
}

/// Waits until `name` has a certificate of `roots` that is another one than `old`.
async fn until_issued(
    lab: &Lab,
    tls: SocketAddr,
    name: &str,
    roots: &RootCertStore,
    old: &[u8],
) -> TlsStream<TcpStream> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match greet(tls, name, roots).await {
            Ok(stream) if leaf(&stream) != old => return stream,
            _ => assert!(Instant::now() < deadline, "no certificate for {name}\n{}", lab.log()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the status of a name is as it must become.
async fn until_name(lab: &Lab, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let all = lab.admin.get("/api/v1/certificates").await.unwrap();
        let found =
            all["names"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
        if let Some(found) = found.filter(|found| condition(found)) {
            return found;
        }
        assert!(Instant::now() < deadline, "{name}: {all:#}\n{}", lab.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The file of a name in the state directory of the CA.
fn file(lab: &Lab, name: &str) -> PathBuf {
    let acme = lab.folder.path().join("state/acme");
    let folder = std::fs::read_dir(acme).unwrap().next().expect("one CA").unwrap();
    folder.path().join(name)
}

async fn status_of(address: SocketAddr, path: &str) -> u16 {
    Browser::open(address).await.unwrap().get(path).await.unwrap().status
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn by_tls_a_certificate_is_issued_and_renewed_while_requests_go_on() {
    let (http, tls) = (local(), local());
    // Renewed when a third is left: after six seconds.
    let pebble = Pebble::start(http, tls, Duration::from_secs(9)).await;
    let more = config(&pebble, http, tls, "tls-alpn-01", "\"a.test\"");
    let lab = Lab::start(setup(more)).await;
    let roots = pebble.roots().await;
    let first = until_issued(&lab, tls, "a.test", &roots, b"").await;
    let old = leaf(&first);
    assert_eq!(mode(&file(&lab, "a.test.pem")), 0o600);
    assert_eq!(mode(&file(&lab, "account.json")), 0o600);
    // Nobody gets another name's certificate, and nobody speaks HTTP by the CA's protocol.
    greet(tls, "b.test", &roots).await.expect_err("there is none for it");
    let (_, metrics) = lab.metrics().await;
    assert!(metrics.contains("serinus_acme_attempts_total{result=\"issued\"} 1"), "{metrics}");
    assert!(metrics.contains("serinus_acme_failures{name=\"a.test\"} 0"), "{metrics}");
    let end = "serinus_certificate_expiry_timestamp_seconds{listener=\"tls\",name=\"a.test\"} ";
    assert!(metrics.contains(end), "{metrics}");
    let mut kept = Browser::over(first, tls).await.unwrap();
    assert_eq!(kept.get("/").await.unwrap().status, 200);
    let second = until_issued(&lab, tls, "a.test", &roots, &old).await;
    assert_ne!(leaf(&second), old);
    assert_eq!(kept.get("/").await.unwrap().status, 200, "the old connection goes on");
}

/// Counts who comes to the CA's address.
async fn deaf(address: SocketAddr) -> (Arc<AtomicUsize>, tokio::task::JoinHandle<()>) {
    let socket = TcpListener::bind(address).await.expect("nobody else is there");
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    let task = tokio::spawn(async move {
        while socket.accept().await.is_ok() {
            counting.fetch_add(1, Ordering::Relaxed);
        }
    });
    (count, task)
}

#[tokio::test]
async fn by_http_a_ca_that_is_down_is_asked_once_and_what_it_issued_stays() {
    let (http, tls) = (local(), local());
    let mut pebble = Pebble::start(http, tls, Duration::from_secs(86_400)).await;
    let two = config(&pebble, http, tls, "http-01", "\"a.test\", \"b.test\"");
    let three = config(&pebble, http, tls, "http-01", "\"a.test\", \"c.test\"");
    let mut lab = Lab::start(setup(two)).await;
    let roots = pebble.roots().await;
    let issued = leaf(&until_issued(&lab, tls, "a.test", &roots, b"").await);
    until_issued(&lab, tls, "b.test", &roots, b"").await;
    // What the CA did not ask for belongs to the listener's clients.
    assert_eq!(status_of(http, "/.well-known/acme-challenge/nothing").await, 308);

    pebble.kill().await;
    let (asked, ear) = deaf(pebble.address).await;
    lab.restart(Signal::SIGKILL).await;
    let stream = greet(tls, "a.test", &roots).await.expect("it was kept");
    assert_eq!(leaf(&stream), issued);
    let name = until_name(&lab, "a.test", |_| true).await;
    assert!(name["not_after"].is_i64() && name["trouble"].is_null(), "{name:#}");
    assert_eq!(asked.load(Ordering::Relaxed), 0, "there was nothing to ask");
    ear.abort();
    let _ = ear.await; // the port is free again

    // A name comes, another one goes, and the CA is down.
    let event = lab.reload(|setup| setup.more = three).await;
    assert_eq!(event["kind"], "config_reloaded", "{event:#}");
    let failed = until_name(&lab, "c.test", |name| name["failures"] == 1).await;
    let failed =
        until_name(&lab, "c.test", |name| name["why"] != "it was not finished").await["next"]
            .as_i64()
            .max(failed["next"].as_i64());
    let proxy = lab.admin.get("/api/v1/proxy").await.unwrap();
    let told = proxy["troubles"].to_string();
    assert!(
        told.contains("there is no certificate for c.test") && told.contains("refused"),
        "{told}"
    );
    greet(tls, "b.test", &roots).await.expect_err("it is no longer in the file");
    greet(tls, "c.test", &roots).await.expect_err("there is none yet");
    greet(tls, "a.test", &roots).await.expect("it has one");
    assert_eq!(status_of(lab.web, "/").await, 200, "other listeners do not care");
    let config = lab.config();
    let check = ["check", "--config", config.to_str().unwrap()];
    let (code, output, _) = command(&check).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("a.test: a certificate of the CA until "), "{output}");
    assert!(
        output.contains("c.test: the CA will be asked") && output.contains("refused"),
        "{output}"
    );

    // Whoever crashes again and again does not ask again and again.
    let (asked, ear) = deaf(pebble.address).await;
    for _ in 0..2 {
        lab.restart(Signal::SIGKILL).await;
        let name = until_name(&lab, "c.test", |_| true).await;
        assert_eq!(
            (name["failures"].as_i64(), name["next"].as_i64()),
            (Some(1), failed),
            "{name:#}"
        );
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    ear.abort();
    let _ = ear.await;

    // The CA is back, without a memory of us; an operator does not want to wait.
    pebble.begin().await;
    let admin = lab.admin_address.to_string();
    let (code, output, errors) = command(&["renew", "nobody.test", "--admin", &admin]).await;
    assert_eq!(code, 1, "{output}");
    assert!(errors.contains("use one of: a.test, c.test"), "{errors}");
    let (code, output, errors) = command(&["renew", "c.test", "--admin", &admin]).await;
    assert_eq!(code, 0, "{output}{errors}");
    let roots = pebble.roots().await;
    until_issued(&lab, tls, "c.test", &roots, b"").await;
    let (code, output, _) = command(&["certificates", "--admin", &admin]).await;
    assert!(code == 0 && output.contains("c.test on listener tls: ends at "), "{output}");
    let name = until_name(&lab, "c.test", |name| name["failures"] == 0).await;
    assert!(name["trouble"].is_null(), "{name:#}");
}

#[tokio::test]
async fn what_the_ca_saw_is_told() {
    let (http, tls) = (local(), local());
    // It looks where nobody listens.
    let pebble = Pebble::start(local(), local(), Duration::from_secs(60)).await;
    let more = config(&pebble, http, tls, "http-01", "\"a.test\"");
    let lab = Lab::start(setup(more)).await;
    let name = until_name(&lab, "a.test", |name| {
        name["trouble"].is_string() && name["why"] != "it was not finished"
    })
    .await;
    let told = name["trouble"].as_str().unwrap();
    assert!(
        told.contains("the CA looked and was not content") && told.contains("refused"),
        "{told}"
    );
    greet(tls, "a.test", &pebble.roots().await).await.expect_err("there is none");
}

#[tokio::test]
async fn a_ca_that_serves_its_customers_alone_is_shown_whose_the_account_is() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let (http, tls) = (local(), local());
    let customers = [("kid-1", KEY)];
    let pebble = Pebble::start_for(http, tls, Duration::from_secs(600), &customers).await;
    let more = config(&pebble, http, tls, "tls-alpn-01", "\"a.test\"");
    let mut lab = Lab::start(setup(more.clone())).await;
    let asks = |one: &Value| one["why"].as_str().is_some_and(|why| why.contains("eab_key_id"));
    until_name(&lab, "a.test", asks).await;
    // With a wrong key, and with the right one, as it comes in a file.
    let key_file = lab.folder.path().join("eab.key");
    for (key, answer) in [("AAAA", "failure"), (KEY, "certificate")] {
        std::fs::write(&key_file, format!("{key}==\n")).unwrap();
        let with = format!("[acme]\neab_key_id = \"kid-1\"\neab_key_file = {key_file:?}\n");
        let event = lab.reload(|setup| setup.more = more.replace("[acme]\n", &with)).await;
        assert_eq!(event["kind"], "config_reloaded", "{event:#}");
        let (code, output, errors) =
            command(&["renew", "a.test", "--config", lab.config().to_str().unwrap()]).await;
        assert_eq!(code, 0, "{output}{errors}");
        if answer == "failure" {
            let refused = |one: &Value| !asks(one) && one["why"] != "it was not finished";
            until_name(&lab, "a.test", refused).await;
        }
    }
    let roots = pebble.roots().await;
    until_issued(&lab, tls, "a.test", &roots, b"").await;
}
