//! Two shops and a proxy as processes, on ports that the kernel chose.

use crate::browser::Browser;
use crate::setup::{Places, Setup};
use anyhow::Context;
use nix::sys::signal::Signal;
use serde_json::Value;
use serinus::demo::{Child, Client, LoadPlan, PASSWORD, Shop, Tally, free_port, send};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Longest wait for anything that must come: generous, since the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// The binary under test: `SERINUS_BIN`, or the one beside the test executable.
///
/// # Panics
/// It has not been built.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SERINUS_BIN") {
        return PathBuf::from(path);
    }
    // target/PROFILE/deps/TEST, or target/PROFILE/TOOL
    let me = std::env::current_exe().expect("a process has an executable");
    let beside = me.ancestors().skip(1).take(2).map(|folder| folder.join("serinus"));
    let found = beside.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "there is no serinus beside {}: type `cargo build -p serinus` (or `make test`) first",
            me.display()
        )
    })
}

/// Everything that runs in one case. All of it ends with this.
pub struct Lab {
    /// Journal, logs, configuration.
    pub folder: TempDir,
    /// What the configuration is made from.
    pub setup: Setup,
    /// The version that users have.
    pub stable: Shop,
    /// The version on trial.
    pub canary: Shop,
    /// The proxy.
    pub proxy: Child,
    /// Where the proxy serves.
    pub web: SocketAddr,
    /// Where its admin API is.
    pub admin_address: SocketAddr,
    /// A client of it.
    pub admin: Client,
}

impl Lab {
    /// Starts shops and proxy, and waits until it serves.
    ///
    /// # Panics
    /// Something does not start.
    pub async fn start(setup: Setup) -> Lab {
        Lab::prepared(setup, |_| ()).await
    }

    /// The same, with something done to the folder before the proxy starts. The state directory
    /// will be `state` in it.
    ///
    /// # Panics
    /// Something does not start.
    pub async fn prepared(setup: Setup, prepare: impl FnOnce(&Path)) -> Lab {
        Lab::open(setup, prepare, None).await
    }

    /// The same as [`Lab::start`], with a socket to which the proxy tells what systemd would be told.
    ///
    /// # Panics
    /// Something does not start.
    pub async fn start_told(setup: Setup, manager: &Path) -> Lab {
        Lab::open(setup, |_| (), Some(manager)).await
    }

    async fn open(setup: Setup, prepare: impl FnOnce(&Path), manager: Option<&Path>) -> Lab {
        let folder = TempDir::new().expect("a temporary folder");
        prepare(folder.path());
        let open = async |version, seed| {
            Shop::open(&binary(), version, setup.latency, seed, folder.path())
                .await
                .expect("the shop opens")
        };
        let stable = open("1.8.2", 1).await;
        let canary = open(setup.canary_version, 2).await;
        let local = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().expect("a free port")));
        let (web, admin_address) = (local(), local());
        let proxy = {
            let places = Places {
                state: &folder.path().join("state"),
                web,
                admin: admin_address,
                stable: stable.address,
                canary: canary.address,
            };
            std::fs::write(folder.path().join("serinus.toml"), setup.text(&places))
                .expect("the configuration is written");
            start_proxy(folder.path(), manager)
        };
        let admin = Client::new(admin_address);
        let mut lab = Lab { folder, setup, stable, canary, proxy, web, admin_address, admin };
        lab.until_serving().await;
        lab
    }

    /// Writes the configuration anew.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write_config(&self) {
        let state = self.folder.path().join("state");
        let places = Places {
            state: &state,
            web: self.web,
            admin: self.admin_address,
            stable: self.stable.address,
            canary: self.canary.address,
        };
        std::fs::write(self.config(), self.setup.text(&places)).expect("the folder is ours");
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("serinus.toml")
    }

    /// Changes the configuration, sends SIGHUP, and waits for the event that must follow:
    /// `config_reloaded` or `config_rejected`, which is returned.
    ///
    /// # Panics
    /// Nothing follows.
    pub async fn reload(&mut self, change: impl FnOnce(&mut Setup)) -> Value {
        let before = self.events().await.len();
        change(&mut self.setup);
        self.write_config();
        self.proxy.signal(Signal::SIGHUP);
        let answer = |event: &Value| {
            matches!(event["kind"].as_str(), Some("config_reloaded" | "config_rejected"))
        };
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            let events = self.events().await;
            if let Some(event) = events.into_iter().skip(before).find(answer) {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no answer to SIGHUP\n{}", self.log())
    }

    /// Ends the proxy by a signal and starts it anew; how it ended is returned.
    ///
    /// # Panics
    /// It does not end, or does not start.
    pub async fn restart(&mut self, signal: Signal) -> std::process::ExitStatus {
        self.proxy.signal(signal);
        let ended = self.proxy.wait(DEADLINE).await.expect("the proxy ends");
        self.proxy = start_proxy(self.folder.path(), None);
        self.until_serving().await;
        ended
    }

    async fn until_serving(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.proxy.ended() {
                panic!("the proxy ended: {status}\n{}", self.log());
            }
            if self.admin.get("/ready").await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        panic!("the proxy does not serve\n{}", self.log())
    }

    /// The service as the API shows it.
    ///
    /// # Panics
    /// The API does not answer.
    pub async fn status(&self) -> Value {
        let status = self.admin.get("/api/v1/services/shop").await;
        status.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()))
    }

    /// All events, oldest first.
    ///
    /// # Panics
    /// The API does not answer.
    pub async fn events(&self) -> Vec<Value> {
        let events = self.admin.get("/api/v1/events").await;
        let events = events.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()));
        events.as_array().expect("a list of events").clone()
    }

    /// The kinds of all events, oldest first.
    ///
    /// # Panics
    /// The API does not answer.
    pub async fn kinds(&self) -> Vec<String> {
        let kind = |event: &Value| event["kind"].as_str().unwrap_or_default().to_owned();
        self.events().await.iter().map(kind).collect()
    }

    /// Waits until the status is as it must become.
    ///
    /// # Panics
    /// It does not within [`DEADLINE`].
    pub async fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = self.status().await;
            if condition(&status) {
                return status;
            }
            if Instant::now() > deadline {
                panic!("not {what} after {DEADLINE:?}: {status:#}\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits for the first event of a kind.
    ///
    /// # Panics
    /// There is none within [`DEADLINE`].
    pub async fn until_event(&self, kind: &str) -> Value {
        self.until_event_within(kind, DEADLINE).await
    }

    /// Waits so long for the first event of a kind.
    ///
    /// # Panics
    /// There is none by then.
    pub async fn until_event_within(&self, kind: &str, patience: Duration) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(event) = self.events().await.into_iter().find(|event| event["kind"] == kind)
            {
                return event;
            }
            if Instant::now() > deadline {
                let status = self.status().await;
                panic!("no event '{kind}' after {patience:?}: {status:#}\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Sends open-loop load until it is finished; users have cookies, 5% of the requests are orders.
    pub fn load(&self, rps: f64) -> Load {
        self.load_of(rps, 0.05)
    }

    /// The same with that share of orders, which no proxy may repeat.
    pub fn load_of(&self, rps: f64, carts: f64) -> Load {
        let plan = LoadPlan {
            target: self.web,
            host: "shop.example".to_owned(),
            rps,
            users: 300,
            carts,
            patience: Duration::from_secs(5),
            canary_version: self.setup.canary_version.to_owned(),
            seed: 11,
        };
        let tally = Arc::new(Tally::default());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(send(plan, Arc::clone(&tally), stopped));
        Load { tally, stop, task }
    }

    /// Content type and text of the metrics page.
    ///
    /// # Panics
    /// There is none.
    pub async fn metrics(&self) -> (String, String) {
        let mut browser = Browser::open(self.admin_address).await.expect("the admin side listens");
        let answer = browser.get("/metrics").await.expect("there is a metrics page");
        assert_eq!(answer.status, 200, "{}", answer.body);
        (answer.header("content-type").unwrap_or_default().to_owned(), answer.body)
    }

    /// What the proxy said last.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.proxy.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// One command of the binary, run to its end with the probe's secret at hand: exit code, standard output, standard error.
///
/// # Panics
/// It cannot be started.
pub async fn command(arguments: &[&str]) -> (i32, String, String) {
    let output = tokio::process::Command::new(binary())
        .args(arguments)
        .env("SERINUS_SECRET_SHOP_PASSWORD", PASSWORD)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(DEADLINE, output)
        .await
        .expect("the command ends")
        .context("the command starts")
        .expect("the command starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn start_proxy(folder: &Path, manager: Option<&Path>) -> Child {
    let config = folder.join("serinus.toml");
    let manager = manager.map_or("", |socket| socket.to_str().expect("an ordinary name"));
    Child::start(
        &binary(),
        &["run", "--config", config.to_str().expect("a folder with an ordinary name")],
        &[("SERINUS_SECRET_SHOP_PASSWORD", PASSWORD), ("NOTIFY_SOCKET", manager)],
        &folder.join("proxy.log"),
    )
    .expect("the proxy starts")
}

/// Load under way.
pub struct Load {
    /// What users got so far.
    pub tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Load {
    /// Ends it, waits for the last answers, and returns what users got.
    ///
    /// # Panics
    /// The load itself broke.
    pub async fn finish(self) -> Arc<Tally> {
        // Nobody listens only if it ended before.
        let _ = self.stop.send(true);
        self.task.await.expect("the load ends");
        self.tally
    }
}
