//! The data set as it lies on disk: `dataset/TRAFFIC/{train,test}/issue_N/{metrics.csv,target.json}`
//! and, for some traffic, `dataset/TRAFFIC/noissue/metrics.csv`.

use crate::metrics::{Metrics, Row};
use crate::read_error::ReadError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the injected fault was seen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Metric {
    /// More time per request.
    Latency,
    /// More failures.
    Availability,
}

/// Which node of an incident plays the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum View {
    /// The front door, where users saw it: the data's `target`.
    Front,
    /// The node that the fault was put into: the data's `root_cause`.
    Cause,
}

/// One node's series in an incident.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    /// Its name in the data.
    pub(crate) node: String,
    /// Five rows, the first from before the fault.
    pub(crate) rows: Vec<Row>,
}

/// One injected fault.
#[derive(Debug)]
pub(crate) struct Incident {
    /// `high_traffic/test/issue_0`.
    pub(crate) name: String,
    /// `high_traffic`.
    pub(crate) traffic: String,
    pub(crate) metric: Metric,
    /// When the fault was put in, seconds since the epoch.
    pub(crate) injected: u64,
    pub(crate) front: Scene,
    pub(crate) cause: Scene,
}

impl Incident {
    pub(crate) fn scene(&self, view: View) -> &Scene {
        match view {
            View::Front => &self.front,
            View::Cause => &self.cause,
        }
    }
}

/// A recording in which nothing was injected.
#[derive(Debug)]
pub(crate) struct Calm {
    pub(crate) traffic: String,
    pub(crate) metrics: Metrics,
}

#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) incidents: Vec<Incident>,
    pub(crate) calm: Vec<Calm>,
}

#[derive(Deserialize)]
struct TargetFile {
    target: Target,
    root_cause: RootCause,
}

#[derive(Deserialize)]
struct Target {
    node: String,
    metric: Metric,
    timestamp: u64,
}

#[derive(Deserialize)]
struct RootCause {
    node: String,
}

impl Dataset {
    /// Reads the set below `path`, which is the directory `dataset` or the one that holds it.
    ///
    /// # Errors
    /// [`ReadError`] names the first file, and the line, that cannot be taken as it is.
    pub(crate) fn read(path: &Path) -> Result<Dataset, ReadError> {
        let inside = path.join("dataset");
        let root = if inside.is_dir() { inside } else { path.to_owned() };
        let mut dataset = Dataset { incidents: vec![], calm: vec![] };
        for traffic in directories(&root)? {
            for part in ["train", "test"] {
                let part = traffic.join(part);
                if !part.is_dir() {
                    continue;
                }
                for issue in directories(&part)? {
                    dataset.incidents.push(incident(&root, &traffic, &issue)?);
                }
            }
            let calm = traffic.join("noissue").join("metrics.csv");
            if calm.exists() {
                let metrics = Metrics::read(&calm)?;
                dataset.calm.push(Calm { traffic: name_of(&root, &traffic), metrics });
            }
        }
        if dataset.incidents.is_empty() {
            let what = "holds no TRAFFIC/{train,test}/issue_N: not the PetShop data set";
            return Err(ReadError::file(&root, what));
        }
        Ok(dataset)
    }
}

fn incident(root: &Path, traffic: &Path, issue: &Path) -> Result<Incident, ReadError> {
    let file = issue.join("target.json");
    let TargetFile { target, root_cause } = serde_json::from_str(&ReadError::text(&file)?)
        .map_err(|wrong| ReadError::at(&file, wrong.line(), wrong.to_string()))?;
    let file = issue.join("metrics.csv");
    let metrics = Metrics::read(&file)?;
    let scene = |node: String| Ok(Scene { rows: metrics.series(&node)?, node });
    let (front, cause) = (scene(target.node)?, scene(root_cause.node)?);
    let begins = |row: Option<&Row>| row.map_or(0, |row| row.begins);
    let second = begins(front.rows.get(1));
    if second == 0 || target.timestamp < second {
        let what = "no row ends before the fault begins: nothing to compare with";
        return Err(ReadError::file(&file, what));
    }
    if target.timestamp >= begins(front.rows.last()) {
        return Err(ReadError::file(&file, "no whole row after the fault begins"));
    }
    Ok(Incident {
        name: name_of(root, issue),
        traffic: name_of(root, traffic),
        metric: target.metric,
        injected: target.timestamp,
        front,
        cause,
    })
}

/// The directories below, by name with numbers in their order.
fn directories(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let io = |source| ReadError::io(path, source);
    let mut found = vec![];
    for entry in std::fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?.path();
        if entry.is_dir() {
            found.push(entry);
        }
    }
    found.sort_by_key(|path| {
        let name = path.to_string_lossy().into_owned();
        let number = name.rsplit('_').next().and_then(|number| number.parse::<u64>().ok());
        (number, name)
    });
    Ok(found)
}

fn name_of(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}
