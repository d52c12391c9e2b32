//! Which model judges: one learned here if there is a good one, else the shipped one, else none.

use super::board::Model;
use serinus_models::Predictor;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The predictor to use, and what the board says of it.
pub(super) fn load(state_dir: &Path) -> (Option<Arc<Predictor>>, Model) {
    let learned = match find(state_dir) {
        Ok(None) => None,
        Ok(Some(path)) => Some(read(&path)),
        Err(error) => {
            Some(Err(format!("{} cannot be searched for a model: {error}", state_dir.display())))
        }
    };
    let refused = match learned {
        Some(Ok(predictor)) => return in_use(predictor, None),
        Some(Err(why)) => Some(why),
        None => None,
    };
    match Predictor::shipped() {
        Ok(predictor) => in_use(predictor, refused),
        Err(error) => {
            let why = format!("the shipped model cannot be used: {error}");
            let trouble = refused.map_or(why.clone(), |refused| format!("{refused}; {why}"));
            (None, Model { id: None, trouble: Some(trouble) })
        }
    }
}

fn in_use(predictor: Predictor, trouble: Option<String>) -> (Option<Arc<Predictor>>, Model) {
    let model = Model { id: Some(predictor.id().to_owned()), trouble };
    (Some(Arc::new(predictor)), model)
}

/// Every model that a replay can judge with: the shipped one and the good ones in the directory.
pub(crate) fn at_hand(state_dir: &Path) -> Vec<Arc<Predictor>> {
    let files = all(state_dir).unwrap_or_default();
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
        let (shipped, model) = load(directory.path());
        assert!(shipped.is_some() && model.trouble.is_none(), "{model:?}");
        fs::write(directory.path().join("model.json"), "{}").unwrap();
        let (instead, told) = load(directory.path());
        assert_eq!(instead.map(|predictor| predictor.id().to_owned()), model.id);
        assert!(told.trouble.as_ref().is_some_and(|why| why.contains("model.json")), "{told:?}");
    }
}
