//! What a replay found, in words.

use super::compare::{Brief, Difference, Outcome, Verified};
use super::{Judged, WhatIf, moment};
use crate::explain::words::count;
use serinus_models::Timestamp;
use std::fmt::Write;

/// The whole story of one service.
pub(crate) fn report(judged: &Judged) -> String {
    let Judged { service, looks, span: (from, to), models, verified, not_in_journal, what_if } =
        judged;
    let model = if models.is_empty() {
        "without a model".to_owned()
    } else {
        format!("by model {}", models.join(", "))
    };
    let mut text = format!(
        "{service}: {} decision{} and {} looks from {} to {}, {model}\n",
        verified.len(),
        plural(verified.len()),
        count(*looks),
        moment(*from),
        moment(*to),
    );
    as_it_was(&mut text, verified, not_in_journal);
    if let Some(what_if) = what_if {
        changed(&mut text, what_if, verified.len());
    }
    text
}

// Writing to a string does not fail.
fn as_it_was(text: &mut String, verified: &[Verified], not_in_journal: &[Brief]) {
    let of = |wanted: fn(&Outcome) -> bool| {
        verified.iter().filter(|verified| wanted(&verified.outcome)).count()
    };
    let (same, unknown) = (of(|o| *o == Outcome::Same), of(|o| *o == Outcome::NotKnown));
    let other = of(Outcome::is_other);
    if other == 0 && not_in_journal.is_empty() {
        let _ = match same {
            0 => writeln!(text, "  Judged again as it was: nothing to compare."),
            1 => writeln!(
                text,
                "  Judged again as it was: the decision comes out exactly as it was made."
            ),
            all => writeln!(
                text,
                "  Judged again as it was: all {all} decisions come out exactly as they were made."
            ),
        };
    } else {
        let _ = writeln!(
            text,
            "  Judged again as it was, {same} of {} decisions come out exactly as they were made.\n  \
             The others were made by another build, or the journal was changed:",
            same + other
        );
        for Verified { decision, outcome } in verified {
            let what = match outcome {
                Outcome::Same | Outcome::NotKnown => continue,
                Outcome::Missing => "does not come out".to_owned(),
                Outcome::Differs(parts) => format!("differs in {}", parts.join("; ")),
            };
            let _ = writeln!(text, "    {}\n          {what}", line(decision));
        }
        for brief in not_in_journal {
            let _ = writeln!(text, "    {}\n          is not in the journal", line(brief));
        }
    }
    if unknown > 0 {
        let _ = writeln!(
            text,
            "  {unknown} decision{} could not be judged again: what was seen before is not in the journal (it is kept for {} days, and from the first start of this version on).",
            plural(unknown),
            crate::control::journal::HEARD_KEPT_DAYS
        );
    }
}

fn changed(text: &mut String, what_if: &WhatIf, all: usize) {
    let WhatIf { changes, differences, diverged_at, ended } = what_if;
    let _ = writeln!(text, "\n  With {}:", changes.join(", "));
    if differences.is_empty() {
        let _ = writeln!(text, "  no decision would differ.");
    } else {
        let touched = differences.iter().filter(|difference| difference.then.is_some()).count();
        let more = differences.len() - touched;
        let _ = writeln!(
            text,
            "  {touched} of {all} decisions would differ, {more} would be made besides.\n"
        );
        for difference in differences {
            tell(text, difference);
        }
    }
    if let (Some(then), Some(now)) = ended
        && then != now
    {
        let _ = writeln!(text, "\n  In the end it was {then}; it would have been {now}.");
    }
    if let Some(at) = diverged_at {
        let _ = writeln!(
            text,
            "\n  From {} on, other users would have been on the canary than were: what they would have sent is\n  \
             not in the journal, what probes saw is. Lines with ~ rest on that and may have come out otherwise.",
            moment(*at)
        );
    }
}

fn tell(text: &mut String, difference: &Difference) {
    let mark = if difference.conditional { "~" } else { " " };
    let _ = match (&difference.then, &difference.now) {
        (Some(then), Some(now)) => writeln!(
            text,
            "  {mark} {}\n          would come {}: {}",
            line(then),
            apart(then.at, now.at),
            line(now).trim_start()
        ),
        (Some(then), None) => {
            writeln!(text, "  {mark} {}\n          would not be made", line(then))
        }
        (None, Some(now)) => {
            writeln!(text, "  {mark} {}\n          would be made: {}", line(now), now.why)
        }
        (None, None) => Ok(()),
    };
    if let Some(instead) = &difference.instead {
        let _ = writeln!(text, "          instead: {instead}");
    }
}

fn apart(then: Timestamp, now: Timestamp) -> String {
    let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1e3);
    match then.0.cmp(&now.0) {
        std::cmp::Ordering::Less => format!("{} later", seconds(now.0 - then.0)),
        std::cmp::Ordering::Equal => "at the same time".to_owned(),
        std::cmp::Ordering::Greater => format!("{} earlier", seconds(then.0 - now.0)),
    }
}

/// `   7  2026-11-23T00:44:52.007Z  rolled_back        shop 1.9.0 was rolled back`
fn line(brief: &Brief) -> String {
    let id = brief.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    format!("{id:>5}  {}  {:<17} {}", moment(brief.at), brief.kind.as_str(), brief.headline)
}

const fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}
