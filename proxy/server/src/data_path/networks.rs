//! Whether an address is one of those that a configuration names.

use serinus_config::Network;
use std::net::IpAddr;

/// Ranges of addresses, sorted and apart, so that a look-up is a binary search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networks(Box<[(u128, u128)]>);

impl Networks {
    pub(crate) fn new(networks: &[Network]) -> Self {
        let mut bounds: Vec<_> = networks.iter().map(Network::bounds).collect();
        bounds.sort_unstable();
        let mut apart: Vec<(u128, u128)> = Vec::with_capacity(bounds.len());
        for (first, last) in bounds {
            match apart.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => apart.push((first, last)),
            }
        }
        Networks(apart.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let number = Network::number(address);
        let after = self.0.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).is_some_and(|at| number <= self.0[at].1)
    }
}

/// What stands for a client where clients are counted: the address, or with IPv6 its /64, of which
/// one client has all.
pub(crate) fn client_key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => Network::number(address.into()),
        IpAddr::V6(address) => u128::from(address) >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serinus_config::parse;
    use std::path::Path;

    /// As a configuration writes them.
    pub(crate) fn networks(list: &str) -> Networks {
        let text = format!(
            "[listener.a]\naddress = \"127.0.0.1:0\"\nidentity.trusted_proxies = {list}\n\
             [route.a]\nservice = \"a\"\n[service.a.stable]\nendpoints = [\"a:1\"]\n"
        );
        let settings = parse(&text, Path::new("s.toml")).unwrap();
        Networks::new(&settings.listeners[0].intake.identity.trusted_proxies)
    }

    #[test]
    fn an_address_is_found_in_any_of_them() {
        let some = networks(r#"["10.0.0.0/8", "192.0.2.7", "10.1.0.0/16", "2001:db8::/32"]"#);
        for (address, held) in [
            ("10.0.0.0", true),
            ("10.200.3.4", true),
            ("11.0.0.0", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.1.1.1", true),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(some.holds(address.parse().unwrap()), held, "{address}");
        }
        assert!(!Networks::default().holds("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_client_with_ipv6_has_a_whole_64() {
        let key = |address: &str| client_key(address.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    }
}
