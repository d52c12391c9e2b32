//! How long is waited for the next piece of an answer.

use super::request::Routed;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use pingora::proxy::Session;
use std::time::Duration;

/// A client that uploads more slowly than this, in bytes per second on the whole, is not waited for.
const SLOWEST_UPLOAD: u64 = 8 * 1024;
/// A request whose time is over waits so long for its last attempt.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// How long an upload of unknown length may take.
const OPEN_UPLOAD: Duration = Duration::from_secs(600);

/// Longest wait between two reads of the answer to this attempt. `pause` is what the client may take between
/// two pieces of its upload.
pub(super) fn read_timeout(
    session: &Session,
    routed: &Routed,
    pause: Option<Duration>,
) -> Duration {
    let timeouts = routed.setup().timeouts;
    let read = if goes_on_for_long(session, routed) {
        timeouts.stream_idle
    } else {
        let read = timeouts.attempt.map_or(timeouts.read, |most| most.min(timeouts.read));
        read + upload_allowance(session, routed, pause)
    };
    match routed.time_left(routed.attempt.since) {
        Some(left) => read.min(left.max(SHORTEST_WAIT)),
        None => read,
    }
}

/// Whether what follows may be silent for long: a WebSocket, an event stream, a gRPC call.
fn goes_on_for_long(session: &Session, routed: &Routed) -> bool {
    let header = session.req_header();
    let says = |name, kind: &[u8]| {
        let values = header.headers.get_all(name).iter();
        values.into_iter().any(|value| memchr::memmem::find(value.as_bytes(), kind).is_some())
    };
    session.is_upgrade_req()
        || says(ACCEPT, b"text/event-stream")
        || (routed.has_body && says(CONTENT_TYPE, b"application/grpc"))
}

/// What an upload may take on top of the read timeout: a slow client is not a slow variant. To an
/// HTTP/1 endpoint the timeout begins anew with each piece of the upload, so that only a `pause` of
/// the client has to fit in; to an HTTP/2 endpoint it runs from the request's header on.
fn upload_allowance(session: &Session, routed: &Routed, pause: Option<Duration>) -> Duration {
    if !routed.has_body {
        return Duration::ZERO;
    }
    let length = session.req_header().headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.trim().parse::<u64>().ok());
    let whole = length.map_or(OPEN_UPLOAD, |bytes| Duration::from_secs(bytes / SLOWEST_UPLOAD));
    match pause {
        Some(pause) if !routed.setup().pool(routed.variant).upstream.is_http2() => whole.min(pause),
        _ => whole,
    }
}
