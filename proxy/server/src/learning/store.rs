//! The files of models: `STATE_DIR/models`.
//!
//! `ID.model` is a model; its content has a checksum and is never changed. `roster` says which of them
//! judges and which are on trial; `roster.before` is the one before. Each file is written beside, put on
//! the disk and then renamed: whatever is killed when, a reader meets the old file or the new one.

use serde::{Deserialize, Serialize};
use serinus_models::learn::Roster;
use serinus_models::{Predictor, Timestamp};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const FOLDER: &str = "models";
const ROSTER: &str = "roster";
const BEFORE: &str = "roster.before";
const MAGIC: &str = "serinus-roster 1";
/// Champions of the past that are kept: a replay asks for the model that judged.
const FORMER_KEPT: usize = 20;

/// The content of `roster`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Saved {
    /// The prior that everything rests on: that of another version has nothing to say here.
    prior: String,
    /// None: the prior judges.
    champion: Option<String>,
    champion_since: Timestamp,
    challengers: Vec<String>,
    trained: (usize, Timestamp),
    /// Champions of the past, the latest last.
    former: Vec<String>,
}

/// The folder of models in a state directory.
#[derive(Debug, Clone)]
pub(crate) struct ModelStore {
    folder: PathBuf,
}

impl ModelStore {
    pub(crate) fn of(state_dir: &Path) -> ModelStore {
        ModelStore { folder: state_dir.join(FOLDER) }
    }

    /// Who judges and who is on trial, and what is wrong with files that were refused.
    pub(crate) fn load(&self, prior: Arc<Predictor>) -> (Roster, Vec<String>) {
        let mut troubles = Vec::new();
        for name in [ROSTER, BEFORE] {
            let path = self.folder.join(name);
            let saved = match read_roster(&path) {
                Ok(None) => continue,
                Ok(Some(saved)) => saved,
                Err(why) => {
                    troubles.push(why);
                    continue;
                }
            };
            if saved.prior != prior.id() {
                // Another version shipped it: learned anew from the journal, which is still there.
                continue;
            }
            let champion = match &saved.champion {
                None => prior.clone(),
                Some(id) => match self.model(id) {
                    Ok(model) => model,
                    Err(why) => {
                        troubles.push(why);
                        continue;
                    }
                },
            };
            let mut challengers = Vec::new();
            for id in &saved.challengers {
                match self.model(id) {
                    Ok(model) => challengers.push(model),
                    Err(why) => troubles.push(why),
                }
            }
            let Saved { champion_since, trained, .. } = saved;
            return (Roster { prior, champion, champion_since, challengers, trained }, troubles);
        }
        (Roster::new(prior), troubles)
    }

    fn model(&self, id: &str) -> Result<Arc<Predictor>, String> {
        let path = self.path(id);
        let told = |error: &dyn std::fmt::Display| {
            format!("the model {} cannot be used: {error}", path.display())
        };
        let bytes = fs::read(&path).map_err(|error| told(&error))?;
        let model = Predictor::from_bytes(&bytes).map_err(|error| told(&error))?;
        if model.id() != id {
            return Err(told(&format!("it is model {}", model.id())));
        }
        Ok(Arc::new(model))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.model"))
    }

    /// Puts all of it on the disk. When this returns, the next start goes on from here; if it does not,
    /// from what was there before.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(crate) fn save(&self, roster: &Roster) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let roster_path = self.folder.join(ROSTER);
        let before = read_roster(&roster_path).ok().flatten();
        for model in roster.challengers.iter().chain([&roster.champion]) {
            let path = self.path(model.id());
            let is_there = fs::read(&path).is_ok_and(|bytes| Predictor::from_bytes(&bytes).is_ok());
            if model.id() != roster.prior.id() && !is_there {
                write_atomically(&path, &model.to_bytes())?;
            }
        }
        let champion = (!roster.is_prior()).then(|| roster.champion.id().to_owned());
        let mut former = before.as_ref().map(|saved| saved.former.clone()).unwrap_or_default();
        let was = before.as_ref().and_then(|saved| saved.champion.clone());
        if let Some(was) = was.filter(|was| champion.as_ref() != Some(was)) {
            former.retain(|id| *id != was);
            former.push(was);
        }
        former.drain(..former.len().saturating_sub(FORMER_KEPT));
        let saved = Saved {
            prior: roster.prior.id().to_owned(),
            champion,
            champion_since: roster.champion_since,
            challengers: roster.challengers.iter().map(|model| model.id().to_owned()).collect(),
            trained: roster.trained,
            former,
        };
        if before.is_some() {
            write_atomically(&self.folder.join(BEFORE), &fs::read(&roster_path)?)?;
        }
        write_atomically(&roster_path, &written(&saved)?)?;
        self.remove_unused(&saved, before.as_ref());
        Ok(())
    }

    /// Removes models that neither roster names. What cannot be removed now is tried again.
    fn remove_unused(&self, saved: &Saved, before: Option<&Saved>) {
        let named = |saved: &Saved| {
            let ids = saved.challengers.iter().chain(&saved.former).chain(&saved.champion);
            ids.cloned().collect::<Vec<_>>()
        };
        let kept: BTreeSet<String> =
            [Some(saved), before].into_iter().flatten().flat_map(named).collect();
        for path in self.files() {
            let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            if id.is_some_and(|id| !kept.contains(&id)) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Every file of a model.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "model")).collect();
        paths.sort();
        paths
    }
}

fn written(saved: &Saved) -> io::Result<Vec<u8>> {
    let body = serde_json::to_string(saved).map_err(io::Error::other)?;
    Ok(format!("{MAGIC} {:016x}\n{body}\n", xxh3_64(body.as_bytes())).into_bytes())
}

/// `None` where there is no such file.
fn read_roster(path: &Path) -> Result<Option<Saved>, String> {
    let told = |what: &dyn std::fmt::Display| format!("{} cannot be used: {what}", path.display());
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| told(&error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(&error)),
    };
    let damaged = || told(&"it is damaged, or of another version");
    let (header, body) = text.split_once('\n').ok_or_else(damaged)?;
    let body = body.strip_suffix('\n').ok_or_else(damaged)?;
    if header != format!("{MAGIC} {:016x}", xxh3_64(body.as_bytes())) {
        return Err(damaged());
    }
    serde_json::from_str(body).map(Some).map_err(|error| told(&error))
}

/// Replaces a file as a whole: beside it, onto the disk, renamed, and the folder onto the disk.
///
/// # Errors
/// The disk does not take it; the old file is as it was.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let beside = folder.join(format!(".{}.new", name.unwrap_or_default()));
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
