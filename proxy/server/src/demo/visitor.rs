//! One user of the shop, as the load plays them.

use http::{HeaderMap, Method, header};
use hyper::body::Bytes;
use serde_json::{Value, json};

/// What a visit does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    Home,
    Product(u64),
    Products,
    LogIn,
    Cart(u64),
}

/// A user with a browser: cookies and a token are kept.
#[derive(Debug, Default)]
pub(super) struct Visitor {
    cookies: Vec<(String, String)>,
    token: Option<String>,
}

impl Errand {
    /// Half look at a product, a fifth at the front page, the others ask the API; `carts` (0 to 1)
    /// of all put something into the cart.
    pub(super) fn draw(dice: &mut fastrand::Rng, carts: f64) -> Errand {
        if dice.f64() < carts {
            return Errand::Cart(dice.u64(1..=8));
        }
        match dice.u32(0..10) {
            0..5 => Errand::Product(dice.u64(1..=8)),
            5..7 => Errand::Home,
            _ => Errand::Products,
        }
    }

    /// Method, path and body; `user` names the one who logs in.
    pub(super) fn request(self, user: usize) -> (Method, String, Value) {
        match self {
            Errand::Home => (Method::GET, "/".to_owned(), Value::Null),
            Errand::Product(number) => (Method::GET, format!("/products/{number}"), Value::Null),
            Errand::Products => (Method::GET, "/api/products".to_owned(), Value::Null),
            Errand::LogIn => {
                let user = format!("user-{user}");
                let body = json!({ "user": user, "password": super::shop::PASSWORD });
                (Method::POST, "/api/login".to_owned(), body)
            }
            Errand::Cart(item) => {
                (Method::POST, "/api/cart".to_owned(), json!({ "item": item, "qty": 1 }))
            }
        }
    }
}

impl Visitor {
    /// What comes first: nobody fills a cart without having logged in.
    pub(super) fn first(&self, errand: Errand) -> Errand {
        match errand {
            Errand::Cart(_) if self.token.is_none() => Errand::LogIn,
            other => other,
        }
    }

    /// The `cookie` and `authorization` headers, where there are any.
    pub(super) fn headers(&self) -> Vec<(header::HeaderName, String)> {
        let mut headers = Vec::new();
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            headers.push((header::COOKIE, pairs.join("; ")));
        }
        if let Some(token) = &self.token {
            headers.push((header::AUTHORIZATION, format!("Bearer {token}")));
        }
        headers
    }

    /// Keeps what an answer hands out.
    pub(super) fn keep(&mut self, errand: Errand, headers: &HeaderMap, body: &Bytes) {
        for line in headers.get_all(header::SET_COOKIE) {
            let pair = line.to_str().ok().and_then(|line| line.split(';').next());
            let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) else { continue };
            let name = name.trim();
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.trim().to_owned()));
        }
        if errand == Errand::LogIn {
            let answer: Option<Value> = serde_json::from_slice(body).ok();
            self.token = answer.and_then(|answer| Some(answer["token"].as_str()?.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_visitor_logs_in_once_and_keeps_the_newest_cookie() {
        let mut visitor = Visitor::default();
        assert_eq!(visitor.first(Errand::Cart(1)), Errand::LogIn);
        let mut headers = HeaderMap::new();
        headers.append(header::SET_COOKIE, HeaderValue::from_static("a=1; Path=/"));
        headers.append(header::SET_COOKIE, HeaderValue::from_static("b=2"));
        visitor.keep(Errand::LogIn, &headers, &Bytes::from_static(b"{\"token\":\"t\"}"));
        headers.clear();
        headers.append(header::SET_COOKIE, HeaderValue::from_static("a=3"));
        visitor.keep(Errand::Home, &headers, &Bytes::new());
        assert_eq!(visitor.first(Errand::Cart(1)), Errand::Cart(1));
        let sent = visitor.headers();
        assert_eq!(sent[0].1, "b=2; a=3");
        assert_eq!(sent[1].1, "Bearer t");
    }
}
