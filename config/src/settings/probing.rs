//! `[probing]`: what concerns all probes together.

use std::path::PathBuf;

/// `[probing]`: what concerns all probes together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbingSettings {
    /// Rounds that go on at the same time at most; one too many is left out and counted.
    pub concurrency: usize,
    /// Whether routes that no probe asks for get plain GETs where evidence is wanted.
    pub plain_requests: bool,
    /// Name of the secret that signs every request of a probe; none for unsigned ones.
    pub sign_with: Option<String>,
    /// `[probing.browser]`
    pub browser: BrowserSettings,
}

impl Default for ProbingSettings {
    fn default() -> Self {
        ProbingSettings {
            concurrency: 100,
            plain_requests: true,
            sign_with: None,
            browser: BrowserSettings::default(),
        }
    }
}

/// `[probing.browser]`: the browser that plays recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSettings {
    /// Chromium's executable; none to look for it in `PATH`.
    pub chromium: Option<PathBuf>,
    /// `serinus-browser`, which drives it; none to look for it beside this executable, then in `PATH`.
    pub worker: Option<PathBuf>,
    /// The most that one browser may use, all its processes together, in bytes.
    pub max_memory: u64,
}

impl Default for BrowserSettings {
    fn default() -> Self {
        BrowserSettings { chromium: None, worker: None, max_memory: 1 << 30 }
    }
}
