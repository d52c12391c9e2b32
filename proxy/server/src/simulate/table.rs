//! Results for people: totals, then family by family.

use super::benchmark::Family;
use super::ledger::Outcome;
use super::rows::Row;
use super::statistics::{Share, Sorted};
use super::totals::Totals;
use serinus_models::world::Truth;
use std::fmt::Write;

/// All of it, as text.
pub(super) fn table(families: &[Family], totals: &[Totals], rows: &[Row]) -> String {
    let mut text = String::new();
    if !totals.is_empty() {
        text += "Over all families but the yardsticks, with 95% intervals. Harmed: requests of users that the\n\
                 release's own fault failed, answered wrongly or slowed, per bad release.\n\n";
        text += &columns(&totals_table(totals));
        text.push('\n');
    }
    for family in families {
        let scenario = family.scenario;
        let _ =
            writeln!(text, "\n{} ({}): {}\n", scenario.name(), truths(family), scenario.about());
        let of_family: Vec<&Row> =
            rows.iter().filter(|row| row.family == scenario.name()).collect();
        text += &columns(&family_table(family, &of_family));
    }
    text.push_str("\nPolicies\n\n");
    let policies = families.iter().take(1).flat_map(|family| &family.outcomes);
    let about = policies.map(|(of, _)| vec![of.as_str().to_owned(), of.about().to_owned()]);
    text += &columns(&about.collect::<Vec<_>>());
    text
}

fn totals_table(totals: &[Totals]) -> Vec<Vec<String>> {
    let head = [
        "policy",
        "harmed median",
        "p95",
        "mean",
        "user errors median",
        "(retriable)",
        "missed at 30 min",
        "healthy rolled back",
        "withdrawn",
        "transients rolled back",
        "withdrawn",
        "labels right",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for of in totals {
        lines.push(vec![
            of.policy.as_str().to_owned(),
            quantile(&of.harmed, 0.5),
            quantile(&of.harmed, 0.95),
            of.harm().map_or_else(dash, number),
            quantile(&of.user_errors, 0.5),
            of.idempotent_errors.as_ref().map_or_else(dash, |errors| quantile(errors, 0.5)),
            share(of.missed),
            share(of.false_rollbacks),
            share(of.false_withdrawals),
            share(of.transients_rolled_back),
            share(of.transients_withdrawn),
            share(of.right_labels),
        ]);
    }
    lines
}

fn family_table(family: &Family, rows: &[&Row]) -> Vec<Vec<String>> {
    let head = [
        "policy",
        "harmed median",
        "p95",
        "user errors",
        "rolled back",
        "missed",
        "withdrawn",
        "delay (requests)",
        "of the bound",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for (row, (_, outcomes)) in rows.iter().zip(&family.outcomes) {
        let harmed = Sorted::of(outcomes.iter().map(|of| of.harmed as f64));
        let ratio = row.delay_requests_mean.zip(row.bound_requests);
        let missed = outcomes.iter().filter(|of| of.truth == Truth::Sustained && of.severe);
        lines.push(vec![
            row.policy.to_owned(),
            quantile(&harmed, 0.5),
            number(row.harmed_p95),
            number(row.user_errors_median),
            share(Share::of(outcomes.iter().map(|of| of.rolled_back))),
            share(Share::of(missed.map(|of| of.missed))),
            share(Share::of(outcomes.iter().map(|of| of.withdrawn))),
            row.delay_requests_mean.map_or_else(dash, number),
            ratio.map_or_else(dash, |(delay, bound)| format!("{:.2}", delay / bound)),
        ]);
    }
    lines
}

/// "sustained", or how many of each where it is drawn.
fn truths(family: &Family) -> String {
    let outcomes = family.outcomes.first().map_or(&[][..], |(_, outcomes)| outcomes);
    let count = |truth| outcomes.iter().filter(|of: &&Outcome| of.truth == truth).count();
    let named = [
        (Truth::Sustained, "sustained"),
        (Truth::Transient, "transient"),
        (Truth::Null, "no fault of its own"),
    ];
    let some: Vec<_> = named.iter().filter(|(truth, _)| count(*truth) > 0).collect();
    match some.as_slice() {
        [(_, name)] => (*name).to_owned(),
        some => {
            let counted = some.iter().map(|(truth, name)| format!("{} {name}", count(*truth)));
            counted.collect::<Vec<_>>().join(", ")
        }
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn number(number: f64) -> String {
    match number {
        n if n >= 100.0 || n.fract() == 0.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}

fn quantile(sorted: &Sorted, q: f64) -> String {
    match (sorted.quantile(q), sorted.interval(q)) {
        (Some(value), Some((low, high))) => {
            format!("{} [{}, {}]", number(value), number(low), number(high))
        }
        _ => dash(),
    }
}

fn share(share: Share) -> String {
    if share.trials == 0 {
        return dash();
    }
    let (low, high) = share.interval();
    format!(
        "{}/{} {:.1}% [{:.1}, {:.1}]",
        share.hits,
        share.trials,
        share.rate() * 100.0,
        low * 100.0,
        high * 100.0
    )
}

/// Cells under each other: the first column to the left, the others to the right but for the last of two.
fn columns(lines: &[Vec<String>]) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |at: usize| lines.iter().filter_map(|line| Some(line.get(at)?.chars().count())).max();
    let widths: Vec<usize> = (0..count).map(|at| width(at).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = match at {
                0 => write!(row, "{cell:<width$}"),
                1 if count == 2 => write!(row, "  {cell}"),
                _ => write!(row, "  {cell:>width$}"),
            };
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_under_each_other() {
        let line = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = columns(&[line(["policy", "a", "b"]), line(["x", "100", "2"])]);
        assert_eq!(text, "policy    a  b\nx       100  2\n");
    }

    #[test]
    fn shares_and_quantiles_carry_their_intervals() {
        assert_eq!(share(Share { hits: 0, trials: 200 }), "0/200 0.0% [0.0, 1.9]");
        assert_eq!(share(Share { hits: 0, trials: 0 }), "-");
        assert_eq!(quantile(&Sorted::of((1..=100).map(f64::from)), 0.5), "50.5 [40, 61]");
    }
}
