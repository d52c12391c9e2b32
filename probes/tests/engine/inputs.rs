//! What a journey is given from outside: rows of data, and the key that signs its requests.

use crate::builder::*;
use crate::scheduling::{checkout, next, pool, scheduler};
use crate::shop::Shop;
use ring::hmac;
use serinus_config::{Body, ProbeDefinition, Settings, Template};
use serinus_probes::{Inputs, Recordings, RunContext, Secrets, run_probe};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A folder with a configuration's files, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, file: &str, text: &str) -> Folder {
        let folder =
            std::env::temp_dir().join(format!("serinus-inputs-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), text).unwrap();
        Folder(folder)
    }

    fn settings(&self, text: &str) -> Settings {
        const SITE: &str = "[listener.web]\naddress = \"127.0.0.1:80\"\n[route.all]\nservice = \"checkout\"\n[service.checkout.stable]\nendpoints = [\"127.0.0.1:1\"]\n";
        let file = self.0.join("serinus.toml");
        serinus_config::parse(&format!("{SITE}{text}"), &file).unwrap_or_else(|e| panic!("{e}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const USERS: &str = r#"
[probe.login]
service = "checkout"
interval = "50ms"
data = "users.csv"
[[probe.login.step]]
post = "/echo"
body = "{{ row.user }} {{ row.password }}"
expect = { body_contains = "welcome" }
"#;

fn inputs(settings: &Settings, secret: Option<&str>) -> Inputs {
    let secrets = secret.map(|value| ("key".to_owned(), value.to_owned()));
    Inputs::read(settings, Secrets::new(secrets), Recordings::default()).unwrap()
}

fn often(settings: &Settings) -> Arc<ProbeDefinition> {
    let probe = ProbeDefinition::clone(&settings.probes[0]);
    Arc::new(ProbeDefinition { interval: Duration::from_millis(50), ..probe })
}

#[tokio::test]
async fn rounds_take_the_rows_in_turns_the_same_on_both_variants() {
    let folder = Folder::with("rows", "users.csv", "user,password\nann,p1\nbob,p2\n");
    let settings = folder.settings(USERS);
    let (stable, canary) = (Shop::open().await, Shop::open().await);
    let (mut scheduler, mut rounds) = scheduler();
    let canary_pool = Some(pool("2", &[&canary.target]));
    let service = checkout(pool("1", &[&stable.target]), canary_pool, vec![often(&settings)]);
    scheduler.apply(&[service], inputs(&settings, None));
    for _ in 0..4 {
        next(&mut rounds).await;
    }
    let sent = |shop: &Shop| {
        let bodies = shop.seen().into_iter().map(|seen| seen.body);
        bodies.take(4).collect::<Vec<_>>()
    };
    assert_eq!(sent(&stable), sent(&canary));
    let bodies = sent(&stable);
    assert_eq!((&bodies[0], &bodies[1]), (&bodies[2], &bodies[3]));
    let mut pair = bodies[..2].to_vec();
    pair.sort();
    assert_eq!(pair, ["ann p1", "bob p2"]);
}

#[tokio::test]
async fn a_password_of_a_row_is_redacted_like_a_secret_and_other_values_are_not() {
    let folder = Folder::with("hidden", "users.csv", "user,password\nann,hunter2\n");
    let settings = folder.settings(USERS);
    let inputs = inputs(&settings, None);
    let shop = Shop::open().await;
    let context = RunContext::of(1, &inputs, "login", 0);
    let run = run_probe(&settings.probes[0], &shop.target, &context).await;
    assert_eq!(
        run.failure().unwrap(),
        "step 1 `post /echo`: expected a body that contains \"welcome\", got \"ann [redacted]\""
    );
    assert!(!format!("{context:?}{inputs:?}").contains("hunter2"));
    assert_eq!(shop.seen()[0].body, "ann hunter2");
}

#[tokio::test]
async fn a_row_without_the_column_fails_the_step_and_a_broken_file_the_configuration() {
    // Another row has it: only a column that no row has is a mistake of the configuration.
    let rows = r#"[{ "user": "ann" }, { "user": "bob", "password": "p2" }]"#;
    let folder = Folder::with("column", "users.json", rows);
    let settings = folder.settings(&USERS.replace(".csv", ".json"));
    let context = RunContext::of(1, &inputs(&settings, None), "login", 0);
    let shop = Shop::open().await;
    let run = run_probe(&settings.probes[0], &shop.target, &context).await;
    assert_eq!(
        run.failure().unwrap(),
        "step 1 `post /echo`: template `{{ row.user }} {{ row.password }}`: `row.password` is unknown here"
    );
    let settings = folder.settings(USERS);
    let file = folder.0.join("users.csv");
    for (text, said) in [
        ("user\n\"ann\n", ":2: a quote is never closed"),
        ("user\nann\n", " has no column `password`, which `row.password` asks for; it has user"),
    ] {
        std::fs::write(&file, text).unwrap();
        let read = Inputs::read(&settings, Secrets::default(), Recordings::default());
        let expected = format!("rows of probe `login`: {}{said}", file.display());
        assert_eq!(read.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn a_signed_request_is_what_an_upstream_can_check_with_the_key() {
    let folder = Folder::with("signed", "none", "");
    let settings = folder.settings(
        "[probing]\nsign_with = \"key\"\n[probe.p]\nservice = \"checkout\"\nhost = \"shop.test\"\n[[probe.p.step]]\nput = \"/echo?a=1\"\nbody = \"x\"\nheaders = { x-synthetic-signature = \"forged\" }\n",
    );
    assert_eq!(settings.secret_names().into_keys().collect::<Vec<_>>(), ["key"]);
    let shop = Shop::open().await;
    let context = RunContext::of(1, &inputs(&settings, Some("k3y")), "p", 0);
    let run = run_probe(&settings.probes[0], &shop.target, &context).await;
    assert_eq!(run.failure(), None);
    let seen = &shop.seen()[0];
    let header = |name: &str| seen.headers[name].to_str().unwrap();
    let (time, digest) = header("x-synthetic-signature").split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let lines = [time, "PUT", "shop.test", "/echo?a=1", header("x-synthetic")].join("\n");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"k3y");
    let bytes: Vec<u8> = (0..digest.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digest[at..at + 2], 16).unwrap())
        .collect();
    hmac::verify(&key, lines.as_bytes(), &bytes).expect("the signature of these very lines");
    assert!(hmac::verify(&key, lines.replace("PUT", "GET").as_bytes(), &bytes).is_err());
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now - time.parse::<u64>().unwrap() < 300, "signed now");
}

#[tokio::test]
async fn without_a_key_there_is_no_signature_and_nobody_writes_one() {
    let shop = Shop::open().await;
    let step = request("PUT", "/echo", Body::Raw(Template("x".to_owned())));
    succeed(vec![step.header("x-synthetic-signature", "forged")], &shop.target).await;
    assert!(!shop.seen()[0].headers.contains_key("x-synthetic-signature"));
}
