//! Who may ask what: the token, and browsers that were sent here by a foreign page.

use super::failure::Failure;
use axum::http::{HeaderMap, Method, StatusCode, header};

/// Paths that load balancers ask: they tell nothing but whether requests are answered.
const OPEN: [&str; 2] = ["/healthz", "/ready"];

/// The rules of one admin listener.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// Bearer token; none where everybody on this machine may ask.
    pub(super) token: Option<String>,
    /// Whether it listens on a loopback address.
    pub(super) loopback: bool,
}

impl Guard {
    /// These rules with the token of the configuration in force. Off loopback a reload can change
    /// the token, but not remove it.
    pub(super) fn with_token(&self, token: Option<&str>) -> Guard {
        let before = self.token.clone().filter(|_| !self.loopback);
        Guard { token: token.map(str::to_owned).or(before), loopback: self.loopback }
    }

    /// Lets a request pass or says why not.
    pub(super) fn check(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Failure> {
        if OPEN.contains(&path) {
            return Ok(());
        }
        let host = text(headers, header::HOST).unwrap_or_default();
        // A page of a foreign name that resolves to 127.0.0.1 sends that name as Host.
        if self.loopback && !is_local(host) {
            return Err(Failure::new(
                StatusCode::FORBIDDEN,
                format!("host '{host}' is not this machine"),
                "ask for 127.0.0.1, [::1] or localhost",
            ));
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            same_site(headers, host)?;
        }
        // The page itself holds no data; it asks for the token and sends it with every call.
        if path == "/" {
            return Ok(());
        }
        match &self.token {
            Some(token) if !bears(headers, token) => Err(Failure::new(
                StatusCode::UNAUTHORIZED,
                "a token is required",
                "send 'Authorization: Bearer TOKEN' (admin.token of the configuration); on the command line set SERINUS_ADMIN_TOKEN or --config",
            )),
            _ => Ok(()),
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// A browser says where a request comes from; other clients say nothing.
fn same_site(headers: &HeaderMap, host: &str) -> Result<(), Failure> {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    let site_is_ours = matches!(site, None | Some(b"same-origin" | b"none"));
    let origin_is_ours = match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host)),
    };
    if site_is_ours && origin_is_ours {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        "a page of another site may not change anything here",
        "use the dashboard at this address, or the command line",
    ))
}

fn bears(headers: &HeaderMap, token: &str) -> bool {
    let Some((scheme, given)) =
        text(headers, header::AUTHORIZATION).and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && equal_in_constant_time(given.trim(), token)
}

/// Takes as long for a nearly right token as for a wrong one; only the length shows.
fn equal_in_constant_time(given: &str, token: &str) -> bool {
    let differences = given.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differences) == 0 && given.len() == token.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a request with `headers` and says with what status it is refused; 200 if it passes.
    fn check(guard: &Guard, method: Method, path: &str, headers: &[(&'static str, &str)]) -> u16 {
        let headers = headers
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
        guard.check(&method, path, &headers.collect()).map_or_else(|f| f.status.as_u16(), |()| 200)
    }

    const LOCAL: Guard = Guard { token: None, loopback: true };

    #[test]
    fn a_rebound_name_does_not_reach_a_loopback_listener() {
        for host in ["127.0.0.1:9901", "localhost:9901", "LOCALHOST", "[::1]:9901", "127.9.9.9"] {
            assert_eq!(
                check(&LOCAL, Method::GET, "/api/v1/services", &[("host", host)]),
                200,
                "{host}"
            );
        }
        for host in
            ["evil.example:9901", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::2]"]
        {
            assert_eq!(
                check(&LOCAL, Method::GET, "/api/v1/services", &[("host", host)]),
                403,
                "{host}"
            );
        }
        assert_eq!(check(&LOCAL, Method::GET, "/ready", &[("host", "load-balancer")]), 200);
    }

    #[test]
    fn a_foreign_page_cannot_make_a_browser_post() {
        let post = |headers: &[(&'static str, &str)]| {
            let host = [("host", "127.0.0.1:9901")];
            check(&LOCAL, Method::POST, "/api/v1/services/a/abort", &[&host, headers].concat())
        };
        assert_eq!(post(&[]), 200, "curl and the command line");
        assert_eq!(
            post(&[("origin", "http://127.0.0.1:9901"), ("sec-fetch-site", "same-origin")]),
            200
        );
        assert_eq!(post(&[("origin", "http://evil.example")]), 403);
        assert_eq!(post(&[("origin", "null")]), 403);
        assert_eq!(post(&[("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(post(&[("sec-fetch-site", "same-site")]), 403);
        assert_eq!(
            post(&[("origin", "http://127.0.0.1:8080")]),
            403,
            "another port is another site"
        );
    }

    #[test]
    fn with_a_token_only_health_and_the_empty_page_are_open() {
        let guard = Guard { token: Some("s3cret".into()), loopback: false };
        let get =
            |path: &str, token: &str| check(&guard, Method::GET, path, &[("authorization", token)]);
        for path in ["/healthz", "/ready", "/"] {
            assert_eq!(get(path, ""), 200, "{path}");
        }
        for path in ["/metrics", "/api/v1/services", "/api/v1/events"] {
            assert_eq!(get(path, "Bearer s3cret"), 200, "{path}");
            assert_eq!(get(path, "bearer  s3cret"), 200, "{path}");
            for wrong in ["", "Bearer", "Bearer s3cre", "Bearer s3crets", "Basic s3cret", "s3cret"]
            {
                assert_eq!(get(path, wrong), 401, "{path} {wrong}");
            }
        }
    }
}
