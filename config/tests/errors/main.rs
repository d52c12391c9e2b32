//! What is wrong with a file, as its author sees it.

mod captures;
mod endpoints;
mod guard;
mod hosts;
mod intake;
mod issued;
mod network;
mod probes;
mod resources;
mod routes;
mod steps;
mod syntax;
mod tls;
mod values;

use serinus_config::parse;
use std::path::Path;

const REST: [(&str, &str); 3] = [
    ("[listener", "[listener.web]\naddress = \"0.0.0.0:8080\"\n"),
    ("[route", "[route.all]\nservice = \"shop\"\n"),
    ("[service", "[service.shop.stable]\nendpoints = [\"app:80\"]\n"),
];

/// Parses `input`, completed below with what a file needs and the input does not have, and
/// compares all that is said of it.
#[track_caller]
fn check(input: &str, expect: &str) {
    let mut text = input.trim_start_matches('\n').to_owned();
    for (header, rest) in REST {
        if !input.contains(header) {
            text.push_str(rest);
        }
    }
    check_alone(&text, expect);
}

/// Parses `input` as it stands and compares all that is said of it.
#[track_caller]
fn check_alone(input: &str, expect: &str) {
    let said = match parse(input, Path::new("s.toml")) {
        Ok(settings) => settings.warnings.join("\n"),
        Err(errors) => errors.to_string(),
    };
    assert_eq!(said.trim_end(), expect.trim(), "\n--- said:\n{said}");
}
