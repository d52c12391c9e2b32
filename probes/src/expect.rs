//! Whether an answer is what a step expects.

use crate::received::Received;
use crate::template::Templates;
use crate::value;
use serinus_config::{Expect, MaxPhases};
use serinus_models::Outcome;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a step failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    /// What was expected and what came.
    pub(crate) message: String,
}

impl Failure {
    /// Answered, but not as expected.
    pub(crate) fn assertion(message: impl Into<String>) -> Failure {
        Failure { outcome: Outcome::Assertion, message: message.into() }
    }

    /// With a remark.
    pub(crate) fn and(self, remark: &str) -> Failure {
        Failure { message: format!("{} ({remark})", self.message), ..self }
    }
}

/// Checks the status first: with the wrong one the rest says nothing.
///
/// # Errors
/// The first expectation that does not hold. An unexpected 5xx is `server_error`; any other
/// deviation, an unexpected 4xx too, is `assertion`: the probe knows what it asked for, so a 4xx is
/// no client's fault here.
pub(crate) fn check(
    expect: &Expect,
    received: &Received<'_>,
    templates: &Templates,
) -> Result<(), Failure> {
    status(expect, received.answer.status.as_u16())?;
    rest(expect, received, templates).map_err(Failure::assertion)
}

fn status(expect: &Expect, came: u16) -> Result<(), Failure> {
    let expected = if expect.status.is_empty() {
        if came < 400 {
            return Ok(());
        }
        "a status below 400".to_owned()
    } else {
        if expect.status.contains(&came) {
            return Ok(());
        }
        format!("status {}", ranges(&expect.status))
    };
    let outcome = if came >= 500 { Outcome::ServerError } else { Outcome::Assertion };
    Err(Failure { outcome, message: format!("expected {expected}, got {came}") })
}

fn rest(expect: &Expect, received: &Received<'_>, templates: &Templates) -> Result<(), String> {
    for assertion in &expect.headers {
        value::header(assertion, received, templates)?;
    }
    let text = received.text();
    for part in &expect.body_contains {
        let part = templates.text(&part.0)?;
        if !text.contains(&part) {
            return Err(format!(
                "expected a body that contains {part:?}, got {}",
                received.excerpt(&text)
            ));
        }
    }
    for pattern in &expect.body_matches {
        if !pattern.is_match(&text) {
            return Err(format!(
                "expected a body that matches `{pattern}`, got {}",
                received.excerpt(&text)
            ));
        }
    }
    for assertion in &expect.json {
        value::json(assertion, received, templates)?;
    }
    if let Some(schema) = &expect.json_schema {
        value::json_schema(schema, received)?;
    }
    for assertion in &expect.css {
        value::css(assertion, received, templates)?;
    }
    if let Some(least) = expect.certificate_days_left {
        certificate(least, received.answer.certificate_end)?;
    }
    latency(expect, received)
}

fn certificate(least: u32, end: Option<i64>) -> Result<(), String> {
    let expected = format!("expected a certificate that is valid for {least} days more");
    let Some(end) = end else { return Err(format!("{expected}, got none: there is no TLS")) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    let left = (end - now).div_euclid(86_400);
    if left >= i64::from(least) { Ok(()) } else { Err(format!("{expected}, got one with {left}")) }
}

fn latency(expect: &Expect, received: &Received<'_>) -> Result<(), String> {
    let took = received.phases.latency();
    if let Some(limit) = expect.max_latency.filter(|limit| took > *limit) {
        return Err(format!("expected the answer within {limit:?}, got it after {took:.1?}"));
    }
    let MaxPhases { resolve, connect, tls, processing, transfer } = expect.max_phases;
    let limits = [resolve, connect, tls, processing, transfer];
    for ((phase, took), limit) in received.phases.each().zip(limits) {
        if let Some(limit) = limit.filter(|limit| took > *limit) {
            let phase = phase.as_str();
            return Err(format!("expected at most {limit:?} for {phase}, it took {took:.1?}"));
        }
    }
    Ok(())
}

/// `200`, `200 or 302`, `200 to 499`
fn ranges(statuses: &[u16]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    let mut sorted = statuses.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    for status in sorted {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == status => *end = status,
            _ => runs.push((status, status)),
        }
    }
    let shown: Vec<String> = runs
        .iter()
        .map(|(start, end)| match end - start {
            0 => format!("{start}"),
            1 => format!("{start} or {end}"),
            _ => format!("{start} to {end}"),
        })
        .collect();
    shown.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_in_runs() {
        assert_eq!(ranges(&[201]), "201");
        assert_eq!(ranges(&[302, 200]), "200 or 302");
        assert_eq!(ranges(&(200..500).collect::<Vec<_>>()), "200 to 499");
        assert_eq!(ranges(&[200, 201, 202, 302, 303]), "200 to 202 or 302 or 303");
    }
}
