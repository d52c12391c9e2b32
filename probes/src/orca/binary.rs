//! The binary form: base64 of a protobuf message `xds.data.orca.v3.OrcaLoadReport`.

use super::{Collected, LoadReport, LoadReportError};

const BROKEN: LoadReportError = LoadReportError::Format("the binary form is broken");

pub(super) fn parse(text: &str) -> Result<LoadReport, LoadReportError> {
    let bytes = decode(text).ok_or(LoadReportError::Format("the binary form is no base64"))?;
    let mut fields = Fields(&bytes);
    let mut collected = Collected::default();
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Double(value)) => collected.take("", "cpu_utilization", value)?,
            (2, Field::Double(value)) => collected.take("", "mem_utilization", value)?,
            (3, Field::Varint(value)) => collected.take("", "rps", value as f64)?,
            (4, Field::Bytes(entry)) => named(&mut collected, "request_cost", entry)?,
            (5, Field::Bytes(entry)) => named(&mut collected, "utilization", entry)?,
            (6, Field::Double(value)) => collected.take("", "rps_fractional", value)?,
            (7, Field::Double(value)) => collected.take("", "eps", value)?,
            (8, Field::Bytes(entry)) => named(&mut collected, "named_metrics", entry)?,
            (9, Field::Double(value)) => collected.take("", "application_utilization", value)?,
            (1..=9, _) => return Err(BROKEN),
            _ => {} // of a later version of the format
        }
    }
    Ok(collected.finish())
}

/// An entry of a map: 1 is its name, 2 its value.
fn named(collected: &mut Collected, group: &str, entry: &[u8]) -> Result<(), LoadReportError> {
    let (mut name, mut value) = ("", 0.0);
    let mut fields = Fields(entry);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(text)) => name = std::str::from_utf8(text).map_err(|_| BROKEN)?,
            (2, Field::Double(number)) => value = number,
            _ => return Err(BROKEN),
        }
    }
    collected.take(group, name, value)
}

enum Field<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// What is left of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, LoadReportError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let bytes: [u8; 8] = self.take(8)?.try_into().map_err(|_| BROKEN)?;
                Field::Double(f64::from_le_bytes(bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| BROKEN)?;
                Field::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Field::Fixed32
            }
            _ => return Err(BROKEN),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], LoadReportError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BROKEN)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, LoadReportError> {
        let mut value = 0u64;
        for place in 0..10 {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << (7 * place).min(63);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BROKEN)
    }
}

/// Base64 of either alphabet, with or without padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (count < 6 && bits == 0).then_some(bytes)
}
