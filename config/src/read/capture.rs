//! What a step keeps of an answer for later steps.

use crate::net::HeaderName;
use crate::pattern::{CssSelector, JsonPath, Pattern};
use crate::probe::Capture;
use crate::read::rule::one_of;
use crate::reader::{Reader, Span, fault};
use crate::table::table;

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
