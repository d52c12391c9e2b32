//! The few lines of a Prometheus page that tell what a process uses.

/// What one endpoint tells of its process. What it does not tell is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct ProcessFigures {
    /// `process_cpu_seconds_total`, summed over its series (workers).
    pub(crate) cpu_seconds: Option<f64>,
    /// `process_resident_memory_bytes`, summed over its series.
    pub(crate) memory_bytes: Option<f64>,
    /// `process_start_time_seconds`, the latest of its series.
    pub(crate) started: Option<f64>,
}

/// Reads a page in Prometheus's text format or OpenMetrics. Lines that it does not understand, and
/// values that are no finite, non-negative number, are as if they were not there.
pub(crate) fn read(page: &str) -> ProcessFigures {
    let mut figures = ProcessFigures::default();
    for (name, value) in page.lines().filter_map(sample) {
        let sum = |so_far: Option<f64>| Some(so_far.unwrap_or(0.0) + value);
        match name {
            "process_cpu_seconds_total" => figures.cpu_seconds = sum(figures.cpu_seconds),
            "process_resident_memory_bytes" => figures.memory_bytes = sum(figures.memory_bytes),
            "process_start_time_seconds" => {
                figures.started =
                    Some(figures.started.map_or(value, |other: f64| other.max(value)));
            }
            _ => {}
        }
    }
    figures
}

/// Name and value of a line `name{label="value",...} value [timestamp] [# exemplar]`.
fn sample(line: &str) -> Option<(&str, f64)> {
    let line = line.trim();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, rest) = line.split_at(end);
    let rest = match rest.trim_start().strip_prefix('{') {
        Some(labels) => after_labels(labels)?,
        None => rest,
    };
    let value: f64 = rest.split_ascii_whitespace().next()?.parse().ok()?;
    (!name.is_empty() && value.is_finite() && value >= 0.0).then_some((name, value))
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
    use proptest::prelude::*;

    #[test]
    fn a_usual_page_is_read() {
        let page = "# HELP process_cpu_seconds_total Total user and system CPU time.\n\
            # TYPE process_cpu_seconds_total counter\n\
            process_cpu_seconds_total 12.47\n\
            process_resident_memory_bytes 2.4911872e+07\r\n\
            process_start_time_seconds 1.75e9 1750000123000\n\
            http_requests_total{path=\"/\"} 5\n";
        let expected = ProcessFigures {
            cpu_seconds: Some(12.47),
            memory_bytes: Some(24_911_872.0),
            started: Some(1.75e9),
        };
        assert_eq!(read(page), expected);
    }

    #[test]
    fn series_of_several_workers_are_put_together() {
        let page = "process_cpu_seconds_total{pid=\"1\"} 1.5\nprocess_cpu_seconds_total{pid=\"2\"} 2\n\
            process_start_time_seconds{pid=\"1\"} 100\nprocess_start_time_seconds{pid=\"2\"} 90\n";
        assert_eq!(read(page).cpu_seconds, Some(3.5));
        assert_eq!(read(page).started, Some(100.0));
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
