//! What follows from a decision, and what a person can do about it.

use crate::control::journal::Entry;
use serinus_rollout::{Phase, Record, RecordKind, ServiceState};

/// What happens now without anybody doing anything.
pub(crate) fn next(record: &Record) -> Vec<String> {
    let canary = canary(record.state.as_ref());
    let probes_go_on = "Probes go on against both versions, so that it becomes known whether the failure lasted; the model learns from it.";
    let lines: Vec<String> = match record.kind {
        RecordKind::RolloutStarted | RecordKind::StageAdvanced | RecordKind::Retried => vec![
            format!("{canary} is watched; when the stage has lasted its time and looks well, the next one begins."),
            "If it looks worse than stable, users are taken off it at once.".into(),
        ],
        RecordKind::AnomalyDetected => {
            vec!["The record that follows says what was done about it.".into()]
        }
        RecordKind::AnomalyCleared => vec!["The stage has to look well from its beginning.".into()],
        RecordKind::Held if is_leaving(record) => vec![
            "The next steps follow by themselves within seconds, quicker if the canary fails more; the last one says 'withdrawn' or 'rolled_back'.".into(),
        ],
        RecordKind::Held => vec![
            format!("{canary} keeps the users it has and gets no more until the evidence decides."),
        ],
        RecordKind::Withdrawn => vec![
            "No user reaches the canary. The rollout is not over: probes go on, faster than before.".into(),
            "If the forecast says that the failure lasts, the release is rolled back; if it clears, users return at the smallest stage.".into(),
        ],
        RecordKind::Restored => vec![
            "The rollout goes on from this stage. If the canary fails its users again, it is rolled back, unless it is past the stage in which it failed and five minutes have gone by without another anomaly.".into(),
        ],
        RecordKind::RolledBack | RecordKind::Aborted => vec![
            format!("Everybody is served by the stable version. {canary} stays out, also after a reload or a restart, until its version changes or somebody asks for another try."),
            probes_go_on.into(),
        ],
        RecordKind::Promoted => vec![
            format!("Everybody gets {canary}. To finish, make it the stable version in the configuration and remove the canary."),
        ],
        RecordKind::Paused => vec![
            "The clock stands still and the weight stays. Protection stays on: a failing canary is still withdrawn.".into(),
        ],
        RecordKind::Resumed => vec!["The clock of the stage goes on where it stopped.".into()],
        RecordKind::EpisodeLabelled => {
            vec!["The episode is kept in the journal with its features; the model learns from such.".into()]
        }
        RecordKind::ConfigRejected | RecordKind::ModelRejected => {
            vec!["Everything goes on as before.".into()]
        }
        RecordKind::ModelTrained | RecordKind::ModelReplaced | RecordKind::ConfigReloaded => vec![],
    };
    lines
}

/// Commands to type, with what they are for.
pub(crate) fn options(entry: &Entry) -> Vec<String> {
    let record = &entry.record;
    let Some(service) = record.service.as_deref() else {
        return match record.kind {
            RecordKind::ConfigRejected => vec![
                "serinus check --config FILE   shows every error with its line; mend it and send SIGHUP again".into(),
            ],
            RecordKind::ConfigReloaded | RecordKind::ModelReplaced | RecordKind::ModelTrained => vec![],
            _ => vec!["serinus history   shows what happened before and after".into()],
        };
    };
    let command =
        |verb: &str, why: &str| format!("{:<28} {why}", format!("serinus {verb} {service}"));
    let phase = record.state.as_ref().map(|state| state.phase);
    let mut lines = match (record.kind, phase) {
        (RecordKind::RolledBack | RecordKind::Aborted, _) | (_, Some(Phase::RolledBack)) => vec![
            "Ship a mended version under a new version number: it is rolled out from the first stage.".into(),
            command("retry", "if the cause lay elsewhere: try the same version again"),
        ],
        (RecordKind::Held, _) if is_leaving(record) => {
            vec![command("abort", "bring the rest back at once, and take the release back")]
        }
        (_, Some(Phase::Promoted)) => vec![command("abort", "take it back")],
        (_, Some(Phase::Paused)) => vec![
            command("resume", "let it go on"),
            command("abort", "take it back"),
        ],
        (RecordKind::EpisodeLabelled, _) => vec![],
        _ => vec![
            command("pause", "stop the clock and look for yourself"),
            command("abort", "take the release back now"),
            command("promote", "give it to everybody now, against this judgement or ahead of it"),
        ],
    };
    lines.push(command("watch", "see it live"));
    lines
}

/// Whether users are on their way back to stable.
fn is_leaving(record: &Record) -> bool {
    record.state.as_ref().is_some_and(|state| state.leaving.is_some())
}

fn canary(state: Option<&ServiceState>) -> String {
    state
        .and_then(|state| state.canary_version.as_deref())
        .map_or_else(|| "The canary".to_owned(), |version| format!("Version {version}"))
}
