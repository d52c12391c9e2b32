//! Who sends a request, as far as cohorts need to know.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};
use serinus_routing::balance::{HashBy, RequestKey};
use serinus_routing::{Bucket, CohortSeed, Sticky};
use std::net::IpAddr;

/// The cookie that names a user. It says nothing of variants or of this software, is readable by
/// the upstream (it is forwarded like any other cookie) and useless to anybody else.
pub(crate) const COOKIE_NAME: &str = "edge-id";

/// How long a browser keeps it: 400 days, the most that browsers allow (RFC 6265bis).
const COOKIE_SECONDS: u32 = 34_560_000;

/// The name of a user who had none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewUser(u128);

impl NewUser {
    pub(crate) fn roll() -> Self {
        NewUser(fastrand::u128(..))
    }

    /// The `set-cookie` that names the user from now on.
    pub(crate) fn set_cookie(self, secure: bool) -> Option<HeaderValue> {
        let secure = if secure { "; Secure" } else { "" };
        let cookie = format!(
            "{COOKIE_NAME}={:032x}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}",
            self.0
        );
        HeaderValue::try_from(cookie).ok()
    }

    fn bucket(self, seed: CohortSeed) -> Bucket {
        // The same bytes as the cookie will bring back: the first request belongs to the cohort too.
        let mut name = [0u8; 32];
        for (at, byte) in name.iter_mut().enumerate() {
            let digit = (self.0 >> (124 - 4 * at)) as u8 & 0xf;
            *byte = if digit < 10 { b'0' + digit } else { b'a' - 10 + digit };
        }
        Bucket::of_key(seed, &name)
    }
}

/// The user's place, and their name if they must be given one.
pub(crate) fn place(
    sticky: &Sticky,
    seed: CohortSeed,
    headers: &HeaderMap,
    client: Option<IpAddr>,
) -> (Bucket, Option<NewUser>) {
    let dice = || Bucket::of_dice(fastrand::u64(..));
    match sticky {
        Sticky::None => (dice(), None),
        Sticky::Cookie => match user_cookie(headers) {
            Some(user) => (Bucket::of_key(seed, user), None),
            None => {
                let user = NewUser::roll();
                (user.bucket(seed), Some(user))
            }
        },
        Sticky::ClientIp => (client.map_or_else(dice, |address| of_address(seed, address)), None),
        Sticky::Header(name) => {
            let user = headers.get(name.as_str()).filter(|value| !value.is_empty());
            (user.map_or_else(dice, |user| Bucket::of_key(seed, user.as_bytes())), None)
        }
    }
}

/// An IPv4 client is the same one over a socket that speaks both.
fn of_address(seed: CohortSeed, address: IpAddr) -> Bucket {
    match address.to_canonical() {
        IpAddr::V4(address) => Bucket::of_key(seed, &address.octets()),
        IpAddr::V6(address) => Bucket::of_key(seed, &address.octets()),
    }
}

/// The value of the user cookie, if the request has one.
pub(crate) fn user_cookie(headers: &HeaderMap) -> Option<&[u8]> {
    cookie(headers, COOKIE_NAME)
}

/// The value of a cookie, if it is there and not empty.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .find_map(|pair| pair.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .map(<[u8]>::trim_ascii_end)
        .filter(|value| !value.is_empty())
}

/// What a request is recognised by where the same must reach the same endpoint.
pub(crate) fn request_key(
    by: &HashBy,
    headers: &HeaderMap,
    client: Option<IpAddr>,
) -> Option<RequestKey> {
    match by {
        HashBy::ClientIp => client.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => RequestKey::of(&address.octets()),
            IpAddr::V6(address) => RequestKey::of(&address.octets()),
        }),
        HashBy::Header(name) => {
            let value = headers.get(name.as_str()).filter(|value| !value.is_empty());
            value.map(|value| RequestKey::of(value.as_bytes()))
        }
        HashBy::Cookie(name) => cookie(headers, name).map(RequestKey::of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|line| (COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn the_user_cookie_is_found_among_others() {
        let found = |lines: &[&str]| user_cookie(&headers(lines)).map(<[u8]>::to_vec);
        assert_eq!(found(&["a=1; edge-id=abc; b=2"]), Some(b"abc".to_vec()));
        assert_eq!(found(&["a=1", "edge-id=x"]), Some(b"x".to_vec()));
        assert_eq!(found(&["my-edge-id=no; edge-idx=no; edge-id="]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_new_user_keeps_the_place_of_the_first_request() {
        let seed = CohortSeed::of_release("shop", "2");
        for _ in 0..100 {
            let (first, user) = place(&Sticky::Cookie, seed, &HeaderMap::new(), None);
            let set = user.unwrap().set_cookie(true).unwrap();
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            let (second, none) = place(&Sticky::Cookie, seed, &headers(&[&pair]), None);
            assert_eq!((first, None), (second, none));
        }
    }

    #[test]
    fn a_client_has_one_place_over_both_families_of_addresses() {
        let seed = CohortSeed::of_release("shop", "2");
        let of = |address: &str| {
            place(&Sticky::ClientIp, seed, &HeaderMap::new(), Some(address.parse().unwrap())).0
        };
        assert_eq!(of("203.0.113.7"), of("::ffff:203.0.113.7"));
        assert_ne!(of("203.0.113.7"), of("203.0.113.8"));
    }

    #[test]
    fn a_header_names_the_user() {
        let seed = CohortSeed::of_release("shop", "2");
        let sticky = Sticky::Header("x-user-id".into());
        let mut headers = HeaderMap::new();
        headers.insert("x-user-id", HeaderValue::from_static("alice"));
        let (place, user) = place(&sticky, seed, &headers, None);
        assert_eq!((place, user), (Bucket::of_key(seed, b"alice"), None));
    }
}
