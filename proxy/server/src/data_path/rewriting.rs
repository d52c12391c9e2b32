//! What a route changes in a message: the path, and headers by name.

use pingora::http::{RequestHeader, ResponseHeader};
use serinus_routing::{HeaderChanges, PathChange};

/// Asks the upstream for the path that the route makes of this one; the query stays.
pub(crate) fn path(request: &mut RequestHeader, change: &PathChange) -> pingora::Result<()> {
    if *change == PathChange::None {
        return Ok(());
    }
    let mut target = change.of(request.uri.path()).into_owned();
    if let Some(query) = request.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    request.set_raw_path(target.as_bytes())
}

/// Changes the headers that the upstream sees.
pub(crate) fn request_headers(
    request: &mut RequestHeader,
    changes: &HeaderChanges,
) -> pingora::Result<()> {
    if changes.are_none() {
        return Ok(());
    }
    for name in &changes.remove {
        request.remove_header(name);
    }
    for (name, value) in &changes.set {
        request.insert_header(name.clone(), value.clone())?;
    }
    for (name, value) in &changes.add {
        request.append_header(name.clone(), value.clone())?;
    }
    Ok(())
}

/// Changes the headers that the client sees.
pub(crate) fn response_headers(
    response: &mut ResponseHeader,
    changes: &HeaderChanges,
) -> pingora::Result<()> {
    if changes.are_none() {
        return Ok(());
    }
    for name in &changes.remove {
        response.remove_header(name);
    }
    for (name, value) in &changes.set {
        response.insert_header(name.clone(), value.clone())?;
    }
    for (name, value) in &changes.add {
        response.append_header(name.clone(), value.clone())?;
    }
    Ok(())
}
