//! The state of one request, and what its attempts are counted as.

use super::connection::Connection;
use super::endpoints::Engaged;
use super::flights::Seat;
use super::guard::{Compression, Granted, Guard};
use super::identity::NewUser;
use super::recorder::{Ending, Recorder};
use super::rejection::Reason;
use super::traces::Trace;
use super::view::{ServiceSetup, View};
use super::worker::Counted;
use http::Method;
use serinus_routing::{Bucket, RouteIndex, Service, Variant};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Responses up to this size count as finished with their last byte; longer ones and streams with
/// their header: how long their body takes is for the client's line to say. It fits into any
/// socket's send buffer, so that a slow reader cannot make a variant look slow.
const JUDGED_TO_THE_END: u64 = 16 * 1024;

/// State of one request, dropped when it is over, however it ends.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) counted: Counted,
    pub(crate) connection: Option<Arc<Connection>>,
    pub(crate) started: Instant,
    /// The client's address: that of the connection, or the one that trusted proxies name.
    pub(crate) client: Option<IpAddr>,
    /// The page of another origin that may read the answer.
    pub(crate) cors: Option<Granted>,
    pub(crate) compression: Option<Box<Compression>>,
    /// What a collector is told of it, if there is one.
    pub(crate) trace: Option<Box<Trace>>,
    /// Bytes of the body so far, where they are limited.
    pub(crate) body: u64,
    /// Why the proxy turned it away, if it did.
    pub(crate) rejected: Option<Reason>,
    pub(crate) routed: Option<Routed>,
}

/// A request that a route took.
#[derive(Debug)]
pub(crate) struct Routed {
    /// What it sees, from its start to its end.
    pub(crate) view: Arc<View>,
    pub(crate) route: RouteIndex,
    pub(crate) variant: Variant,
    /// Where the user is, if they are known.
    pub(crate) user: Option<Bucket>,
    pub(crate) new_user: Option<NewUser>,
    pub(crate) secure: bool,
    pub(crate) has_body: bool,
    /// The client has still to send some of its request.
    pub(crate) uploading: bool,
    /// Something was sent to an upstream: from now on only idempotent requests may be repeated.
    pub(crate) sent: bool,
    pub(crate) attempt: Attempt,
    /// Connections of this request that failed before anything was sent.
    pub(crate) connect_failures: u8,
    /// A kept connection was found closed by its upstream.
    pub(crate) stale_connection: bool,
    /// Stable answers for the canary.
    pub(crate) shielded: bool,
    /// How often another endpoint of the same variant was asked after a failure.
    pub(crate) retries: u32,
    /// When it was taken in.
    pub(crate) started: Instant,
}

/// One try at one endpoint.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Since when the variant has had something to answer.
    pub(crate) since: Instant,
    pub(crate) address: Option<SocketAddr>,
    /// Its place there, where places are counted or failures watched.
    pub(crate) engaged: Option<Engaged>,
    pub(crate) seat: Option<Seat>,
    /// Its slowness was counted while it waited.
    counted_slow: bool,
    /// When the response's header came, and its status.
    pub(crate) header: Option<(Instant, u16)>,
    /// How a gRPC call ended: its status comes after the answer's body.
    pub(crate) grpc: Option<Ending>,
    /// It has been counted, or is nobody's to count.
    pub(crate) settled: bool,
}

impl Attempt {
    pub(crate) fn new(since: Instant) -> Self {
        Attempt {
            since,
            address: None,
            engaged: None,
            seat: None,
            counted_slow: false,
            header: None,
            grpc: None,
            settled: false,
        }
    }
}

impl Request {
    pub(crate) fn new(counted: Counted) -> Self {
        let started = Instant::now();
        Request {
            counted,
            connection: None,
            started,
            client: None,
            cors: None,
            compression: None,
            trace: None,
            body: 0,
            rejected: None,
            routed: None,
        }
    }

    /// Notes that the request is turned away, and counts it.
    pub(crate) fn reject(&mut self, reason: Reason) {
        self.rejected = Some(reason);
        self.counted.worker().rejections.count(reason);
    }

    /// Stops watching how long the current attempt waits.
    pub(crate) fn stop_waiting(&mut self) {
        let Some(routed) = &mut self.routed else { return };
        if let Some(seat) = routed.attempt.seat.take() {
            routed.attempt.counted_slow |= self.counted.worker().flights.leave(seat);
        }
    }

    /// Watches how long the current attempt waits from `since` on.
    pub(crate) fn wait(&mut self, since: Instant) {
        let Some(routed) = &mut self.routed else { return };
        let owner = routed.recorder().id;
        routed.attempt.since = since;
        routed.attempt.seat = self.counted.worker().flights.board(owner, since);
    }

    /// Counts the current attempt, once.
    pub(crate) fn settle(&mut self, ending: Ending, at: Instant, bytes: u64) {
        self.stop_waiting();
        let shard = self.counted.worker().shard;
        let Some(routed) = &mut self.routed else { return };
        if std::mem::replace(&mut routed.attempt.settled, true) {
            return;
        }
        if let Some(trace) = &mut self.trace {
            trace.settle(ending);
        }
        let took = at.saturating_duration_since(routed.attempt.since).as_micros() as u64;
        let micros = (!routed.attempt.counted_slow).then_some(took);
        let recorder = routed.recorder();
        recorder.record(shard, ending, micros, bytes);
        if ending.outcome().is_failure()
            && let Some(user) = routed.user
        {
            recorder.repeats.failed(user, self.counted.worker().flights.minute(at));
        }
        if let Some(engaged) = &routed.attempt.engaged {
            engaged.note(ending, at);
        }
    }

    /// The current attempt is nobody's to count.
    pub(crate) fn forgive(&mut self) {
        self.stop_waiting();
        if let Some(routed) = &mut self.routed {
            routed.attempt.settled = true;
        }
    }

    /// Counts an attempt that was answered to the end, with a body of `bytes`.
    pub(crate) fn settle_answered(&mut self, now: Instant, bytes: u64, streamed: bool) {
        let Some(routed) = &self.routed else { return };
        let Some((header_at, status)) = routed.attempt.header else { return };
        let ending = routed.attempt.grpc.unwrap_or(Ending::of_status(status));
        let at = if streamed || bytes > JUDGED_TO_THE_END { header_at } else { now };
        self.settle(ending, at, bytes);
    }

    /// The next try, on the same variant or another.
    pub(crate) fn try_again(&mut self, variant: Variant, now: Instant) {
        self.stop_waiting();
        let Some(routed) = &mut self.routed else { return };
        if let Some(trace) = &mut self.trace {
            trace.try_again(routed, now);
        }
        // An endpoint that failed is passed over by its own variant only.
        let address = routed.attempt.address.filter(|_| variant == routed.variant);
        routed.variant = variant;
        routed.attempt = Attempt { address, ..Attempt::new(now) };
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

impl Routed {
    pub(crate) fn service(&self) -> &Service {
        self.view.table.service(self.view.table.route(self.route).service)
    }

    /// What the route asks of its requests, if anything.
    pub(crate) fn guard(&self) -> Option<&Arc<Guard>> {
        self.view.setup.guards[self.route.0 as usize].as_ref()
    }

    pub(crate) fn setup(&self) -> &ServiceSetup {
        let service = self.view.table.route(self.route).service;
        &self.view.setup.services[service.0 as usize]
    }

    pub(crate) fn recorder(&self) -> &Arc<Recorder> {
        self.recorder_of(self.variant)
    }

    pub(crate) fn recorder_of(&self, variant: Variant) -> &Arc<Recorder> {
        let pair = &self.view.setup.recorders[self.route.0 as usize];
        match variant {
            Variant::Stable => &pair.stable,
            Variant::Canary => &pair.canary,
        }
    }

    /// Whether stable may be asked in place of the canary, as far as the configuration and the
    /// request go; `repeatable`: the request can be sent once more, byte for byte.
    pub(crate) fn may_be_shielded(&self, method: &Method, repeatable: bool) -> bool {
        self.variant == Variant::Canary
            && !self.shielded
            && self.service().shield
            && (!self.sent || (repeatable && is_idempotent(method)))
    }

    /// Whether another endpoint of the same variant may be asked after a failure for which the client
    /// would get `status`; `repeatable` as above.
    pub(crate) fn may_be_retried(
        &self,
        method: &Method,
        repeatable: bool,
        status: u16,
        now: Instant,
    ) -> bool {
        let Some(retry) = &self.setup().retry else { return false };
        self.retries < retry.attempts
            && retry.status.binary_search(&status).is_ok()
            && (!self.sent || (repeatable && is_idempotent(method)))
            && self.time_left(now).is_none_or(|left| !left.is_zero())
            && self.setup().pool(self.variant).has_others(self.attempt.address)
    }

    /// Takes one retry on the same variant from the service's budget, and counts it.
    pub(crate) fn spend_own_retry(&mut self, now: Instant) -> bool {
        let service = self.view.table.route(self.route).service;
        let finished = self.view.setup.finished(service);
        let setup = &self.view.setup.services[service.0 as usize];
        let affordable = setup.retry_budget.spend(now, finished);
        if affordable {
            setup.counters.count_retry(self.variant);
            self.retries += 1;
        }
        affordable
    }

    /// What is left of the time that the whole request may take, if it is limited.
    pub(crate) fn time_left(&self, now: Instant) -> Option<Duration> {
        let total = self.setup().timeouts.total?;
        Some(total.saturating_sub(now.saturating_duration_since(self.started)))
    }

    /// Takes one retry on stable from the service's budget.
    pub(crate) fn spend_retry(&self, now: Instant) -> bool {
        let service = self.view.table.route(self.route).service;
        self.setup().budget.spend(now, self.view.setup.finished(service))
    }
}

/// Methods that mean the same when they are sent twice (RFC 9110, 9.2.2); TRACE is never forwarded.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}
