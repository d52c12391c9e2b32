//! A text within another, whichever of its characters are encoded there: as HTML entities, by percent, or
//! behind backslashes, one for each string that is within a string.

use std::borrow::Cow;
use web_atoms::NAMED_ENTITIES;

/// The longest name of a character in HTML, `&CounterClockwiseContourIntegral;`, in bytes.
const LONGEST: usize = 33;

/// The text with every `value` in it, which is not empty, replaced. Libraries do not agree on what they
/// escape, and how: an apostrophe is `'`, `&#39;`, `&#x27;`, `&#039;`, `&apos;`, `%27`, `\'` or `\u0027`.
pub(crate) fn replace<'a>(text: &'a str, value: &str, with: &str) -> Cow<'a, str> {
    let Some(first) = value.chars().next() else { return Cow::Borrowed(text) };
    let (mut replaced, mut rest) = (Cow::Borrowed(""), text);
    // Where an encoded character may begin.
    while let Some(at) = rest.find([first, '&', '%', '\\', '+']) {
        let (before, here) = rest.split_at(at);
        if let Some(after) = here.strip_prefix(value).or_else(|| behind(here, value)) {
            let replaced = replaced.to_mut();
            replaced.push_str(before);
            replaced.push_str(with);
            rest = after;
        } else {
            let begin = before.len() + here.chars().next().map_or(0, char::len_utf8);
            replaced.to_mut().push_str(&rest[..begin]);
            rest = &rest[begin..];
        }
    }
    if replaced.is_empty() {
        return Cow::Borrowed(text);
    }
    replaced.to_mut().push_str(rest);
    replaced
}

/// What follows `value` in a text that begins with it, encoded.
fn behind<'a>(text: &'a str, value: &str) -> Option<&'a str> {
    let mut rest = text;
    for c in value.chars() {
        rest = match entity(rest) {
            Some((meant, after)) if meant == c => after,
            _ => percent(rest, c)
                .or_else(|| escaped(rest, c))
                .or_else(|| rest.strip_prefix('+').filter(|_| c == ' '))
                .or_else(|| rest.strip_prefix(c))?,
        };
    }
    Some(rest)
}

/// What follows `c` where it is written as `%C3%A9`, in digits of either case.
fn percent(text: &str, c: char) -> Option<&str> {
    let mut rest = text;
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        let (digits, after) = rest.strip_prefix('%')?.split_at_checked(2)?;
        if u8::from_str_radix(digits, 16).ok()? != byte {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// What follows `c` where it is written behind backslashes: one for JSON, more for JSON within JSON.
fn escaped(text: &str, c: char) -> Option<&str> {
    let bare = behind_backslashes(text)?;
    if c == '\\' {
        return Some(bare);
    }
    let letter = match c {
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        c => c,
    };
    if !c.is_alphanumeric()
        && let Some(after) = bare.strip_prefix(letter)
    {
        return Some(after);
    }
    let mut rest = text;
    for unit in c.encode_utf16(&mut [0; 2]) {
        let (digits, after) = behind_backslashes(rest)?.strip_prefix('u')?.split_at_checked(4)?;
        if u16::from_str_radix(digits, 16).ok()? != *unit {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

fn behind_backslashes(text: &str) -> Option<&str> {
    let bare = text.trim_start_matches('\\');
    (bare.len() < text.len()).then_some(bare)
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
    fn a_text_that_looks_encoded_itself_is_found() {
        for value in ["%25", "&amp;", "a\\nb", "+"] {
            assert_eq!(replace(&format!("x{value}y"), value, "*"), "x*y");
        }
    }

    #[test]
    fn what_only_begins_like_it_stays() {
        for page in ["a&#39;", "&amp;lt;", "&", "&;", "&#39", "ä&auml"] {
            assert_eq!(replace(page, "a'<", "*"), page);
        }
    }
}
