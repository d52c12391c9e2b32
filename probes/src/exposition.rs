//! The few lines of a Prometheus page that tell what a process uses.

use serinus_config::MetricNames;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What one endpoint tells of its process. What it does not tell is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ProcessFigures {
    /// `process_cpu_seconds_total`, summed over its series (workers).
    pub(crate) cpu_seconds: Option<f64>,
    /// Each series of a page by itself, under a number that stands for its labels: workers come and go.
    pub(crate) cpu_series: BTreeMap<u64, f64>,
    /// `process_resident_memory_bytes`, summed over its series.
    pub(crate) memory_bytes: Option<f64>,
    /// `process_start_time_seconds`, the latest of its series.
    pub(crate) started: Option<f64>,
    /// Bytes received and sent over the network, ever.
    pub(crate) network_bytes: Option<f64>,
}

/// The series of a process, and of a container where there are none of a process.
const CPU: [&str; 2] = ["process_cpu_seconds_total", "container_cpu_usage_seconds_total"];
const MEMORY: [&str; 2] = ["process_resident_memory_bytes", "container_memory_working_set_bytes"];
const START: [&str; 2] = ["process_start_time_seconds", "container_start_time_seconds"];
const RECEIVED: [&str; 2] =
    ["process_network_receive_bytes_total", "container_network_receive_bytes_total"];
const SENT: [&str; 2] =
    ["process_network_transmit_bytes_total", "container_network_transmit_bytes_total"];

/// One figure while a page is read: its series under its first name, and under its second.
#[derive(Default)]
struct Found([Vec<(u64, f64)>; 2]);

impl Found {
    fn take(&mut self, own: Option<&String>, usual: [&str; 2], sample: &Sample) {
        let place = match own {
            Some(own) => usize::from(own != sample.name) * 2,
            None => usual.iter().position(|usual| *usual == sample.name).unwrap_or(2),
        };
        if let Some(place) = self.0.get_mut(place) {
            let mut hasher = DefaultHasher::new();
            sample.labels.hash(&mut hasher);
            place.push((hasher.finish(), sample.value));
        }
    }

    fn series(self) -> Vec<(u64, f64)> {
        let [first, second] = self.0;
        if first.is_empty() { second } else { first }
    }

    fn sum(self) -> Option<f64> {
        sum(&self.series())
    }

    fn latest(self) -> Option<f64> {
        self.series().into_iter().map(|(_, value)| value).reduce(f64::max)
    }
}

fn sum(series: &[(u64, f64)]) -> Option<f64> {
    series.iter().map(|(_, value)| *value).reduce(|sum, value| sum + value)
}

/// Reads a page in Prometheus's text format or OpenMetrics. Lines that it does not understand, and
/// values that are no finite, non-negative number, are as if they were not there.
pub(crate) fn read(page: &str, names: &MetricNames) -> ProcessFigures {
    let (mut cpu, mut memory, mut start) = (Found::default(), Found::default(), Found::default());
    let (mut received, mut sent) = (Found::default(), Found::default());
    for sample in page.lines().filter_map(sample) {
        cpu.take(names.cpu.as_ref(), CPU, &sample);
        memory.take(names.memory.as_ref(), MEMORY, &sample);
        start.take(names.start.as_ref(), START, &sample);
        received.take(names.received.as_ref(), RECEIVED, &sample);
        sent.take(names.sent.as_ref(), SENT, &sample);
    }
    let network_bytes = match (received.sum(), sent.sum()) {
        (None, None) => None,
        (received, sent) => Some(received.unwrap_or(0.0) + sent.unwrap_or(0.0)),
    };
    let cpu_series = cpu.series();
    ProcessFigures {
        cpu_seconds: sum(&cpu_series),
        cpu_series: cpu_series.into_iter().collect(),
        memory_bytes: memory.sum(),
        started: start.latest(),
        network_bytes,
    }
}

struct Sample<'p> {
    name: &'p str,
    /// As they are written, with the closing brace; empty where there are none.
    labels: &'p str,
    value: f64,
}

/// A line `name{label="value",...} value [timestamp] [# exemplar]`.
fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(labels) => {
            let after = after_labels(labels)?;
            (&labels[..labels.len() - after.len()], after)
        }
        None => ("", rest),
    };
    let value: f64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    let is_told = !name.is_empty() && value.is_finite() && value >= 0.0;
    is_told.then_some(Sample { name, labels, value })
}

/// What follows the closing brace; one within a quoted label value does not close.
fn after_labels(labels: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in labels.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(&labels[at + 1..]),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(page: &str) -> ProcessFigures {
        super::read(page, &MetricNames::default())
    }
    use proptest::prelude::*;

    #[test]
    fn a_usual_page_is_read() {
        let page = "# HELP process_cpu_seconds_total Total user and system CPU time.\n\
            # TYPE process_cpu_seconds_total counter\n\
            process_cpu_seconds_total 12.47\n\
            process_resident_memory_bytes 2.4911872e+07\r\n\
            process_start_time_seconds 1.75e9 1750000123000\n\
            http_requests_total{path=\"/\"} 5\n";
        let told = read(page);
        assert_eq!((told.cpu_seconds, told.cpu_series.len()), (Some(12.47), 1));
        assert_eq!((told.memory_bytes, told.started), (Some(24_911_872.0), Some(1.75e9)));
        assert_eq!(told.network_bytes, None);
    }

    #[test]
    fn series_of_several_workers_are_put_together() {
        let page = "process_cpu_seconds_total{pid=\"1\"} 1.5\nprocess_cpu_seconds_total{pid=\"2\"} 2\n\
            process_start_time_seconds{pid=\"1\"} 100\nprocess_start_time_seconds{pid=\"2\"} 90\n";
        assert_eq!(read(page).cpu_seconds, Some(3.5));
        assert_eq!(read(page).started, Some(100.0));
    }

    #[test]
    fn a_containers_series_take_the_place_of_a_process_and_only_then() {
        let container = "container_cpu_usage_seconds_total{id=\"/a\"} 7\n\
            container_memory_working_set_bytes{id=\"/a\"} 100\n\
            container_network_receive_bytes_total{interface=\"eth0\"} 5\n\
            container_network_transmit_bytes_total{interface=\"eth0\"} 6\n";
        let told = read(container);
        assert_eq!((told.cpu_seconds, told.memory_bytes), (Some(7.0), Some(100.0)));
        assert_eq!((told.network_bytes, told.started), (Some(11.0), None));
        let both = format!("{container}process_cpu_seconds_total 3\n");
        assert_eq!(read(&both).cpu_seconds, Some(3.0));
    }

    #[test]
    fn a_series_of_another_name_is_read_and_the_usual_one_is_not() {
        let names = MetricNames {
            cpu: Some("app_cpu".to_owned()),
            sent: Some("app_sent".to_owned()),
            ..MetricNames::default()
        };
        let page = "process_cpu_seconds_total 3\napp_cpu{worker=\"1\"} 4\napp_sent 9\n\
            process_resident_memory_bytes 8\n";
        let told = super::read(page, &names);
        assert_eq!((told.cpu_seconds, told.memory_bytes), (Some(4.0), Some(8.0)));
        assert_eq!(told.network_bytes, Some(9.0));
        assert_eq!(super::read("process_cpu_seconds_total 3", &names).cpu_seconds, None);
    }

    #[test]
    fn labels_may_hold_braces_quotes_and_spaces() {
        let page = r#"process_cpu_seconds_total { a = "} 9 \" \\", b="x" } 3 # {trace="1"} 7"#;
        assert_eq!(read(page).cpu_seconds, Some(3.0));
    }

    #[test]
    fn what_is_missing_or_no_number_is_unknown_and_never_zero() {
        let page = "process_cpu_seconds_total NaN\nprocess_resident_memory_bytes +Inf\n\
            process_start_time_seconds -1\nprocess_cpu_seconds_total\nprocess_cpu_seconds_total{a=\"\n";
        assert_eq!(read(page), ProcessFigures::default());
        assert_eq!(read("<html>not found</html>"), ProcessFigures::default());
    }

    proptest! {
        #[test]
        fn no_page_breaks_the_reader(
            page in "(process_cpu_seconds_total|[a-z{}\"\\\\ ]|[0-9]|\n|é){0,60}"
        ) {
            read(&page);
        }

        #[test]
        fn any_label_value_is_skipped(label in "\\PC*", value in 0.0f64..1e12) {
            let label = label.replace('\\', "\\\\").replace('"', "\\\"");
            let page = format!("process_cpu_seconds_total{{a=\"{label}\"}} {value}");
            prop_assert_eq!(read(&page).cpu_seconds, Some(value));
        }
    }
}
