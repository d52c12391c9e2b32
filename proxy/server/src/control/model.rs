//! Which model judges: one learned here if there is a good one, else the shipped one, else none.

use super::board::Model;
use crate::learning::ModelStore;
use serinus_models::Predictor;
use serinus_models::learn::Roster;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The model to judge with.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) predictor: Option<Arc<Predictor>>,
    /// What the board says of it.
    pub(super) model: Model,
    /// Where learning goes on; none where a person put a model there, or there is no prior.
    pub(super) roster: Option<Roster>,
}

/// A `model.*` that a person put there, else what was learned here, else the shipped one, else none.
pub(super) fn load(state_dir: &Path) -> Loaded {
    let put_there = match find(state_dir) {
        Ok(None) => None,
        Ok(Some(path)) => Some(read(&path)),
        Err(error) => {
            Some(Err(format!("{} cannot be searched for a model: {error}", state_dir.display())))
        }
    };
    let mut troubles = Vec::new();
    match put_there {
        Some(Ok(predictor)) => {
            tracing::info!(
                model = predictor.id(),
                "a model was put there: nothing else is learned"
            );
            return in_use(Arc::new(predictor), troubles, None);
        }
        Some(Err(why)) => troubles.push(why),
        None => {}
    }
    match Predictor::shipped() {
        Ok(prior) => {
            let (roster, refused) = ModelStore::of(state_dir).load(Arc::new(prior));
            troubles.extend(refused);
            in_use(roster.champion.clone(), troubles, Some(roster))
        }
        Err(error) => {
            troubles.push(format!("the shipped model cannot be used: {error}"));
            let model = Model { id: None, trouble: Some(troubles.join("; ")) };
            Loaded { predictor: None, model, roster: None }
        }
    }
}

fn in_use(predictor: Arc<Predictor>, troubles: Vec<String>, roster: Option<Roster>) -> Loaded {
    let trouble = (!troubles.is_empty()).then(|| troubles.join("; "));
    let model = Model { id: Some(predictor.id().to_owned()), trouble };
    Loaded { predictor: Some(predictor), model, roster }
}

/// The model that judges in a state directory, and what its files are refused for.
pub(crate) fn in_force(state_dir: &Path) -> (Option<Arc<Predictor>>, Option<String>) {
    let Loaded { predictor, model, .. } = load(state_dir);
    (predictor, model.trouble)
}

/// Every model that a replay can judge with: the shipped one and the good ones in the directory.
pub(crate) fn at_hand(state_dir: &Path) -> Vec<Arc<Predictor>> {
    let mut files = all(state_dir).unwrap_or_default();
    files.extend(ModelStore::of(state_dir).files());
    let learned = files.iter().filter_map(|path| read(path).ok());
    learned.chain(Predictor::shipped()).map(Arc::new).collect()
}

/// The first `model.*` in the directory.
fn find(state_dir: &Path) -> io::Result<Option<PathBuf>> {
    Ok(all(state_dir)?.into_iter().next())
}

/// Every `model.*` in the directory.
fn all(state_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(state_dir) {
        Ok(entries) => entries,
        // Nothing was learned here yet; that the directory cannot be used is the journal's to tell.
        Err(_) => return Ok(Vec::new()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "model") && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Predictor, String> {
    let bytes = fs::read(path)
        .map_err(|error| format!("the model {} cannot be read: {error}", path.display()))?;
    Predictor::from_bytes(&bytes)
        .map_err(|error| format!("the model {} cannot be used: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_model_never_replaces_the_shipped_one() {
        let directory = tempfile::tempdir().unwrap();
        let Loaded { predictor: shipped, model, .. } = load(directory.path());
        assert!(shipped.is_some() && model.trouble.is_none(), "{model:?}");
        fs::write(directory.path().join("model.json"), "{}").unwrap();
        let Loaded { predictor: instead, model: told, .. } = load(directory.path());
        assert_eq!(instead.map(|predictor| predictor.id().to_owned()), model.id);
        assert!(told.trouble.as_ref().is_some_and(|why| why.contains("model.json")), "{told:?}");
    }
}
