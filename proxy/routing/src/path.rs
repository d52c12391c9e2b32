//! What of a path a route matches, and what it makes of it.

use std::borrow::Cow;

/// What of a path a route matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path, letter by letter.
    Exact(String),
    /// Whole segments: `/api` matches `/api` and `/api/x`, not `/apix`.
    Prefix(String),
    /// A regular expression on the whole path.
    Pattern(PathPattern),
}

impl PathMatch {
    /// Whether the path is one of these.
    pub fn covers(&self, path: &str) -> bool {
        match self {
            PathMatch::Exact(exact) => exact == path,
            PathMatch::Prefix(prefix) => is_below(prefix, path),
            PathMatch::Pattern(pattern) => pattern.regex.is_match(path),
        }
    }

    /// Its place among others, greatest first: an exact path before a regular expression before a
    /// prefix, then the longer text.
    pub(crate) fn rank(&self) -> (u8, usize) {
        match self {
            PathMatch::Exact(exact) => (2, exact.len()),
            PathMatch::Pattern(pattern) => (1, pattern.text.len()),
            PathMatch::Prefix(prefix) => (0, prefix.len()),
        }
    }
}

impl Default for PathMatch {
    /// Every path.
    fn default() -> Self {
        PathMatch::Prefix("/".to_owned())
    }
}

impl std::fmt::Display for PathMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PathMatch::Exact(exact) => write!(f, "path '{exact}'"),
            PathMatch::Prefix(prefix) => write!(f, "path prefix '{prefix}'"),
            PathMatch::Pattern(pattern) => write!(f, "path regex '{}'", pattern.text),
        }
    }
}

/// A regular expression that a whole path must match.
#[derive(Debug, Clone)]
pub struct PathPattern {
    regex: regex::Regex,
    text: String,
}

impl PathPattern {
    /// The pattern of this text.
    ///
    /// # Errors
    /// It is no regular expression.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        regex::Regex::new(text)?; // what it says of a mistake shows the text as it was written
        let regex = regex::Regex::new(&format!("^(?:{text})$"))?;
        Ok(PathPattern { regex, text: text.to_owned() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathPattern {}

/// Whether `path` is `prefix` or lies below it, by whole segments.
fn is_below(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// What becomes of a path on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathChange {
    /// It stays as it is.
    #[default]
    None,
    /// Another one in its place.
    Whole(String),
    /// The segments of `from` at its start become those of `to`; `/` as `to` takes them off.
    Prefix {
        /// What the route matched.
        from: String,
        /// What stands there afterwards.
        to: String,
    },
}

impl PathChange {
    /// The path afterwards. It begins with exactly one `/` where anything was changed, so that
    /// nobody takes its first segment for the name of a host.
    pub fn of<'p>(&'p self, path: &'p str) -> Cow<'p, str> {
        match self {
            PathChange::None => Cow::Borrowed(path),
            PathChange::Whole(whole) => Cow::Borrowed(whole),
            PathChange::Prefix { from, to } => {
                let rest = path.strip_prefix(from.trim_end_matches('/')).unwrap_or(path);
                if rest.is_empty() {
                    return Cow::Borrowed(to);
                }
                let (head, rest) = (to.trim_matches('/'), rest.trim_start_matches('/'));
                let slash = if head.is_empty() { "" } else { "/" };
                Cow::Owned(format!("/{head}{slash}{rest}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changed(from: &str, to: &str, path: &str) -> String {
        let change = PathChange::Prefix { from: from.to_owned(), to: to.to_owned() };
        change.of(path).into_owned()
    }

    #[test]
    fn a_prefix_is_taken_off_or_replaced_by_whole_segments() {
        for (from, to, path, expect) in [
            ("/api", "/", "/api/cart", "/cart"),
            ("/api", "/", "/api", "/"),
            ("/api", "/", "/api/", "/"),
            ("/api/", "/", "/api/cart", "/cart"),
            ("/api", "/v2", "/api/cart/7", "/v2/cart/7"),
            ("/api", "/v2", "/api", "/v2"),
            ("/api", "/v2/", "/api/cart", "/v2/cart"),
            ("/", "/v2", "/cart", "/v2/cart"),
            ("/", "/v2", "/", "/v2/"),
            ("/api", "/", "/api//evil.test/x", "/evil.test/x"),
        ] {
            assert_eq!(changed(from, to, path), expect, "{from} -> {to} on {path}");
        }
        assert_eq!(PathChange::Whole("/new".to_owned()).of("/old/x"), "/new");
        assert_eq!(PathChange::None.of("/old//x"), "/old//x");
    }

    #[test]
    fn a_pattern_matches_the_whole_path() {
        let pattern = PathMatch::Pattern(PathPattern::new("/user/[0-9]+|/me").unwrap());
        for (path, expect) in
            [("/user/7", true), ("/me", true), ("/user/7/x", false), ("/x/me", false), ("/", false)]
        {
            assert_eq!(pattern.covers(path), expect, "{path}");
        }
        assert!(PathPattern::new("/user/[0-9").is_err());
    }

    proptest! {
        #[test]
        fn no_change_makes_a_path_that_names_a_host(
            from in "(/[a-z]{0,3}){1,3}", to in "(/[a-z]{0,3}){1,3}", rest in "(/[a-z./]{0,4}){0,3}",
        ) {
            prop_assume!(!to.starts_with("//"));
            let path = format!("{from}{rest}");
            let after = changed(&from, &to, &path);
            prop_assert!(after.starts_with('/') && !after.starts_with("//"), "{after}");
        }

        #[test]
        fn replacing_a_prefix_by_itself_changes_nothing(rest in "(/[a-z]{1,3}){0,3}") {
            let path = format!("/api{rest}");
            prop_assert_eq!(changed("/api", "/api", &path), path);
        }
    }
}
