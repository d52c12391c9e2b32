//! The configurations that a soak reloads, one after the other.

use super::endpoint::Endpoint;
use std::fmt::Write;
use std::net::SocketAddr;

/// Number `number` differs from the one before in balance, weights, routes, headers and timeouts.
pub fn configuration(
    number: u64,
    web: SocketAddr,
    admin: SocketAddr,
    stable: &[Endpoint],
    canary: &[Endpoint],
    version: Option<&str>,
) -> String {
    let weighted = |(at, endpoint): (usize, &Endpoint)| {
        let weight = if number % 3 == at as u64 { 2 } else { 1 };
        format!("{{ address = \"{}\", weight = {weight} }}", endpoint.address)
    };
    let list = stable.iter().enumerate().map(weighted).collect::<Vec<_>>().join(", ");
    let method = ["round_robin", "least_connections", "power_of_two"][(number % 3) as usize];
    let mut text = format!(
        r#"
[server]
state_dir = "state"
threads = 1
[admin]
listen = "{admin}"
[listener.web]
address = "{web}"
[route.all]
service = "shop"
[route.all.response_headers]
set = {{ x-configuration = "{number}" }}
[service.shop.stable]
version = "1"
endpoints = [{list}]
[service.shop.balance]
method = "{method}"
[service.shop.retry]
attempts = 2
[service.shop.ejection]
time = "2s"
[service.shop.health]
path = "/item/0"
interval = "1s"
timeout = "{}ms"
[service.shop.timeouts]
read = "{}s"
[probe.home]
service = "shop"
interval = "1s"
[[probe.home.step]]
get = "/item/0"
expect = {{ status = 200 }}
"#,
        900 + number % 7,
        8 + number % 3
    );
    if number % 2 == 1 {
        text += "[route.extra]\npath_prefix = \"/extra\"\nservice = \"shop\"\n";
    }
    if let Some(version) = version {
        let list = canary.iter().map(|endpoint| format!("\"{}\"", endpoint.address));
        let list = list.collect::<Vec<_>>().join(", ");
        // Writing to a String does not fail.
        let _ = write!(
            text,
            r#"
[service.shop.canary]
version = "{version}"
endpoints = [{list}]
[service.shop.rollout]
stages = [{{ weight = 0, hold = "3s" }}, {{ weight = 5, hold = "5s" }}, {{ weight = 10, hold = "1h" }}]
sticky = {{ header = "x-user-id" }}
label_window = ["5s", "15s"]
"#
        );
    }
    text
}
