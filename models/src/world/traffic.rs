//! How many users there are, relative to the mean.

use std::f64::consts::TAU;

/// More traffic for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spike {
    /// Seconds after the deployment.
    pub(super) begins: f64,
    /// Seconds after the deployment.
    pub(super) ends: f64,
    /// So many times as much.
    pub(super) times: f64,
}

/// How traffic goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Traffic {
    /// Spikes; their factors multiply.
    pub(super) spikes: Vec<Spike>,
    /// How far it swings to both sides in one period, relative to the mean: 0 to 1.
    pub(super) swing: f64,
    /// Seconds from peak to peak.
    pub(super) period: f64,
    /// Part of the period that has passed at the deployment: 0 to 1.
    pub(super) phase: f64,
}

impl Traffic {
    /// The same all the time.
    pub(super) const STEADY: Traffic =
        Traffic { spikes: vec![], swing: 0.0, period: 86_400.0, phase: 0.0 };

    /// Traffic relative to its mean at `at` seconds after the deployment.
    pub(super) fn at(&self, at: f64) -> f64 {
        let there = self.spikes.iter().filter(|spike| at >= spike.begins && at < spike.ends);
        let spikes: f64 = there.map(|spike| spike.times).product();
        if self.swing == 0.0 {
            return spikes;
        }
        spikes * (1.0 + self.swing * libm::sin((at / self.period + self.phase) * TAU))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_swings_and_spikes() {
        assert_eq!(Traffic::STEADY.at(5.0), 1.0);
        let spike = Spike { begins: 10.0, ends: 20.0, times: 3.0 };
        let traffic = Traffic { spikes: vec![spike], swing: 0.5, period: 40.0, phase: 0.0 };
        assert!((traffic.at(10.0) - 4.5).abs() < 1e-9);
        assert!((traffic.at(30.0) - 0.5).abs() < 1e-9);
        let later = Traffic { phase: 0.5, ..traffic };
        assert!((later.at(30.0) - 1.5).abs() < 1e-9);
    }
}
