//! Did-you-mean.

use crate::reader::{Fault, fault};

/// The candidate that was most likely meant, if any comes near.
pub(crate) fn did_you_mean<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (likeness(&word.to_lowercase(), candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8) // below it suggestions surprise more than they help
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// From 0 to 1. One slip of the finger counts for little, even in a short word.
fn likeness(word: &str, candidate: &str) -> f64 {
    let one_slip = candidate.len() > 2 && strsim::osa_distance(word, candidate) == 1;
    strsim::jaro_winkler(word, candidate).max(if one_slip { 0.9 } else { 0.0 })
}

/// `a, b, c`, or that there is none.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "),
    }
}

/// The variant of that name, or what is wrong and which was meant.
pub(crate) fn choose<T: Clone>(text: &str, variants: &[(&str, T)]) -> Result<T, Fault> {
    if let Some((_, variant)) = variants.iter().find(|(name, _)| *name == text) {
        return Ok(variant.clone());
    }
    let names = variants.iter().map(|(name, _)| *name);
    let help = match did_you_mean(text, names.clone()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => {
            let quoted: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
            format!("write {}", quoted.join(" or "))
        }
    };
    Err(fault(format!("there is no choice \"{text}\" here"), help))
}

/// What to say of a name that leads nowhere.
pub(crate) fn unknown(kind: &str, name: &str, known: &[&str]) -> Fault {
    let help = match did_you_mean(name, known.iter().copied()) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("known {kind}s: {}", listed(known)),
    };
    fault(format!("there is no {kind} '{name}'"), help)
}
