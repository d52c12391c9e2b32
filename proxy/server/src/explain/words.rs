//! Figures as a tired person reads them.

use serinus_models::Event;

/// `12 030`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// A share as a percentage with as many digits as it takes: `0.04%`, `3.1%`, `48%`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    // Never rounded up to certainty, which there is none of.
    if (99.0..100.0).contains(&percent) {
        let digits = (1.5 - (100.0 - percent).log10()).clamp(1.0, 6.0) as usize;
        let scale = 10f64.powi(digits as i32);
        // A hair more before rounding down: 0.999 * 100 is 99.9 but for its last bit.
        return format!("{}%", (percent * scale + 1e-6).floor() / scale);
    }
    match percent {
        p if p == 0.0 || p >= 10.0 => format!("{p:.0}%"),
        p if p >= 1.0 => format!("{p:.1}%"),
        p => format!("{p:.2}%"),
    }
}

/// Microseconds: `850 us`, `12.3 ms`, `2.4 s`.
pub(crate) fn latency(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(us) if us < 1_000 => format!("{us} us"),
        Some(us) if us < 100_000 => format!("{:.1} ms", us as f64 / 1e3),
        Some(us) if us < 1_000_000 => format!("{:.0} ms", us as f64 / 1e3),
        Some(us) => format!("{:.1} s", us as f64 / 1e6),
    }
}

/// How much better one explanation is than another, from 1 on: `about 1 400 times better`.
pub(crate) fn times_better(e_value: f64) -> String {
    if e_value < 1e6 {
        format!("about {} times better", count(e_value.round() as u64))
    } else if e_value.is_finite() {
        format!("more than 10^{} times better", e_value.log10().floor() as i32)
    } else {
        "immeasurably better".to_owned()
    }
}

/// What happened, as in "requests that ...".
pub(crate) const fn event(event: Event) -> &'static str {
    match event {
        Event::Failure => "failed requests",
        Event::ClientError => "answers 4xx",
        Event::SlowerThanP50 => "answers slower than stable's median",
        Event::SlowerThanP75 => "answers slower than stable's 75th percentile",
        Event::SlowerThanP90 => "answers slower than stable's 90th percentile",
        Event::SlowerThanP99 => "answers slower than stable's 99th percentile",
        Event::SlowerThanP999 => "answers slower than stable's 99.9th percentile",
        Event::MuchSlower => "answers slower than twice stable's 99th percentile",
        Event::ProbeFailure => "probe rounds in which only this version failed",
        Event::ProbeSlower => "probe rounds in which this version was clearly the slower",
        Event::ProbeMuchSlower => "probe rounds slower than stable's 99th percentile",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_carry_as_many_digits_as_they_need() {
        assert_eq!([0, 999, 1_000, 12_030_000].map(count), ["0", "999", "1 000", "12 030 000"]);
        let shares = [0.0, 0.0004, 0.031, 0.48, 0.9, 0.999, 0.99999, 1.0].map(percent);
        assert_eq!(shares, ["0%", "0.04%", "3.1%", "48%", "90%", "99.9%", "99.999%", "100%"]);
        let micros = [None, Some(850), Some(12_340), Some(450_000), Some(2_400_000)].map(latency);
        assert_eq!(micros, ["-", "850 us", "12.3 ms", "450 ms", "2.4 s"]);
        assert_eq!(times_better(1_400.2), "about 1 400 times better");
        assert_eq!(times_better(3.2e23), "more than 10^23 times better");
    }
}
