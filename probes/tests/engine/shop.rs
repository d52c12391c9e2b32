//! A small shop: a login form with a CSRF field, a session cookie, a JSON API.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serinus_probes::Target;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) const CSRF: &str = "c5rf+token/=";
pub(crate) const PASSWORD: &str = "hunter 2&more";

/// A request as the shop saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

#[derive(Default)]
struct Books {
    seen: Mutex<Vec<Seen>>,
    /// Answers 500 to everything.
    broken: bool,
    /// What an item costs: `/price` as JSON, `/shelf` as a page.
    price: f64,
    /// Counts answers of `/price`: a field that never says the same twice.
    answered: AtomicU32,
}

/// A running shop; closes when dropped.
pub(crate) struct Shop {
    pub(crate) target: Target,
    books: Arc<Books>,
    _serving: JoinSet<()>,
}

impl Shop {
    pub(crate) async fn open() -> Shop {
        Shop::start(Books { price: 17.5, ..Books::default() }).await
    }

    pub(crate) async fn with_price(price: f64) -> Shop {
        Shop::start(Books { price, ..Books::default() }).await
    }

    pub(crate) async fn broken() -> Shop {
        Shop::start(Books { broken: true, ..Books::default() }).await
    }

    async fn start(books: Books) -> Shop {
        let books = Arc::new(books);
        let router = Router::new().fallback(answer).with_state(books.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::plain(listener.local_addr().unwrap().to_string());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Shop { target, books, _serving: serving }
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.books.seen.lock().unwrap().clone()
    }
}

async fn answer(State(books): State<Arc<Books>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let path = head.uri.path_and_query().unwrap().to_string();
    let seen = Seen { method: head.method, path, headers: head.headers, body };
    books.seen.lock().unwrap().push(seen.clone());
    if books.broken {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    match seen.path.as_str() {
        "/price" => {
            let n = books.answered.fetch_add(1, Ordering::Relaxed);
            let json = serde_json::json!({ "price": books.price, "answered": n });
            ([("content-type", "application/json")], json.to_string()).into_response()
        }
        "/shelf" => page(
            &[],
            &format!(
                "<i class=now>{n}</i><b>{} EUR</b>",
                books.price,
                n = seen.headers["traceparent"].to_str().unwrap()
            ),
        ),
        _ => serve(&seen),
    }
}

fn cookies(headers: &HeaderMap) -> HashMap<&str, &str> {
    let text = headers.get("cookie").map_or("", |value| value.to_str().unwrap());
    text.split("; ").filter_map(|pair| pair.split_once('=')).collect()
}

fn serve(seen: &Seen) -> Response {
    let fields: HashMap<String, String> =
        url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect();
    let field = |name: &str| fields.get(name).map(String::as_str);
    let cookies = cookies(&seen.headers);
    let user = cookies.get("user").copied();
    match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/login") => page(
            &[("set-cookie", "session=s1; Path=/; HttpOnly; Secure")],
            &format!(
                r#"<form id="login" method="post" action="session"><input type="hidden" name="csrf"
                   value="{CSRF}"><input name="user"><input name="password" type="password"></form>"#
            ),
        ),
        ("POST", "/session") => {
            let allowed = cookies.get("session") == Some(&"s1") && field("csrf") == Some(CSRF);
            match (allowed, field("password") == Some(PASSWORD)) {
                (false, _) => (StatusCode::FORBIDDEN, "no session or token").into_response(),
                // Tells too much, as careless servers do.
                (true, false) => (StatusCode::UNAUTHORIZED, seen.body.clone()).into_response(),
                (true, true) => redirect(302, "/account", "user=ann; Path=/"),
            }
        }
        ("GET", "/account") => match user {
            Some(user) => page(
                &[],
                &format!(
                    r#"<meta name="token" content="t0ken"><h1> Hello {user} </h1>
                       <a class="cart" href="/cart?from=account">Cart</a>"#
                ),
            ),
            None => redirect(303, "/login", "x=1"),
        },
        ("GET", "/cart?from=account") => page(&[], "<p class=total>Total: 17.50 EUR</p>"),
        ("POST", "/api/cart") => {
            let bearer = seen.headers.get("authorization").map(HeaderValue::as_bytes);
            if user.is_none() || bearer != Some(b"Bearer t0ken") {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            let json = format!(r#"{{"ok": true, "id": 17, "got": {}, "none": null}}"#, seen.body);
            (StatusCode::CREATED, [("content-type", "application/json; charset=utf-8")], json)
                .into_response()
        }
        ("GET", "/json") => (
            [("content-type", "application/json"), ("x-id", "abc-1")],
            r#"{"ok": true, "n": 3, "name": "ann", "items": [{"id": 1}, {"id": 2}]}"#,
        )
            .into_response(),
        (_, path) if path.starts_with("/echo") => seen.body.clone().into_response(),
        ("GET", "/round") => redirect(302, "/round", "x=1"),
        ("GET", "/out") => redirect(302, "http://elsewhere.test/", "x=1"),
        ("POST", "/moved") => redirect(307, "/echo", "x=1"),
        ("GET", "/big") => "x".repeat((1 << 20) + 1).into_response(),
        ("GET", "/full") => "x".repeat(1 << 20).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn page(headers: &[(&'static str, &'static str)], html: &str) -> Response {
    let mut response = ([("content-type", "text/html")], html.to_owned()).into_response();
    for (name, value) in headers {
        response.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    response
}

fn redirect(status: u16, location: &'static str, cookie: &'static str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("location", location), ("set-cookie", cookie)]).into_response()
}
