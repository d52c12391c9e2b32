//! What happened, in plain words, and whether it is what should have happened.

use super::arguments::DemoArguments;
use super::scene::Scene;
use super::shop::FaultKind;
use super::stage::{CANARY, STABLE, Stage};
use super::tally::{Mishap, Side};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// How long a request may be under way between the decision about its route and the canary's own
/// count of it, in milliseconds: it was routed by the table before.
const UNDER_WAY: u64 = 50;

/// The fault for somebody who watches.
pub(super) fn fault_in_words(fault: FaultKind) -> &'static str {
    match fault {
        FaultKind::None => "nothing goes wrong: the canary is healthy",
        FaultKind::Errors => "the canary begins to answer one request in five with 500",
        FaultKind::Slow => "the canary begins to take eight times as long",
        FaultKind::Tail => "the canary begins to keep one request in ten waiting for half a second",
        FaultKind::Crash => "the canary's process aborts, is started anew, and aborts again",
        FaultKind::Leak => "the canary begins to leak memory, and slows down with it",
        FaultKind::Corrupt => "the canary begins to answer 200 with the wrong content",
        FaultKind::Hang => "the canary accepts requests and no longer answers",
        FaultKind::Blip => "for two seconds, half of the canary's answers are 500",
        FaultKind::Shared => "a dependency of both versions fails for ten seconds",
        FaultKind::Reset => "the canary begins to close connections without an answer",
        FaultKind::Overload => {
            "the canary fails whenever it gets more than forty requests a second"
        }
        FaultKind::ColdStart => "the canary has a cold start and warms up within eight seconds",
    }
}

/// How it should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    RolledBack,
    Promoted,
    NotRolledBack,
}

impl Expected {
    fn of(fault: FaultKind) -> Expected {
        match fault {
            FaultKind::None => Expected::Promoted,
            FaultKind::Blip | FaultKind::Shared | FaultKind::ColdStart => Expected::NotRolledBack,
            _ => Expected::RolledBack,
        }
    }

    fn is_met(self, phase: &str) -> bool {
        match self {
            Expected::RolledBack => phase == "rolled_back",
            Expected::Promoted => phase == "promoted",
            Expected::NotRolledBack => phase != "rolled_back",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Expected::RolledBack => "rolled back",
            Expected::Promoted => "promoted",
            Expected::NotRolledBack => "anything but rolled back",
        }
    }
}

/// Tells it; the exit code says whether it is what should have happened.
///
/// # Errors
/// The proxy or the canary's back door do not answer.
pub(super) async fn tell(
    scene: &Scene,
    stage: &Stage,
    arguments: &DemoArguments,
) -> anyhow::Result<ExitCode> {
    println!("\nWhat happened");
    timeline(scene);
    if let Some(event) = deciding(scene) {
        println!("\nWhy, in the proxy's own words");
        for line in scene.watcher.explanation(event.id).await?.lines() {
            println!("{}", format!("  {line}").trim_end());
        }
    }
    println!("\nWhat users noticed");
    users(scene, stage, arguments).await?;
    let phase = &scene.watcher.status.phase;
    let expected = Expected::of(arguments.fault);
    if expected.is_met(phase) {
        println!("\nThe rollout of {CANARY} ended as it should: {}.", phase.replace('_', " "));
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "\nThis is not what should have happened: the rollout of {CANARY} is {}, and should be {}.",
        phase.replace('_', " "),
        expected.in_words()
    );
    Ok(ExitCode::FAILURE)
}

/// The event that settled it, or else the last one that protected users.
fn deciding(scene: &Scene) -> Option<&super::watcher::Event> {
    ["rolled_back", "restored", "withdrawn", "promoted"]
        .iter()
        .find_map(|kind| scene.watcher.first(kind))
}

fn timeline(scene: &Scene) {
    let mut lines: Vec<(u64, String)> =
        scene.watcher.events.iter().map(|event| (event.at, event.headline.clone())).collect();
    if let Some(struck_at) = scene.struck_at {
        lines.push((struck_at, fault_in_words(scene.fault).to_owned()));
    }
    lines.sort_by_key(|(at, _)| *at);
    let zero = scene.struck_at.unwrap_or(scene.began_at);
    for (at, line) in lines {
        println!("  {:+7.1}s  {line}", (at as f64 - zero as f64) / 1000.0);
    }
}

async fn users(scene: &Scene, stage: &Stage, arguments: &DemoArguments) -> anyhow::Result<()> {
    let all = scene.tally.all();
    println!(
        "  {} requests, {} of them failed before their users' eyes.",
        all.requests, all.failures
    );
    for (what, count) in kinds(&scene.tally.mishaps()) {
        println!("    {count} x {what}");
    }
    if scene.watcher.shielded > 0 {
        println!(
            "  {} more failed on the canary, and the shield repeated them on stable in time.",
            scene.watcher.shielded
        );
    }
    let (stable, canary) = (scene.tally.totals(Side::Stable), scene.tally.totals(Side::Canary));
    println!(
        "  {} were answered by {STABLE} (stable), {} by {CANARY} (canary).",
        stable.requests, canary.requests
    );
    if arguments.fault == FaultKind::Corrupt {
        println!(
            "  A wrong page with status 200 is not among them: only the probes read the pages."
        );
    }
    for kind in ["withdrawn", "rolled_back"] {
        let Some(event) = scene.watcher.first(kind) else { continue };
        // After a restore users come back: then the count says nothing.
        let restored = scene.watcher.first("restored").is_some();
        if restored && kind == "withdrawn" {
            continue;
        }
        let count = stage.canary.users_since(event.at + UNDER_WAY).await?;
        println!(
            "  {count} requests of users reached the canary after the table that ended it was \
             published ({}; its own count, {UNDER_WAY} ms for those on their way).",
            kind.replace('_', " ")
        );
        break;
    }
    Ok(())
}

/// Failures by kind, with what to call them.
fn kinds(mishaps: &[(u64, Mishap)]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for (_, mishap) in mishaps {
        let name = match mishap {
            Mishap::Status(status) => format!("status {status}"),
            Mishap::NoAnswer => "no answer".to_owned(),
            Mishap::CutOff => "answer cut off".to_owned(),
            Mishap::GaveUp => "no answer in time".to_owned(),
            Mishap::NotSent => "could not be sent".to_owned(),
        };
        *kinds.entry(name).or_default() += 1;
    }
    kinds
}

/// Where the journal is, and how to go on.
pub(super) fn where_to_look(folder: &Path, keep: bool) {
    let state = folder.join("state");
    let until = if keep { "" } else { " (until the next demo; --keep keeps it)" };
    println!("\nThe journal is in {}{until}. To look further:", state.display());
    println!("  serinus history --state-dir {}", state.display());
    println!("  serinus explain ID --state-dir {}", state.display());
    println!("  less {}", folder.join("proxy.log").display());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn only_faults_that_pass_may_be_survived() {
        for fault in FaultKind::value_variants() {
            let expected = Expected::of(*fault);
            let passing = matches!(
                fault,
                FaultKind::None | FaultKind::Blip | FaultKind::Shared | FaultKind::ColdStart
            );
            assert_eq!(expected.is_met("rolled_back"), !passing, "{fault:?}");
            assert_eq!(expected.is_met("promoted"), passing, "{fault:?}");
        }
    }
}
