//! Address ranges and names of this registry.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses in CIDR notation, such as `10.0.0.0/8` or `fd00::/8`; a lone address is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is not a range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkInvalid {
    /// The part before the slash is not an IPv4 or IPv6 address.
    #[error("it is not an IP address")]
    Address,
    /// The part after the slash is not a number of bits, or more than the address has.
    #[error("the number after `/` is not between 0 and the bits of the address")]
    Prefix,
    /// Bits are set behind the prefix, so the range that was meant is unclear.
    #[error("address bits are set behind the prefix")]
    HostBits,
}

impl Network {
    /// Whether `address` lies in the range. An IPv4 address that arrived on an IPv6 socket (`::ffff:a.b.c.d`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        bits_of(address) == bits_of(self.address) && shifted(address, self.prefix) == shifted(self.address, self.prefix)
    }
}

/// How many bits the address has.
fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first `prefix` bits, as a number.
fn shifted(address: IpAddr, prefix: u8) -> u128 {
    let number = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    number.checked_shr(u32::from(bits_of(address) - prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkInvalid::Address)?;
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| NetworkInvalid::Prefix)?,
            None => bits_of(address),
        };
        if prefix > bits_of(address) {
            return Err(NetworkInvalid::Prefix);
        }
        let kept = shifted(address, prefix).checked_shl(u32::from(bits_of(address) - prefix)).unwrap_or(0);
        if kept != shifted(address, bits_of(address)) {
            return Err(NetworkInvalid::HostBits);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_exactly_the_addresses_under_its_prefix() {
        let table = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
        ];
        for (network, address, expected) in table {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} and {address}");
        }
    }

    #[test]
    fn a_network_that_is_ambiguous_or_malformed_is_refused() {
        let table = [
            ("10.0.0.1/8", NetworkInvalid::HostBits),
            ("10.0.0.0/33", NetworkInvalid::Prefix),
            ("10.0.0.0/-1", NetworkInvalid::Prefix),
            ("10.0.0.0/", NetworkInvalid::Prefix),
            ("localhost", NetworkInvalid::Address),
            ("", NetworkInvalid::Address),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Network>(), Err(expected), "{text}");
        }
    }
}
