//! What is kept of a CA: `STATE_DIR/acme/CA/`.
//!
//! `account.json` is the account with its key, `NAME.pem` a certificate's key and chain in one file, so
//! that they always belong together, `NAME.attempts` what has failed since the last success. All of it
//! is for the owner alone (0600), written beside, put on the disk, and renamed.

use anyhow::Context;
use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use serinus_config::AcmeSettings;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The folder of one CA. Another one has another account, and what it issued is not trusted alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// What has failed since the last success.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// In a row; one that is under way counts, until it has succeeded.
    pub(crate) failures: u32,
    /// Seconds since 1970.
    pub(crate) last: i64,
    /// Nobody asks before then.
    pub(crate) next: i64,
    pub(crate) why: String,
}

/// An account at a CA.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedAccount {
    pub(super) email: Option<String>,
    pub(super) credentials: AccountCredentials,
}

const ACCOUNT: &str = "account.json";

impl Store {
    pub(crate) fn of(state_dir: &Path, settings: &AcmeSettings) -> Store {
        let directory = &settings.directory;
        let host = directory.split('/').nth(2).unwrap_or_default();
        let host: String = host
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        let name = format!("{host}-{:08x}", xxh3_64(directory.as_bytes()) as u32);
        Store { folder: state_dir.join("acme").join(name) }
    }

    /// The file of a name's key and chain, which may not be there.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// # Errors
    /// The disk does not take it; the certificate before is as it was.
    pub(super) fn keep_certificate(&self, name: &str, key: &str, chain: &str) -> io::Result<()> {
        let both = format!("{}\n{}\n", key.trim_end(), chain.trim_end());
        self.write(&self.certificate(name), both.as_bytes())
    }

    /// None where there is none, or one that is damaged: then a new one is made.
    pub(super) fn account(&self) -> Option<SavedAccount> {
        let path = self.folder.join(ACCOUNT);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(%error, file = %path.display(), "the account cannot be read");
                return None;
            }
        };
        serde_json::from_slice(&text)
            .inspect_err(|error| {
                tracing::error!(%error, file = %path.display(), "the account is damaged");
            })
            .ok()
    }

    /// # Errors
    /// The disk does not take it.
    pub(super) fn keep_account(&self, account: &SavedAccount) -> anyhow::Result<()> {
        let text = serde_json::to_vec(account)?;
        self.write(&self.folder.join(ACCOUNT), &text).context("the account cannot be written")
    }

    pub(crate) fn attempts(&self, name: &str) -> Attempts {
        let text = fs::read(self.attempts_file(name)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// # Errors
    /// The disk does not take it.
    pub(super) fn keep_attempts(&self, name: &str, attempts: &Attempts) -> io::Result<()> {
        let text = serde_json::to_vec(attempts).map_err(io::Error::other)?;
        self.write(&self.attempts_file(name), &text)
    }

    /// After a success.
    pub(super) fn forget_attempts(&self, name: &str) {
        if let Err(error) = fs::remove_file(self.attempts_file(name))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, name, "what failed before cannot be forgotten");
        }
    }

    fn attempts_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.attempts"))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let beside = path.with_extension("new");
        let mut file = OpenOptions::new();
        let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_config::AcmeChallenge;
    use std::os::unix::fs::PermissionsExt;

    fn settings(directory: &str) -> AcmeSettings {
        AcmeSettings {
            directory: directory.to_owned(),
            email: None,
            authorities: None,
            challenge: AcmeChallenge::Http,
            external_account: None,
        }
    }

    #[test]
    fn keys_are_for_the_owner_alone_and_each_ca_has_a_folder() {
        let state = tempfile::tempdir().unwrap();
        let of = |directory: &str| Store::of(state.path(), &settings(directory));
        let store = of("https://ca.test:14000/dir");
        store.keep_certificate("a.test", "KEY\n", "CHAIN\n").unwrap();
        let file = store.certificate("a.test");
        assert_eq!(fs::read_to_string(&file).unwrap(), "KEY\nCHAIN\n");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&store.folder)), (0o600, 0o700));
        assert_ne!(of("https://ca.test:14000/other").folder, store.folder);
        assert_eq!(of("https://ca.test:14000/dir"), store);
    }

    #[test]
    fn what_failed_is_remembered_until_it_is_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::of(state.path(), &settings("https://ca.test/dir"));
        assert_eq!(store.attempts("a.test"), Attempts::default());
        store.forget_attempts("a.test");
        let failed = Attempts { failures: 2, last: 10, next: 310, why: "refused".into() };
        store.keep_attempts("a.test", &failed).unwrap();
        assert_eq!(store.attempts("a.test"), failed);
        assert_eq!(store.attempts("b.test"), Attempts::default());
        store.forget_attempts("a.test");
        assert_eq!(store.attempts("a.test"), Attempts::default());
    }
}
