//! Answers that send a client elsewhere.

use crate::path::PathChange;

/// The schemes that a client can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As a URL begins.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port that need not be said.
    pub const fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// Where a client is sent, as far as it differs from where it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Another scheme.
    pub scheme: Option<Scheme>,
    /// Another host, without port.
    pub host: Option<String>,
    /// The port; without it that of the request where scheme and host stay, else the scheme's own.
    pub port: Option<u16>,
    /// Another path.
    pub path: PathChange,
    /// Take the query along.
    pub keep_query: bool,
}

/// Where a client came to.
#[derive(Debug, Clone, Copy)]
pub struct Visited<'r> {
    /// How.
    pub scheme: Scheme,
    /// What it called us, with a port if it said one; empty if it did not say.
    pub host: &'r str,
    /// The path.
    pub path: &'r str,
    /// What stands after the `?`, if anything.
    pub query: Option<&'r str>,
}

impl Redirect {
    /// The same address over TLS, for every method; `port` where it is not 443.
    pub fn to_https(port: Option<u16>) -> Redirect {
        Redirect {
            status: 308,
            scheme: Some(Scheme::Https),
            host: None,
            port,
            path: PathChange::None,
            keep_query: true,
        }
    }

    /// The `location` for a client that came to `visited`.
    pub fn location(&self, visited: &Visited<'_>) -> String {
        let mut location = String::with_capacity(96);
        let (name, port) = split_port(visited.host);
        let scheme = self.scheme.unwrap_or(visited.scheme);
        let host = self.host.as_deref().unwrap_or(name);
        if !host.is_empty() {
            location.push_str(scheme.as_str());
            location.push_str("://");
            location.push_str(host);
            let stays = scheme == visited.scheme && self.host.is_none();
            let port = self.port.or(port.filter(|_| stays));
            if let Some(port) = port.filter(|port| *port != scheme.port()) {
                location.push(':');
                location.push_str(&port.to_string());
            }
        }
        let path = self.path.of(visited.path);
        if host.is_empty() || !path.starts_with('/') {
            location.push('/'); // never `//name`, which would be a host
            location.push_str(path.trim_start_matches('/'));
        } else {
            location.push_str(&path);
        }
        if let Some(query) = visited.query.filter(|_| self.keep_query) {
            location.push('?');
            location.push_str(query);
        }
        location
    }
}

/// Host and port; an IPv6 address keeps its brackets.
fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            (name, port.parse().ok())
        }
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn visited(host: &'static str) -> Visited<'static> {
        Visited { scheme: Scheme::Http, host, path: "/a/b", query: Some("q=1") }
    }

    fn stay() -> Redirect {
        Redirect { scheme: None, status: 302, ..Redirect::to_https(None) }
    }

    #[test]
    fn https_has_the_same_address_on_its_own_port() {
        for (port, host, expect) in [
            (None, "shop.test", "https://shop.test/a/b?q=1"),
            (None, "shop.test:8080", "https://shop.test/a/b?q=1"),
            (Some(8443), "shop.test:8080", "https://shop.test:8443/a/b?q=1"),
            (Some(443), "shop.test", "https://shop.test/a/b?q=1"),
            (Some(8443), "[::1]:8080", "https://[::1]:8443/a/b?q=1"),
            (None, "[::1]", "https://[::1]/a/b?q=1"),
        ] {
            assert_eq!(Redirect::to_https(port).location(&visited(host)), expect);
        }
    }

    #[test]
    fn what_is_not_said_stays() {
        let at = visited("shop.test:8080");
        assert_eq!(stay().location(&at), "http://shop.test:8080/a/b?q=1");
        let moved = Redirect { host: Some("www.shop.test".to_owned()), ..stay() };
        assert_eq!(moved.location(&at), "http://www.shop.test/a/b?q=1");
        let path = PathChange::Prefix { from: "/a".to_owned(), to: "/new".to_owned() };
        let moved = Redirect { path, keep_query: false, ..stay() };
        assert_eq!(moved.location(&at), "http://shop.test:8080/new/b");
    }

    #[test]
    fn a_path_is_never_taken_for_a_host() {
        let at = Visited { host: "", path: "//evil.test/x", query: None, ..visited("") };
        assert_eq!(stay().location(&at), "/evil.test/x");
    }

    proptest! {
        #[test]
        fn the_client_stays_with_the_host_it_named(path in "/[a-z/@:.]{0,12}") {
            let at = Visited { path: &path, ..visited("shop.test") };
            let location = Redirect::to_https(None).location(&at);
            prop_assert!(location.starts_with("https://shop.test/"), "{}", location);
        }
    }
}
