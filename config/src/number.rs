//! Numbers, durations and switches of the file.

use crate::reader::{Fault, Read, Reader, Text, Value, fault};
use serde_json::{Value as Json, json};
use serinus_routing::Weight;
use std::time::Duration;
use toml::de::DeValue;

/// Longest duration: a hundred years in seconds, so that sums of them never overflow.
const LONGEST: u64 = 100 * 366 * 86_400;

/// A duration above zero: `"250ms"`, `"30s"`, `"5m"`, `"1h"`, `"1m30s"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Length(pub(crate) Duration);

/// A duration that may be zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LengthOrZero(pub(crate) Duration);

/// The units, longest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Whole numbers with units that get smaller from left to right.
fn duration(text: &str) -> Option<Duration> {
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut millis = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let letters =
            rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let (count, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let (_, size) = units.find(|(name, _)| *name == unit)?;
        millis = count.parse::<u64>().ok()?.checked_mul(*size)?.checked_add(millis)?;
        rest = &rest[digits + letters..];
    }
    (!text.is_empty() && millis <= LONGEST * 1_000).then(|| Duration::from_millis(millis))
}

/// A duration of the file; a number without unit gets its unit in the help.
fn read_duration(value: &Value<'_>, reader: &mut Reader) -> Option<Duration> {
    let example = r#"write a number and a unit: "250ms", "30s", "5m", "1h" or "1m30s""#;
    match value.get_ref() {
        DeValue::String(text) => duration(text).or_else(|| {
            let message = format!("\"{}\" is not a duration", text.escape_debug());
            reader.fault(&value.span(), fault(message, example))
        }),
        DeValue::Integer(number) => {
            reader.wrong_type(value, "a duration", format!("add a unit: \"{number}s\""))
        }
        _ => reader.wrong_type(value, "a duration", example),
    }
}

const DURATION_PATTERN: &str = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

impl Read for Length {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let length = read_duration(value, reader)?;
        if length.is_zero() {
            let help = "write a longer one, like \"1s\"";
            return reader.fault(&value.span(), fault("this duration cannot be zero", help));
        }
        Some(Length(length))
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": DURATION_PATTERN, "minLength": 2 })
    }
}

impl Read for LengthOrZero {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        read_duration(value, reader).map(LengthOrZero)
    }

    fn schema() -> Json {
        Length::schema()
    }
}

/// Percent in steps of 0.01.
impl Read for Weight {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(percent) = number(value) else {
            return reader.wrong_type(
                value,
                "a percentage",
                "write the number alone, like 5 or 0.5",
            );
        };
        match Weight::from_percent(percent) {
            Ok(weight) => Some(weight),
            Err(error) => {
                let help = match percent {
                    100.0.. => "100 is everybody",
                    0.0.. => "round it to 0.01",
                    _ => "0 is nobody",
                };
                reader.fault(&value.span(), fault(error.to_string(), help))
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.01 })
    }
}

/// A probability or confidence, strictly between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Threshold(pub(crate) f64);

impl Read for Threshold {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let help = "write a number like 0.8";
        match number(value) {
            Some(share) if share > 0.0 && share < 1.0 => Some(Threshold(share)),
            Some(share) => {
                let message = format!("a threshold lies between 0 and 1, not {share}");
                let help = match share {
                    1.0 => "at 1 it would never act: write a number like 0.999".to_owned(),
                    1.0..100.0 => {
                        let meant = (share * 1e4).round() / 1e6;
                        format!("it is no percentage: did you mean {meant}?")
                    }
                    _ => help.to_owned(),
                };
                reader.fault(&value.span(), fault(message, help))
            }
            None => reader.wrong_type(value, "a number between 0 and 1", help),
        }
    }

    fn schema() -> Json {
        json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 })
    }
}

/// An odds ratio of at least 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OddsRatio(pub(crate) f64);

impl Read for OddsRatio {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let help = "1 tolerates nothing, 1.25 a quarter more failures, 2 twice as many";
        match number(value) {
            Some(ratio) if (1.0..=1e6).contains(&ratio) => Some(OddsRatio(ratio)),
            Some(ratio) => {
                let message = format!("a margin is an odds ratio of at least 1, not {ratio}");
                reader.fault(&value.span(), fault(message, help))
            }
            None => reader.wrong_type(value, "an odds ratio", help),
        }
    }

    fn schema() -> Json {
        json!({ "type": "number", "minimum": 1 })
    }
}

/// Any finite number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number(pub(crate) f64);

impl Read for Number {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match number(value).filter(|number| number.is_finite()) {
            Some(number) => Some(Number(number)),
            None => reader.wrong_type(value, "a number", "write it without quotes, like 17.5"),
        }
    }

    fn schema() -> Json {
        json!({ "type": "number" })
    }
}

/// A whole number from `LOW` to `HIGH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole<const LOW: u32, const HIGH: u32>(pub(crate) u32);

impl<const LOW: u32, const HIGH: u32> Read for Whole<LOW, HIGH> {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let DeValue::Integer(digits) = value.get_ref() else {
            return reader.wrong_type(value, "a whole number", "write the number without quotes");
        };
        match i64::from_str_radix(digits.as_str(), digits.radix()).map(u32::try_from) {
            Ok(Ok(number)) if (LOW..=HIGH).contains(&number) => Some(Whole(number)),
            _ => {
                let message = format!("{digits} is out of range");
                reader
                    .fault(&value.span(), fault(message, format!("write one from {LOW} to {HIGH}")))
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": LOW, "maximum": HIGH })
    }
}

/// A number of bytes from `LOW` to `HIGH`: `"64KiB"`, `"10MiB"`, `"512B"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size<const LOW: u64, const HIGH: u64>(pub(crate) u64);

/// The units, longest name first.
const SIZES: [(&str, u64); 4] =
    [("KiB", 1024), ("MiB", 1024 * 1024), ("GiB", 1024 * 1024 * 1024), ("B", 1)];

fn size(text: &str) -> Option<u64> {
    let (digits, unit) =
        SIZES.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(*unit)
}

/// As it would be written.
fn written_size(bytes: u64) -> String {
    let unit =
        SIZES.iter().rev().skip(1).find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

impl<const LOW: u64, const HIGH: u64> Read for Size<LOW, HIGH> {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let example = r#"write a number and a unit: "512B", "64KiB", "10MiB" or "1GiB""#;
        let Some(text) = value.get_ref().as_str() else {
            let help = match value.get_ref() {
                DeValue::Integer(number) => format!("add a unit: \"{number}B\""),
                _ => example.to_owned(),
            };
            return reader.wrong_type(value, "a size", help);
        };
        match size(text) {
            Some(bytes) if (LOW..=HIGH).contains(&bytes) => Some(Size(bytes)),
            Some(_) => {
                let message = format!("\"{}\" is out of range", text.escape_debug());
                let help =
                    format!("write one from {} to {}", written_size(LOW), written_size(HIGH));
                reader.fault(&value.span(), fault(message, help))
            }
            None => {
                let message = format!("\"{}\" is not a size", text.escape_debug());
                reader.fault(&value.span(), fault(message, example))
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" })
    }
}

impl Read for bool {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_bool() {
            Some(switch) => Some(switch),
            None => {
                reader.wrong_type(value, "true or false", "write true or false, without quotes")
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

/// A number, whole or not.
pub(crate) fn number(value: &Value<'_>) -> Option<f64> {
    match value.get_ref() {
        DeValue::Integer(digits) => {
            i64::from_str_radix(digits.as_str(), digits.radix()).ok().map(|number| number as f64)
        }
        DeValue::Float(digits) => digits.as_str().parse().ok(),
        _ => None,
    }
}

/// Any text.
impl Text for String {
    const WHAT: &'static str = "a string";
    const EXAMPLE: &'static str = "\"...\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_whole_numbers_with_falling_units() {
        for (text, millis) in [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1h0m1s5ms"), Some(Duration::from_millis(3_601_005)));
        for bad in [
            "",
            "5",
            "s",
            "5 s",
            "30s1m",
            "1s1s",
            "1.5s",
            "-1s",
            "10 parsecs",
            "9999999999999h",
            "٣s",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_whole_numbers_with_a_unit() {
        for (text, bytes) in
            [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("1MiB", 1_048_576), ("2GiB", 1 << 31)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for bad in ["", "5", "KiB", "5 KiB", "5kb", "5KB", "-1B", "1.5MiB", "99999999999GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!([512, 32_768, 1 << 20].map(written_size), ["512B", "32KiB", "1MiB"]);
    }

    proptest! {
        #[test]
        fn a_duration_written_down_reads_back(hours in 0u64..1_000, minutes in 0u64..90, millis in 0u64..5_000) {
            let text = format!("{hours}h{minutes}m{millis}ms");
            let expected = Duration::from_millis(hours * 3_600_000 + minutes * 60_000 + millis);
            prop_assert_eq!(duration(&text), Some(expected));
        }
    }
}
