//! Lines in front of what strangers may ask for: hashing a password, waiting for a directory, having a form read.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Refused;

/// How many sign-ins may wait for a place, and how many of them from one address; further ones are told to come back.
const WAITING: usize = 64;
const SHARE: usize = 8;
/// Which part of a line is for those who share the leading bits of their addresses ([`region`]): whoever holds very many
/// networks that lie together does not fill it.
const REGION_PART: usize = 4;
/// How many of the operator's own commands may wait beside them: sign-ins never shut the operator out.
const OPERATORS: usize = 8;

/// Who wants a password hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Somebody who signs in from this address.
    At(IpAddr),
    /// The operator, by a command.
    Operator,
}

impl Client {
    /// The address; the operator has none.
    #[must_use]
    pub const fn address(self) -> Option<IpAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Operator => None,
        }
    }
}

/// Those who wait.
#[derive(Debug)]
pub(crate) struct Line {
    waiting: usize,
    share: usize,
    region_share: usize,
    state: Mutex<State>,
}

impl Default for Line {
    /// Of those who sign in.
    fn default() -> Self {
        Self::of(WAITING, SHARE)
    }
}

#[derive(Debug, Default)]
struct State {
    operators: usize,
    clients: usize,
    of: HashMap<IpAddr, usize>,
    of_region: HashMap<IpAddr, usize>,
}

/// A place in the line, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    line: &'a Line,
    client: Client,
}

impl Line {
    /// A line for so many, for so many of them from one address, and for a quarter of them from one region.
    pub(crate) fn of(waiting: usize, share: usize) -> Self {
        Self { waiting, share, region_share: share.max(waiting / REGION_PART), state: Mutex::default() }
    }

    /// Stands in the line.
    ///
    /// # Errors
    /// [`Refused::Busy`] when the line is full, or this address or its region has its share of it.
    pub(crate) fn enter(&self, client: Client) -> Result<Waiting<'_>, Refused> {
        let mut state = self.state();
        match client {
            Client::Operator if state.operators == OPERATORS => return Err(Refused::Busy),
            Client::Operator => state.operators += 1,
            Client::At(address) => {
                let (near, far) = (network(address), region(address));
                let share = state.of.get(&near).copied().unwrap_or_default();
                let region_share = state.of_region.get(&far).copied().unwrap_or_default();
                if state.clients == self.waiting || share == self.share || region_share == self.region_share {
                    return Err(Refused::Busy);
                }
                state.clients += 1;
                state.of.insert(near, share + 1);
                state.of_region.insert(far, region_share + 1);
            }
        }
        Ok(Waiting { line: self, client })
    }

    /// How many of the operator's commands are in the line.
    #[cfg(test)]
    pub(super) fn operators(&self) -> usize {
        self.state().operators
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between the assignments of a change, so none is half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.line.state();
        let Client::At(address) = self.client else {
            state.operators -= 1;
            return;
        };
        state.clients -= 1;
        give_back(&mut state.of, network(address));
        give_back(&mut state.of_region, region(address));
    }
}

fn give_back(shares: &mut HashMap<IpAddr, usize>, of: IpAddr) {
    match shares.get_mut(&of) {
        Some(share) if *share > 1 => *share -= 1,
        _ => drop(shares.remove(&of)),
    }
}

/// What one client holds: an IPv4 address, or the 64 leading bits of an IPv6 address, behind which are as many as it likes.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    leading(address, (32, 64))
}

/// What one site is given, with the neighbours that it may have there: 24 leading bits of an IPv4 address, 48 of an IPv6
/// address, in which there are 65,536 networks.
pub(crate) fn region(address: IpAddr) -> IpAddr {
    leading(address, (24, 48))
}

/// The address with nothing behind so many leading bits, of IPv4 and of IPv6.
fn leading(address: IpAddr, (of_v4, of_v6): (u32, u32)) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - of_v4))).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - of_v6))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_and_regions_are_leading_bits() {
        for (address, near, far) in [
            ("192.0.2.77", "192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::"),
        ] {
            assert_eq!((network(at(address)), region(at(address))), (at(near), at(far)), "{address}");
        }
    }

    #[test]
    fn a_region_has_a_quarter_of_a_line_and_others_the_rest() {
        let line = Line::default();
        let of_region = |number: usize| Client::At(at(&format!("2001:db8:1:{number:x}::1")));
        let held: Vec<_> = (0..WAITING / REGION_PART).map(|number| line.enter(of_region(number)).unwrap()).collect();
        assert!(matches!(line.enter(of_region(999)), Err(Refused::Busy)));
        let elsewhere = Client::At(at("2001:db8:2::1"));
        let others: Vec<_> = (0..SHARE).map(|_| line.enter(elsewhere).unwrap()).collect();
        assert!(matches!(line.enter(elsewhere), Err(Refused::Busy)));
        drop((held, others));
        assert!(line.enter(of_region(999)).is_ok() && line.state().of.is_empty() && line.state().of_region.is_empty());
    }
}
