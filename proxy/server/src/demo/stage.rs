//! The stage of the demo: a folder, two shops and the proxy in front of them.

use super::arguments::DemoArguments;
use super::child::{Child, Shop, free_port};
use super::client::Client;
use super::shop::{FaultKind, FaultOrder, PASSWORD};
use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The version that users have.
pub(super) const STABLE: &str = "1.8.2";
/// The version on trial.
pub(super) const CANARY: &str = "1.9.0";
/// The service's name.
pub(super) const SERVICE: &str = "shop";

/// Everything that runs. Dropping it ends all of it.
pub(super) struct Stage {
    pub(super) folder: PathBuf,
    pub(super) stable: Shop,
    pub(super) canary: Shop,
    pub(super) proxy: Child,
    pub(super) web: SocketAddr,
    pub(super) admin: Client,
}

impl Stage {
    /// Builds it and waits until the proxy serves.
    ///
    /// # Errors
    /// Anything that does not start, with where its log is.
    pub(super) async fn set(arguments: &DemoArguments) -> anyhow::Result<Stage> {
        let folder = new_folder(arguments.keep)?;
        let executable = std::env::current_exe().context("cannot find this executable")?;
        let seed = arguments.seed;
        let stable = Shop::open(&executable, STABLE, 8.0, seed, &folder).await?;
        let canary = Shop::open(&executable, CANARY, 8.0, seed.wrapping_add(1), &folder).await?;
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (web, admin_address) = (local(free_port()?), local(free_port()?));
        let config = folder.join("serinus.toml");
        let text = configuration(&folder, web, admin_address, stable.address, canary.address);
        std::fs::write(&config, text)?;
        let proxy = Child::start(
            &executable,
            &["run", "--config", &config.display().to_string()],
            &[("SERINUS_SECRET_SHOP_PASSWORD", PASSWORD)],
            &folder.join("proxy.log"),
        )?;
        let admin = Client::new(admin_address);
        let mut stage = Stage { folder, stable, canary, proxy, web, admin };
        stage.until_ready().await?;
        Ok(stage)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Some(status) = self.proxy.ended() {
                bail!("the proxy ended ({status}); see {}", self.proxy.log.display());
            }
            if self.admin.get(&format!("/api/v1/services/{SERVICE}")).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the proxy is not ready after 20 s; see {}", self.proxy.log.display())
    }

    /// Lets it go wrong, where it goes wrong.
    pub(super) async fn strike(&self, kind: FaultKind, rate: Option<f64>) -> anyhow::Result<()> {
        // A shared outage that never ends would leave the demo without an end.
        let for_ms = (kind == FaultKind::Shared).then_some(10_000);
        let order = FaultOrder { kind, rate, after_ms: 0, for_ms };
        if kind == FaultKind::Shared {
            self.stable.order(&order).await?;
        }
        self.canary.order(&order).await
    }

    /// Ends everything, the proxy first and gently.
    pub(super) async fn clear(mut self) -> PathBuf {
        self.proxy.stop(Duration::from_secs(8)).await;
        self.stable.kill().await;
        self.canary.kill().await;
        self.folder
    }
}

/// The configuration of a shop whose rollout takes half a minute instead of an hour.
fn configuration(
    folder: &Path,
    web: SocketAddr,
    admin: SocketAddr,
    stable: SocketAddr,
    canary: SocketAddr,
) -> String {
    let state = serde_json::Value::from(folder.join("state").display().to_string());
    format!(
        r#"# Made by `serinus demo`.
[server]
state_dir = {state}
grace_period = "5s"

[admin]
listen = "{admin}"

[listener.web]
address = "{web}"

[route.shop]
path_prefix = "/"
service = "{SERVICE}"

[service.{SERVICE}.stable]
version = "{STABLE}"
endpoints = ["{stable}"]

[service.{SERVICE}.canary]
version = "{CANARY}"
endpoints = ["{canary}"]

[service.{SERVICE}.rollout]
stages = [
  {{ weight = 0, hold = "3s" }},    # probes only
  {{ weight = 10, hold = "12s" }},
  {{ weight = 50, hold = "6s" }},
  {{ weight = 100, hold = "6s" }},
]
sticky = "cookie"
withdraw_limit = "35s"

[service.{SERVICE}.resources]
scrape = "/metrics"
interval = "1s"

[probe.order]
service = "{SERVICE}"
interval = "500ms"
timeout = "5s"
[[probe.order.step]]
get = "/login"
expect = {{ status = 200 }}
[[probe.order.step]]
submit = {{ form = "form#login", fields = {{ user = "synthetic", password = "{{{{ secret.shop_password }}}}" }} }}
expect = {{ status = 200 }}
capture = {{ token = {{ json = "$.token" }} }}
[[probe.order.step]]
post = "/api/cart"
json = {{ item = 7, qty = 1 }}
headers = {{ authorization = "Bearer {{{{ token }}}}" }}
expect = {{ status = 201, json = [{{ path = "$.ok", equals = true }}] }}
"#
    )
}

/// What folders of demos are called; the number of the process follows.
const PREFIX: &str = "serinus-demo-";

/// A new folder for journal and logs. It stays after the end, to be looked at, until the next demo
/// clears what finished demos have left; one to be kept has a name that is never cleared.
fn new_folder(keep: bool) -> anyhow::Result<PathBuf> {
    let parent = std::env::temp_dir();
    clear_finished(&parent);
    let kept = if keep { "kept-" } else { "" };
    let folder = parent.join(format!("{PREFIX}{kept}{}", std::process::id()));
    std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn clear_finished(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        let Some(pid) = pid.filter(|pid: &i32| *pid > 0) else { continue };
        if kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) {
            // Somebody else's, or in use: then it stays.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
