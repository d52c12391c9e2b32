//! The configuration of a lab, written as an operator writes it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// What differs from case to case. Times are short, everything else is the default.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Weight in percent and hold.
    pub stages: Vec<(f64, &'static str)>,
    /// `none`, `cookie`, `client_ip`, or the name of a header after `header `.
    pub sticky: &'static str,
    /// Whether failed canary requests are repeated on stable.
    pub shield: bool,
    /// Further lines of `[service.shop.rollout]`.
    pub rollout: &'static str,
    /// Whether a probe buys something twice a second; without it nothing synthetic is asked for at all.
    pub probe: bool,
    /// Version of the canary, and what the shop says it is.
    pub canary_version: &'static str,
    /// Median latency of both shops in milliseconds.
    pub latency: f64,
    /// `grace_period`
    pub grace: &'static str,
    /// Text after everything else: may be wrong on purpose.
    pub more: String,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            stages: vec![(10.0, "10m")],
            sticky: "none",
            shield: true,
            rollout: "",
            probe: true,
            canary_version: "1.9.0",
            latency: 4.0,
            grace: "10s",
            more: String::new(),
        }
    }
}

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Places<'a> {
    /// The state directory.
    pub state: &'a Path,
    /// The proxy's listener.
    pub web: SocketAddr,
    /// The proxy's admin listener.
    pub admin: SocketAddr,
    /// The stable shop.
    pub stable: SocketAddr,
    /// The canary shop.
    pub canary: SocketAddr,
}

impl Setup {
    /// The file.
    pub fn text(&self, places: &Places) -> String {
        let Places { state, web, admin, stable, canary } = places;
        let sticky = match self.sticky.strip_prefix("header ") {
            Some(name) => format!("{{ header = \"{name}\" }}"),
            None => format!("\"{}\"", self.sticky),
        };
        let stages: Vec<String> = self
            .stages
            .iter()
            .map(|(weight, hold)| format!("{{ weight = {weight}, hold = \"{hold}\" }}"))
            .collect();
        let mut text = format!(
            r#"[server]
state_dir = {state:?}
grace_period = "{grace}"

[admin]
listen = "{admin}"

[listener.web]
address = "{web}"

[route.shop]
path_prefix = "/"
service = "shop"

[service.shop]
expose_variant_header = true

[service.shop.stable]
version = "1.8.2"
endpoints = ["{stable}"]

[service.shop.canary]
version = "{version}"
endpoints = ["{canary}"]

[service.shop.rollout]
stages = [{stages}]
sticky = {sticky}
shield = {shield}
{rollout}
"#,
            grace = self.grace,
            version = self.canary_version,
            stages = stages.join(", "),
            shield = self.shield,
            rollout = self.rollout,
        );
        if self.probe {
            text.push_str(PROBE);
        } else {
            // Nobody asks but users.
            text.push_str("\n[probing]\nplain_requests = false\n");
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", self.more);
        text
    }
}

const PROBE: &str = r#"
[probe.order]
service = "shop"
interval = "500ms"
timeout = "2s"
[[probe.order.step]]
get = "/login"
expect = { status = 200 }
[[probe.order.step]]
submit = { form = "form#login", fields = { user = "synthetic", password = "{{ secret.shop_password }}" } }
expect = { status = 200 }
capture = { token = { json = "$.token" } }
[[probe.order.step]]
post = "/api/cart"
json = { item = 7, qty = 1 }
headers = { authorization = "Bearer {{ token }}" }
expect = { status = 201, json = [{ path = "$.ok", equals = true }] }
"#;
