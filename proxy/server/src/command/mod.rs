//! The command line: one file per command, each thin.

mod schema;

use crate::demo;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Layer-7 edge proxy with canary routing, synthetic users and predictive rollback.
#[derive(Debug, Parser)]
#[command(name = "serinus", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Show it all: two versions of a shop, real load, a fault, and what becomes of it.
    Demo(demo::DemoArguments),
    /// A shop with faults to order, for the demo and for tests.
    #[command(hide = true)]
    LabUpstream(demo::UpstreamArguments),
    /// Another command of this executable that is killed when its parent dies.
    #[command(hide = true)]
    LabChild(demo::ChildArguments),
}

impl Command {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Command::Schema => schema::run(),
            Command::Demo(arguments) => demo::run(arguments),
            Command::LabUpstream(arguments) => demo::serve_shop(arguments),
            Command::LabChild(arguments) => demo::become_child(arguments),
        }
    }
}

/// Runs what the command line asks for; an error is printed with its causes and gives exit code 1.
pub(crate) fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
