//! What processes use, as a tired person reads it.

use super::words::count;
use serinus_models::ResourceLevels;

/// `14.2 ms CPU and 3.1 KiB per request, 61 MiB of memory (+3.1 MiB a minute), 2 restarts in ten minutes`; none
/// where nothing is told.
pub(crate) fn used(levels: &ResourceLevels) -> Option<String> {
    let mut parts = Vec::new();
    let cpu = levels.cpu_seconds_per_request.map(|seconds| format!("{:.1} ms CPU", seconds * 1e3));
    let network = levels.network_bytes_per_request.map(bytes);
    match (cpu, network) {
        (None, None) => {}
        (Some(one), None) | (None, Some(one)) => parts.push(format!("{one} per request")),
        (Some(cpu), Some(network)) => parts.push(format!("{cpu} and {network} per request")),
    }
    if let Some(memory) = levels.memory_bytes {
        let moves = levels.memory_bytes_per_minute.map_or_else(String::new, |change| {
            let sign = if change < 0.0 { '-' } else { '+' };
            format!(" ({sign}{} a minute)", bytes(change.abs()))
        });
        parts.push(format!("{} of memory{moves}", bytes(memory)));
    }
    let share = |share: f64| format!("{:.0}%", share * 100.0);
    parts.extend(levels.cpu_utilization.map(|used| format!("{} of its CPU", share(used))));
    parts.extend(levels.memory_utilization.map(|used| format!("{} of its memory", share(used))));
    let restarts = levels.restarts.filter(|restarts| *restarts > 0);
    parts.extend(restarts.map(|restarts| {
        let plural = if restarts == 1 { "" } else { "s" };
        format!("{} restart{plural} in ten minutes", count(u64::from(restarts)))
    }));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `850 B`, `3.1 KiB`, `61 MiB`, `1.5 GiB`
fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1000.0 || unit == "GiB" {
            let digits = usize::from(value < 10.0 && unit != "B");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_are_known_are_told_and_others_are_not() {
        assert_eq!(used(&ResourceLevels::default()), None);
        let levels = ResourceLevels {
            cpu_seconds_per_request: Some(0.0142),
            memory_bytes: Some(61.4 * 1024.0 * 1024.0),
            memory_bytes_per_minute: Some(3.1 * 1024.0 * 1024.0),
            network_bytes_per_request: Some(850.0),
            restarts: Some(2),
            ..ResourceLevels::default()
        };
        assert_eq!(
            used(&levels).unwrap(),
            "14.2 ms CPU and 850 B per request, 61 MiB of memory (+3.1 MiB a minute), 2 restarts in ten minutes"
        );
        let levels = ResourceLevels {
            network_bytes_per_request: Some(3174.0),
            cpu_utilization: Some(0.31),
            restarts: Some(0),
            ..ResourceLevels::default()
        };
        assert_eq!(used(&levels).unwrap(), "3.1 KiB per request, 31% of its CPU");
        let falling = ResourceLevels {
            memory_bytes: Some(2e9),
            memory_bytes_per_minute: Some(-2048.0),
            ..ResourceLevels::default()
        };
        assert_eq!(used(&falling).unwrap(), "1.9 GiB of memory (-2.0 KiB a minute)");
    }
}
