//! What probes are given from outside the configuration: secrets, rows, the key of their signature.

use crate::browser::{Browsers, RecordingError, Recordings, Stage};
use crate::marks::Signer;
use crate::rows::{Row, Rows, RowsError};
use crate::secrets::{SecretError, Secrets};
use serinus_config::{BrowserSettings, Settings};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rounds at the same time where nothing is said.
const USUAL_CONCURRENCY: usize = 100;

/// Everything, cheap to clone.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Behind `secret.*`.
    pub secrets: Arc<Secrets>,
    /// Behind `row.*`, by probe.
    rows: Arc<BTreeMap<Arc<str>, Rows>>,
    /// Signs every request; none for unsigned ones.
    pub(crate) signer: Option<Arc<Signer>>,
    /// Rounds that go on at the same time at most.
    pub concurrency: usize,
    /// What browsers play, by probe.
    pub recordings: Recordings,
    /// What plays it.
    pub browsers: Browsers,
}

/// Inputs that a configuration asks for and that are not there.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file of rows.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// What a browser is to play.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

impl Inputs {
    /// Reads what `settings` ask for; `secrets` are its secrets, `recordings` its recordings. Reads files.
    ///
    /// # Errors
    /// The first file of rows that cannot be used.
    pub fn read(
        settings: &Settings,
        secrets: Secrets,
        recordings: Recordings,
    ) -> Result<Inputs, InputError> {
        let mut rows = BTreeMap::new();
        for probe in &settings.probes {
            if let Some(path) = &probe.data {
                let read = Rows::read(&probe.name, path)?;
                read.check(&probe.name, path, &probe.columns)?;
                rows.insert(probe.name.clone(), read);
            }
        }
        let signing = settings.probing.sign_with.as_deref().and_then(|name| secrets.get(name));
        let signer = signing.map(|key| Arc::new(Signer::new(key.as_bytes())));
        let hidden = rows.values().flat_map(Rows::hidden).map(Cow::into_owned).collect::<Vec<_>>();
        Ok(Inputs {
            secrets: Arc::new(secrets.hiding(hidden)),
            rows: Arc::new(rows),
            signer,
            concurrency: settings.probing.concurrency,
            recordings,
            browsers: Browsers::new(&settings.probing.browser),
        })
    }

    /// The rows of a probe, if it has any.
    pub fn rows(&self, probe: &str) -> Option<&Rows> {
        self.rows.get(probe)
    }

    /// What is absent that probes need to be run, in words; none if nothing is.
    pub fn absent(&self) -> Option<String> {
        if self.recordings.is_empty() {
            return None;
        }
        let missing = self.browsers.missing()?;
        Some(format!("probes with a browser are left out, without telemetry: {missing}"))
    }

    pub(crate) fn stage(&self, probe: &str) -> Option<Stage> {
        let recording = self.recordings.of(probe)?;
        Some(Stage { recording, browsers: self.browsers.clone() })
    }

    pub(crate) fn row(&self, probe: &str, turn: usize) -> Option<Row> {
        self.rows(probe)?.turn(turn)
    }
}

impl From<&Arc<Secrets>> for Inputs {
    /// Secrets and nothing else.
    fn from(secrets: &Arc<Secrets>) -> Inputs {
        Inputs {
            secrets: secrets.clone(),
            rows: Arc::default(),
            signer: None,
            concurrency: USUAL_CONCURRENCY,
            recordings: Recordings::default(),
            browsers: Browsers::new(&BrowserSettings::default()),
        }
    }
}
