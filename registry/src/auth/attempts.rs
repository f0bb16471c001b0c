//! How often a password may be guessed: a bound for each pair of a name and an address, and wider ones for each address, for
//! each region of addresses, and for each name wherever it is guessed.
//!
//! The two widest do not hold where a name is at home: a stranger elsewhere, or next door, locks nobody out of the places that
//! they sign in from. The one of a name does not hold for its first tries from anywhere: somebody in a new place, or after a start
//! of the server, is let in by the right password while others guess. There is none for tokens, whose secrets nobody guesses. A name that nobody has is counted like any other.
//! Each process counts for itself, and knows homes of its own.

use std::convert::Infallible;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use quick_cache::sync::Cache;
use ring::digest::{SHA256, digest};

use super::line::{Client, network, region};

/// Wrong passwords for one name from one address that are taken at once, and how long until one more is, in milliseconds.
const OF_PAIR: (i64, i64) = (10, 30_000);
/// Wrong passwords from one address, whatever the names.
const OF_ADDRESS: (i64, i64) = (100, 3_000);
/// Wrong passwords from one region, whatever the names and addresses.
const OF_REGION: (i64, i64) = (400, 1_000);
/// Wrong passwords for one name, wherever from.
const OF_NAME: (i64, i64) = (100, 30_000);
/// Wrong passwords for one name from one place that the bound of the name does not touch: a stranger who guesses elsewhere locks
/// nobody out of a place where nobody has failed.
const FIRST: (i64, i64) = (3, 60 * 60 * 1_000);
/// How many of each are remembered; the longest unused is forgotten first.
const REMEMBERED: usize = 100_000;
/// How long a name is at home where it signed in, in milliseconds.
const AT_HOME: i64 = 30 * 24 * 60 * 60 * 1_000;

/// How far a clock may be put back, in milliseconds, without what was counted before being taken for nonsense.
const STEP: i64 = 60_000;

/// The counts of wrong passwords.
pub(super) struct Attempts {
    pairs: Counts<(Name, IpAddr)>,
    addresses: Counts<IpAddr>,
    regions: Counts<IpAddr>,
    names: Counts<Name>,
    /// By name and place.
    first: Counts<(Name, IpAddr)>,
    /// When each name last signed in from each address, in milliseconds since 1970.
    homes: Cache<(Name, IpAddr), i64>,
}

/// A name, by a part of its SHA-256: who signs in chooses its length, and a hundred thousand long ones would fill memory.
type Name = [u8; 16];

/// When each will be back at nothing, in milliseconds since 1970 (a leaky bucket by its virtual finishing time).
pub(super) struct Counts<K>(Cache<K, Arc<AtomicI64>>);

impl Default for Attempts {
    fn default() -> Self {
        Self {
            pairs: Counts::none(),
            addresses: Counts::none(),
            regions: Counts::none(),
            names: Counts::none(),
            first: Counts::none(),
            homes: Cache::new(REMEMBERED),
        }
    }
}

impl Attempts {
    /// Seconds to wait before a password for `name` is looked at from this client; `None` when it is now.
    pub(super) fn wait(&self, name: &str, client: Client, now: i64) -> Option<u32> {
        let Client::At(address) = client else { return None };
        let pair = (short(name), network(address));
        let near = self.pairs.wait(&pair, OF_PAIR, now).max(self.addresses.wait(&pair.1, OF_ADDRESS, now));
        if self.homes.get(&pair).is_some_and(|since| (since - STEP..since + AT_HOME).contains(&now)) {
            return near;
        }
        let far = self.regions.wait(&region(address), OF_REGION, now);
        let near = near.max(far);
        if self.first.wait(&(pair.0, place(address)), FIRST, now).is_none() {
            return near;
        }
        near.max(self.names.wait(&pair.0, OF_NAME, now))
    }

    /// Counts a wrong password.
    pub(super) fn failed(&self, name: &str, client: Client, now: i64) {
        let Client::At(address) = client else { return };
        let pair = (short(name), network(address));
        self.pairs.count(&pair, OF_PAIR, now);
        self.addresses.count(&pair.1, OF_ADDRESS, now);
        self.regions.count(&region(address), OF_REGION, now);
        self.names.count(&pair.0, OF_NAME, now);
        self.first.count(&(pair.0, place(address)), FIRST, now);
    }

    /// Forgets a pair's wrong passwords after a right one; those of the address, its region and the name stay.
    pub(super) fn succeeded(&self, name: &str, client: Client, now: i64) {
        if let Client::At(address) = client {
            self.pairs.forget(&(short(name), network(address)));
        }
        self.at_home(name, client, now);
    }

    /// Notes that `name` signed in from this client, with whatever opens all that a password does.
    pub(super) fn at_home(&self, name: &str, client: Client, now: i64) {
        if let Client::At(address) = client {
            self.homes.insert((short(name), network(address)), now);
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

    /// Takes one back that was counted, of those with this period (milliseconds).
    pub(super) fn give_back(&self, key: &K, period: i64, now: i64) {
        if let Some(count) = self.0.get(key) {
            // Never refused: the change is always one.
            let _ =
                count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |back_at| Some((back_at - period).max(now)));
        }
    }

    /// Counts from nothing again.
    pub(super) fn forget(&self, key: &K) {
        self.0.remove(key);
    }
}

/// What is one place to the first tries of a name: an address of IPv4, and a region of IPv6, of which one customer has all.
fn place(address: IpAddr) -> IpAddr {
    match network(address) {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(_) => region(address),
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
        for _ in 0..OF_PAIR.0 {
            assert_eq!(attempts.wait("ann", HERE, 0), None);
            attempts.failed("ann", HERE, 0);
        }
        assert_eq!(attempts.wait("ann", HERE, 0), Some(31));
        assert_eq!(attempts.wait("ann", HERE, OF_PAIR.1 - 1), Some(1));
        assert_eq!(attempts.wait("ann", HERE, OF_PAIR.1), None);
        attempts.failed("ann", HERE, OF_PAIR.1);
        assert!(attempts.wait("ann", HERE, OF_PAIR.1).is_some());
    }

    #[test]
    fn what_was_counted_by_a_clock_that_was_ahead_locks_nobody_out() {
        let attempts = Attempts::default();
        for _ in 0..OF_PAIR.0 {
            attempts.failed("ann", HERE, 86_400_000);
        }
        assert!(attempts.wait("ann", HERE, 86_400_000 - STEP).is_some(), "a clock is put back a little every day");
        assert_eq!(attempts.wait("ann", HERE, 0), None);
        for _ in 0..OF_PAIR.0 {
            attempts.failed("ann", HERE, 0);
        }
        assert!(attempts.wait("ann", HERE, 0).is_some_and(|seconds| seconds <= 61));
    }

    #[test]
    fn one_elsewhere_locks_nobody_out_and_the_operator_never_is() {
        let attempts = Attempts::default();
        for _ in 0..10 * OF_ADDRESS.0 {
            if attempts.wait("ann", HERE, 0).is_none() {
                attempts.failed("ann", HERE, 0);
            }
            attempts.failed("eve", Client::Operator, 0);
        }
        assert!(attempts.wait("ann", HERE, 0).is_some());
        assert_eq!(attempts.wait("ann", THERE, 0), None);
        assert_eq!(attempts.wait("eve", Client::Operator, 0), None);
    }

    /// Whether a password for `name` is looked at; if so, it is a wrong one.
    fn tried(attempts: &Attempts, name: &str, address: &str, now: i64) -> bool {
        let client = Client::At(address.parse().unwrap());
        let taken = attempts.wait(name, client, now).is_none();
        if taken {
            attempts.failed(name, client, now);
        }
        taken
    }

    #[test]
    fn many_networks_that_lie_together_have_one_bound() {
        let attempts = Attempts::default();
        let of_region = |number: usize| format!("2001:db8:1:{number:x}::1");
        let taken = (0..4_000).filter(|n| tried(&attempts, &format!("user{n}"), &of_region(n % 2_000), 0)).count();
        assert_eq!(taken, OF_REGION.0 as usize);
        let v4 = (0..4_000).filter(|n| tried(&attempts, &format!("user{n}"), &format!("192.0.2.{}", n % 256), 0));
        assert_eq!(v4.count(), OF_REGION.0 as usize);
        assert!(tried(&attempts, "another", "2001:db8:2::1", 0));
        attempts.succeeded("neighbour", Client::At(of_region(9_999).parse().unwrap()), 0);
        assert!(tried(&attempts, "neighbour", &of_region(9_999), 0), "who lives there is not locked out");
        assert!(!tried(&attempts, "user", &of_region(9_999), 0));
        assert!(tried(&attempts, "user", &of_region(9_999), 2 * OF_REGION.1));
    }

    #[test]
    fn a_name_is_guessed_so_often_from_everywhere_and_is_let_in_where_it_is_at_home() {
        let attempts = Attempts::default();
        attempts.succeeded("admin", HERE, 0);
        let everywhere = |n: usize| format!("10.{}.{}.1", n / 256, n % 256);
        let from_each = |n: usize| (0..5).filter(|_| tried(&attempts, "admin", &everywhere(n), 1)).count();
        assert_eq!((0..20).map(from_each).sum::<usize>(), OF_NAME.0 as usize);
        assert_eq!((20..120).map(from_each).sum::<usize>(), 100 * FIRST.0 as usize, "the first tries of each place");
        assert_eq!(attempts.wait("admin", THERE, 1), None, "nobody has failed there");
        assert_eq!((0..9).filter(|_| tried(&attempts, "admin", "198.51.100.7", 1)).count(), FIRST.0 as usize);
        assert!(attempts.wait("admin", THERE, 1).is_some_and(|seconds| seconds <= 61));
        assert_eq!((attempts.wait("admin", HERE, 1), attempts.wait("ann", THERE, 1)), (None, None));
        assert_eq!(attempts.wait("admin", THERE, 1 + 2 * OF_NAME.1), None, "one more every half minute");
        // At home the narrow bounds hold all the same.
        assert_eq!((0..100).filter(|_| tried(&attempts, "admin", "192.0.2.1", 1)).count(), OF_PAIR.0 as usize);
        let later = AT_HOME + 1;
        let again = |n: usize| (0..5).filter(|_| tried(&attempts, "admin", &everywhere(n), later)).count();
        assert!((1_000..1_100).map(again).sum::<usize>() > 0);
        assert_eq!((0..9).filter(|_| tried(&attempts, "admin", "192.0.2.1", later)).count(), FIRST.0 as usize);
        assert!(attempts.wait("admin", HERE, later).is_some(), "a month later it is a place like any");
    }

    #[test]
    fn a_whole_region_of_ipv6_is_one_place_to_the_first_tries() {
        let attempts = Attempts::default();
        for n in 0..OF_NAME.0 {
            attempts.failed("admin", Client::At(format!("10.0.{n}.1").parse().unwrap()), 0);
        }
        let taken = (0..300).filter(|n| tried(&attempts, "admin", &format!("2001:db8:1:{n:x}::1"), 0)).count();
        assert_eq!(taken, FIRST.0 as usize);
    }

    #[test]
    fn one_address_cannot_try_every_name() {
        let attempts = Attempts::default();
        for number in 0..OF_ADDRESS.0 {
            let name = format!("user{number}");
            assert_eq!(attempts.wait(&name, HERE, 0), None);
            attempts.failed(&name, HERE, 0);
        }
        assert!(attempts.wait("another", HERE, 0).is_some());
    }

    #[test]
    fn a_right_password_wipes_the_slips_before_it() {
        let attempts = Attempts::default();
        for _ in 0..OF_PAIR.0 {
            attempts.failed("ann", HERE, 0);
        }
        attempts.succeeded("ann", HERE, 0);
        assert_eq!(attempts.wait("ann", HERE, 0), None);
    }
}
