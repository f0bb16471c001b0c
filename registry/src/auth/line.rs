//! Lines in front of what strangers may ask for: hashing a password, waiting for a directory, having a form read.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Refused;

/// How many sign-ins may wait for a place, and how many of them from one address; further ones are told to come back.
const WAITING: usize = 64;
const SHARE: usize = 8;
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

/// Those who wait.
#[derive(Debug)]
pub(crate) struct Line {
    waiting: usize,
    share: usize,
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
}

/// A place in the line, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    line: &'a Line,
    client: Client,
}

impl Line {
    /// A line for so many, and for so many of them from one address.
    pub(crate) fn of(waiting: usize, share: usize) -> Self {
        Self { waiting, share, state: Mutex::default() }
    }

    /// Stands in the line.
    ///
    /// # Errors
    /// [`Refused::Busy`] when the line is full, or this address has its share of it.
    pub(crate) fn enter(&self, client: Client) -> Result<Waiting<'_>, Refused> {
        let mut state = self.state();
        match client {
            Client::Operator if state.operators == OPERATORS => return Err(Refused::Busy),
            Client::Operator => state.operators += 1,
            Client::At(address) => {
                let share = state.of.get(&network(address)).copied().unwrap_or_default();
                if state.clients == self.waiting || share == self.share {
                    return Err(Refused::Busy);
                }
                state.clients += 1;
                state.of.insert(network(address), share + 1);
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
        match state.of.get_mut(&network(address)) {
            Some(share) if *share > 1 => *share -= 1,
            _ => drop(state.of.remove(&network(address))),
        }
    }
}

/// What one client holds: an IPv4 address, or the 64 leading bits of an IPv6 address, behind which are as many as it likes.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}
