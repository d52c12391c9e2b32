//! One `metrics.csv`: four header rows (microservice, metric, statistic, the index' name), then a row
//! per five minutes. An empty cell was not measured: it stays missing and is never taken for zero.

use crate::read_error::ReadError;
use std::path::{Path, PathBuf};

/// Seconds that a row sums up, from its time stamp on.
pub(crate) const ROW_SECONDS: u64 = 300;
/// The shares of requests below the latency quantiles of a [`Row`].
pub(crate) const SHARES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];
/// The statistics of a node, by metric, and whether they have an upper end.
const STATISTICS: [(&str, &str); 7] = [
    ("requests", "Sum"),
    ("availability", "Average"),
    ("latency", "Average"),
    ("latency", "p50"),
    ("latency", "p90"),
    ("latency", "p95"),
    ("latency", "p99"),
];
const HEADERS: [&str; 4] = ["microservice", "metric", "statistic", "unix_timestamp"];

/// Five minutes of one node.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Row {
    /// Seconds since the epoch.
    pub(crate) begins: u64,
    /// How many requests it answered.
    pub(crate) requests: Option<u64>,
    /// How many of them failed.
    pub(crate) failures: Option<u64>,
    /// Mean latency in seconds.
    pub(crate) mean: Option<f64>,
    /// Latency quantiles in seconds at [`SHARES`], ascending.
    pub(crate) quantiles: Option<[f64; SHARES.len()]>,
}

/// The cells of a file.
#[derive(Debug)]
pub(crate) struct Metrics {
    file: PathBuf,
    /// Microservice, metric, statistic of each column after the index.
    columns: Vec<[String; 3]>,
    begins: Vec<u64>,
    cells: Vec<Vec<Option<f64>>>,
}

impl Metrics {
    /// # Errors
    /// [`ReadError`] with file, line and field of what cannot be taken as it is.
    pub(crate) fn read(file: &Path) -> Result<Metrics, ReadError> {
        let text = ReadError::text(file)?;
        let wrong = |line: usize, what: String| ReadError::at(file, line, what);
        if text.contains('"') {
            return Err(ReadError::file(file, "quoted fields are not known in this data set"));
        }
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let mut heads = Vec::with_capacity(HEADERS.len());
        for expected in HEADERS {
            let (at, line) = lines.next().ok_or_else(|| {
                ReadError::file(file, format!("ends before the header row '{expected}'"))
            })?;
            let fields: Vec<&str> = line.split(',').collect();
            if fields[0] != expected {
                let found = fields[0];
                return Err(wrong(at, format!("'{found}' in place of the header '{expected}'")));
            }
            let width = heads.first().map_or(fields.len(), Vec::len);
            if fields.len() != width && expected != HEADERS[3] {
                return Err(wrong(at, format!("{} fields in place of {width}", fields.len())));
            }
            heads.push(fields);
        }
        let name = |column: usize| [0, 1, 2].map(|head: usize| heads[head][column].to_owned());
        let columns: Vec<[String; 3]> = (1..heads[0].len()).map(name).collect();
        let mut metrics = Metrics { file: file.to_owned(), columns, begins: vec![], cells: vec![] };
        for (at, line) in lines {
            metrics.take(at, line)?;
        }
        if metrics.begins.is_empty() {
            return Err(ReadError::file(file, "has headers and no row"));
        }
        Ok(metrics)
    }

    fn take(&mut self, at: usize, line: &str) -> Result<(), ReadError> {
        let wrong = |what: String| ReadError::at(&self.file, at, what);
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() != self.columns.len() + 1 {
            let width = self.columns.len() + 1;
            return Err(wrong(format!("{} fields in place of {width}", fields.len())));
        }
        let begins = fields[0].parse::<f64>().ok().filter(|at| at.is_finite() && *at >= 0.0);
        let begins =
            begins.ok_or_else(|| wrong(format!("'{}' is not a time stamp", fields[0])))? as u64;
        if let Some(last) = self.begins.last()
            && begins != last + ROW_SECONDS
        {
            let after = begins as i128 - i128::from(*last);
            return Err(wrong(format!("{after} s after the row before; {ROW_SECONDS} expected")));
        }
        let cells: Result<_, ReadError> = fields[1..]
            .iter()
            .zip(&self.columns)
            .enumerate()
            .map(|(field, (text, column))| {
                cell(text, &column[1]).map_err(|what| {
                    wrong(format!("field {} ({}): {what}", field + 2, column.join(" ")))
                })
            })
            .collect();
        let cells = cells?;
        self.begins.push(begins);
        self.cells.push(cells);
        Ok(())
    }

    /// Whether the file knows the node at all.
    pub(crate) fn knows(&self, node: &str) -> bool {
        self.columns.iter().any(|column| column[0] == node)
    }

    /// What the file says of one node.
    ///
    /// # Errors
    /// [`ReadError`] if one of its statistics has no column, or quantiles are out of order.
    pub(crate) fn series(&self, node: &str) -> Result<Vec<Row>, ReadError> {
        let mut places = [0; STATISTICS.len()];
        for (place, (metric, statistic)) in places.iter_mut().zip(STATISTICS) {
            let wanted = [node, metric, statistic];
            let found = self.columns.iter().position(|column| column.iter().eq(wanted));
            *place = found.ok_or_else(|| {
                ReadError::file(&self.file, format!("no column '{}'", wanted.join(" ")))
            })?;
        }
        let rows = self.begins.iter().zip(&self.cells).enumerate();
        rows.map(|(at, (begins, cells))| {
            let [requests, availability, mean, quantiles @ ..] = places.map(|place| cells[place]);
            let quantiles = match quantiles {
                [Some(p50), Some(p90), Some(p95), Some(p99)] => Some([p50, p90, p95, p99]),
                _ => None,
            };
            if quantiles.is_some_and(|quantiles| !quantiles.is_sorted()) {
                let what = format!("latency quantiles of '{node}' are not ascending");
                return Err(ReadError::at(&self.file, at + HEADERS.len() + 1, what));
            }
            let failures = requests
                .zip(availability)
                .map(|(requests, percent)| libm::round(requests * (1.0 - percent / 100.0)) as u64);
            let requests = requests.map(|requests| libm::round(requests) as u64);
            Ok(Row { begins: *begins, requests, failures, mean, quantiles })
        })
        .collect()
    }
}

/// A number, or nothing where nothing was measured.
fn cell(text: &str, metric: &str) -> Result<Option<f64>, String> {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("nan") {
        return Ok(None);
    }
    let number: f64 = text.parse().map_err(|_| format!("'{text}' is not a number"))?;
    let most = if metric == "availability" { 100.0 } else { f64::MAX };
    if !(0.0..=most).contains(&number) {
        return Err(format!("{number} cannot be a value of '{metric}'"));
    }
    Ok(Some(number))
}
