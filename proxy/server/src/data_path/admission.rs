//! Taking a request in: its route, and the variant that its user belongs to.

use super::identity;
use super::request::{Attempt, Routed};
use super::view::View;
use http::header::HOST;
use pingora::protocols::http::ServerSession;
use serinus_routing::{Sticky, Variant};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Finds the route and chooses the variant: the only time that a request looks at the table.
pub(super) fn admit(
    view: Arc<View>,
    session: &mut ServerSession,
    client: Option<IpAddr>,
    tls: bool,
    now: Instant,
) -> Option<Routed> {
    let has_body = !session.is_body_empty();
    let header = session.req_header();
    let host = header.headers.get(HOST).map_or_else(
        || header.uri.authority().map_or("", |authority| authority.as_str()),
        |host| host.to_str().unwrap_or(""),
    );
    let route = view.table.find(host, header.uri.path())?;
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
    Some(Routed {
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
    })
}
