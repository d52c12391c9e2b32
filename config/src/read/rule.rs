//! Rules for single values of an answer: what stands at a JSONPath, in a header, at a CSS selector.

use crate::net::HeaderName;
use crate::number::{Number, Whole};
use crate::pattern::{AnyJson, CssSelector, JsonPath, JsonTypeName, Pattern, TemplateText};
use crate::probe::{CssAssertion, HeaderAssertion, JsonAssertion, ValueCheck};
use crate::read::names::Names;
use crate::reader::{At, Reader, Span, fault};
use crate::table::table;
use serde_json::Value as Json;

/// The most values that a rule can count.
const MOST: u32 = 1_000_000;

table! {
    /// A rule for the values at a path; without another key, that there is one.
    JsonRuleFile {
        /// JSONPath (RFC 9535).
        @required path: JsonPath,
        /// The value.
        equals: AnyJson,
        /// Regular expression on the value's text.
        matches: Pattern,
        /// true: there is a value; false: there is none.
        exists: bool,
        /// Its type: string, number, integer, boolean, array, object or null.
        r#type: JsonTypeName,
        /// How many values the path selects; of a path that selects one list, its elements.
        count: Whole<0, MOST>,
        /// It is a number below this.
        less: Number,
        /// It is a number above this.
        greater: Number,
    }
}

table! {
    /// A rule for a header; without another key, that it is there.
    HeaderRuleFile {
        /// Its name.
        @required name: HeaderName,
        /// The value.
        equals: String,
        /// Regular expression on the value.
        matches: Pattern,
        /// true: the header is there; false: it is not.
        exists: bool,
    }
}

table! {
    /// A rule for elements of the page; without another key, that there is one.
    CssRuleFile {
        /// CSS selector.
        @required selector: CssSelector,
        /// Look at this attribute instead of the text.
        attribute: String,
        /// The text of an element.
        equals: TemplateText,
        /// Regular expression on the text.
        matches: Pattern,
        /// true: there is such an element; false: there is none.
        exists: bool,
        /// How many elements match.
        count: Whole<0, MOST>,
    }
}

/// The rules that a table can hold, each with the place of its key.
type Rules = Vec<(Span, &'static str, ValueCheck)>;

impl JsonRuleFile {
    pub(crate) fn settle(self, names: &mut Names, reader: &mut Reader) -> Option<JsonAssertion> {
        if let Some(equals) = &self.equals {
            for (span, template) in &equals.value.templates {
                names.check(template, span, reader);
            }
        }
        let mut rules: Rules = Vec::new();
        rules.extend(self.equals.map(|at| (at.key, "equals", ValueCheck::Equals(at.value.value))));
        rules.extend(matches(self.matches));
        rules.extend(exists(self.exists));
        rules.extend(self.r#type.map(|at| (at.key, "type", ValueCheck::Type(at.value.0))));
        rules.extend(count(self.count));
        rules.extend(self.less.map(|at| (at.key, "less", ValueCheck::Less(at.value.0))));
        rules.extend(self.greater.map(|at| (at.key, "greater", ValueCheck::Greater(at.value.0))));
        let check = the_rule(rules, reader)?;
        Some(JsonAssertion { path: self.path?.value.0, check })
    }
}

impl HeaderRuleFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<HeaderAssertion> {
        let equals = |at: At<String>| (at.key, "equals", ValueCheck::Equals(Json::from(at.value)));
        let mut rules: Rules = Vec::new();
        rules.extend(self.equals.map(equals));
        rules.extend(matches(self.matches));
        rules.extend(exists(self.exists));
        let check = the_rule(rules, reader)?;
        Some(HeaderAssertion { name: self.name?.value.0, check })
    }
}

impl CssRuleFile {
    pub(crate) fn settle(self, names: &mut Names, reader: &mut Reader) -> Option<CssAssertion> {
        if let Some(equals) = &self.equals {
            names.check(&equals.value, &equals.span, reader);
        }
        let mut rules: Rules = Vec::new();
        rules.extend(
            self.equals.map(|at| (at.key, "equals", ValueCheck::Equals(at.value.text.into()))),
        );
        rules.extend(matches(self.matches));
        rules.extend(exists(self.exists));
        rules.extend(count(self.count));
        let check = the_rule(rules, reader)?;
        let attribute = self.attribute;
        if let (Some(at), ValueCheck::Count(_)) = (&attribute, &check) {
            let help = "count elements that have it with a selector like \"img[alt]\"";
            return reader.fault(&at.key, fault("what is counted are elements", help));
        }
        Some(CssAssertion {
            selector: self.selector?.value.0,
            attribute: attribute.map(|at| at.value),
            check,
        })
    }
}

fn matches(pattern: Option<At<Pattern>>) -> Option<(Span, &'static str, ValueCheck)> {
    pattern.map(|at| (at.key, "matches", ValueCheck::Matches(at.value.0)))
}

fn exists(switch: Option<At<bool>>) -> Option<(Span, &'static str, ValueCheck)> {
    let check = |there| if there { ValueCheck::Exists } else { ValueCheck::Absent };
    switch.map(|at| (at.key, "exists", check(at.value)))
}

fn count(number: Option<At<Whole<0, MOST>>>) -> Option<(Span, &'static str, ValueCheck)> {
    number.map(|at| (at.key, "count", ValueCheck::Count(at.value.0)))
}

/// The rule of a table: its only one, or that there is something.
fn the_rule(rules: Rules, reader: &mut Reader) -> Option<ValueCheck> {
    one_of(rules, reader).map(|rule| rule.unwrap_or(ValueCheck::Exists))
}

/// The only one, if there is one; `None` where there are several.
pub(crate) fn one_of<T>(
    mut found: Vec<(Span, &'static str, T)>,
    reader: &mut Reader,
) -> Option<Option<T>> {
    found.sort_by_key(|(key, ..)| key.start);
    if let [(_, first, _), (key, second, _), ..] = found.as_slice() {
        let message = format!("'{first}' and '{second}' exclude each other");
        return reader.fault(key, fault(message, "keep one of the two"));
    }
    Some(found.pop().map(|(.., rule)| rule))
}
