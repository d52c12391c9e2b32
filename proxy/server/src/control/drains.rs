//! Endpoints that an operator has taken out, remembered over restarts: `drains.json` in the state
//! directory.
//!
//! Who drained an endpoint before a repair does not want it back because the proxy was restarted. The file
//! holds what is drained now; it is written beside, put on the disk and renamed, so that a reader meets the
//! old or the new one.

use crate::data_path::{DataPath, EndpointState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const FILE: &str = "drains.json";

/// An endpoint as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drained {
    service: Arc<str>,
    endpoint: Arc<str>,
}

/// What is in the file.
#[derive(Debug)]
pub(crate) struct Drains {
    file: PathBuf,
    written: Mutex<BTreeSet<Drained>>,
}

impl Drains {
    pub(crate) fn in_directory(state_dir: &Path) -> Drains {
        Drains { file: state_dir.join(FILE), written: Mutex::default() }
    }

    /// Takes out again what was out. What is configured no longer, or without which nobody would be
    /// left, is forgotten; so is a file that cannot be read.
    pub(crate) fn restore(&self, data_path: &DataPath) {
        let drained = self.read().unwrap_or_else(|error| {
            let file = self.file.display();
            tracing::error!(%file, "drained endpoints are forgotten: {error}");
            BTreeSet::new()
        });
        for Drained { service, endpoint } in &drained {
            if let Err(error) = data_path.drain_endpoint(service, endpoint, true) {
                tracing::warn!(%service, %endpoint, "it was drained, and is no longer: {error}");
            }
        }
        *self.lock() = drained;
        self.keep(data_path);
    }

    fn read(&self) -> io::Result<BTreeSet<Drained>> {
        match fs::read(&self.file) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes down what is drained now, where that has changed; what went wrong is logged.
    pub(crate) fn keep(&self, data_path: &DataPath) {
        if let Err(error) = self.try_keep(data_path) {
            let file = self.file.display();
            tracing::error!(%file, "a restart will forget which endpoints are drained: {error}");
        }
    }

    /// The same.
    ///
    /// # Errors
    /// The disk refuses: the next call tries again.
    pub(crate) fn try_keep(&self, data_path: &DataPath) -> io::Result<()> {
        let mut written = self.lock();
        let now = drained(data_path);
        if *written == now {
            return Ok(());
        }
        let next = self.file.with_extension("json.next");
        let mut file = File::create(&next)?;
        file.write_all(&serde_json::to_vec(&now)?)?;
        file.sync_all()?;
        fs::rename(&next, &self.file)?;
        if let Some(folder) = self.file.parent() {
            File::open(folder)?.sync_all()?;
        }
        *written = now;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Drained>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drained(data_path: &DataPath) -> BTreeSet<Drained> {
    let mut all = BTreeSet::new();
    for (service, endpoints) in data_path.endpoints() {
        let out = endpoints.into_iter().filter(|one| one.state == EndpointState::Draining);
        all.extend(out.map(|one| Drained { service: service.clone(), endpoint: one.endpoint }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_config::Settings;

    fn settings(endpoints: &str) -> Settings {
        let text = format!(
            "[listener.web]\naddress = \"127.0.0.1:0\"\n[route.all]\nservice = \"shop\"\n[service.shop.stable]\nendpoints = [{endpoints}]\n"
        );
        serinus_config::parse(&text, Path::new("test.toml")).unwrap()
    }

    fn data_path(endpoints: &str) -> DataPath {
        let settings = settings(endpoints);
        DataPath::new(&settings, settings.plan().table).unwrap()
    }

    fn names(data_path: &DataPath) -> Vec<String> {
        drained(data_path).iter().map(|one| one.endpoint.to_string()).collect()
    }

    const ALL: &str = "\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\"";

    #[test]
    fn what_was_drained_is_drained_after_a_restart_until_it_is_ready() {
        let folder = tempfile::tempdir().unwrap();
        let before = data_path(ALL);
        let drains = Drains::in_directory(folder.path());
        drains.restore(&before);
        before.drain_endpoint("shop", "127.0.0.1:2", true).unwrap();
        drains.try_keep(&before).unwrap();
        let after = data_path(ALL);
        let drains = Drains::in_directory(folder.path());
        drains.restore(&after);
        assert_eq!(names(&after), ["127.0.0.1:2"]);
        after.drain_endpoint("shop", "127.0.0.1:2", false).unwrap();
        drains.try_keep(&after).unwrap();
        let last = data_path(ALL);
        Drains::in_directory(folder.path()).restore(&last);
        assert!(names(&last).is_empty());
    }

    #[test]
    fn an_endpoint_that_has_gone_is_forgotten_and_the_last_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let before = data_path(ALL);
        let drains = Drains::in_directory(folder.path());
        drains.restore(&before);
        before.drain_endpoint("shop", "127.0.0.1:1", true).unwrap();
        before.drain_endpoint("shop", "127.0.0.1:3", true).unwrap();
        drains.try_keep(&before).unwrap();
        // It went away while nobody was here, and without the other nobody would be left.
        let after = data_path("\"127.0.0.1:3\"");
        Drains::in_directory(folder.path()).restore(&after);
        assert!(names(&after).is_empty());
        let last = data_path(ALL);
        Drains::in_directory(folder.path()).restore(&last);
        assert!(names(&last).is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_read_hinders_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "[{\"service\":").unwrap();
        let path = data_path(ALL);
        let drains = Drains::in_directory(folder.path());
        drains.restore(&path);
        path.drain_endpoint("shop", "127.0.0.1:1", true).unwrap();
        drains.try_keep(&path).unwrap();
        let after = data_path(ALL);
        Drains::in_directory(folder.path()).restore(&after);
        assert_eq!(names(&after), ["127.0.0.1:1"]);
    }
}
