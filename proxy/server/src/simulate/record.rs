//! A benchmark as a record: rows, table, frontier and a summary, in a folder of its own.

use super::benchmark::Family;
use super::rows::Row;
use super::targets::findings;
use super::totals::Totals;
use super::{frontier, table};
use anyhow::Context;
use std::fs;
use std::path::Path;

/// What was played, for the files' headings.
pub(super) struct Heading {
    /// In one line: how many of what.
    pub(super) what: String,
    /// The command line.
    pub(super) command: String,
    pub(super) runs: u32,
}

/// All files of a record; its machine and versions are for the caller to add (`machine.txt`).
///
/// # Errors
/// The folder cannot be written to.
pub(super) fn write(
    folder: &Path,
    heading: &Heading,
    families: &[Family],
    totals: &[Totals],
    rows: &[Row],
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let text = format!("{}\n\n{}", heading.what, table::table(families, totals, rows));
    write_file(&folder.join("table.txt"), &text)?;
    write_rows(&folder.join("rows.json"), rows)?;
    if let Some(svg) = frontier::svg(totals, heading.runs) {
        write_file(&folder.join("frontier.svg"), &svg)?;
    }
    write_file(&folder.join("README.md"), &summary(heading, families, totals))
}

/// The rows as a JSON array.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write_rows(file: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(rows)?;
    text.push('\n');
    write_file(file, &text)
}

/// # Errors
/// The file cannot be written.
pub(super) fn write_file(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))
}

fn summary(heading: &Heading, families: &[Family], totals: &[Totals]) -> String {
    let Heading { what, command, runs } = heading;
    let findings = findings(families, totals).unwrap_or_default();
    format!(
        "# Judgement: what bad releases cost users, and what becomes of good ones

{what}. Machine and versions: `machine.txt`.

    {command}

Every policy meets the same {runs} releases of each kind: a run's world has the same seed for all. Serinus plays through the
controller that serves traffic, with its early looks, probes and labels; the others see live requests as a metrics store would
show them. Each rival's rule and where it is documented is at the head of its file in `proxy/server/src/simulate/policy/`.
Figures are point estimates with 95% intervals; with so many runs a rate of 0 is shown to be below the interval's end, not to be 0.

![frontier](frontier.svg)

{findings}
Means are over every bad release, those included whose fault nobody can see: a wrong body without a probe that looks at it, or a
slight fault under little traffic. All kinds of releases count alike. `table.txt` has every family; `rows.json` the same for programs.
"
    )
}
