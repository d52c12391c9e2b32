//! Socket activation: the service manager holds the listening sockets and passes them on
//! (`LISTEN_FDS`), so that a restart refuses nobody, and a port below 1024 needs no privilege here.

use super::sockets::{Inherited, ListeningSocket};
use anyhow::{Context, bail};
use listenfd::ListenFd;
use std::net::{IpAddr, SocketAddr};

/// The sockets that the service manager passed to this very process; none where there is none. `wanted`
/// are the addresses of the configuration. To be called once.
///
/// # Errors
/// Something else than a TCP socket was passed.
pub(crate) fn from_service_manager(
    wanted: impl Iterator<Item = SocketAddr> + Clone,
) -> anyhow::Result<Inherited> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(passed.len());
    for at in 0..passed.len() {
        let socket = passed.take_tcp_listener(at).with_context(|| {
            format!("socket {at} of the service manager (LISTEN_FDS) does not listen for TCP")
        })?;
        let Some(socket) = socket else { bail!("socket {at} of the service manager is gone") };
        let address = socket.local_addr()?;
        let configured = wanted.clone().find(|wanted| is_meant(*wanted, address));
        sockets.push(ListeningSocket { configured: configured.unwrap_or(address), socket });
    }
    Ok(Inherited::new(sockets))
}

/// Whether a socket at `address` is what `wanted` asks for. `ListenStream=80` is `[::]:80`, which takes
/// IPv4 as well.
fn is_meant(wanted: SocketAddr, address: SocketAddr) -> bool {
    let takes_all = matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified());
    wanted == address
        || wanted.port() == address.port() && wanted.ip().is_unspecified() && takes_all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_for_every_address_is_one_for_every_ipv4_address_too() {
        let check = |wanted: &str, address: &str, expect| {
            let (wanted, address) = (wanted.parse().unwrap(), address.parse().unwrap());
            assert_eq!(is_meant(wanted, address), expect, "{wanted} {address}");
        };
        check("127.0.0.1:80", "127.0.0.1:80", true);
        check("0.0.0.0:80", "[::]:80", true);
        check("[::]:80", "[::]:80", true);
        check("[::]:80", "0.0.0.0:80", false);
        check("127.0.0.1:80", "[::]:80", false);
        check("0.0.0.0:80", "[::]:443", false);
        check("0.0.0.0:80", "127.0.0.1:80", false);
    }
}
