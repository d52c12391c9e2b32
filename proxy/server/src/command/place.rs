//! Where the state directory of a proxy is.

use super::admin_client::Whom;
use crate::control::ProxyStatus;
use crate::control::journal::FILE_NAME;
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};

/// A state directory, as it is named on the command line.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The state directory [default: that of --config, else that of the running proxy].
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) whom: Whom,
}

impl Place {
    /// The directory.
    pub(super) fn directory(&self) -> anyhow::Result<PathBuf> {
        if let Some(directory) = &self.state_dir {
            return Ok(directory.clone());
        }
        if let Some(settings) = self.whom.settings()? {
            return Ok(settings.server.state_dir);
        }
        let proxy = || -> anyhow::Result<PathBuf> {
            let proxy: ProxyStatus = self.whom.client()?.get("/api/v1/proxy")?;
            Ok(proxy.fixed.state_dir().to_owned())
        };
        proxy().context(
            "which state directory? name it with --state-dir, or the configuration with --config",
        )
    }
}

/// The journal's file of a path that may be its folder.
pub(super) fn journal(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() }
}
