//! What the processes of the simulated world use.

use super::fault::Reach;
use super::{Variant, World};
use crate::sample::{Pair, Resources};
use std::time::Duration;

impl World {
    /// Readings at the end of a span that began at `from` milliseconds.
    pub(super) fn resources(
        &mut self,
        from: u64,
        span: Duration,
        served: Pair<u64>,
        canary_load: f64,
    ) -> Pair<Resources> {
        if !self.service.tells_resources {
            return Pair::default();
        }
        Pair {
            stable: self.reading(Variant::Stable, from, span, served.stable, canary_load),
            canary: self.reading(Variant::Canary, from, span, served.canary, canary_load),
        }
    }

    fn reading(
        &mut self,
        variant: Variant,
        from: u64,
        span: Duration,
        served: u64,
        canary_load: f64,
    ) -> Resources {
        let (from, to) = (from as f64 / 1000.0, self.now_ms as f64 / 1000.0);
        let (reach, growth, bias) = match variant {
            Variant::Stable => (Reach::Stable, &mut self.memory_growth.stable, 1.0),
            Variant::Canary => (Reach::Canary, &mut self.memory_growth.canary, self.cpu_bias),
        };
        let (mut cpu, mut network, mut restarts) = (bias, 1.0, 0);
        let concerning = |reached: Reach| reached == reach || reached == Reach::Both;
        for fault in self.faults.iter().filter(|fault| concerning(fault.reach)) {
            let strength = fault.strength(to, canary_load);
            cpu *= 1.0 + (fault.effect.cpu - 1.0) * strength;
            network *= 1.0 + (fault.effect.network - 1.0) * strength;
            // A failure carries next to nothing.
            let share = fault.route.map_or(1.0, |route| self.service.route_shares[route]);
            network *= 1.0 - share * fault.effect.failures * strength;
            restarts += fault.restarts(from, to);
            if from >= fault.begins && to < fault.ends {
                *growth += fault.effect.memory_per_minute * span.as_secs_f64() / 60.0;
            }
        }
        if restarts > 0 {
            *growth = 0.0;
        }
        let memory = self.service.memory * (1.0 + *growth);
        // A reading covers few requests or many.
        let noise = 1.0 + 3.0 / (served as f64 + 3.0);
        let noise = self.dice.scale(1.0 / noise, noise) * self.dice.between(0.9, 1.1);
        let per_request = self.service.cpu_per_request * cpu * noise;
        let bytes = self.service.bytes as f64 * network * self.dice.between(0.9, 1.1);
        Resources {
            cpu_cores: Some(per_request * served as f64 / span.as_secs_f64()),
            cpu_seconds_per_request: (served > 0).then_some(per_request),
            network_bytes_per_request: (served > 0).then_some(bytes),
            memory_bytes: Some(memory * self.dice.between(0.98, 1.02)),
            restarts: Some(restarts),
            ..Resources::default()
        }
    }
}
