//! What a step expects to come back, and what it keeps of it.

use crate::collection::OneOrMany;
use crate::net::HeaderName;
use crate::number::Length;
use crate::pattern::{AnyJson, CssSelector, JsonPath, Pattern, StatusCode, TemplateText};
use crate::probe::{Capture, Expect, HeaderAssertion, JsonAssertion, Template, ValueCheck};
use crate::read::names::Names;
use crate::reader::{At, Reader, Span, fault};
use crate::table::table;
use serde_json::Value as Json;
use std::time::Duration;

table! {
    /// What must come back.
    ExpectFile {
        /// Status code, or several; by default anything below 400.
        status: OneOrMany<StatusCode>,
        /// Longest time of the step, from connect to the last byte.
        max_latency: Length,
        /// Text in the body, or several texts that all are there.
        body_contains: OneOrMany<TemplateText>,
        /// Regular expression on the body, or several that all match.
        body_matches: OneOrMany<Pattern>,
        /// Rules for values of a JSON body.
        json: Vec<At<JsonRuleFile>>,
        /// Rules for headers.
        header: Vec<At<HeaderRuleFile>>,
    }
}

table! {
    /// A rule for the values at a path; without equals, matches and exists, that there is one.
    JsonRuleFile {
        /// JSONPath (RFC 9535).
        @required path: JsonPath,
        /// The value.
        equals: AnyJson,
        /// Regular expression on the value's text.
        matches: Pattern,
        /// true: there is a value.
        exists: bool,
    }
}

table! {
    /// A rule for a header; without equals, matches and exists, that it is there.
    HeaderRuleFile {
        /// Its name.
        @required name: HeaderName,
        /// The value.
        equals: String,
        /// Regular expression on the value.
        matches: Pattern,
        /// true: the header is there.
        exists: bool,
    }
}

table! {
    /// Where a value comes from: exactly one of json, header, cookie, regex, css and status.
    CaptureFile {
        /// JSONPath (RFC 9535): the first value there.
        json: JsonPath,
        /// Name of a response header.
        header: HeaderName,
        /// Name of a cookie that the answer sets.
        cookie: String,
        /// Regular expression on the body: its first group, or the whole match.
        regex: Pattern,
        /// CSS selector: the text of the first element.
        css: CssSelector,
        /// With css: the value of this attribute instead of the text.
        attribute: String,
        /// true: the status code.
        status: bool,
    }
}

impl ExpectFile {
    /// `timeout`: of the whole probe. `names`: known to templates.
    pub(crate) fn settle(
        self,
        timeout: Duration,
        names: &mut Names,
        reader: &mut Reader,
    ) -> Option<Expect> {
        if let Some(latency) = &self.max_latency
            && latency.value.0 > timeout
        {
            reader.warn(&latency.span, "the probe's timeout comes first");
        }
        let texts = many(self.body_contains);
        for text in &texts {
            names.check(&text.value, &text.span, reader);
        }
        let rules = self.json.map(|at| at.value).unwrap_or_default().into_iter().map(|rule| {
            let JsonRuleFile { path, equals, matches, exists, .. } = rule.value;
            let equals = equals.map(|at| At {
                value: at.value.value,
                span: at.span,
                key: at.key,
                given: true,
            });
            Some(JsonAssertion {
                check: check(equals, matches, exists, reader)?,
                path: path?.value.0,
            })
        });
        let json: Vec<_> = rules.collect();
        let rules = self.header.map(|at| at.value).unwrap_or_default().into_iter().map(|rule| {
            let HeaderRuleFile { name, equals, matches, exists, .. } = rule.value;
            let equals = equals.map(|at| At {
                value: Json::from(at.value),
                span: at.span,
                key: at.key,
                given: true,
            });
            Some(HeaderAssertion {
                check: check(equals, matches, exists, reader)?,
                name: name?.value.0,
            })
        });
        let headers: Vec<_> = rules.collect();
        Some(Expect {
            status: many(self.status).into_iter().map(|at| at.value.0).collect(),
            max_latency: self.max_latency.map(|at| at.value.0),
            body_contains: texts.into_iter().map(|at| Template(at.value.text)).collect(),
            body_matches: many(self.body_matches).into_iter().map(|at| at.value.0).collect(),
            json: json.into_iter().collect::<Option<_>>()?,
            headers: headers.into_iter().collect::<Option<_>>()?,
        })
    }
}

fn many<T>(values: Option<At<OneOrMany<T>>>) -> Vec<At<T>> {
    values.map(|at| at.value.0).unwrap_or_default()
}

/// The one rule among the three.
fn check(
    equals: Option<At<Json>>,
    matches: Option<At<Pattern>>,
    exists: Option<At<bool>>,
    reader: &mut Reader,
) -> Option<ValueCheck> {
    if let Some(exists) = exists.as_ref().filter(|exists| !exists.value) {
        let help = "write exists = true, or leave the rule out";
        return reader.fault(&exists.span, fault("a rule cannot ask for what is absent", help));
    }
    let mut rules: Vec<(Span, &str, ValueCheck)> = Vec::new();
    rules.extend(equals.map(|at| (at.key, "equals", ValueCheck::Equals(at.value))));
    rules.extend(matches.map(|at| (at.key, "matches", ValueCheck::Matches(at.value.0))));
    rules.extend(exists.map(|at| (at.key, "exists", ValueCheck::Exists)));
    one_of(rules, reader).map(|rule| rule.unwrap_or(ValueCheck::Exists))
}

/// The only one, if there is one; `None` where there are several.
fn one_of<T>(mut found: Vec<(Span, &str, T)>, reader: &mut Reader) -> Option<Option<T>> {
    found.sort_by_key(|(key, ..)| key.start);
    if let [(_, first, _), (key, second, _), ..] = found.as_slice() {
        let message = format!("'{first}' and '{second}' exclude each other");
        return reader.fault(key, fault(message, "keep one of the two"));
    }
    Some(found.pop().map(|(.., rule)| rule))
}

impl CaptureFile {
    /// `header`: the place of the table.
    pub(crate) fn settle(self, header: &Span, reader: &mut Reader) -> Option<Capture> {
        let attribute = self.attribute;
        if let (Some(attribute), false) = (&attribute, self.present.contains(&"css")) {
            let help = "add css = \"...\": the selector of its element";
            return reader.fault(&attribute.key, fault("an attribute of what?", help));
        }
        if let Some(status) = self.status.as_ref().filter(|status| !status.value) {
            let help = "write status = true to keep the status code";
            return reader.fault(&status.span, fault("this captures nothing", help));
        }
        let mut sources: Vec<(Span, &str, Capture)> = Vec::new();
        sources.extend(self.json.map(|at| (at.key, "json", Capture::Json(at.value.0))));
        sources.extend(self.header.map(|at| (at.key, "header", Capture::Header(at.value.0))));
        sources.extend(self.cookie.map(|at| (at.key, "cookie", Capture::Cookie(at.value))));
        sources.extend(self.regex.map(|at| (at.key, "regex", Capture::Regex(at.value.0))));
        sources.extend(self.css.map(|at| {
            let attribute = attribute.map(|at| at.value);
            (at.key, "css", Capture::Css { selector: at.value.0, attribute })
        }));
        sources.extend(self.status.map(|at| (at.key, "status", Capture::Status)));
        if self.present.is_empty() {
            let help = "write one of json, header, cookie, regex, css, status = true";
            return reader.fault(header, fault("this captures nothing", help));
        }
        one_of(sources, reader)?
    }
}
