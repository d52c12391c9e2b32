//! A small JSON client: for the admin API of the proxy and the back doors of the shops.

use anyhow::{Context, bail};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    server: SocketAddr,
    pooled: Pooled<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// No connection is made yet.
    pub fn new(server: SocketAddr) -> Client {
        Client { server, pooled: Pooled::builder(TokioExecutor::new()).build_http() }
    }

    /// Status and body of any request; a `Value::Null` is sent as no body.
    ///
    /// # Errors
    /// No answer within five seconds.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        json: &Value,
    ) -> anyhow::Result<(u16, String)> {
        let body = if json.is_null() { String::new() } else { json.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.server))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::from(body))?;
        let exchange = async {
            let (parts, body) = self.pooled.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok((parts.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .with_context(|| format!("{} does not answer {path}", self.server))?
    }

    /// The JSON at a path.
    ///
    /// # Errors
    /// No answer, a status other than 2xx, or no JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, text) = self.send(Method::GET, path, &Value::Null).await?;
        if !(200..300).contains(&status) {
            bail!("{path}: {status} {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("{path} is not JSON"))
    }

    /// Status and body of a `PUT`.
    ///
    /// # Errors
    /// No answer.
    pub async fn put(&self, path: &str, json: &Value) -> anyhow::Result<(u16, String)> {
        self.send(Method::PUT, path, json).await
    }

    /// Status and body of a `POST`.
    ///
    /// # Errors
    /// No answer.
    pub async fn post(&self, path: &str, json: &Value) -> anyhow::Result<(u16, String)> {
        self.send(Method::POST, path, json).await
    }
}
