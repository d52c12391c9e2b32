//! What else than host and path a route asks of a request: its method, headers and query.

use http::{HeaderMap, HeaderName, Method};

/// What must hold besides host and path; all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// One of these; empty is any method.
    pub methods: Vec<Method>,
    /// All of these.
    pub headers: Vec<HeaderCondition>,
    /// All of these.
    pub queries: Vec<QueryCondition>,
}

/// Something of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderCondition {
    /// Its name.
    pub name: HeaderName,
    /// What holds for one of its values.
    pub check: ValueCheck,
}

/// Something of a parameter of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryCondition {
    /// Its name, as it reads without percent-encoding.
    pub name: String,
    /// What holds for one of its values.
    pub check: ValueCheck,
}

/// What is asked of a value.
#[derive(Debug, Clone)]
pub enum ValueCheck {
    /// It is there.
    Exists,
    /// It is not.
    Absent,
    /// It is this.
    Equals(String),
    /// The regular expression is found in it.
    Matches(regex::Regex),
}

impl PartialEq for ValueCheck {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (ValueCheck::Exists, ValueCheck::Exists) | (ValueCheck::Absent, ValueCheck::Absent) => {
                true
            }
            (ValueCheck::Equals(one), ValueCheck::Equals(two)) => one == two,
            (ValueCheck::Matches(one), ValueCheck::Matches(two)) => one.as_str() == two.as_str(),
            _ => false,
        }
    }
}

impl Eq for ValueCheck {}

/// What conditions look at.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'r> {
    /// The method.
    pub method: &'r Method,
    /// All headers.
    pub headers: &'r HeaderMap,
    /// What stands after the `?`, if anything.
    pub query: Option<&'r str>,
}

impl Conditions {
    /// Whether nothing is asked.
    pub fn are_none(&self) -> bool {
        self.methods.is_empty() && self.headers.is_empty() && self.queries.is_empty()
    }

    /// Whether all of them hold.
    pub fn hold(&self, asked: &Asked<'_>) -> bool {
        (self.methods.is_empty() || self.methods.contains(asked.method))
            && self.headers.iter().all(|header| header.holds(asked.headers))
            && self.queries.iter().all(|query| query.holds(asked.query.unwrap_or_default()))
    }

    /// Whether there is a request that meets both and nothing says which of the two is meant: the
    /// same headers and query, and a method in common.
    pub(crate) fn claim_what(&self, other: &Conditions) -> bool {
        let same_method = match (self.methods.is_empty(), other.methods.is_empty()) {
            (true, true) => true,
            (false, false) => self.methods.iter().any(|method| other.methods.contains(method)),
            _ => false,
        };
        same_method
            && are_the_same(&self.headers, &other.headers)
            && are_the_same(&self.queries, &other.queries)
    }

    /// Their place among others, greatest first: with a method, then more headers, then more of the
    /// query, then more values that are said in full.
    pub(crate) fn rank(&self) -> (bool, usize, usize, usize) {
        let checks = self.headers.iter().map(|header| &header.check);
        let checks = checks.chain(self.queries.iter().map(|query| &query.check));
        let in_full = checks.filter(|check| matches!(check, ValueCheck::Equals(_))).count();
        (!self.methods.is_empty(), self.headers.len(), self.queries.len(), in_full)
    }
}

/// Whether both hold the same, in whatever order.
fn are_the_same<T: PartialEq>(one: &[T], two: &[T]) -> bool {
    one.iter().all(|condition| two.contains(condition))
        && two.iter().all(|condition| one.contains(condition))
}

impl HeaderCondition {
    fn holds(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.name).iter();
        match &self.check {
            ValueCheck::Exists => values.next().is_some(),
            ValueCheck::Absent => values.next().is_none(),
            ValueCheck::Equals(wanted) => values.any(|value| value.as_bytes() == wanted.as_bytes()),
            ValueCheck::Matches(regex) => {
                values.any(|value| value.to_str().is_ok_and(|value| regex.is_match(value)))
            }
        }
    }
}

impl QueryCondition {
    fn holds(&self, query: &str) -> bool {
        let mut values = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(|(name, _)| decoded(name).eq(self.name.bytes()))
            .map(|(_, value)| value);
        match &self.check {
            ValueCheck::Exists => values.next().is_some(),
            ValueCheck::Absent => values.next().is_none(),
            ValueCheck::Equals(wanted) => values.any(|value| decoded(value).eq(wanted.bytes())),
            ValueCheck::Matches(regex) => values.any(|value| {
                let bytes: Vec<u8> = decoded(value).collect();
                std::str::from_utf8(&bytes).is_ok_and(|value| regex.is_match(value))
            }),
        }
    }
}

/// The bytes that a part of a query stands for: `%41` is `A`, `+` a space.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut bytes = text.bytes();
    std::iter::from_fn(move || {
        let byte = bytes.next()?;
        if byte == b'+' {
            return Some(b' ');
        }
        if byte != b'%' {
            return Some(byte);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let mut ahead = bytes.clone();
        match (ahead.next().and_then(digit), ahead.next().and_then(digit)) {
            (Some(high), Some(low)) => {
                bytes = ahead;
                Some((high * 16 + low) as u8)
            }
            _ => Some(byte), // a lone per cent sign stands for itself
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(name: &str, check: ValueCheck) -> QueryCondition {
        QueryCondition { name: name.to_owned(), check }
    }

    #[test]
    fn a_query_is_compared_as_it_reads() {
        let equals = |value: &str| query("a b", ValueCheck::Equals(value.to_owned()));
        for (text, value, holds) in [
            ("a+b=1", "1", true),
            ("x=1&a%20b=1", "1", true),
            ("a%20b=2&a%20b=1", "1", true),
            ("a%20b=%C3%A4", "ä", true),
            ("a+b", "", true),
            ("a+b=1%", "1%", true),
            ("ab=1", "1", false),
            ("", "1", false),
        ] {
            assert_eq!(equals(value).holds(text), holds, "{text}");
        }
        assert!(query("v", ValueCheck::Exists).holds("u&v"));
        assert!(query("v", ValueCheck::Absent).holds("u=v"));
        let matches = ValueCheck::Matches(regex::Regex::new("^[0-9]+$").unwrap());
        assert!(query("v", matches.clone()).holds("v=x&v=17"));
        assert!(!query("v", matches).holds("v=x"));
    }

    #[test]
    fn one_of_several_values_of_a_header_is_enough() {
        let mut headers = HeaderMap::new();
        headers.append("x-group", "a".parse().unwrap());
        headers.append("x-group", "beta-7".parse().unwrap());
        let condition = |check| HeaderCondition { name: HeaderName::from_static("x-group"), check };
        assert!(condition(ValueCheck::Equals("a".to_owned())).holds(&headers));
        assert!(!condition(ValueCheck::Equals("beta".to_owned())).holds(&headers));
        let regex = regex::Regex::new("^beta-").unwrap();
        assert!(condition(ValueCheck::Matches(regex)).holds(&headers));
        assert!(condition(ValueCheck::Exists).holds(&headers));
        assert!(!condition(ValueCheck::Absent).holds(&headers));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_found(value in "\\PC{0,12}") {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let condition = query("v", ValueCheck::Equals(value));
            let text = format!("v={encoded}");
            prop_assert!(condition.holds(&text));
        }
    }
}
