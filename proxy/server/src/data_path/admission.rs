//! Taking a request in: its route, and the variant that its user belongs to.

use super::identity;
use super::request::{Attempt, Routed};
use super::view::View;
use http::header::HOST;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use serinus_routing::{Asked, Place, Scheme, Sticky, Variant, Visited};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Why a request goes to no service.
#[derive(Debug)]
pub(super) enum Turned {
    /// Its client is sent to this `location`, with this status.
    Elsewhere { status: u16, location: String },
    /// No route takes it.
    Away,
}

/// Finds the route and chooses the variant: the only time that a request looks at the table.
pub(super) fn admit(
    view: Arc<View>,
    session: &mut ServerSession,
    client: Option<IpAddr>,
    tls: bool,
    now: Instant,
) -> Result<Routed, Turned> {
    let has_body = !session.is_body_empty();
    let header = session.req_header();
    let host = host_of(header);
    let (path, query) = (header.uri.path(), header.uri.query());
    let asked = Asked { method: &header.method, headers: &header.headers, query };
    let route = match view.table.find(host, path, &asked) {
        Some(Place::Route(route)) => route,
        Some(Place::Redirect(index)) => {
            let (_, redirect) = view.table.redirect(index);
            let scheme = if tls { Scheme::Https } else { Scheme::Http };
            let location = redirect.location(&Visited { scheme, host, path, query });
            view.setup.redirects[index.0 as usize].count();
            return Err(Turned::Elsewhere { status: redirect.status, location });
        }
        None => return Err(Turned::Away),
    };
    let index = view.table.route(route).service;
    let service = view.table.service(index);
    let (mut variant, mut place, mut new_user, mut secure) = (Variant::Stable, None, None, false);
    if service.canary.is_some() {
        let seed = view.setup.services[index.0 as usize].seed;
        let (bucket, user) = identity::place(&service.sticky, seed, &header.headers, client);
        variant = bucket.variant(service.weight);
        place = (service.sticky != Sticky::None).then_some(bucket);
        (new_user, secure) = (user, tls);
    }
    Ok(Routed {
        view,
        route,
        variant,
        user: place,
        new_user,
        secure,
        has_body,
        uploading: has_body,
        sent: false,
        attempt: Attempt::new(now),
        connect_failures: 0,
        stale_connection: false,
        shielded: false,
        retries: 0,
        started: now,
    })
}

/// The host that the client named, with its port if it said one.
pub(super) fn host_of(header: &RequestHeader) -> &str {
    header.headers.get(HOST).map_or_else(
        || header.uri.authority().map_or("", |authority| authority.as_str()),
        |host| host.to_str().unwrap_or(""),
    )
}
