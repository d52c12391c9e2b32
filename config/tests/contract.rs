//! The contract's example, and everything else that a file may say.

use serinus_config::{Settings, parse};
use std::path::Path;

/// Parses what must be right.
fn settings(text: &str) -> Settings {
    parse(text, Path::new("/etc/serinus/serinus.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

const CONTRACT: &str = include_str!("contract.toml");

#[test]
fn the_example_of_the_contract_parses() {
    let settings = settings(CONTRACT);
    println!("{settings:#?}");
}
