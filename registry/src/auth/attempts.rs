//! How often a password may be guessed: a bound for each pair of a name and an address, and a wider one for each address.
//!
//! There is none for a name alone, so that nobody is locked out by a stranger elsewhere, and none for tokens, whose secrets
//! nobody guesses. A name that nobody has is counted like any other. Each process counts for itself.

use std::convert::Infallible;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quick_cache::sync::Cache;
use ring::digest::{SHA256, digest};

use super::line::{Client, network};

/// Wrong passwords for one name from one address that are taken at once.
const OF_PAIR: i64 = 10;
/// Wrong passwords from one address, whatever the names.
const OF_ADDRESS: i64 = 100;
/// How long until one more is taken for a pair, in milliseconds.
const PAIR_PERIOD: i64 = 30_000;
/// How long until one more is taken from an address.
const ADDRESS_PERIOD: i64 = 3_000;
/// How many pairs and addresses are remembered; the longest unused is forgotten first.
const REMEMBERED: usize = 100_000;

/// How far a clock may be put back, in milliseconds, without what was counted before being taken for nonsense.
const STEP: i64 = 60_000;

/// The counts of wrong passwords.
pub(super) struct Attempts {
    pairs: Counts<(Name, IpAddr)>,
    addresses: Counts<IpAddr>,
}

/// A name, by a part of its SHA-256: who signs in chooses its length, and a hundred thousand long ones would fill memory.
type Name = [u8; 16];

/// When each will be back at nothing, in milliseconds since 1970 (a leaky bucket by its virtual finishing time).
pub(super) struct Counts<K>(Cache<K, Arc<AtomicI64>>);

impl Default for Attempts {
    fn default() -> Self {
        Self { pairs: Counts::none(), addresses: Counts::none() }
    }
}

impl Attempts {
    /// Seconds to wait before a password for `name` is looked at from this client; `None` when it is now.
    pub(super) fn wait(&self, name: &str, client: Client, now: i64) -> Option<u32> {
        let Client::At(address) = client else { return None };
        let address = network(address);
        let pair = self.pairs.wait(&(short(name), address), (OF_PAIR, PAIR_PERIOD), now);
        pair.max(self.addresses.wait(&address, (OF_ADDRESS, ADDRESS_PERIOD), now))
    }

    /// Counts a wrong password.
    pub(super) fn failed(&self, name: &str, client: Client, now: i64) {
        let Client::At(address) = client else { return };
        let address = network(address);
        self.pairs.count(&(short(name), address), (OF_PAIR, PAIR_PERIOD), now);
        self.addresses.count(&address, (OF_ADDRESS, ADDRESS_PERIOD), now);
    }

    /// Forgets a pair's wrong passwords after a right one; those of the address stay.
    pub(super) fn succeeded(&self, name: &str, client: Client) {
        if let Client::At(address) = client {
            self.pairs.forget(&(short(name), network(address)));
        }
    }
}

impl<K: Hash + Eq + Clone> Counts<K> {
    /// Counts of nothing yet.
    pub(super) fn none() -> Self {
        Self(Cache::new(REMEMBERED))
    }

    /// Seconds to wait until one more is taken, of so many at once and one in each period (milliseconds) after them.
    pub(super) fn wait(&self, key: &K, (burst, period): (i64, i64), now: i64) -> Option<u32> {
        let back_at = self.0.get(key)?.load(Ordering::Relaxed);
        if back_at > now + (burst + 1) * period + STEP {
            // Counted by a clock that was ahead.
            return None;
        }
        let too_early = back_at - now - (burst - 1) * period;
        (too_early > 0).then(|| u32::try_from(too_early.div_euclid(1000) + 1).unwrap_or(u32::MAX))
    }

    /// Counts one, of so many at once and one in each period (milliseconds) after them.
    pub(super) fn count(&self, key: &K, (burst, period): (i64, i64), now: i64) {
        let Ok(count) = self.0.get_or_insert_with(key, || Ok::<_, Infallible>(Arc::new(AtomicI64::new(now))));
        let one_more = |back_at: i64| Some(back_at.clamp(now, now + burst * period) + period);
        // Never refused: the change is always one.
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    /// Counts from nothing again.
    pub(super) fn forget(&self, key: &K) {
        self.0.remove(key);
    }
}

fn short(name: &str) -> Name {
    let mut short = Name::default();
    short.copy_from_slice(&digest(&SHA256, name.as_bytes()).as_ref()[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Client = Client::At(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const THERE: Client = Client::At(IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)));

    #[test]
    fn a_pair_is_bounded_and_comes_back_slowly() {
        let attempts = Attempts::default();
        for _ in 0..OF_PAIR {
            assert_eq!(attempts.wait("ann", HERE, 0), None);
            attempts.failed("ann", HERE, 0);
        }
        assert_eq!(attempts.wait("ann", HERE, 0), Some(31));
        assert_eq!(attempts.wait("ann", HERE, PAIR_PERIOD - 1), Some(1));
        assert_eq!(attempts.wait("ann", HERE, PAIR_PERIOD), None);
        attempts.failed("ann", HERE, PAIR_PERIOD);
        assert!(attempts.wait("ann", HERE, PAIR_PERIOD).is_some());
    }

    #[test]
    fn what_was_counted_by_a_clock_that_was_ahead_locks_nobody_out() {
        let attempts = Attempts::default();
        for _ in 0..OF_PAIR {
            attempts.failed("ann", HERE, 86_400_000);
        }
        assert!(attempts.wait("ann", HERE, 86_400_000 - STEP).is_some(), "a clock is put back a little every day");
        assert_eq!(attempts.wait("ann", HERE, 0), None);
        for _ in 0..OF_PAIR {
            attempts.failed("ann", HERE, 0);
        }
        assert!(attempts.wait("ann", HERE, 0).is_some_and(|seconds| seconds <= 61));
    }

    #[test]
    fn nobody_elsewhere_is_locked_out_and_the_operator_never_is() {
        let attempts = Attempts::default();
        for _ in 0..10 * OF_ADDRESS {
            attempts.failed("ann", HERE, 0);
            attempts.failed("ann", Client::Operator, 0);
        }
        assert!(attempts.wait("ann", HERE, 0).is_some());
        assert_eq!(attempts.wait("ann", THERE, 0), None);
        assert_eq!(attempts.wait("ann", Client::Operator, 0), None);
    }

    #[test]
    fn one_address_cannot_try_every_name() {
        let attempts = Attempts::default();
        for number in 0..OF_ADDRESS {
            let name = format!("user{number}");
            assert_eq!(attempts.wait(&name, HERE, 0), None);
            attempts.failed(&name, HERE, 0);
        }
        assert!(attempts.wait("another", HERE, 0).is_some());
    }

    #[test]
    fn a_right_password_wipes_the_slips_before_it() {
        let attempts = Attempts::default();
        for _ in 0..OF_PAIR {
            attempts.failed("ann", HERE, 0);
        }
        attempts.succeeded("ann", HERE);
        assert_eq!(attempts.wait("ann", HERE, 0), None);
    }
}
