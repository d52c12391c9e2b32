//! User names and passwords (RFC 7617), held against bcrypt hashes.
//!
//! A hash takes a twentieth of a second by design, so it is computed beside the data path, a few at a
//! time, and a password that was right is remembered by a keyed mark that tells nothing about it.

use crate::data_path::rejection::Reason;
use http::header::{AUTHORIZATION, HeaderValue};
use pingora::http::RequestHeader;
use serinus_config::BasicSettings;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Hashes computed at the same time.
const AT_ONCE: usize = 4;
/// Longest wait for one's turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Right passwords that are remembered.
const REMEMBERED: usize = 1024;
/// Longest `Authorization` that is looked at.
const LONGEST: usize = 1024;
/// For users that there are not: they must not be told by how quickly they are refused.
const NOBODY: &str = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

pub(super) struct Passwords {
    users: BTreeMap<String, String>,
    challenge: HeaderValue,
    turns: Arc<Semaphore>,
    /// SipHash with keys of this process.
    marks: RandomState,
    right: Box<[AtomicU64]>,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Passwords {
    pub(super) fn new(settings: &BasicSettings) -> Self {
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", settings.realm);
        Passwords {
            users: settings.users.clone(),
            challenge: HeaderValue::try_from(challenge)
                .unwrap_or_else(|_| HeaderValue::from_static("Basic realm=\"restricted\"")),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            marks: RandomState::new(),
            right: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// What a client is asked for.
    pub(super) fn challenge(&self) -> &HeaderValue {
        &self.challenge
    }

    /// Whether a request names a user and the right password.
    pub(super) async fn check(&self, request: &RequestHeader) -> Result<(), Reason> {
        let field = request.headers.get(AUTHORIZATION).ok_or(Reason::Credentials)?;
        let given = credentials(field.as_bytes()).ok_or(Reason::Credentials)?;
        let mark = self.marks.hash_one(&given).max(1);
        let remembered = &self.right[mark as usize % REMEMBERED];
        if remembered.load(Ordering::Relaxed) == mark {
            return Ok(());
        }
        let (user, password) = given;
        let known = self.users.get(&user);
        let hash = known.map_or(NOBODY, String::as_str).to_owned();
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Reason::Busy) };
        let compared = tokio::task::spawn_blocking(move || {
            let _turn = turn; // kept even where nobody waits for the result any more
            bcrypt::verify(password, &hash).unwrap_or(false)
        });
        if !compared.await.unwrap_or(false) || known.is_none() {
            return Err(Reason::Credentials);
        }
        remembered.store(mark, Ordering::Relaxed);
        Ok(())
    }
}

/// The user name and the password.
fn credentials(field: &[u8]) -> Option<(String, Vec<u8>)> {
    if field.len() > LONGEST {
        return None;
    }
    let (scheme, encoded) = (field.get(..6)?, field.get(6..)?);
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = base64(encoded.trim_ascii())?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

/// RFC 4648, 4, with its padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    for group in text[..text.len() - padding].chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let missing = 4 - group.len();
        let bytes = (bits << (6 * missing)).to_be_bytes();
        decoded.extend_from_slice(&bytes[1..4 - missing]);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        let hash = bcrypt::hash("s3cret:with colon", 4).unwrap();
        let users = [("alice".to_owned(), hash)].into();
        Passwords::new(&BasicSettings { realm: "staff".to_owned(), users })
    }

    fn request(field: Option<&str>) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        if let Some(field) = field {
            request.insert_header(AUTHORIZATION, field).unwrap();
        }
        request
    }

    #[test]
    fn base64_is_read_exactly() {
        for (text, bytes) in
            [("", ""), ("YQ==", "a"), ("YWI=", "ab"), ("YWJj", "abc"), ("YWJjZA==", "abcd")]
        {
            assert_eq!(base64(text.as_bytes()), Some(bytes.as_bytes().to_vec()), "{text}");
        }
        for bad in ["YQ", "YQ=", "=YQ=", "Y===", "YW Jj", "YQ==YQ=="] {
            assert_eq!(base64(bad.as_bytes()), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn only_the_right_password_passes() {
        let passwords = passwords();
        // alice:s3cret:with colon
        let right = request(Some("basic YWxpY2U6czNjcmV0OndpdGggY29sb24="));
        assert_eq!(passwords.check(&right).await, Ok(()));
        assert_eq!(passwords.check(&right).await, Ok(())); // remembered
        for wrong in [
            None,
            Some("Basic"),
            Some("Basic !!!!"),
            Some("Bearer YWxpY2U6czNjcmV0OndpdGggY29sb24="),
            Some("Basic YWxpY2U6d3Jvbmc="), // alice:wrong
            Some("Basic Ym9iOnMzY3JldA=="), // bob:s3cret
            Some("Basic YWxpY2U="),         // alice
        ] {
            let answer = passwords.check(&request(wrong)).await;
            assert_eq!(answer, Err(Reason::Credentials), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn the_hash_of_nobody_is_one() {
        assert!(bcrypt::verify("x", NOBODY).is_ok());
    }
}
