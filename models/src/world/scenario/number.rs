//! Numbers of a scenario file: fixed, or drawn anew for every release.

use super::super::dice::Dice;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use toml::Spanned;

/// Separates what is wrong from what would be right in the messages of this format.
pub(super) const HELP: char = '\u{1f}';

/// A number of the file; lengths of time are in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Number {
    /// `0.2`, `"30s"`, `"forever"`.
    Fixed(f64),
    /// `"onset"`: drawn once for all its places.
    Named(String),
    /// `{ between = [a, b] }`: even.
    Between(Box<[Number; 2]>),
    /// `{ scale = [a, b] }`: even in the logarithm.
    Scale(Box<[Number; 2]>),
    /// `{ one_of = [a, b, ..] }`.
    OneOf(Vec<Number>),
    /// `{ .., times = a, plus = b }`.
    Scaled { of: Box<Number>, times: Box<Number>, plus: Box<Number> },
}

/// Named numbers of a file, by name.
pub(super) type Draws = BTreeMap<String, Spanned<Number>>;

/// The draws of one release.
pub(super) struct Cast<'s> {
    pub(super) dice: Dice,
    draws: &'s Draws,
    drawn: BTreeMap<&'s str, f64>,
}

impl<'s> Cast<'s> {
    pub(super) fn new(draws: &'s Draws, dice: Dice) -> Cast<'s> {
        Cast { dice, draws, drawn: BTreeMap::new() }
    }

    /// The value of a number in this release.
    pub(super) fn draw(&mut self, number: &'s Number) -> f64 {
        match number {
            Number::Fixed(value) => *value,
            Number::Named(name) => match self.drawn.get(name.as_str()) {
                Some(value) => *value,
                None => {
                    let draws = self.draws;
                    let value = draws.get(name).map_or(0.0, |number| self.draw(number.get_ref()));
                    self.drawn.insert(name, value);
                    value
                }
            },
            Number::Between(ends) => {
                let (low, high) = (self.draw(&ends[0]), self.draw(&ends[1]));
                self.dice.between(low, high)
            }
            Number::Scale(ends) => {
                let (low, high) = (self.draw(&ends[0]), self.draw(&ends[1]));
                self.dice.scale(low, high)
            }
            Number::OneOf(choices) => {
                let chosen = self.dice.whole(0, choices.len() - 1);
                self.draw(&choices[chosen])
            }
            Number::Scaled { of, times, plus } => {
                let (of, times) = (self.draw(of), self.draw(times));
                of * times + self.draw(plus)
            }
        }
    }

    /// The value of a number in this release, where the file has one.
    pub(super) fn given(&mut self, number: &'s Option<Spanned<Number>>) -> Option<f64> {
        number.as_ref().map(|number| self.draw(number.get_ref()))
    }
}

/// The least and the greatest value that a number can have, or what is wrong with it.
pub(super) fn range<'s>(
    number: &'s Number,
    draws: &'s Draws,
    within: &mut Vec<&'s str>,
) -> Result<(f64, f64), String> {
    match number {
        Number::Fixed(value) => Ok((*value, *value)),
        Number::Named(name) => {
            let Some(named) = draws.get(name) else {
                let known: Vec<&str> = draws.keys().map(String::as_str).collect();
                let help = super::error::meant(name, &known)
                    .unwrap_or_else(|| format!("add {name} = {{ between = [1, 2] }} to [draw]"));
                return Err(format!("there is no '{name}' in [draw]{HELP}{help}"));
            };
            if within.contains(&name.as_str()) {
                return Err(format!("'{name}' is drawn from itself{HELP}name another draw"));
            }
            within.push(name);
            let range = range(named.get_ref(), draws, within);
            within.pop();
            range
        }
        Number::Between(ends) | Number::Scale(ends) => {
            let (low, _) = range(&ends[0], draws, within)?;
            let (least_end, high) = range(&ends[1], draws, within)?;
            if matches!(number, Number::Scale(_)) && low <= 0.0 {
                let help = "write a lower end above 0, or use between";
                return Err(format!("a scale cannot begin at {low}{HELP}{help}"));
            }
            if !high.is_finite() {
                let help = "write { one_of = [\"forever\", ..] }";
                return Err(format!("nothing can be drawn up to \"forever\"{HELP}{help}"));
            }
            if least_end < low {
                return Err(format!(
                    "{low} is not below {least_end}{HELP}write the smaller one first"
                ));
            }
            Ok((low, high))
        }
        Number::OneOf(choices) => {
            let mut whole = (f64::INFINITY, f64::NEG_INFINITY);
            for choice in choices {
                let (low, high) = range(choice, draws, within)?;
                whole = (whole.0.min(low), whole.1.max(high));
            }
            Ok(whole)
        }
        Number::Scaled { of, times, plus } => {
            let of = range(of, draws, within)?;
            let times = range(times, draws, within)?;
            let plus = range(plus, draws, within)?;
            let ends = [of.0 * times.0, of.0 * times.1, of.1 * times.0, of.1 * times.1];
            if ends.iter().any(|end| end.is_nan()) {
                return Err(format!("\"forever\" cannot be multiplied by 0{HELP}leave times out"));
            }
            let low = ends.iter().copied().fold(f64::INFINITY, f64::min) + plus.0;
            Ok((low, ends.iter().copied().fold(f64::NEG_INFINITY, f64::max) + plus.1))
        }
    }
}

/// Seconds of `"250ms"`, `"1.5s"`, `"1m30s"`, `"24h"`.
fn seconds(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let letters =
            rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        let count: f64 = rest[..digits].parse().ok()?;
        total += count
            * match &rest[digits..digits + letters] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[digits + letters..];
    }
    (!text.is_empty()).then_some(total)
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

/// The keys of a number that is drawn.
const WAYS: &[&str] = &["between", "scale", "one_of", "draw", "times", "plus"];

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a number, a duration like "30s", a name of [draw] or { between = [1, 2] }"#)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number::Fixed(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
        if value.is_finite() {
            return Ok(Number::Fixed(value));
        }
        Err(E::custom(format!(
            "{value} is no amount of anything{HELP}write a number, or \"forever\""
        )))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
        if text == "forever" {
            return Ok(Number::Fixed(f64::INFINITY));
        }
        if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == '-') {
            return Ok(Number::Named(text.to_owned()));
        }
        let help = r#"write "250ms", "30s", "5m", "24h" or "1m30s""#;
        let wrong = || E::custom(format!("\"{text}\" is not a duration{HELP}{help}"));
        seconds(text).map(Number::Fixed).ok_or_else(wrong)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        let (mut kind, mut times, mut plus) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let twice = kind.is_some();
            let read = match key.as_str() {
                "between" => Number::Between(Box::new(map.next_value()?)),
                "scale" => Number::Scale(Box::new(map.next_value()?)),
                "one_of" => Number::OneOf(map.next_value::<Choices>()?.0),
                "draw" => Number::Named(map.next_value()?),
                "times" => {
                    times = Some(map.next_value::<Number>()?);
                    continue;
                }
                "plus" => {
                    plus = Some(map.next_value::<Number>()?);
                    continue;
                }
                other => {
                    return Err(de::Error::unknown_field(other, WAYS));
                }
            };
            if twice {
                let message = format!("a number is drawn in one way only{HELP}leave {key} out");
                return Err(de::Error::custom(message));
            }
            kind = Some(read);
        }
        let Some(kind) = kind else {
            let help = "write { between = [1, 2] }, { scale = [1, 2] }, { one_of = [1, 2] } or { draw = \"name\" }";
            return Err(de::Error::custom(format!(
                "this does not say how to draw a number{HELP}{help}"
            )));
        };
        if times.is_none() && plus.is_none() {
            return Ok(kind);
        }
        Ok(Number::Scaled {
            of: Box::new(kind),
            times: Box::new(times.unwrap_or(Number::Fixed(1.0))),
            plus: Box::new(plus.unwrap_or(Number::Fixed(0.0))),
        })
    }
}

/// At least one number.
struct Choices(Vec<Number>);

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Choices, D::Error> {
        let choices = Vec::<Number>::deserialize(deserializer)?;
        if choices.is_empty() {
            let message = format!("there is nothing to choose from{HELP}write [1, 2]");
            return Err(de::Error::custom(message));
        }
        Ok(Choices(choices))
    }
}
