//! Rows of data for journeys: CSV with a header line, or a JSON list of tables.

use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most that is read of a file, in bytes.
const LARGEST: u64 = 16 << 20;

/// Names of columns whose values are never shown.
const HIDDEN: [&str; 6] = ["password", "passphrase", "pwd", "secret", "token", "api_key"];

/// One row: values by column. `Debug` shows the columns alone.
#[derive(Clone)]
pub struct Row(Arc<Map<String, Value>>);

/// The rows of a file, taken in turns; never empty.
#[derive(Debug, Clone)]
pub struct Rows(Arc<[Row]>);

/// Rows that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The file cannot be read.
    #[error("rows of probe `{probe}`: cannot read {path}: {source}")]
    File {
        /// The probe that needs them.
        probe: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no rows.
    #[error("rows of probe `{probe}`: {path}:{line}: {why}")]
    Content {
        /// The probe that needs them.
        probe: String,
        /// The file.
        path: PathBuf,
        /// From 1 on.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A template asks for a column that no row has: it would fail on both variants in every round.
    #[error(
        "rows of probe `{probe}`: {path} has no column `{column}`, which `row.{column}` asks for; it has {known}"
    )]
    Column {
        /// The probe that needs it.
        probe: String,
        /// The file.
        path: PathBuf,
        /// After `row.`
        column: String,
        /// Those that it has.
        known: String,
    },
}

impl Rows {
    /// Reads a file; one whose name ends in `.json` is JSON, any other CSV.
    ///
    /// # Errors
    /// A file that cannot be read, or the first line that is wrong.
    pub fn read(probe: &str, path: &Path) -> Result<Rows, RowsError> {
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)).map_err(
            |source| RowsError::File { probe: probe.to_owned(), path: path.into(), source },
        )?;
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let rows = if is_json { of_json(&text) } else { of_csv(&text) };
        rows.map_err(|(line, why)| RowsError::Content {
            probe: probe.to_owned(),
            path: path.into(),
            line,
            why,
        })
    }

    /// The row whose turn it is.
    pub fn turn(&self, turn: usize) -> Option<Row> {
        self.0.get(turn.checked_rem(self.0.len())?).cloned()
    }

    /// Sees to it that every column that a probe's templates ask for is in some row at least.
    ///
    /// # Errors
    /// The first that is in none.
    pub(crate) fn check(
        &self,
        probe: &str,
        path: &Path,
        columns: &[String],
    ) -> Result<(), RowsError> {
        let is_known = |column: &&String| self.0.iter().any(|row| row.0.contains_key(*column));
        let Some(unknown) = columns.iter().find(|column| !is_known(column)) else { return Ok(()) };
        let known: BTreeSet<&str> =
            self.0.iter().flat_map(|row| row.0.keys().map(String::as_str)).collect();
        Err(RowsError::Column {
            probe: probe.to_owned(),
            path: path.into(),
            column: unknown.clone(),
            known: known.into_iter().collect::<Vec<_>>().join(", "),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Values of columns that are called like a secret: texts, and numbers as they are written.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let is_hidden = |name: &str| HIDDEN.iter().any(|word| name.to_lowercase().contains(word));
        let cells = self.0.iter().flat_map(|row| row.0.iter());
        cells.filter(move |(name, _)| is_hidden(name)).filter_map(|(_, value)| match value {
            Value::String(text) => Some(Cow::Borrowed(text.as_str())),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        })
    }
}

impl Row {
    pub(crate) fn values(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Row").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

/// A line, from 1 on, and what is wrong with it.
type Wrong = (usize, String);

fn of_json(text: &str) -> Result<Rows, Wrong> {
    let list: Vec<Value> = serde_json::from_str(text)
        .map_err(|error| (error.line().max(1), format!("expected a list of tables: {error}")))?;
    let rows = list.into_iter().enumerate().map(|(at, row)| match row {
        Value::Object(row) => Ok(Row(Arc::new(row))),
        other => Err((1, format!("row {} is no table but {other}", at + 1))),
    });
    finish(rows.collect::<Result<_, _>>()?)
}

fn of_csv(text: &str) -> Result<Rows, Wrong> {
    let mut records = records(text.strip_prefix('\u{feff}').unwrap_or(text))?.into_iter();
    let Some((_, names)) = records.next() else { return finish(Vec::new()) };
    if let Some(empty) = names.iter().position(|name| name.trim().is_empty()) {
        return Err((1, format!("column {} has no name", empty + 1)));
    }
    let rows = records.map(|(line, fields)| {
        if fields.len() != names.len() {
            let why = format!("{} fields under {} columns", fields.len(), names.len());
            return Err((line, why));
        }
        let cells = names.iter().map(|name| name.trim().to_owned());
        Ok(Row(Arc::new(cells.zip(fields.into_iter().map(Value::from)).collect())))
    });
    finish(rows.collect::<Result<_, _>>()?)
}

fn finish(rows: Vec<Row>) -> Result<Rows, Wrong> {
    if rows.is_empty() { Err((1, "there is no row".to_owned())) } else { Ok(Rows(rows.into())) }
}

/// Fields by record (RFC 4180), each with the line on which it begins. Empty lines are none.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, Wrong> {
    let mut records = Vec::new();
    let (mut line, mut began) = (1, 1);
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut quoted, mut was_quoted) = (false, false);
    let mut chars = text.chars().peekable();
    loop {
        match chars.next() {
            Some('"') if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            Some('"') if quoted => quoted = false,
            Some('"') if field.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
            Some(c) if quoted => {
                line += usize::from(c == '\n');
                field.push(c);
            }
            None if quoted => return Err((began, "a quote is never closed".to_owned())),
            Some(',') => {
                fields.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            Some('\r') if chars.peek() == Some(&'\n') => {}
            end @ (Some('\n') | None) => {
                if !(fields.is_empty() && field.is_empty() && !was_quoted) {
                    fields.push(std::mem::take(&mut field));
                    records.push((began, std::mem::take(&mut fields)));
                }
                if end.is_none() {
                    return Ok(records);
                }
                was_quoted = false;
                line += 1;
                began = line;
            }
            Some(c) => field.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(text: &str) -> Vec<Value> {
        of_csv(text).unwrap().0.iter().map(|row| Value::Object((*row.0).clone())).collect()
    }

    #[test]
    fn csv_is_read_with_quotes_line_breaks_and_a_byte_order_mark() {
        let text = "\u{feff}user,note\r\nann,\"says \"\"hi\"\", twice\"\r\n\r\nbob,\"two\nlines\"";
        assert_eq!(
            rows(text),
            [
                json!({ "user": "ann", "note": "says \"hi\", twice" }),
                json!({ "user": "bob", "note": "two\nlines" }),
            ]
        );
        assert_eq!(rows("a\n\"\"\n"), [json!({ "a": "" })], "an empty field that is told");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong = |text| of_csv(text).unwrap_err();
        assert_eq!(wrong("a,b\n1,2\n3\n"), (3, "1 fields under 2 columns".to_owned()));
        assert_eq!(wrong("a,\n1,2\n"), (1, "column 2 has no name".to_owned()));
        assert_eq!(wrong("a\n\"x\ny"), (2, "a quote is never closed".to_owned()));
        assert_eq!(wrong("a\n"), (1, "there is no row".to_owned()));
        assert_eq!(of_json("[1]").unwrap_err(), (1, "row 1 is no table but 1".to_owned()));
        assert_eq!(of_json("[\n{]").unwrap_err().0, 2);
        assert_eq!(of_json("[]").unwrap_err(), (1, "there is no row".to_owned()));
    }

    #[test]
    fn rows_come_in_turns_and_json_keeps_its_types() {
        let rows = of_json(r#"[{"n": 1}, {"n": 2}]"#).unwrap();
        let turn = |turn| rows.turn(turn).unwrap().0["n"].clone();
        assert_eq!([0, 1, 2, 5].map(turn), [json!(1), json!(2), json!(1), json!(2)]);
    }

    #[test]
    fn columns_that_are_called_like_a_secret_are_hidden_and_debug_shows_no_value() {
        let rows = of_csv("user,Password\nann,hunter2\n").unwrap();
        assert_eq!(rows.hidden().collect::<Vec<_>>(), ["hunter2"]);
        let numbers = of_json(r#"[{"password": 48151623}]"#).unwrap();
        assert_eq!(numbers.hidden().collect::<Vec<_>>(), ["48151623"]);
        let shown = format!("{rows:?}");
        assert!(shown.contains("Password") && !shown.contains("hunter2") && !shown.contains("ann"));
    }

    #[test]
    fn a_column_that_is_asked_for_and_nowhere_is_told() {
        let rows = of_csv("name,mail\nann,a@b\n").unwrap();
        let asked = |column: &str| rows.check("login", Path::new("u.csv"), &[column.to_owned()]);
        assert!(asked("name").is_ok());
        assert_eq!(
            asked("user").unwrap_err().to_string(),
            "rows of probe `login`: u.csv has no column `user`, which `row.user` asks for; it has mail, name"
        );
        let some = of_json(r#"[{"a": 1}, {"a": 2, "b": 3}]"#).unwrap();
        assert!(some.check("login", Path::new("u.json"), &["b".to_owned()]).is_ok(), "in a row");
    }

    #[test]
    fn a_file_that_is_not_there_names_the_probe() {
        let error = Rows::read("login", Path::new("/nowhere/rows.csv")).unwrap_err().to_string();
        assert!(
            error.starts_with("rows of probe `login`: cannot read /nowhere/rows.csv"),
            "{error}"
        );
    }
}
