use super::*;
use proptest::prelude::*;

fn read(name: &'static str, text: &str) -> Result<LoadReport, LoadReportError> {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(text).unwrap());
    of(&headers).expect("a report")
}

fn text(text: &str) -> Result<LoadReport, LoadReportError> {
    read("endpoint-load-metrics", text)
}

fn expected() -> LoadReport {
    LoadReport {
        cpu_utilization: Some(0.3),
        memory_utilization: Some(0.8),
        requests_per_second: Some(12.5),
        cpu_seconds: Some(0.02),
        memory_bytes: Some(1e6),
    }
}

/// A protobuf field that is a double.
fn double(number: u8, value: f64) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 1];
    bytes.extend(value.to_le_bytes());
    bytes
}

fn entry(number: u8, name: &str, value: f64) -> Vec<u8> {
    let mut inner = vec![1 << 3 | 2, name.len() as u8];
    inner.extend(name.as_bytes());
    inner.extend(double(2, value));
    let mut bytes = vec![number << 3 | 2, inner.len() as u8];
    bytes.extend(inner);
    bytes
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[test]
fn every_form_tells_the_same() {
    let told = text(
        "TEXT cpu_utilization=0.3, mem_utilization=0.8,rps_fractional=12.5, eps=1, \
         request_cost.cpu_seconds=0.02, named_metrics.memory_bytes=1000000, named_metrics.queue=7",
    );
    assert_eq!(told, Ok(expected()));
    let told = text(
        r#"JSON {"cpu_utilization": 0.3, "memUtilization": 0.8, "rpsFractional": 12.5, "rps": "13",
        "request_cost": {"cpu_seconds": 0.02}, "namedMetrics": {"memory_bytes": 1000000}}"#
            .replace('\n', " ")
            .as_str(),
    );
    assert_eq!(told, Ok(expected()));
    let bytes = [
        double(1, 0.3),
        double(2, 0.8),
        vec![3 << 3, 13],
        entry(4, "cpu_seconds", 0.02),
        entry(5, "disk", 0.1),
        double(6, 12.5),
        entry(8, "memory_bytes", 1e6),
        vec![15 << 3 | 5, 0, 0, 0, 0],
    ]
    .concat();
    assert_eq!(read("endpoint-load-metrics-bin", &base64(&bytes)), Ok(expected()));
    assert_eq!(text(&format!("BIN {}", base64(&bytes))), Ok(expected()));
    let unpadded = base64(&bytes).trim_end_matches('=').to_owned();
    assert_eq!(read("endpoint-load-metrics-bin", &unpadded), Ok(expected()), "as gRPC sends it");
}

#[test]
fn what_is_told_twice_or_is_no_number_is_refused_as_a_whole() {
    let twice = |name: &str| Err(LoadReportError::Twice(name.to_owned()));
    let no_number = |name: &str| Err(LoadReportError::NoNumber(name.to_owned()));
    assert_eq!(text("TEXT cpu_utilization=0.3,cpu_utilization=0.4"), twice("cpu_utilization"));
    assert_eq!(text("TEXT named_metrics.a=1,named_metrics.a=1"), twice("named_metrics.a"));
    assert_eq!(
        text(r#"JSON {"cpu_utilization": 1, "cpuUtilization": 1}"#),
        twice("cpu_utilization")
    );
    assert_eq!(text(r#"JSON {"named_metrics": {"a": 1, "a": 2}}"#), twice("named_metrics.a"));
    for number in ["NaN", "inf", "-inf", "Infinity", "-1", "x", ""] {
        assert_eq!(text(&format!("TEXT cpu_utilization={number}")), no_number("cpu_utilization"));
    }
    assert_eq!(text(r#"JSON {"rps": "NaN"}"#), no_number("rps"));
    assert_eq!(text(r#"JSON {"named_metrics": {"a": "1"}}"#), no_number("a"));
    for number in [f64::NAN, f64::INFINITY, -0.5] {
        let told = read("endpoint-load-metrics-bin", &base64(&double(1, number)));
        assert_eq!(told, no_number("cpu_utilization"));
    }
    let doubled = [double(2, 0.1), double(2, 0.1)].concat();
    assert_eq!(read("endpoint-load-metrics-bin", &base64(&doubled)), twice("mem_utilization"));
}

#[test]
fn two_headers_are_refused_and_both_are_taken_off() {
    let mut headers = HeaderMap::new();
    assert_eq!(of(&headers), None);
    headers.append("endpoint-load-metrics", HeaderValue::from_static("TEXT cpu_utilization=0.3"));
    headers.append("endpoint-load-metrics", HeaderValue::from_static("TEXT cpu_utilization=0.3"));
    assert!(matches!(of(&headers), Some(Err(LoadReportError::Twice(_)))));
    headers.remove("endpoint-load-metrics");
    headers.append("endpoint-load-metrics", HeaderValue::from_static("TEXT eps=1"));
    headers.append("endpoint-load-metrics-bin", HeaderValue::from_static(""));
    assert!(matches!(of(&headers), Some(Err(LoadReportError::Twice(_)))));
    strip(&mut headers);
    assert!(headers.is_empty());
}

#[test]
fn other_texts_are_no_reports() {
    for wrong in
        ["cpu_utilization=1", "XML <a/>", "TEXT cpu", "JSON [1]", "JSON {", "JSON {} x", "BIN !"]
    {
        assert!(matches!(text(wrong), Err(LoadReportError::Format(_))), "{wrong}");
    }
    assert_eq!(
        text("TEXT "),
        Err(LoadReportError::Format("it begins with neither TEXT, JSON nor BIN"))
    );
    let long = format!("TEXT {}", "a".repeat(5000));
    assert_eq!(text(&long), Err(LoadReportError::Format("it is too long")));
}

#[test]
fn live_reports_are_read_now_and_then_and_those_of_probes_always() {
    let reports = LoadReports::default();
    let canary = &reports.of("shop").canary;
    let mut headers = HeaderMap::new();
    for (millis, load) in [(0, "0.2"), (10, "0.9"), (60, "0.4")] {
        let value = HeaderValue::from_str(&format!("TEXT cpu_utilization={load}")).unwrap();
        headers.insert("endpoint-load-metrics", value);
        canary.hear(&headers, std::time::Duration::from_millis(millis));
    }
    canary.add(&LoadReport { cpu_utilization: Some(0.6), ..LoadReport::default() });
    let told = reports.of("shop").canary.take().cpu_utilization.unwrap();
    assert!((told - 0.4).abs() < 1e-9, "the mean of 0.2, 0.4 and 0.6, not {told}");
    assert_eq!(reports.of("shop").canary.take(), LoadReport::default(), "taken out");
    let cost = LoadReport { cpu_seconds: Some(0.02), ..LoadReport::default() };
    let value = HeaderValue::from_static("TEXT request_cost.cpu_seconds=0.9");
    headers.insert("endpoint-load-metrics", value);
    canary.hear(&headers, std::time::Duration::from_secs(9));
    canary.add(&cost);
    assert_eq!(reports.of("shop").canary.take(), cost, "of probes alone");
    assert_eq!(reports.of("shop").stable.take(), LoadReport::default());
}

proptest! {
    #[test]
    fn nothing_that_comes_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..80), said in "(TEXT|JSON|BIN) [ -~]{0,60}") {
        let _ = read("endpoint-load-metrics-bin", &base64(&bytes));
        let _ = text(&said);
    }
}
