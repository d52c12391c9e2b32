//! The plain form of a path: what most servers make of it before they look for a file.
//!
//! A path that this proxy and the next server read differently leads past the rules of its route.

use super::rejection::Reason;
use serinus_config::{PathForm, ScreeningSettings};

/// The path in the form in which it goes on, if that is another than it came in; or why it does not.
/// `path` is without its query.
pub(crate) fn plain(path: &[u8], screening: &ScreeningSettings) -> Result<Option<Vec<u8>>, Reason> {
    if !could_be_plainer(path) {
        return Ok(None);
    }
    let strict = screening.paths != PathForm::Pass;
    let decoded = decode(path, strict, screening.encoded_slashes)?;
    let plain = without_dots(&decoded)?;
    if plain == path {
        return Ok(None);
    }
    match screening.paths {
        PathForm::Normalize => Ok(Some(plain)),
        PathForm::Reject => Err(Reason::Path),
        PathForm::Pass => Ok(None),
    }
}

/// Quick: most paths have nothing of this.
fn could_be_plainer(path: &[u8]) -> bool {
    path.iter().zip(path.iter().skip(1).chain(std::iter::once(&b' '))).any(|(byte, next)| {
        matches!(byte, b'%' | b'\\') || (*byte == b'/' && matches!(next, b'/' | b'.'))
    })
}

/// Decodes what needs no encoding (RFC 3986, 2.3), and writes what stays encoded in capitals.
fn decode(path: &[u8], strict: bool, encoded_slashes: bool) -> Result<Vec<u8>, Reason> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'\\' && strict {
            return Err(Reason::Path);
        }
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let Some(letter) = after.get(..2).and_then(hex) else {
            if strict {
                return Err(Reason::Path);
            }
            decoded.push(b'%');
            continue;
        };
        rest = &after[2..];
        match letter {
            0 => return Err(Reason::Path),
            b'/' | b'\\' if !encoded_slashes => return Err(Reason::EncodedSlash),
            b'-' | b'.' | b'_' | b'~' => decoded.push(letter),
            letter if letter.is_ascii_alphanumeric() => decoded.push(letter),
            letter => decoded.extend_from_slice(format!("%{letter:02X}").as_bytes()),
        }
    }
    Ok(decoded)
}

/// The byte of two hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(digits[0])? << 4 | digit(digits[1])?) as u8)
}

/// Takes out `.` and `..` and repeated slashes (RFC 3986, 5.2.4).
fn without_dots(path: &[u8]) -> Result<Vec<u8>, Reason> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut is_folder = false;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        is_folder = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop().ok_or(Reason::Path)?;
            }
            segment if hides_dots(segment) => return Err(Reason::Path),
            segment => kept.push(segment),
        }
    }
    let mut plain = Vec::with_capacity(path.len());
    for segment in &kept {
        plain.push(b'/');
        plain.extend_from_slice(segment);
    }
    if is_folder || kept.is_empty() {
        plain.push(b'/');
    }
    Ok(plain)
}

/// Whether some server would see a dot segment in it: behind an encoded slash, or before parameters.
fn hides_dots(segment: &[u8]) -> bool {
    let text = String::from_utf8_lossy(segment).replace("%2F", "/").replace("%5C", "/");
    let mut parts = text.split('/').map(|part| part.split(';').next().unwrap_or_default());
    parts.any(|part| part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: ScreeningSettings = ScreeningSettings {
        paths: PathForm::Normalize,
        encoded_slashes: false,
        underscores: serinus_config::Underscores::Drop,
    };

    fn form(path: &str, screening: &ScreeningSettings) -> Result<String, Reason> {
        let plain = plain(path.as_bytes(), screening)?;
        Ok(plain.map_or(path.to_owned(), |plain| String::from_utf8(plain).unwrap()))
    }

    #[test]
    fn paths_get_their_plain_form() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b.c/d..e/...", "/a/b.c/d..e/..."),
            ("//a///b/", "/a/b/"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/%61dmin/%7euser/%2e/x", "/admin/~user/x"),
            ("/a/%2E%2e/b", "/b"),
            ("/caf%c3%a9%20bar", "/caf%C3%A9%20bar"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a;b=c/d", "/a;b=c/d"),
        ] {
            assert_eq!(form(path, &DEFAULT), Ok(expected.to_owned()), "{path}");
            // The plain form is plain.
            assert_eq!(form(expected, &DEFAULT), Ok(expected.to_owned()), "{path}");
        }
    }

    #[test]
    fn what_has_no_plain_form_is_refused() {
        for (path, reason) in [
            ("/..", Reason::Path),
            ("/a/../../b", Reason::Path),
            ("/%2e%2e/etc", Reason::Path),
            ("/a%00b", Reason::Path),
            ("/a%", Reason::Path),
            ("/a%zz", Reason::Path),
            ("/a%+1", Reason::Path),
            ("/a\\b", Reason::Path),
            ("/a/..;/b", Reason::Path),
            ("/a%2fb", Reason::EncodedSlash),
            ("/a%5Cb", Reason::EncodedSlash),
        ] {
            assert_eq!(form(path, &DEFAULT), Err(reason), "{path}");
        }
    }

    #[test]
    fn encoded_slashes_go_on_where_they_may_but_hide_nothing() {
        let lenient = ScreeningSettings { encoded_slashes: true, ..DEFAULT };
        assert_eq!(form("/@scope%2fname", &lenient), Ok("/@scope%2Fname".to_owned()));
        for path in ["/a%2f..%2fb", "/a%2f..", "/..%5cb", "/a%2f%2e%2e/b", "/a%2f..;x"] {
            assert_eq!(form(path, &lenient), Err(Reason::Path), "{path}");
        }
    }

    #[test]
    fn other_forms_are_refused_or_left_alone_as_asked() {
        let reject = ScreeningSettings { paths: PathForm::Reject, ..DEFAULT };
        assert_eq!(form("/a//b", &reject), Err(Reason::Path));
        assert_eq!(form("/a/b", &reject), Ok("/a/b".to_owned()));
        let pass = ScreeningSettings { paths: PathForm::Pass, encoded_slashes: true, ..DEFAULT };
        for path in ["/a//b", "/a/../b", "/a%2fb", "/%61", "/a\\b", "/a%zz"] {
            assert_eq!(form(path, &pass), Ok(path.to_owned()));
        }
        assert_eq!(form("/../a", &pass), Err(Reason::Path));
    }
}
