//! Requests that the proxy turns away itself: why, with which status, and how many.
//!
//! They reach no variant, so they are counted here and nowhere else.

use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the reasons: the name in metrics and logs, and the status that the client gets.
macro_rules! reasons {
    ( $( $(#[doc = $doc:literal])+ $name:ident = $text:literal, $status:literal; )+ ) => {
        /// Why a request was turned away.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason { $( $(#[doc = $doc])+ $name, )+ }

        impl Reason {
            /// All of them, in the order of their counters.
            pub const ALL: &[Reason] = &[$( Reason::$name, )+];

            /// What metrics and logs call it.
            pub const fn as_str(self) -> &'static str {
                match self { $( Reason::$name => $text, )+ }
            }

            /// What the client is told.
            pub const fn status(self) -> u16 {
                match self { $( Reason::$name => $status, )+ }
            }
        }
    };
}

reasons! {
    /// No HTTP request line.
    RequestLine = "request_line", 400;
    /// A version other than 1.0, 1.1 and 2.
    Version = "version", 505;
    /// CONNECT and TRACE.
    Method = "method", 405;
    /// A target that is no path, or whose host is not the one of `Host`.
    Target = "target", 400;
    /// Longer than `limits.target`.
    TargetTooLong = "target_too_long", 414;
    /// A path that is not in its plain form, where that is asked for, or leads above the root.
    Path = "path", 400;
    /// `%2F` or `%5C` in the path.
    EncodedSlash = "encoded_slash", 400;
    /// A line that ends in LF alone, or a CR elsewhere.
    LineEnd = "line_end", 400;
    /// A field that is continued on the next line.
    FoldedLine = "folded_line", 400;
    /// A field with a name or bytes that none may have.
    Field = "field", 400;
    /// A name with an underscore, where that is refused.
    Underscore = "underscore", 400;
    /// More bytes than `limits.header`.
    HeaderTooLarge = "header_too_large", 431;
    /// More fields than `limits.fields`.
    TooManyFields = "too_many_fields", 431;
    /// No `Host`.
    HostMissing = "host_missing", 400;
    /// Several `Host`, or one that is none.
    Host = "host", 400;
    /// Length and transfer coding together, several lengths, or one that is no number.
    Length = "length", 400;
    /// A transfer coding other than `chunked`.
    TransferCoding = "transfer_coding", 501;
    /// An expectation other than `100-continue`.
    Expectation = "expectation", 417;
    /// A chunked body that is not framed as it must be.
    Chunk = "chunk", 400;
    /// A body beyond the route's limit.
    BodyTooLarge = "body_too_large", 413;
    /// A header that was not complete in time.
    HeaderTimeout = "header_timeout", 408;
    /// A body that was not complete in time.
    BodyTimeout = "body_timeout", 408;
    /// Refused by the HTTP library for a reason of its own.
    Malformed = "malformed", 400;
    /// What is no HTTP/2, or too much of it: a stream that was reset or a connection that was ended for it.
    Http2 = "http2", 400;
    /// No PROXY header where there must be one, or from somebody who is not trusted.
    ProxyHeader = "proxy_header", 400;
    /// More connections of one client than `limits.connections_per_client`.
    Connections = "connections", 429;
    /// More requests than a rate of the route allows.
    Rate = "rate", 429;
    /// The client's address may not come here.
    Address = "address", 403;
    /// No user name and password, or wrong ones.
    Credentials = "credentials", 401;
    /// The authorization service said no.
    ForwardAuth = "forward_auth", 403;
    /// The authorization service could not be asked.
    ForwardAuthDown = "forward_auth_down", 503;
    /// Too many passwords are being compared.
    Busy = "busy", 503;
    /// Every endpoint has as many requests as it may, and enough wait.
    Full = "full", 503;
    /// No route leads anywhere.
    NoRoute = "no_route", 404;
}

/// How many requests one thread has turned away, by reason.
#[derive(Debug)]
pub(crate) struct Rejections(Box<[AtomicU64]>);

impl Default for Rejections {
    fn default() -> Self {
        Rejections(Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Rejections {
    pub(crate) fn count(&self, reason: Reason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}
