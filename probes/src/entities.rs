//! A text within HTML, whichever of its characters are written as entities there.

use std::borrow::Cow;
use web_atoms::NAMED_ENTITIES;

/// The longest name of a character in HTML, `&CounterClockwiseContourIntegral;`, in bytes.
const LONGEST: usize = 33;

/// The page with every `value` in it, which is not empty, replaced. Libraries do not agree on what they
/// escape, and how: an apostrophe is `&#39;`, `&#x27;`, `&#039;` or `&apos;`.
pub(crate) fn replace<'a>(html: &'a str, value: &str, with: &str) -> Cow<'a, str> {
    if !html.contains('&') {
        return Cow::Borrowed(html);
    }
    let (mut replaced, mut rest) = (String::with_capacity(html.len()), html);
    while let Some(first) = rest.chars().next() {
        if let Some(after) = behind(rest, value) {
            replaced.push_str(with);
            rest = after;
        } else {
            replaced.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Cow::Owned(replaced)
}

/// What follows `value` in a page that begins with it.
fn behind<'a>(html: &'a str, value: &str) -> Option<&'a str> {
    let mut rest = html;
    for c in value.chars() {
        rest = match entity(rest) {
            Some((meant, after)) if meant == c => after,
            _ => rest.strip_prefix(c)?,
        };
    }
    Some(rest)
}

/// The character that a page begins with, if it is written as an entity, and what follows.
fn entity(html: &str) -> Option<(char, &str)> {
    let inside = html.strip_prefix('&')?;
    let end = inside.bytes().take(LONGEST).position(|byte| byte == b';')? + 1;
    let (name, after) = (inside.get(..end)?, inside.get(end..)?);
    let code = match name.strip_prefix('#').map(|code| code.trim_end_matches(';')) {
        Some(code) => match code.strip_prefix(['x', 'X']) {
            Some(code) => u32::from_str_radix(code, 16).ok()?,
            None => code.parse().ok()?,
        },
        None => match NAMED_ENTITIES.get(name)? {
            (code, 0) => *code,
            // Two characters in one: no library escapes so.
            _ => return None,
        },
    };
    Some((char::from_u32(code)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_it_is_escaped() {
        for written in [
            "a'\"&<ä",
            "a&#39;&quot;&amp;&lt;ä",          // Go, but for its quote
            "a&#x27;&#34;&amp;&lt;ä",          // Python, Go
            "a&#039;&quot;&amp;&lt;&auml;",    // PHP's htmlentities
            "a&apos;&QUOT;&amp;&lt;&#xE4;",    // XML
            "&#97;&#39;&#34;&#38;&#60;&#228;", // everything
        ] {
            let page = format!("x & &amp; {written}; &#x; &nosuch; y");
            let expected = "x & &amp; *; &#x; &nosuch; y";
            assert_eq!(replace(&page, "a'\"&<ä", "*"), expected, "{written}");
        }
    }

    #[test]
    fn what_only_begins_like_it_stays() {
        for page in ["a&#39;", "&amp;lt;", "&", "&;", "&#39", "ä&auml"] {
            assert_eq!(replace(page, "a'<", "*"), page);
        }
    }
}
