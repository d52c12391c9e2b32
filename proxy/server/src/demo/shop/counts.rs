//! Who asked: users and synthetic users, told apart.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many arrivals of users are remembered one by one.
const REMEMBERED: usize = 200_000;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Arrivals {
    user: u64,
    synthetic: u64,
    #[serde(default)]
    mirrored: u64,
    /// Milliseconds since the Unix epoch, oldest first.
    times: VecDeque<u64>,
}

/// Requests received.
pub(super) struct Counts {
    arrivals: Mutex<Arrivals>,
    file: Option<PathBuf>,
}

/// What `GET /counts` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    user: u64,
    synthetic: u64,
    /// Copies of others' requests.
    mirrored: u64,
    /// When the last user came, in milliseconds since the Unix epoch.
    last_user_at: Option<u64>,
    /// Users that came after the moment asked for.
    user_since: u64,
}

impl Counts {
    /// Goes on from the file that a crashed process left, if there is one.
    pub(super) fn continued(file: Option<PathBuf>) -> Self {
        let before = file.as_ref().and_then(|path| std::fs::read(path).ok());
        let arrivals = before.and_then(|text| serde_json::from_slice(&text).ok());
        Counts { arrivals: Mutex::new(arrivals.unwrap_or_default()), file }
    }

    /// One request.
    pub(super) fn arrived(&self, synthetic: bool) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if synthetic {
            arrivals.synthetic += 1;
            return;
        }
        arrivals.user += 1;
        if arrivals.times.len() == REMEMBERED {
            arrivals.times.pop_front();
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        arrivals.times.push_back(now.as_millis() as u64);
    }

    /// A copy of a request that another version has.
    pub(super) fn copied(&self) {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).mirrored += 1;
    }

    /// The counts; `since` in milliseconds since the Unix epoch.
    pub(super) fn read(&self, since: u64) -> Count {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        Count {
            user: arrivals.user,
            synthetic: arrivals.synthetic,
            mirrored: arrivals.mirrored,
            last_user_at: arrivals.times.back().copied(),
            user_since: arrivals.times.iter().rev().take_while(|at| **at > since).count() as u64,
        }
    }

    /// Writes them down for the next process.
    pub(super) fn save(&self) {
        let Some(file) = &self.file else { return };
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(text) = serde_json::to_vec(&*arrivals) {
            // The process is about to abort: a count that cannot be kept is a count lost.
            let _ = std::fs::write(file, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_synthetic_users_are_told_apart_and_survive_a_crash() {
        let folder = std::env::temp_dir().join(format!("serinus-counts-{}", std::process::id()));
        let counts = Counts::continued(Some(folder.clone()));
        counts.arrived(false);
        counts.arrived(true);
        counts.arrived(false);
        counts.save();
        let next = Counts::continued(Some(folder.clone()));
        std::fs::remove_file(folder).unwrap();
        assert_eq!(next.read(0), counts.read(0));
        assert_eq!((next.read(0).user, next.read(0).synthetic), (2, 1));
        assert_eq!(next.read(0).user_since, 2);
        assert_eq!(next.read(u64::MAX).user_since, 0);
    }
}
