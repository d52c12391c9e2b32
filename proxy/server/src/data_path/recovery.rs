//! What becomes of an attempt that failed: another endpoint is asked, or stable in the canary's place, or
//! the client is told. Each attempt that failed is counted, whatever is tried next.

use super::attribution::{self, Fault};
use super::endpoints::Unavailable;
use super::recorder::Ending;
use super::rejection::Reason;
use super::request::{Request, is_idempotent};
use http::StatusCode;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result, RetryType};
use serinus_routing::Variant;
use std::time::Instant;

/// What becomes of a request whose variant has nobody to ask: true if stable is asked instead.
pub(super) fn after_no_endpoint(
    session: &Session,
    request: &mut Request,
    why: Unavailable,
) -> bool {
    let now = Instant::now();
    let Some(routed) = &request.routed else { return false };
    let shielded =
        routed.may_be_shielded(&session.req_header().method, true) && routed.spend_retry(now);
    if why != Unavailable::Unresolved {
        routed.setup().counters.count_refused(routed.variant);
    }
    match why {
        // No name of this variant could ever be resolved.
        Unavailable::Unresolved => request.settle(Ending::ConnectError, now, 0),
        // More was asked than it may get: nobody's fault. What it has keeps being watched.
        Unavailable::Full => request.forgive(),
        // Nothing that it had ended in all that time: it is slow.
        Unavailable::WaitedInVain => request.settle(Ending::Timeout, now, 0),
    }
    if shielded {
        shield(request, now);
    } else if why == Unavailable::Full {
        request.reject(Reason::Full);
    }
    shielded
}

/// Nobody answered the attempt to connect.
pub(super) fn after_no_connection(
    session: &Session,
    request: &mut Request,
    mut error: Box<Error>,
) -> Box<Error> {
    error.set_retry(false);
    let now = Instant::now();
    let repeatable = !session.as_ref().retry_buffer_truncated();
    let Fault::Variant(ending) = attribution::fault(&error, false) else { return error };
    request.settle(ending, now, 0);
    let Some(routed) = &mut request.routed else { return error };
    routed.connect_failures += 1;
    let method = &session.req_header().method;
    let may_repeat = !routed.sent || (repeatable && is_idempotent(method));
    // The one that was tried may have been left out for this very failure.
    let others = routed.setup().pool(routed.variant).has_others(routed.attempt.address);
    if may_repeat && others && routed.connect_failures == 1 {
        let variant = routed.variant;
        request.try_again(variant, now);
        error.set_retry(true);
    } else if routed.may_be_shielded(method, repeatable) && routed.spend_retry(now) {
        shield(request, now);
        error.set_retry(true);
    } else if routed.may_be_retried(method, repeatable, status_of(&error, false), now)
        && routed.spend_own_retry(now)
    {
        let variant = routed.variant;
        request.try_again(variant, now);
        error.set_retry(true);
    }
    error
}

/// The upstream answered with a failure of its own: an error that asks for the next attempt, or nothing where
/// the client gets this answer.
pub(super) fn after_status(
    session: &Session,
    request: &mut Request,
    status: StatusCode,
    now: Instant,
) -> Result<()> {
    let repeatable = !session.as_ref().retry_buffer_truncated();
    let method = &session.req_header().method;
    let Some(routed) = &mut request.routed else { return Ok(()) };
    if routed.may_be_shielded(method, repeatable) && routed.spend_retry(now) {
        shield(request, now);
    } else if routed.may_be_retried(method, repeatable, status.as_u16(), now)
        && routed.spend_own_retry(now)
    {
        let variant = routed.variant;
        request.try_again(variant, now);
    } else {
        return Ok(());
    }
    let mut error = Error::new_up(ErrorType::HTTPStatus(status.as_u16()));
    error.set_retry(true);
    Err(error)
}

/// The attempt broke, before its answer or in the middle of it.
pub(super) fn after_failure(
    session: &Session,
    request: &mut Request,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    let for_reused = matches!(error.retry, RetryType::ReusedOnly);
    let shielding = matches!(error.retry, RetryType::Decided(true));
    error.set_retry(shielding); // decided by upstream_response_filter
    if shielding {
        return error;
    }
    let now = Instant::now();
    let begun = has_begun(session);
    let repeatable = !begun && !session.as_ref().retry_buffer_truncated();
    let Some(routed) = &mut request.routed else { return error };
    let Fault::Variant(ending) = attribution::fault(&error, routed.uploading) else {
        routed.attempt.settled = true;
        return error;
    };
    let method = &session.req_header().method;
    let stale = reused && !begun && (for_reused || error.etype() == &ErrorType::WriteError);
    if stale && !routed.stale_connection && repeatable && is_idempotent(method) {
        // The upstream closed a connection that it had kept: nobody's fault, once.
        routed.stale_connection = true;
        let variant = routed.variant;
        request.try_again(variant, now);
        error.set_retry(true);
        return error;
    }
    let shielded =
        repeatable && routed.may_be_shielded(method, repeatable) && routed.spend_retry(now);
    let retried = !shielded
        && routed.may_be_retried(method, repeatable, status_of(&error, routed.uploading), now)
        && repeatable
        && routed.spend_own_retry(now);
    request.settle(ending, now, 0);
    if shielded {
        shield(request, now);
        error.set_retry(true);
    } else if retried && let Some(routed) = &request.routed {
        let variant = routed.variant;
        request.try_again(variant, now);
        error.set_retry(true);
    }
    error
}

/// The status that the client would get for `error`; 0 where nobody is left to answer.
fn status_of(error: &Error, uploading: bool) -> u16 {
    attribution::status(error, uploading).unwrap_or(0)
}

/// Lets stable answer for the canary, whose failure has been counted.
fn shield(request: &mut Request, now: Instant) {
    if let Some(routed) = &mut request.routed {
        routed.recorder_of(Variant::Canary).shielded();
        routed.shielded = true;
        routed.connect_failures = 0;
        routed.stale_connection = false;
    }
    request.try_again(Variant::Stable, now);
}

/// Whether the client has seen any of the final answer.
pub(super) fn has_begun(session: &Session) -> bool {
    session.response_written().is_some_and(|header| {
        !header.status.is_informational() || header.status == StatusCode::SWITCHING_PROTOCOLS
    })
}
