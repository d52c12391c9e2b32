//! Taking a request in: its route, and the variant that its user belongs to.

use super::connection::Connection;
use super::identity;
use super::request::{Attempt, Routed};
use super::view::View;
use http::header::HOST;
use pingora::protocols::http::ServerSession;
use serinus_routing::Variant;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Finds the route and chooses the variant: the only time that a request looks at the table.
pub(super) fn admit(
    view: Arc<View>,
    session: &mut ServerSession,
    connection: Option<&Connection>,
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
    let (mut variant, mut new_user, mut secure) = (Variant::Stable, None, false);
    if service.canary.is_some() {
        let (address, tls) = match connection {
            Some(connection) => (connection.client.address, connection.client.tls),
            None => client_of(session),
        };
        let seed = view.setup.services[index.0 as usize].seed;
        let (bucket, user) = identity::place(&service.sticky, seed, &header.headers, address);
        variant = bucket.variant(service.weight);
        (new_user, secure) = (user, tls);
    }
    Some(Routed {
        view,
        route,
        variant,
        new_user,
        secure,
        has_body,
        uploading: has_body,
        sent: false,
        started: now,
        attempt: Attempt::new(now),
        connect_failures: 0,
        stale_connection: false,
        shielded: false,
    })
}

fn client_of(session: &ServerSession) -> (Option<IpAddr>, bool) {
    let address = session.client_addr().and_then(|address| address.as_inet());
    let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    (address.map(|address| address.ip()), tls)
}
