//! Which connection gives way when too many are at their login.
//!
//! Rules:
//!
//! * One address has a bounded number of them, and so have all together. IPv6 addresses of one /64 network count as one: whoever has
//!   one of them has them all.
//! * Who has most gives way, its oldest first: a flood pushes out itself, and not those who come from elsewhere.

use std::collections::HashMap;
use std::net::IpAddr;

/// Connections that may be at their login at once.
pub const LOGINS_MAX: usize = 256;
/// The same from one address.
pub const LOGINS_PER_ADDRESS_MAX: usize = 64;

/// Where a connection comes from, as far as it is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin([u8; 8]);

impl Origin {
    pub(crate) fn of(address: IpAddr) -> Self {
        let mut origin = [0; 8];
        match address.to_canonical() {
            // No global IPv6 network begins with zeros.
            IpAddr::V4(address) => origin[4..].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => origin.copy_from_slice(&address.octets()[..8]),
        }
        Self(origin)
    }
}

/// Which of the connections at their login gives way to a new one from `from`; None: there is room.
///
/// `logins`: an ordinal number, smaller for an older one, and the origin of each.
pub(crate) fn gives_way(logins: &[(u64, Origin)], from: Origin) -> Option<u64> {
    let mut counts: HashMap<Origin, usize> = HashMap::new();
    for (_, origin) in logins {
        *counts.entry(*origin).or_default() += 1;
    }
    let own = counts.get(&from).copied().unwrap_or(0);
    let flooding = if own >= LOGINS_PER_ADDRESS_MAX {
        from
    } else if logins.len() >= LOGINS_MAX {
        // As many from two addresses: the older connection's.
        logins
            .iter()
            .max_by_key(|(number, origin)| (counts[origin], std::cmp::Reverse(*number)))?
            .1
    } else {
        return None;
    };
    logins
        .iter()
        .filter(|(_, origin)| *origin == flooding)
        .map(|(number, _)| *number)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Origin {
        Origin::of(address.parse().expect("it is an address"))
    }

    #[test]
    fn an_address_has_its_number_and_its_oldest_gives_way() {
        let (flood, other) = (from("10.0.0.1"), from("10.0.0.2"));
        let mut logins = vec![(1, other)];
        for number in 2..2 + LOGINS_PER_ADDRESS_MAX as u64 {
            assert_eq!(gives_way(&logins, flood), None);
            logins.push((number, flood));
        }
        assert_eq!(gives_way(&logins, flood), Some(2));
        assert_eq!(gives_way(&logins, other), None);
    }

    #[test]
    fn of_all_the_address_with_most_gives_way() {
        let addresses: Vec<_> = (0..200)
            .map(|host| from(&format!("10.0.1.{host}")))
            .collect();
        let flood = from("10.0.0.1");
        let mut logins: Vec<_> = (0..).zip(addresses).collect();
        logins.extend((1000..1056).map(|number| (number, flood)));
        assert_eq!(logins.len(), LOGINS_MAX);
        assert_eq!(gives_way(&logins, from("10.0.0.9")), Some(1000));
        assert_eq!(gives_way(&logins, flood), Some(1000));
        let alone: Vec<_> = (0..LOGINS_MAX as u64)
            .map(|number| {
                (
                    number,
                    from(&format!("10.1.{}.{}", number / 200, number % 200)),
                )
            })
            .collect();
        assert_eq!(gives_way(&alone, flood), Some(0));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_a_mapped_address_as_what_it_is() {
        assert_eq!(from("2001:db8::1"), from("2001:db8::ffff:2:3:4"));
        assert_ne!(from("2001:db8::1"), from("2001:db8:0:1::1"));
        assert_eq!(from("::ffff:10.0.0.1"), from("10.0.0.1"));
        assert_ne!(from("10.0.0.1"), from("10.0.0.2"));
    }
}
