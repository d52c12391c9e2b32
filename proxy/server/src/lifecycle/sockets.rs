//! Listening sockets: bound here, or taken over from the process before or the service manager.

use anyhow::Context;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// A listening socket, by the address that the configuration gives it (whose port may be 0).
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    pub(crate) configured: SocketAddr,
    pub(crate) socket: TcpListener,
}

/// Sockets of the process before or the service manager, until somebody wants them. What nobody wants is
/// closed.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<ListeningSocket>);

impl Inherited {
    pub(crate) fn new(sockets: Vec<ListeningSocket>) -> Self {
        Inherited(sockets)
    }

    fn take(&mut self, configured: SocketAddr) -> Option<TcpListener> {
        let at = self.0.iter().position(|socket| socket.configured == configured)?;
        Some(self.0.swap_remove(at).socket)
    }

    /// What nobody has wanted so far.
    pub(crate) fn left(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0.iter().map(|socket| socket.configured)
    }
}

/// A socket that listens on `address`, not blocking: the inherited one if there is one.
///
/// # Errors
/// The address is taken, not this machine's, or not ours to use; with what can be done.
pub(crate) fn bind(address: SocketAddr, inherited: &mut Inherited) -> anyhow::Result<TcpListener> {
    let socket = match inherited.take(address) {
        Some(socket) => socket,
        // With `SO_REUSEADDR`, so that a restart need not wait for connections in TIME_WAIT.
        None => TcpListener::bind(address).map_err(|error| {
            let hint = hint(&error, address);
            anyhow::Error::new(error).context(hint)
        })?,
    };
    socket.set_nonblocking(true).context("cannot use the socket")?;
    Ok(socket)
}

fn hint(error: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} is taken: stop what listens there (`ss -ltnp 'sport = :{port}'` names it), or use another"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "port {port} is for the privileged: give the process CAP_NET_BIND_SERVICE (AmbientCapabilities= of systemd, or `setcap cap_net_bind_service=+ep` on the binary)"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{} is no address of this machine", address.ip())
        }
        _ => "the system refuses".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inherited_socket_is_used_once_and_others_are_bound() {
        let configured = "127.0.0.1:0".parse().unwrap();
        let socket = TcpListener::bind(configured).unwrap();
        let port = socket.local_addr().unwrap().port();
        let mut inherited = Inherited::new(vec![ListeningSocket { configured, socket }]);
        let first = bind(configured, &mut inherited).unwrap();
        assert_eq!(first.local_addr().unwrap().port(), port);
        let second = bind(configured, &mut inherited).unwrap();
        assert_ne!(second.local_addr().unwrap().port(), port);
        let taken = bind(first.local_addr().unwrap(), &mut inherited).unwrap_err();
        assert!(format!("{taken:#}").contains("is taken"), "{taken:#}");
    }
}
