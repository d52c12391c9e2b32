//! The command line: one file per command, each thin.

mod admin_client;
mod certificates;
mod check;
mod history;
mod import;
mod judging;
mod label;
mod model;
mod operate;
mod place;
mod probe;
mod replay;
mod report;
mod run;
mod schema;
mod signals;
mod train;
mod upgrade;
mod watch;
mod watch_endpoints;
mod watch_view;

use crate::{demo, simulate};
use clap::{Parser, Subcommand};
use serinus_rollout::Command as Order;
use std::process::ExitCode;

/// What to type first.
const NEXT: &str = "\
To see it:             serinus demo
To begin:              serinus check --config serinus.toml, then serinus run --config serinus.toml
Something is wrong:    serinus status, then serinus history and serinus explain ID
Take a release back:   serinus abort SERVICE
Load another file:     serinus check --config FILE, then kill -HUP PID (or systemctl reload serinus)";

/// Layer-7 edge proxy with canary routing, synthetic users and predictive rollback.
#[derive(Debug, Parser)]
#[command(name = "serinus", version, arg_required_else_help = true, after_help = NEXT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy.
    Run(run::RunArguments),
    /// Change the running proxy over to the binary that is installed now, without losing a request.
    Upgrade(upgrade::UpgradeArguments),
    /// Check a configuration: exit 0, or 1 with file:line:column.
    Check(check::CheckArguments),
    /// Show it all: two versions of a shop, real load, a fault, and what becomes of it.
    Demo(demo::DemoArguments),
    /// Where every rollout stands, and why.
    Status(operate::StatusArguments),
    /// Where every rollout stands, live.
    Watch(watch::WatchArguments),
    /// Give everybody the canary now.
    Promote(operate::OperateArguments),
    /// Stop the clock of a rollout; protection stays on.
    Pause(operate::OperateArguments),
    /// Let a paused rollout go on.
    Resume(operate::OperateArguments),
    /// Take a release back now.
    Abort(operate::OperateArguments),
    /// Give a rolled-back version another try.
    Retry(operate::OperateArguments),
    /// Send an endpoint no new requests, until it is ready again.
    Drain(operate::EndpointArguments),
    /// Let a drained endpoint come back.
    Ready(operate::EndpointArguments),
    /// The certificates of listeners, and how it stands with those of a CA.
    Certificates(certificates::CertificatesArguments),
    /// Ask the CA for a new certificate of a name now.
    Renew(certificates::RenewArguments),
    /// What was decided, with the numbers that `explain` takes.
    History(history::HistoryArguments),
    /// What was seen, why it was decided, what happens next, what to do.
    Explain(history::ExplainArguments),
    /// One decision as a page: pictures, words, figures.
    Report(report::ReportArguments),
    /// Say what an episode was: it wins over what was observed.
    Label(label::LabelArguments),
    /// Fit a model to the labels of a journal, as the running proxy does.
    Train(train::TrainArguments),
    /// What judges, what it listens to, how good it is.
    Model(model::ModelArguments),
    /// Judge a journal or a decision again, as it was or under changed settings.
    Replay(replay::ReplayArguments),
    /// Run a probe once and show where its time went: exit 1 if it fails. Or `lint` and `suggest` probes.
    Probe(probe::ProbeArguments),
    /// Play releases under this and other policies, in virtual time: who harms users, who rolls back good releases.
    Simulate(simulate::SimulateArguments),
    /// Turn a recorded journey (HAR, Chrome's Recorder, Hurl) into a probe.
    Import(import::ImportArguments),
    /// Print the JSON Schema of the configuration.
    Schema,
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
            Command::Run(arguments) => run::run(arguments),
            Command::Upgrade(arguments) => upgrade::run(&arguments),
            Command::Check(arguments) => check::run(&arguments),
            Command::Demo(arguments) => demo::run(arguments),
            Command::Status(arguments) => operate::status(&arguments),
            Command::Watch(arguments) => watch::run(&arguments),
            Command::Promote(arguments) => operate::command(&arguments, Order::Promote),
            Command::Pause(arguments) => operate::command(&arguments, Order::Pause),
            Command::Resume(arguments) => operate::command(&arguments, Order::Resume),
            Command::Abort(arguments) => operate::command(&arguments, Order::Abort),
            Command::Retry(arguments) => operate::command(&arguments, Order::Retry),
            Command::Drain(arguments) => operate::endpoint(&arguments, "drain"),
            Command::Ready(arguments) => operate::endpoint(&arguments, "ready"),
            Command::Certificates(arguments) => certificates::certificates(&arguments),
            Command::Renew(arguments) => certificates::renew(&arguments),
            Command::History(arguments) => history::history(&arguments),
            Command::Explain(arguments) => history::explain(&arguments),
            Command::Report(arguments) => report::run(&arguments),
            Command::Label(arguments) => label::run(&arguments),
            Command::Train(arguments) => train::run(&arguments),
            Command::Model(arguments) => model::run(&arguments),
            Command::Replay(arguments) => replay::run(&arguments),
            Command::Probe(arguments) => probe::run(arguments),
            Command::Simulate(arguments) => simulate::run(&arguments),
            Command::Import(arguments) => import::run(arguments),
            Command::Schema => schema::run(),
            Command::LabUpstream(arguments) => demo::serve_shop(arguments),
            Command::LabChild(arguments) => demo::become_child(arguments),
        }
    }
}

/// Runs what the command line asks for; an error is printed with its causes and gives exit code 1.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    if !matches!(command, Command::Run(_)) {
        // `serinus check --config FILE | head` is no crash: a reader that has seen enough ends the command.
        sigpipe::reset();
    }
    match command.run() {
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

    #[test]
    fn every_command_of_the_contract_is_understood() {
        for line in [
            "run --config a.toml --log-format json",
            "upgrade --config a.toml",
            "check --config a.toml",
            "status",
            "status checkout --json",
            "watch checkout --admin 127.0.0.1:9901",
            "promote",
            "pause checkout",
            "resume --config a.toml",
            "abort checkout",
            "retry",
            "drain checkout 10.0.0.11:9000",
            "ready checkout app.internal:80 --config a.toml",
            "certificates --json --config a.toml",
            "renew shop.example.com --admin 127.0.0.1:9901",
            "history",
            "history checkout -n 5 --state-dir state",
            "explain 12 --state-dir state",
            "explain 12 --json",
            "replay 12 --state-dir state --set rollback_threshold=0.9 --set margin=2 --json",
            "replay journal.sqlite --service checkout",
            "report 12 --state-dir state --out page.html",
            "label 12 transient --why deploys --config a.toml",
            "train --journal state --out model.learned --seed 3",
            "model show 5820 --service checkout --json --state-dir state",
            "model evaluate --config a.toml",
            "probe login --variant canary --config a.toml",
            "probe login --row 3 --config a.toml",
            "probe lint --config a.toml",
            "probe lint login --config a.toml",
            "probe suggest --config a.toml --access-log access.log --route web",
            "simulate",
            "simulate --learning --days 30 --record folder",
            "simulate --scenario a.toml --scenario blip --policy ours --seed 7 --runs 3 --jobs 2 --json r.json --svg f.svg",
            "import har login.har --service shop --name login --host shop.example",
            "schema",
        ] {
            let words = std::iter::once("serinus").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        assert!(Cli::try_parse_from(["serinus", "probe", "login", "--variant", "blue"]).is_err());
    }
}
