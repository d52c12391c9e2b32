//! One user with one connection: an address of their own, cookies, headers.

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Which shop answered, as it says itself.
    pub fn version(&self) -> Option<&str> {
        self.header("x-shop-version")
    }
}

/// A kept connection.
pub struct Browser {
    server: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
}

impl Browser {
    /// Connects from 127.0.0.1.
    ///
    /// # Errors
    /// No connection.
    pub async fn open(server: SocketAddr) -> anyhow::Result<Browser> {
        Browser::open_from(server, Ipv4Addr::LOCALHOST).await
    }

    /// Connects from that address, which must be one of the loopback.
    ///
    /// # Errors
    /// No connection.
    pub async fn open_from(server: SocketAddr, from: Ipv4Addr) -> anyhow::Result<Browser> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        let stream = socket.connect(server).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Browser::over(stream, server).await
    }

    /// Over a connection that there is.
    ///
    /// # Errors
    /// It is no connection.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        server: SocketAddr,
    ) -> anyhow::Result<Browser> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Browser { server, sender, headers: Vec::new() })
    }

    /// Adds a header to every request from now on.
    pub fn with(mut self, name: &str, value: &str) -> Browser {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Fetches a page; cookies are kept.
    ///
    /// # Errors
    /// No answer, or half of one.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let mut request = Request::get(path).header(header::HOST, self.server.to_string());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        self.sender.ready().await?;
        let response = self.sender.send_request(request.body(Full::default())?).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let headers: Vec<(String, String)> =
            parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let cookies = headers.iter().filter(|(name, _)| name == "set-cookie");
        for (_, line) in cookies {
            self.keep(line);
        }
        Ok(Answer {
            status: parts.status.as_u16(),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    fn keep(&mut self, line: &str) {
        let pair = line.split(';').next().unwrap_or_default().trim();
        let name = pair.split('=').next().unwrap_or_default();
        let old = self.headers.iter().position(|(name, _)| name == "cookie");
        let cookies = old.map(|at| self.headers.remove(at).1).unwrap_or_default();
        let others = cookies.split("; ").filter(|known| known.split('=').next() != Some(name));
        let mut all: Vec<&str> = others.filter(|known| !known.is_empty()).collect();
        all.push(pair);
        self.headers.push(("cookie".to_owned(), all.join("; ")));
    }
}
