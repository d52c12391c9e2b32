//! Ranges of addresses: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.1`.

use crate::reader::{Fault, Text, fault};
use std::net::IpAddr;

/// All addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its first address; IPv4 as IPv6 (`::ffff:192.0.2.1`).
    first: u128,
    last: u128,
}

impl Network {
    /// The first and the last address, as IPv6; IPv4 addresses as `::ffff:192.0.2.1`.
    pub fn bounds(&self) -> (u128, u128) {
        (self.first, self.last)
    }

    /// The number by which addresses are compared.
    pub fn number(address: IpAddr) -> u128 {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        u128::from(address)
    }
}

impl Text for Network {
    const WHAT: &'static str = "a network";
    const EXAMPLE: &'static str = "\"10.0.0.0/8\"";

    fn parse(text: &str) -> Result<Self, Fault> {
        let shown = text.escape_debug();
        let help = "write an address or a range: \"192.0.2.1\", \"10.0.0.0/8\", \"2001:db8::/32\"";
        let bad = || fault(format!("\"{shown}\" is not a network"), help);
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let width = if address.is_ipv4() { 32u32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) => bits.parse::<u32>().ok().filter(|bits| *bits <= width).ok_or_else(bad)?,
        };
        // Of the 128 bits of an address as IPv6.
        let host_bits = width - bits;
        let mask = 1u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1);
        let number = Network::number(address);
        if number & mask != 0 {
            let first = number & !mask;
            let first = std::net::Ipv6Addr::from(first);
            let first = match address {
                IpAddr::V4(_) => first.to_ipv4_mapped().map_or(IpAddr::V6(first), IpAddr::V4),
                IpAddr::V6(_) => IpAddr::V6(first),
            };
            let message = format!("\"{shown}\" is an address within a network");
            return Err(fault(message, format!("write \"{first}/{bits}\"")));
        }
        Ok(Network { first: number, last: number | mask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        let Ok(network) = Network::parse(network) else { panic!("{network} is no network") };
        let (first, last) = network.bounds();
        (first..=last).contains(&Network::number(address.parse().unwrap()))
    }

    #[test]
    fn a_network_holds_what_begins_like_it() {
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("192.0.2.1", "192.0.2.1") && holds("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1") && holds("::/0", "::1"));
    }
}
