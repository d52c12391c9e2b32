//! The command line: one file per command, each thin.

mod schema;

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
}

impl Command {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Command::Schema => schema::run(),
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
