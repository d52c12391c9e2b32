//! What this process uses, read from `/proc`, as a Prometheus page.

use std::fmt::Write;
use std::fs::read_to_string;

/// Clock ticks per second in `/proc`: 100 on every Linux that is in use (`USER_HZ`).
const TICKS: f64 = 100.0;

/// CPU seconds, resident bytes and start time of this process; lines that cannot be told are left out.
pub(super) fn page() -> String {
    let mut page = String::new();
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold spaces and parentheses; the fields after it start with the state, number 3.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
    let mut line = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
    };
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS);
    line("process_cpu_seconds_total", "counter", "CPU time spent.", cpu);
    line("process_resident_memory_bytes", "gauge", "Resident memory.", resident());
    let start = field(22).zip(boot_time()).map(|(ticks, boot)| boot + ticks / TICKS);
    line("process_start_time_seconds", "gauge", "Start since the Unix epoch.", start);
    page
}

fn resident() -> Option<f64> {
    number_after(&read_to_string("/proc/self/status").ok()?, "VmRSS:").map(|kib| kib * 1024.0)
}

/// Seconds since the Unix epoch.
fn boot_time() -> Option<f64> {
    number_after(&read_to_string("/proc/stat").ok()?, "btime")
}

fn number_after(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_cpu_memory_and_a_start_in_the_past() {
        let page = page();
        let value = |name: &str| number_after(&page, name).unwrap();
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_resident_memory_bytes") > 1e5);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - value("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }
}
