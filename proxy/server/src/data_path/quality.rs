//! How much a client likes something, in lists like `Accept` (RFC 9110, 12.4.2).

/// The weight among the parameters of an element, from 0 to 1: 1 where there is none, 0 for one that is no number.
pub(crate) fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let weight = parameters.find_map(|parameter| parameter.trim().strip_prefix("q="));
    weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0))
}
