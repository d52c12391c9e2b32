//! Whether the canary's answer says the same as stable's: a 200 with a wrong price is seen by no other rule.
//!
//! An answer is brought into a normal form in which what may differ is masked. Where the forms of a
//! round differ, stable is asked once more with the same inputs: what differs between two of its own answers is
//! no evidence against the canary, and a hole in the rule that somebody should close.

use crate::received::Received;
use crate::run::ProbeRun;
use scraper::{Html, Selector};
use serde_json::Value;
use serde_json_path::JsonPath;
use serinus_config::Differences;
use serinus_models::Outcome;

/// In place of what may differ.
const MASK: &str = "[may differ]";
/// Characters shown before a difference, and after it.
const BEFORE: usize = 40;
const AFTER: usize = 50;

/// What the answer says, without secrets and what may differ. JSON has its keys in order and no layout.
///
/// # Errors
/// A selector or path that is none; configurations have been checked for that.
pub(crate) fn normal_form(
    received: &Received<'_>,
    may_differ: &Differences,
) -> Result<String, String> {
    let text = match serde_json::from_slice::<Value>(&received.answer.body) {
        Ok(mut value) => {
            mask_json(&mut value, &may_differ.json)?;
            value.to_string()
        }
        Err(_) if may_differ.css.is_empty() => received.text().into_owned(),
        Err(_) => without_elements(&received.text(), &may_differ.css)?,
    };
    let mut text = received.redacted(&text).into_owned();
    for pattern in &may_differ.patterns {
        text = pattern.replace_all(&text, MASK).into_owned();
    }
    Ok(text)
}

fn mask_json(value: &mut Value, paths: &[String]) -> Result<(), String> {
    for path in paths {
        let parsed =
            JsonPath::parse(path).map_err(|error| format!("`{path}` is no path: {error}"))?;
        let places: Vec<String> = parsed
            .query_located(value)
            .iter()
            .map(|node| node.location().to_json_pointer())
            .collect();
        for place in places {
            if let Some(found) = value.pointer_mut(&place) {
                *found = MASK.into();
            }
        }
    }
    Ok(())
}

fn without_elements(text: &str, selectors: &[String]) -> Result<String, String> {
    let mut document = Html::parse_document(text);
    for selector in selectors {
        let parsed = Selector::parse(selector)
            .map_err(|error| format!("`{selector}` is no CSS selector: {error}"))?;
        let found: Vec<_> = document.select(&parsed).map(|element| element.id()).collect();
        for id in found {
            if let Some(mut node) = document.tree.get_mut(id) {
                node.detach();
            }
        }
    }
    Ok(document.html())
}

/// The first step, counted from 0, whose answers ought to be the same and are not.
pub(crate) fn first_difference(one: &ProbeRun, other: &ProbeRun) -> Option<usize> {
    let both = one.steps.iter().zip(&other.steps);
    let differ =
        |(a, b): (&Option<String>, &Option<String>)| matches!((a, b), (Some(a), Some(b)) if a != b);
    both.map(|(a, b)| (&a.normal_form, &b.normal_form)).position(differ)
}

/// What is to be thought of a canary whose answers differ from stable's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The canary says something else than stable does: its run has failed.
    Wrong,
    /// Stable does not say the same twice, in this step counted from 0.
    Noise(usize),
}

/// Judges a difference at `step` by `again`, a second run of stable with the same inputs, and makes it
/// the canary's failure if it is its own.
pub(crate) fn judge(
    step: usize,
    stable: &ProbeRun,
    again: &ProbeRun,
    canary: &mut ProbeRun,
) -> Finding {
    let form = |run: &ProbeRun| run.steps.get(step).and_then(|step| step.normal_form.clone());
    let (expected, repeated, came) = (form(stable), form(again), form(canary));
    let (Some(expected), Some(came)) = (&expected, &came) else { return Finding::Noise(step) };
    if repeated.as_ref() != Some(expected) {
        return Finding::Noise(step);
    }
    canary.steps.truncate(step + 1);
    canary.outcome = Outcome::Assertion;
    if let Some(failed) = canary.steps.last_mut() {
        failed.outcome = Outcome::Assertion;
        let (expected, came) = around_difference(expected, came);
        failed.failure = Some(format!(
            "step {} `{}`: expected the body that stable sends, with `{expected}`, got `{came}`",
            step + 1,
            failed.name
        ));
    }
    Finding::Wrong
}

/// The neighbourhood of the first difference, in both.
fn around_difference(one: &str, other: &str) -> (String, String) {
    let common = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let cut = |text: &str| -> String {
        let near = text.chars().skip(common.saturating_sub(BEFORE)).take(BEFORE + AFTER);
        near.map(|c| if c.is_control() { ' ' } else { c }).collect()
    };
    (cut(one), cut(other))
}
