//! Compresses answers that are text and not compressed yet, with Pingora's encoders.

use crate::data_path::quality::quality;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HeaderValue,
};
use http::{Method, StatusCode, Version};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::compression::ResponseCompressionCtx;
use serinus_config::{CompressionSettings, Compressor};

/// The compression of one answer.
pub(crate) struct Compression {
    encoder: ResponseCompressionCtx,
    /// Bytes of the answer that are still to come, where it said how many.
    left: Option<u64>,
}

impl std::fmt::Debug for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compression").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Compression {
    /// Begins to compress an answer, and changes its header so; none if it stays as it is.
    pub(crate) fn begin(
        settings: &CompressionSettings,
        request: &RequestHeader,
        response: &mut ResponseHeader,
    ) -> Result<Option<Box<Compression>>> {
        if !may_be_compressed(settings, request, response) {
            return Ok(None);
        }
        let left = length(response);
        let chosen = choose(settings, request.headers.get(ACCEPT_ENCODING));
        // Even where nothing is chosen: the encoder says that the answer depends on what is accepted.
        let mut encoder = ResponseCompressionCtx::new(settings.level, false, false);
        let mut asked = RequestHeader::build("GET", b"/", Some(1))?;
        if let Some(chosen) = chosen {
            asked.insert_header(ACCEPT_ENCODING, HeaderValue::from_static(chosen))?;
        }
        encoder.request_filter(&asked);
        encoder.response_header_filter(response, false);
        Ok(encoder.is_enabled().then(|| Box::new(Compression { encoder, left })))
    }

    /// Compresses a piece of the body.
    pub(crate) fn encode(&mut self, body: &mut Option<Bytes>, end: bool) {
        let read = body.as_ref().map_or(0, |body| body.len() as u64);
        let complete = self.left.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(read);
            *left == 0 && read > 0
        });
        // Not every upstream says of its last piece that it is the last.
        let encoded = self.encoder.response_body_filter(body.as_ref(), end || complete);
        if complete && !end {
            self.left = None;
        }
        if encoded.is_some() {
            *body = encoded;
        }
    }
}

fn length(response: &ResponseHeader) -> Option<u64> {
    response.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn may_be_compressed(
    settings: &CompressionSettings,
    request: &RequestHeader,
    response: &ResponseHeader,
) -> bool {
    let status = response.status;
    let has_body = request.method != Method::HEAD
        && !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // A part of an answer is no part of a compressed one, and HTTP/1.0 knows no chunks.
    let whole = status != StatusCode::PARTIAL_CONTENT
        && !response.headers.contains_key(CONTENT_RANGE)
        && !response.headers.contains_key(CONTENT_ENCODING)
        && request.version != Version::HTTP_10;
    let length = length(response);
    // Over HTTP/2 an answer may end with trailers, which the encoder would not hear of.
    let ends = length.is_some() || response.version != Version::HTTP_2;
    let long_enough = length.is_none_or(|length| length >= settings.min_size.max(1));
    let fixed = response.headers.get_all(CACHE_CONTROL).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    });
    // Streams would wait in the encoder.
    let kind = response.headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let streams = kind.starts_with(b"text/event-stream") || kind.starts_with(b"application/grpc");
    has_body && whole && ends && long_enough && !fixed && !streams
}

/// What the client likes best of what is configured; of equals, what stands first.
fn choose(settings: &CompressionSettings, accepted: Option<&HeaderValue>) -> Option<&'static str> {
    let accepted = accepted?.to_str().ok()?;
    let quality = |name: &str| {
        let of = |wanted: &str| {
            accepted.split(',').find_map(|one| {
                let mut parts = one.split(';');
                if !parts.next()?.trim().eq_ignore_ascii_case(wanted) {
                    return None;
                }
                Some(quality(parts))
            })
        };
        of(name).or_else(|| of("*")).unwrap_or(0.0)
    };
    let mut best = (None, 0.0);
    for algorithm in &settings.algorithms {
        let name = match algorithm {
            Compressor::Gzip => "gzip",
            Compressor::Brotli => "br",
            Compressor::Zstd => "zstd",
        };
        let quality = quality(name);
        if quality > best.1 {
            best = (Some(name), quality);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CompressionSettings {
        let algorithms = vec![Compressor::Zstd, Compressor::Brotli, Compressor::Gzip];
        CompressionSettings { algorithms, level: 4, min_size: 100 }
    }

    #[test]
    fn the_best_that_both_know_is_chosen() {
        for (accepted, chosen) in [
            ("gzip", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip;q=1.0, br;q=0.5", Some("gzip")),
            ("*", Some("zstd")),
            ("zstd;q=0, *;q=0.1", Some("br")),
            ("identity", None),
            ("gzip;q=0", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(accepted);
            assert_eq!(choose(&settings(), Some(&value)), chosen, "{accepted}");
        }
        assert_eq!(choose(&settings(), None), None);
    }

    #[test]
    fn what_is_compressed_short_partial_or_streamed_stays_as_it_is() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.insert_header(ACCEPT_ENCODING, "gzip").unwrap();
        let begins = |fields: &[(&'static str, &'static str)]| {
            let mut response = ResponseHeader::build(200, None).unwrap();
            for (name, value) in fields {
                response.insert_header(*name, *value).unwrap();
            }
            let begun = Compression::begin(&settings(), &request, &mut response).unwrap().is_some();
            assert_eq!(
                begun,
                response.headers.contains_key(CONTENT_ENCODING)
                    && !fields.iter().any(|(name, _)| *name == "content-encoding")
            );
            begun
        };
        let text = ("content-type", "text/html");
        assert!(begins(&[text]));
        assert!(begins(&[text, ("content-length", "100")]));
        for other in [
            ("content-length", "99"),
            ("content-encoding", "br"),
            ("content-range", "bytes 0-99/200"),
            ("cache-control", "public, no-transform"),
        ] {
            assert!(!begins(&[text, other]), "{other:?}");
        }
        for kind in
            ["image/png", "application/zip", "text/event-stream", "application/grpc", "video/mp4"]
        {
            assert!(!begins(&[("content-type", kind)]), "{kind}");
        }
    }
}
