//! One run's cookies, kept and sent by the browser's rules (RFC 6265, with the public suffix list).

use cookie_store::{CookieStore, RawCookie};
use http::HeaderMap;
use http::header::{HeaderValue, SET_COOKIE};
use url::Url;

/// A jar that starts empty with every run.
#[derive(Default)]
pub(crate) struct Jar {
    store: CookieStore,
    /// Names and values that the answers of the current step have set.
    fresh: Vec<(String, String)>,
}

impl Jar {
    /// A new step begins.
    pub(crate) fn begin_step(&mut self) {
        self.fresh.clear();
    }

    /// Keeps what an answer from `url` sets.
    pub(crate) fn store(&mut self, url: &Url, headers: &HeaderMap) {
        let url = as_users_see(url);
        for text in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let Ok(cookie) = RawCookie::parse(text) else { continue };
            self.fresh.push((cookie.name().to_owned(), cookie.value().to_owned()));
            let Some(cookie) = within_public_suffix(cookie, &url) else { continue };
            // A cookie for another host or path is ignored, as in a browser.
            let _ = self.store.insert_raw(&cookie, &url);
        }
    }

    /// The `Cookie` header for a request to `url`; longer paths first, then by name.
    pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let mut cookies = self.store.matches(&as_users_see(url));
        cookies.sort_by_key(|cookie| {
            let path: &str = cookie.path.as_ref();
            (std::cmp::Reverse(path.len()), cookie.name().to_owned())
        });
        let pairs: Vec<String> =
            cookies.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value())).collect();
        let mut value =
            HeaderValue::from_str(&pairs.join("; ")).ok().filter(|value| !value.is_empty())?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The value of a cookie that the current step's answers have set.
    pub(crate) fn fresh(&self, name: &str) -> Option<&str> {
        self.fresh.iter().rev().find(|(fresh, _)| fresh == name).map(|(_, value)| value.as_str())
    }
}

/// A cookie for everybody below a public suffix (`Domain=co.uk`) is ignored; a site that is such a suffix
/// itself gets it as its own (RFC 6265, 5.3, step 5).
fn within_public_suffix<'c>(mut cookie: RawCookie<'c>, url: &Url) -> Option<RawCookie<'c>> {
    let Some(domain) = cookie.domain() else { return Some(cookie) };
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    let is_address = domain.parse::<std::net::IpAddr>().is_ok();
    if domain.is_empty() || is_address || psl::domain_str(&domain).is_some() {
        return Some(cookie);
    }
    if url.host_str() != Some(domain.as_str()) {
        return None;
    }
    cookie.unset_domain();
    Some(cookie)
}

/// Behind a proxy that ends TLS, an application speaks plain HTTP and sets `Secure` cookies all the
/// same; its users come by https. So the jar sees https whatever is spoken with the endpoint.
fn as_users_see(url: &Url) -> Url {
    let mut url = url.clone();
    // Cannot fail between two schemes of the web; if it did, the URL would stay as it is.
    let _ = url.set_scheme("https");
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(set: &[&'static str]) -> Jar {
        let mut headers = HeaderMap::new();
        for text in set {
            headers.append(SET_COOKIE, HeaderValue::from_static(text));
        }
        let mut jar = Jar::default();
        jar.store(&Url::parse("http://shop.example.com/account/login").unwrap(), &headers);
        jar
    }

    fn sent(jar: &Jar, url: &str) -> Option<String> {
        jar.header(&Url::parse(url).unwrap()).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_go_back_where_they_belong() {
        let jar = jar(&["b=2; Path=/", "a=1; Path=/account", "c=3"]);
        let sent = |path: &str| sent(&jar, &format!("http://shop.example.com{path}"));
        assert_eq!(sent("/account/x").as_deref(), Some("a=1; c=3; b=2"));
        assert_eq!(sent("/other").as_deref(), Some("b=2"));
    }

    #[test]
    fn secure_cookies_are_kept_over_plain_http_upstreams() {
        let jar = jar(&["sid=1; Path=/; Secure; HttpOnly"]);
        assert_eq!(sent(&jar, "http://shop.example.com/").as_deref(), Some("sid=1"));
    }

    #[test]
    fn cookies_for_other_hosts_and_expired_ones_are_not_sent() {
        let jar = jar(&["a=1; Domain=other.example.com", "b=2; Path=/; Max-Age=0"]);
        assert_eq!(sent(&jar, "http://shop.example.com/"), None);
        assert_eq!(jar.fresh("a"), Some("1"), "a capture sees what the answer set");
    }

    #[test]
    fn a_cookie_for_a_public_suffix_is_kept_by_the_suffix_alone() {
        let store = |host: &str, domain: &str| {
            let mut headers = HeaderMap::new();
            let text = format!("a=1; Path=/; Domain={domain}");
            headers.append(SET_COOKIE, HeaderValue::from_str(&text).unwrap());
            let mut jar = Jar::default();
            jar.store(&Url::parse(&format!("http://{host}/")).unwrap(), &headers);
            jar
        };
        for suffix in ["co.uk", ".com", "github.io"] {
            let host = format!("shop.{}", suffix.trim_start_matches('.'));
            let jar = store(&host, suffix);
            assert_eq!(sent(&jar, &format!("http://{host}/")), None, "{suffix}");
        }
        let own = store("localhost", "localhost");
        assert_eq!(sent(&own, "http://localhost/").as_deref(), Some("a=1"));
        assert_eq!(sent(&own, "http://x.localhost/"), None, "for the host alone");
        let wide = store("shop.example.co.uk", "example.co.uk");
        assert_eq!(sent(&wide, "http://www.example.co.uk/").as_deref(), Some("a=1"));
    }
}
