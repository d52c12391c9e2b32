//! Words of a scenario file: written, or chosen anew for every release.

use super::super::dice::Dice;
use super::number::HELP;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A word, or `{ one_of = [word, ..] }`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice<T>(Vec<T>);

impl<T: Clone> Choice<T> {
    pub(super) fn words(&self) -> &[T] {
        &self.0
    }

    pub(super) fn draw(&self, dice: &mut Dice) -> T {
        let chosen = if self.0.len() > 1 { dice.whole(0, self.0.len() - 1) } else { 0 };
        self.0[chosen].clone()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Choice<T>, D::Error> {
        deserializer.deserialize_any(ChoiceVisitor(PhantomData))
    }
}

struct ChoiceVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ChoiceVisitor<T> {
    type Value = Choice<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word or { one_of = [\"..\", \"..\"] }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Choice<T>, E> {
        let word: de::value::StrDeserializer<'_, E> = de::IntoDeserializer::into_deserializer(text);
        Ok(Choice(vec![T::deserialize(word)?]))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choice<T>, A::Error> {
        let mut words = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "one_of" {
                return Err(de::Error::unknown_field(&key, &["one_of"]));
            }
            words = Some(map.next_value::<Vec<T>>()?);
        }
        let missing =
            || de::Error::custom(format!("this chooses nothing{HELP}write {{ one_of = [..] }}"));
        words.filter(|words| !words.is_empty()).map(Choice).ok_or_else(missing)
    }
}
