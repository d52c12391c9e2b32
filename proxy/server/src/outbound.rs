//! HTTP towards others than endpoints: CAs and collectors.

use anyhow::Context;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::path::Path;
use std::time::Duration;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longest answer that is read.
const LONGEST: usize = 1024 * 1024;

/// A client that keeps its connections, over http and https.
#[derive(Debug)]
pub(crate) struct Outbound<B> {
    client: Client<HttpsConnector<HttpConnector>, B>,
    patience: Duration,
}

impl<B> Clone for Outbound<B> {
    /// The same connections.
    fn clone(&self) -> Self {
        Outbound { client: self.client.clone(), patience: self.patience }
    }
}

impl<B> Outbound<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Servers are verified by the authorities of a file, or those of the machine; an answer takes
    /// `patience` at most, to its last byte.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn new(authorities: Option<&Path>, patience: Duration) -> anyhow::Result<Self> {
        let roots = match authorities {
            Some(file) => crate::data_path::authorities(file)?,
            None => {
                let mut roots = RootCertStore::empty();
                // One that cannot be read is no reason to trust none.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                roots
            }
        };
        let config = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Outbound { client: Client::builder(TokioExecutor::new()).build(connector), patience })
    }

    /// # Errors
    /// No answer in time, or one that is too long.
    pub(crate) async fn send(
        &self,
        request: http::Request<B>,
    ) -> anyhow::Result<http::Response<Bytes>> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let exchange = async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            let body =
                Limited::new(body, LONGEST).collect().await.map_err(anyhow::Error::from_boxed)?;
            anyhow::Ok(http::Response::from_parts(parts, body.to_bytes()))
        };
        let answer = tokio::time::timeout(self.patience, exchange).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(anyhow::anyhow!("no answer within {} s", self.patience.as_secs()))
        });
        answer.with_context(|| format!("cannot ask {host}"))
    }
}
