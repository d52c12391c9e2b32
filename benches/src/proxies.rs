//! The contestants, each with one worker, kept connections and no access log, in front of the
//! same nginx that answers 128 bytes.

use crate::process::{Running, free_address, wait_for};
use anyhow::Result;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the binaries are: built with the profile that is measured.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `serinus`
    pub serinus: PathBuf,
    /// `bare_pingora`
    pub bare_pingora: PathBuf,
}

/// A proxy under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// No hooks at all: the yardstick.
    BarePingora,
    /// Serinus with one service and no canary.
    SerinusPlain,
    /// Serinus with everything on: canary at 10%, cookies, shield, probes, evaluation, journal.
    SerinusFull,
    /// Debian's nginx.
    Nginx,
    /// Debian's HAProxy.
    Haproxy,
}

impl Contestant {
    /// All of them, the yardstick first.
    pub const ALL: [Contestant; 5] = [
        Contestant::BarePingora,
        Contestant::SerinusPlain,
        Contestant::SerinusFull,
        Contestant::Nginx,
        Contestant::Haproxy,
    ];

    /// The name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Contestant::BarePingora => "bare_pingora",
            Contestant::SerinusPlain => "serinus_plain",
            Contestant::SerinusFull => "serinus_full",
            Contestant::Nginx => "nginx",
            Contestant::Haproxy => "haproxy",
        }
    }

    /// The command that runs it at `listen`, with its configuration under `folder`.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub fn command(
        self,
        binaries: &Binaries,
        folder: &Path,
        listen: SocketAddr,
        upstream: &Upstream,
    ) -> Result<Command> {
        let folder = folder.join(self.as_str());
        fs::create_dir_all(&folder)?;
        let config = folder.join("config");
        let mut command = match self {
            Contestant::BarePingora => {
                let mut command = Command::new(&binaries.bare_pingora);
                command.arg(listen.to_string()).arg(upstream.stable.to_string());
                return Ok(command);
            }
            Contestant::SerinusPlain | Contestant::SerinusFull => {
                let full = self == Contestant::SerinusFull;
                fs::write(&config, serinus_config(listen, upstream, &folder, full)?)?;
                let mut command = Command::new(&binaries.serinus);
                command.arg("run").arg("--config");
                command
            }
            Contestant::Nginx => {
                fs::write(&config, nginx_proxy(listen, upstream.stable, &folder))?;
                let mut command = Command::new("nginx");
                command.arg("-c");
                command
            }
            Contestant::Haproxy => {
                fs::write(&config, haproxy_config(listen, upstream.stable))?;
                let mut command = Command::new("haproxy");
                command.arg("-db").arg("-f");
                command
            }
        };
        command.arg(&config);
        Ok(command)
    }
}

/// The nginx behind every proxy: two ports, for stable and canary.
#[derive(Debug)]
pub struct Upstream {
    /// Port of the stable version.
    pub stable: SocketAddr,
    /// Port of the canary.
    pub canary: SocketAddr,
    _nginx: Running,
}

impl Upstream {
    /// Starts it.
    ///
    /// # Errors
    /// nginx is missing or does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        let (stable, canary) = (free_address()?, free_address()?);
        let body = "x".repeat(128);
        let server = |address: SocketAddr| {
            format!(
                "server {{ listen {address} backlog=4096; keepalive_requests 1000000000; location / {{ return 200 \"{body}\"; }} }}"
            )
        };
        let config = folder.join("upstream.conf");
        let http = format!("{}\n{}", server(stable), server(canary));
        fs::write(&config, nginx_frame(&folder.join("upstream"), &http))?;
        let nginx = Running::start(Command::new("nginx").arg("-c").arg(&config))?;
        wait_for(stable)?;
        wait_for(canary)?;
        Ok(Upstream { stable, canary, _nginx: nginx })
    }
}

fn nginx_frame(prefix: &Path, http: &str) -> String {
    let prefix = prefix.display();
    format!(
        "daemon off; worker_processes 1; pid {prefix}.pid; error_log /dev/null;
events {{ worker_connections 20000; }}
http {{ access_log off; client_body_temp_path {prefix}.body; proxy_temp_path {prefix}.proxy;
fastcgi_temp_path {prefix}.fcgi; uwsgi_temp_path {prefix}.uwsgi; scgi_temp_path {prefix}.scgi;
{http} }}"
    )
}

fn nginx_proxy(listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> String {
    nginx_frame(
        &folder.join("nginx"),
        &format!(
            "upstream shop {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
server {{ listen {listen} backlog=4096; keepalive_requests 1000000000; location / {{
  proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Connection \"\";
  proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host; }} }}"
        ),
    )
}

fn haproxy_config(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "global
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  http-reuse always
  option forwardfor
frontend web
  bind {listen}
  default_backend shop
backend shop
  server stable {upstream}
"
    )
}

fn serinus_config(
    listen: SocketAddr,
    upstream: &Upstream,
    folder: &Path,
    full: bool,
) -> Result<String> {
    let admin = free_address()?;
    let mut text = format!(
        "[server]\nstate_dir = \"{}\"\nthreads = 1\n
[admin]\nlisten = \"{admin}\"\n
[log]\naccess = false\n
[listener.web]\naddress = \"{listen}\"\n
[route.shop]\npath_prefix = \"/\"\nservice = \"shop\"\n
[service.shop.stable]\nversion = \"1\"\nendpoints = [\"{}\"]\n",
        folder.join("state").display(),
        upstream.stable
    );
    if full {
        text.push_str(&format!(
            "
[service.shop.canary]\nversion = \"2\"\nendpoints = [\"{}\"]\n
[service.shop.rollout]\nstages = [{{ weight = 10, hold = \"1h\" }}]\nsticky = \"cookie\"\nshield = true\n
[probe.home]\nservice = \"shop\"\ninterval = \"2s\"\n[[probe.home.step]]\nget = \"/\"\nexpect = {{ status = 200 }}\n",
            upstream.canary
        ));
    }
    Ok(text)
}
