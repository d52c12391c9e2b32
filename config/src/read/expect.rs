//! What a step expects to come back.

use crate::collection::OneOrMany;
use crate::number::{Length, Whole};
use crate::pattern::{
    CssSelector, JsonPath, JsonSchemaDocument, Pattern, StatusCodes, TemplateText,
};
use crate::probe::{Differences, Expect, MaxPhases, Template};
use crate::read::names::Names;
use crate::read::rule::{CssRuleFile, HeaderRuleFile, JsonRuleFile};
use crate::reader::{At, Read, Reader, Value};
use crate::table::table;
use serde_json::Value as Json;
use std::time::Duration;

table! {
    /// What must come back.
    ExpectFile {
        /// Status code, class ("2xx") or range ("200-299"), or several; by default anything below 400.
        status: OneOrMany<StatusCodes>,
        /// Longest time of the step, from connect to the last byte.
        max_latency: Length,
        /// Longest times of parts of it.
        max_phases: MaxPhasesFile,
        /// Text in the body, or several texts that all are there.
        body_contains: OneOrMany<TemplateText>,
        /// Regular expression on the body, or several that all match.
        body_matches: OneOrMany<Pattern>,
        /// Rules for values of a JSON body.
        json: Vec<At<JsonRuleFile>>,
        /// JSON Schema, written as TOML, of the whole body.
        json_schema: JsonSchemaDocument,
        /// Rules for elements of an HTML page.
        css: Vec<At<CssRuleFile>>,
        /// Rules for headers.
        header: Vec<At<HeaderRuleFile>>,
        /// Days for which the endpoint's certificate must stay valid, at least. For services with TLS.
        certificate_days_left: Whole<1, 3650>,
        /// true, or what may differ: the canary's body is stable's.
        same_as_stable: SameAsStable,
    }
}

table! {
    /// Longest times of a step's phases.
    MaxPhasesFile {
        /// Name to address.
        resolve: Length,
        /// TCP.
        connect: Length,
        /// TLS handshake.
        tls: Length,
        /// From the request to the end of the answer's header.
        processing: Length,
        /// From there to the last byte of the body.
        transfer: Length,
    }
}

table! {
    /// What may differ between two right answers to the same request.
    DifferencesFile {
        /// JSONPaths (RFC 9535) of values, one or several.
        json: OneOrMany<JsonPath>,
        /// CSS selectors of elements, one or several.
        css: OneOrMany<CssSelector>,
        /// Regular expressions on the text, one or several.
        matches: OneOrMany<Pattern>,
    }
}

/// `true`, `false`, or a table of what may differ.
#[derive(Debug)]
pub(crate) struct SameAsStable(Option<Differences>);

impl Read for SameAsStable {
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if let Some(switch) = value.get_ref().as_bool() {
            return Some(SameAsStable(switch.then(Differences::default)));
        }
        if value.get_ref().as_table().is_none() {
            let help = "write true, or what may differ: { json = \"$.time\", css = \".csrf\" }";
            return reader.wrong_type(value, "true or a table", help);
        }
        let file = DifferencesFile::read(value, reader)?;
        Some(SameAsStable(Some(Differences {
            json: many(file.json).into_iter().map(|at| at.value.0).collect(),
            css: many(file.css).into_iter().map(|at| at.value.0).collect(),
            patterns: many(file.matches).into_iter().map(|at| at.value.0).collect(),
        })))
    }

    fn schema() -> Json {
        serde_json::json!({ "anyOf": [{ "type": "boolean" }, DifferencesFile::schema()] })
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
        let json = rules(self.json, |rule| rule.settle(names, reader));
        let css = rules(self.css, |rule| rule.settle(names, reader));
        let headers = rules(self.header, |rule| rule.settle(reader));
        Some(Expect {
            status: many(self.status).into_iter().flat_map(|at| at.value.0).collect(),
            max_latency: self.max_latency.map(|at| at.value.0),
            max_phases: self.max_phases.map(|at| at.value.settle()).unwrap_or_default(),
            body_contains: texts.into_iter().map(|at| Template(at.value.text)).collect(),
            body_matches: many(self.body_matches).into_iter().map(|at| at.value.0).collect(),
            json: json?,
            json_schema: self.json_schema.map(|at| at.value.0),
            css: css?,
            headers: headers?,
            certificate_days_left: self.certificate_days_left.map(|at| at.value.0),
            same_as_stable: self.same_as_stable.and_then(|at| at.value.0),
        })
    }
}

impl MaxPhasesFile {
    fn settle(self) -> MaxPhases {
        let limit = |at: Option<At<Length>>| at.map(|at| at.value.0);
        MaxPhases {
            resolve: limit(self.resolve),
            connect: limit(self.connect),
            tls: limit(self.tls),
            processing: limit(self.processing),
            transfer: limit(self.transfer),
        }
    }
}

fn many<T>(values: Option<At<OneOrMany<T>>>) -> Vec<At<T>> {
    values.map(|at| at.value.0).unwrap_or_default()
}

/// Every rule of a list; `None` if one is wrong, after all were looked at.
fn rules<F, R>(list: Option<At<Vec<At<F>>>>, settle: impl FnMut(F) -> Option<R>) -> Option<Vec<R>> {
    let rules = list.map(|at| at.value).unwrap_or_default().into_iter().map(|rule| rule.value);
    let settled: Vec<Option<R>> = rules.map(settle).collect();
    settled.into_iter().collect()
}
