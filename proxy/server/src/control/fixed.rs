//! What only a restart can change, and what of a new configuration waits for one.

use serde::{Deserialize, Serialize};
use serinus_config::Settings;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The settings that are read once, at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fixed {
    state_dir: PathBuf,
    threads: usize,
    admin: Option<SocketAddr>,
    log_level: String,
    /// Address and whether it speaks TLS, by name.
    listeners: BTreeMap<String, (SocketAddr, bool)>,
}

impl Fixed {
    pub(crate) fn of(settings: &Settings) -> Self {
        let listeners = settings
            .listeners
            .iter()
            .map(|listener| (listener.name.clone(), (listener.address, listener.is_encrypted())));
        Fixed {
            state_dir: std::path::absolute(&settings.server.state_dir)
                .unwrap_or_else(|_| settings.server.state_dir.clone()),
            threads: settings.server.threads,
            admin: settings.admin.listen,
            log_level: settings.log.level.clone(),
            listeners: listeners.collect(),
        }
    }

    /// Where the journal is, whatever folder the proxy and whoever asks were started in.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// What `wanted` changes and a running proxy cannot, in words.
    pub(crate) fn waits_for_restart(&self, wanted: &Fixed) -> Vec<String> {
        let mut waits = Vec::new();
        let mut differs = |name: &str, from: String, to: String| {
            if from != to {
                waits.push(format!("{name}: {from} until a restart, then {to}"));
            }
        };
        let path = |path: &PathBuf| path.display().to_string();
        differs("server.state_dir", path(&self.state_dir), path(&wanted.state_dir));
        differs("server.threads", self.threads.to_string(), wanted.threads.to_string());
        let address = |admin: Option<SocketAddr>| admin.map_or("off".into(), |a| a.to_string());
        differs("admin.listen", address(self.admin), address(wanted.admin));
        differs("log.level", self.log_level.clone(), wanted.log_level.clone());
        let listener = |of: &Fixed, name: &str| match of.listeners.get(name) {
            None => "not there".to_owned(),
            Some((address, true)) => format!("{address} with TLS"),
            Some((address, false)) => address.to_string(),
        };
        let mut names: Vec<&String> =
            self.listeners.keys().chain(wanted.listeners.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            differs(&format!("listener.{name}"), listener(self, name), listener(wanted, name));
        }
        waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed() -> Fixed {
        Fixed {
            state_dir: "state".into(),
            threads: 2,
            admin: Some("127.0.0.1:9901".parse().unwrap()),
            log_level: "info".into(),
            listeners: [("web".to_owned(), ("0.0.0.0:8080".parse().unwrap(), false))].into(),
        }
    }

    #[test]
    fn every_setting_that_waits_for_a_restart_is_named_with_both_values() {
        let mut wanted = fixed();
        assert_eq!(fixed().waits_for_restart(&wanted), [""; 0]);
        wanted.threads = 4;
        wanted.admin = None;
        wanted.listeners.insert("web".into(), ("0.0.0.0:8080".parse().unwrap(), true));
        wanted.listeners.insert("new".into(), ("0.0.0.0:81".parse().unwrap(), false));
        assert_eq!(
            fixed().waits_for_restart(&wanted),
            [
                "server.threads: 2 until a restart, then 4",
                "admin.listen: 127.0.0.1:9901 until a restart, then off",
                "listener.new: not there until a restart, then 0.0.0.0:81",
                "listener.web: 0.0.0.0:8080 until a restart, then 0.0.0.0:8080 with TLS",
            ]
        );
    }
}
