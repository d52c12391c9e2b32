//! The PROXY protocol, versions 1 and 2: a proxy in front says in the first bytes of a connection
//! whose it is.
//!
//! Read byte-exact, since what follows belongs to TLS or HTTP.

use super::networks::Networks;
use pingora::protocols::{GetSocketDigest, SocketDigest, UniqueID};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, with its CRLF.
const LONGEST_LINE: usize = 107;
/// Most bytes of addresses and extensions in version 2.
const LONGEST_BLOCK: usize = 4096;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It is no PROXY header, or comes from somebody who is not trusted.
    Refused,
    /// The peer left without a word: a health check, usually.
    Closed,
}

/// Reads the header of a connection and lets it pass for the client's.
pub(crate) async fn read<S>(stream: &mut S, trusted: &Networks) -> Result<(), Failed>
where
    S: AsyncRead + GetSocketDigest + UniqueID + Unpin + ?Sized,
{
    let peer = stream.get_socket_digest().and_then(|digest| {
        digest.peer_addr().and_then(|address| address.as_inet()).map(|address| address.ip())
    });
    if !peer.is_some_and(|peer| trusted.holds(peer)) {
        return Err(Failed::Refused);
    }
    let Some(client) = client(stream).await? else { return Ok(()) };
    let digest = SocketDigest::from_raw_fd(stream.id());
    // The digest is new: nothing is set in it.
    let _ = digest.peer_addr.set(Some(client.into()));
    stream.set_socket_digest(digest);
    Ok(())
}

/// The client of the header; none where the proxy speaks for itself.
async fn client<S: AsyncRead + Unpin + ?Sized>(
    stream: &mut S,
) -> Result<Option<SocketAddr>, Failed> {
    let mut start = [0; SIGNATURE.len()];
    let first = stream.read(&mut start[..1]).await.map_err(|_| Failed::Closed)?;
    if first == 0 {
        return Err(Failed::Closed);
    }
    stream.read_exact(&mut start[1..]).await.map_err(|_| Failed::Refused)?;
    if start == *SIGNATURE {
        return version_2(stream).await;
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LONGEST_LINE {
            return Err(Failed::Refused);
        }
        line.push(stream.read_u8().await.map_err(|_| Failed::Refused)?);
    }
    version_1(&line[..line.len() - 2]).ok_or(Failed::Refused)
}

/// `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, without its CRLF.
fn version_1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (tag, family) = (words.next()?, words.next()?);
    if tag != "PROXY" {
        return None;
    }
    if family == "UNKNOWN" {
        return Some(None);
    }
    let (source, target): (IpAddr, IpAddr) =
        (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (source_port, _): (u16, u16) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then(|| Some(SocketAddr::new(source, source_port)))
}

async fn version_2<S: AsyncRead + Unpin + ?Sized>(
    stream: &mut S,
) -> Result<Option<SocketAddr>, Failed> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await.map_err(|_| Failed::Refused)?;
    let [command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_BLOCK {
        return Err(Failed::Refused);
    }
    let mut block = vec![0; length];
    stream.read_exact(&mut block).await.map_err(|_| Failed::Refused)?;
    match command {
        0x20 => Ok(None), // LOCAL: the proxy's own health check
        0x21 => addresses(family, &block).ok_or(Failed::Refused),
        _ => Err(Failed::Refused),
    }
}

/// The source of the addresses of version 2; what follows them are extensions.
fn addresses(family: u8, block: &[u8]) -> Option<Option<SocketAddr>> {
    let port = |at: usize| Some(u16::from_be_bytes([*block.get(at)?, *block.get(at + 1)?]));
    match family {
        0x11 => {
            let source: [u8; 4] = block.get(..12)?[..4].try_into().ok()?;
            Some(Some(SocketAddr::new(Ipv4Addr::from(source).into(), port(8)?)))
        }
        0x21 => {
            let source: [u8; 16] = block.get(..36)?[..16].try_into().ok()?;
            Some(Some(SocketAddr::new(Ipv6Addr::from(source).into(), port(32)?)))
        }
        0x00 | 0x31 => Some(None), // unspecified, or a Unix socket: no address
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(bytes: &[u8]) -> (Result<Option<SocketAddr>, Failed>, usize) {
        let mut rest = bytes;
        let read = client(&mut rest).await;
        (read, rest.len())
    }

    #[tokio::test]
    async fn version_1_is_a_line() {
        for (line, source) in [
            ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443", Some("192.0.2.1:56324")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 2", Some("[2001:db8::1]:1")),
            ("PROXY UNKNOWN", None),
            ("PROXY UNKNOWN whatever it says", None),
        ] {
            let text = format!("{line}\r\nGET /");
            let source = source.map(|source| source.parse().unwrap());
            assert_eq!(read_all(text.as_bytes()).await, (Ok(source), 5), "{line}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for line in [
            "GET / HTTP/1.1",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 x",
            "PROXY TCP4 2001:db8::1 198.51.100.1 1 2",
            "PROXY TCP4 192.0.2.1  198.51.100.1 1 2",
            "PROXY TCP4 192.0.2.1 198.51.100.1 99999 2",
            "proxy TCP4 192.0.2.1 198.51.100.1 1 2",
        ] {
            let text = format!("{line}\r\n\r\n");
            assert_eq!(read_all(text.as_bytes()).await.0, Err(Failed::Refused), "{line}");
        }
        let endless = "PROXY UNKNOWN ".to_owned() + &"x".repeat(200);
        assert_eq!(read_all(endless.as_bytes()).await.0, Err(Failed::Refused));
        assert_eq!(read_all(b"").await.0, Err(Failed::Closed));
        assert_eq!(read_all(b"PROXY").await.0, Err(Failed::Refused));
    }

    fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((block.len() as u16).to_be_bytes());
        bytes.extend(block);
        bytes
    }

    #[tokio::test]
    async fn version_2_is_binary() {
        let mut four = vec![192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x34, 1, 187];
        let source = Some("192.0.2.1:4660".parse().unwrap());
        assert_eq!(read_all(&binary(0x21, 0x11, &four)).await, (Ok(source), 0));
        four.extend(b"\x04\x00\x01x"); // an extension
        assert_eq!(read_all(&binary(0x21, 0x11, &four)).await, (Ok(source), 0));
        let mut six = vec![0; 36];
        (six[15], six[33]) = (1, 80);
        let source = Some("[::1]:80".parse().unwrap());
        assert_eq!(read_all(&binary(0x21, 0x21, &six)).await, (Ok(source), 0));
        assert_eq!(read_all(&binary(0x20, 0, &[])).await, (Ok(None), 0));
        for bad in [
            binary(0x11, 0x11, &four),
            binary(0x21, 0x11, &four[..11]),
            binary(0x21, 0x12, &four),
            binary(0x21, 0x21, &four),
            binary(0x21, 0x11, &[0; 5_000]),
        ] {
            assert_eq!(read_all(&bad).await.0, Err(Failed::Refused));
        }
    }
}
