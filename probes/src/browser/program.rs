//! Where the browser and its worker are.

use serinus_config::BrowserSettings;
use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Names of Chromium's executable, in the order in which they are looked for.
const CHROMIUM: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const WORKER: &str = "serinus-browser";

/// Both variants of one round at the same time, and no other round.
pub(crate) const AT_ONCE: u32 = 2;

/// How browsers are started, and how many there may be.
#[derive(Debug, Clone)]
pub struct Browsers {
    settings: BrowserSettings,
    /// In bytes, of one browser.
    pub(super) max_memory: u64,
    /// One for each browser that may run.
    pub(crate) places: Arc<Semaphore>,
}

/// The two executables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    pub(crate) chromium: PathBuf,
    pub(crate) worker: PathBuf,
}

/// An executable that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The browser.
    #[error(
        "there is no Chromium{}: install Debian's package `chromium`, or name the executable in [probing.browser]",
        at(.0)
    )]
    Chromium(Option<PathBuf>),
    /// What drives it.
    #[error(
        "there is no serinus-browser{}: get it with `make install-browser`, or name it in [probing.browser]",
        at(.0)
    )]
    Worker(Option<PathBuf>),
}

fn at(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default()
}

impl Browsers {
    /// As the configuration says.
    pub fn new(settings: &BrowserSettings) -> Browsers {
        Browsers {
            settings: settings.clone(),
            max_memory: settings.max_memory,
            places: Arc::new(Semaphore::new(AT_ONCE as usize)),
        }
    }

    /// Looks for what is needed. Cheap enough to do before every run: either may be installed meanwhile.
    ///
    /// # Errors
    /// The first that is not there.
    pub(crate) fn programs(&self) -> Result<Programs, Missing> {
        let chromium = match &self.settings.chromium {
            Some(path) => is_program(path).then(|| path.clone()),
            None => CHROMIUM.iter().find_map(|name| in_path(name)),
        };
        let worker = match &self.settings.worker {
            Some(path) => is_program(path).then(|| path.clone()),
            None => beside(WORKER).or_else(|| in_path(WORKER)),
        };
        let BrowserSettings { chromium: told, worker: told_worker, .. } = &self.settings;
        Ok(Programs {
            chromium: chromium.ok_or_else(|| Missing::Chromium(told.clone()))?,
            worker: worker.ok_or_else(|| Missing::Worker(told_worker.clone()))?,
        })
    }

    /// What is not there, if anything.
    pub fn missing(&self) -> Option<Missing> {
        self.programs().err()
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn beside(name: &str) -> Option<PathBuf> {
    let path = env::current_exe().ok()?.parent()?.join(name);
    is_program(&path).then_some(path)
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_told_with_the_way_to_get_it() {
        let nowhere = PathBuf::from("/nowhere/chromium");
        let settings = BrowserSettings { chromium: Some(nowhere), ..BrowserSettings::default() };
        let missing = Browsers::new(&settings).missing().unwrap().to_string();
        assert_eq!(
            missing,
            "there is no Chromium at /nowhere/chromium: install Debian's package `chromium`, \
             or name the executable in [probing.browser]"
        );
        let shell = Some(PathBuf::from("/bin/sh"));
        let worker = Some(PathBuf::from("/etc/passwd"));
        let settings = BrowserSettings { chromium: shell.clone(), worker, ..settings };
        let missing = Browsers::new(&settings).missing().unwrap();
        assert!(matches!(&missing, Missing::Worker(Some(_))), "no program: {missing}");
        let settings = BrowserSettings { worker: shell, ..settings };
        assert_eq!(Browsers::new(&settings).missing(), None);
    }
}
