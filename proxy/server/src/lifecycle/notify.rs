//! What systemd is told (sd_notify): ready, reloading, stopping, and which process it is now.
//!
//! Without a `NOTIFY_SOCKET` nobody asked, and nothing is sent.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where systemd listens.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// Tells the service manager, if there is one: lines of `KEY=VALUE`.
pub(crate) fn tell(lines: &str) {
    if let Some(place) = std::env::var_os(VARIABLE).filter(|place| !place.is_empty())
        && let Err(error) = send(&place, lines)
    {
        tracing::warn!(%error, "the service manager could not be told: {lines}");
    }
}

/// What says that another process is the service from now on.
pub(crate) fn with_main_pid(pid: u32) -> String {
    format!("MAINPID={pid}")
}

fn send(place: &OsStr, lines: &str) -> io::Result<()> {
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(place)?,
    };
    UnixDatagram::unbound()?.send_to_addr(lines.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_address_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("serinus-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        send(OsStr::new(&format!("@{name}")), "STOPPING=1").unwrap();
        for (socket, expected) in [(by_path, "READY=1"), (by_name, "STOPPING=1")] {
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
    }
}
