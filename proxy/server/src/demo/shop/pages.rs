//! The shop itself: pages for people, JSON for programs.

use super::tokens::{self, Purpose};
use super::usage;
use axum::extract::{Form, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, map_response_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, body::Body};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What everybody's password is.
pub const PASSWORD: &str = "canary-song";

/// Names and prices in cents.
const PRODUCTS: [(&str, u32); 8] = [
    ("Seed mix", 450),
    ("Perch", 790),
    ("Bath", 1250),
    ("Swing", 990),
    ("Cage cover", 1890),
    ("Nest box", 1490),
    ("Song book", 2400),
    ("Mirror", 350),
];

/// All pages, signed with the version.
pub(super) fn router(version: &str) -> Router {
    let version: Arc<str> = version.into();
    Router::new()
        .route("/", get(home))
        .route("/login", get(login_form).post(login))
        .route("/products/{number}", get(product))
        .route("/api/products", get(products))
        .route("/api/login", post(api_login))
        .route("/api/cart", post(cart))
        .route("/api/echo", get(echo))
        .route("/healthz", get(async || "ok"))
        .route("/metrics", get(metrics))
        .layer(from_fn(session))
        .layer(map_response_with_state(
            version,
            async |State(version): State<Arc<str>>, mut response: Response| {
                sign(&mut response, &version);
                response
            },
        ))
}

/// Says which version answered, as many applications do.
pub(super) fn sign(response: &mut Response, version: &str) {
    if let Ok(value) = HeaderValue::from_str(version) {
        response.headers_mut().insert("x-shop-version", value);
    }
}

/// The right status and the wrong content.
pub(super) fn corrupted(response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::OK;
    parts.headers.remove(header::CONTENT_LENGTH);
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let body = if json { "{\"items\":[],\"token\":null}" } else { "<html><body></body></html>" };
    Response::from_parts(parts, Body::from(body))
}

/// The session of the request's cookie, if it is one of ours.
fn session_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix("session="))
        .find_map(|signed| tokens::open(Purpose::Session, signed).map(str::to_owned))
}

/// The session that a page is made for.
#[derive(Clone)]
struct Session(String);

/// Gives every visitor of a page a session.
async fn session(mut request: Request, next: Next) -> Response {
    let known = session_of(request.headers());
    let page = !request.uri().path().starts_with("/api/") && request.uri().path() != "/metrics";
    let id = known.clone().unwrap_or_else(|| format!("{:016x}", fastrand::u64(..)));
    request.extensions_mut().insert(Session(id.clone()));
    let mut response = next.run(request).await;
    if page && known.is_none() {
        let cookie = format!(
            "session={}; Path=/; HttpOnly; SameSite=Lax",
            tokens::sign(Purpose::Session, &id)
        );
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

fn page(title: &str, content: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body><h1>{title}</h1>{content}</body></html>"
    ))
}

async fn home() -> Html<String> {
    let items: String = PRODUCTS
        .iter()
        .enumerate()
        .map(|(number, (name, _))| {
            let number = number + 1;
            format!("<li><a class=\"product\" href=\"/products/{number}\">{name}</a></li>")
        })
        .collect();
    page("The bird shop", &format!("<ul>{items}</ul><a id=\"login\" href=\"/login\">Log in</a>"))
}

async fn product(Path(number): Path<usize>) -> Response {
    match number.checked_sub(1).and_then(|index| PRODUCTS.get(index)) {
        Some((name, cents)) => {
            let price = format!("{}.{:02}", cents / 100, cents % 100);
            page(name, &format!("<p class=\"price\">{price}</p>")).into_response()
        }
        None => (StatusCode::NOT_FOUND, page("No such product", "")).into_response(),
    }
}

async fn login_form(axum::Extension(Session(id)): axum::Extension<Session>) -> Html<String> {
    let token = tokens::sign(Purpose::Form, &id);
    page(
        "Log in",
        &format!(
            "<form id=\"login\" method=\"post\" action=\"/login\">\
             <input type=\"hidden\" name=\"csrf\" value=\"{token}\">\
             <input name=\"user\"><input name=\"password\" type=\"password\">\
             <button>Log in</button></form>"
        ),
    )
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
    /// The hidden field of the form; the API has none.
    #[serde(default)]
    csrf: String,
}

fn refusal(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

fn token_for(credentials: &Credentials) -> Response {
    if credentials.password != PASSWORD || credentials.user.is_empty() {
        return refusal(StatusCode::UNAUTHORIZED, "wrong user or password");
    }
    Json(json!({ "token": tokens::sign(Purpose::Api, &credentials.user) })).into_response()
}

async fn login(
    axum::Extension(Session(id)): axum::Extension<Session>,
    Form(credentials): Form<Credentials>,
) -> Response {
    if tokens::open(Purpose::Form, &credentials.csrf) != Some(&*id) {
        return refusal(StatusCode::FORBIDDEN, "the form is not of this session");
    }
    token_for(&credentials)
}

async fn api_login(Json(credentials): Json<Credentials>) -> Response {
    token_for(&credentials)
}

async fn products() -> Json<Value> {
    let items: Vec<Value> = PRODUCTS
        .iter()
        .enumerate()
        .map(|(number, (name, cents))| json!({ "id": number + 1, "name": name, "cents": cents }))
        .collect();
    Json(json!({ "items": items }))
}

#[derive(Deserialize)]
struct CartItem {
    item: usize,
    qty: u32,
}

async fn cart(headers: HeaderMap, Json(order): Json<CartItem>) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    if token.and_then(|signed| tokens::open(Purpose::Api, signed)).is_none() {
        return refusal(StatusCode::UNAUTHORIZED, "log in first");
    }
    let Some((_, cents)) = order.item.checked_sub(1).and_then(|index| PRODUCTS.get(index)) else {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "no such product");
    };
    let total = u64::from(*cents) * u64::from(order.qty);
    (StatusCode::CREATED, Json(json!({ "ok": true, "cents": total }))).into_response()
}

/// What arrived, for those who test what is in between.
async fn echo(request: Request) -> Json<Value> {
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    Json(json!({ "path": request.uri().path(), "headers": headers }))
}

async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], usage::page())
}
