//! What else than host and path a route asks: `[[route.NAME.header]]`, `[[route.NAME.query]]`, methods.

use crate::net::HeaderName;
use crate::pattern::Pattern;
use crate::read::rule::one_of;
use crate::reader::{At, Fault, Reader, Span, Text, fault};
use crate::table::table;
use serinus_routing::{HeaderCondition, QueryCondition, ValueCheck};

table! {
    /// A header that must hold; without another key, that it is there.
    RouteHeaderFile {
        /// Its name.
        @required name: HeaderName,
        /// The value.
        equals: String,
        /// Regular expression that is found in the value.
        matches: Pattern,
        /// true: the header is there; false: it is not.
        exists: bool,
    }
}

table! {
    /// A parameter of the query that must hold; without another key, that it is there.
    RouteQueryFile {
        /// Its name, without percent-encoding.
        @required name: String,
        /// The value, without percent-encoding.
        equals: String,
        /// Regular expression that is found in the value.
        matches: Pattern,
        /// true: the parameter is there; false: it is not.
        exists: bool,
    }
}

/// The name of a method, in capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MethodName(pub(crate) http::Method);

impl Text for MethodName {
    const WHAT: &'static str = "a method";
    const EXAMPLE: &'static str = "\"GET\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let shown = text.escape_debug();
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let help = format!("write \"{}\"", text.to_ascii_uppercase());
            return Err(fault(format!("\"{shown}\" would never match as it is written"), help));
        }
        match http::Method::from_bytes(text.as_bytes()) {
            Ok(http::Method::TRACE | http::Method::CONNECT) => {
                Err(fault(format!("{shown} requests are refused"), "leave it out"))
            }
            Ok(method) => Ok(MethodName(method)),
            Err(_) => Err(fault(format!("\"{shown}\" is not a method"), "write one like \"GET\"")),
        }
    }
}

impl RouteHeaderFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<HeaderCondition> {
        let check = check(self.equals, self.matches, self.exists, reader)?;
        let name = http::HeaderName::from_bytes(self.name?.value.0.as_bytes()).ok()?;
        Some(HeaderCondition { name, check })
    }
}

impl RouteQueryFile {
    pub(crate) fn settle(self, reader: &mut Reader) -> Option<QueryCondition> {
        let check = check(self.equals, self.matches, self.exists, reader)?;
        Some(QueryCondition { name: self.name?.value, check })
    }
}

fn check(
    equals: Option<At<String>>,
    matches: Option<At<Pattern>>,
    exists: Option<At<bool>>,
    reader: &mut Reader,
) -> Option<ValueCheck> {
    let mut checks: Vec<(Span, &'static str, ValueCheck)> = Vec::new();
    checks.extend(equals.map(|at| (at.key, "equals", ValueCheck::Equals(at.value))));
    checks.extend(matches.map(|at| (at.key, "matches", ValueCheck::Matches(at.value.0))));
    checks.extend(exists.map(|at| {
        (at.key, "exists", if at.value { ValueCheck::Exists } else { ValueCheck::Absent })
    }));
    one_of(checks, reader).map(|check| check.unwrap_or(ValueCheck::Exists))
}

/// The methods; none where a list is wrong.
pub(crate) fn methods(
    methods: Option<At<Vec<At<MethodName>>>>,
    reader: &mut Reader,
) -> Option<Vec<http::Method>> {
    let Some(methods) = methods else { return Some(Vec::new()) };
    if methods.value.is_empty() {
        let help = "leave out 'methods' to match every method";
        return reader.fault(&methods.span, fault("no method matches an empty list", help));
    }
    Some(methods.value.into_iter().map(|method| method.value.0).collect())
}
