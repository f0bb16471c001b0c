//! How often something may be begun that keeps a row, and asked about one: each costs a change, and those who ask have yet to
//! say who they are. What somebody finishes by signing in is taken back: an office behind one address, or all who come through one
//! proxy, are bounded only in what they leave unfinished. Each process counts for itself.

use std::net::IpAddr;

use super::super::attempts::Counts;
use super::super::line::{network, region};
use super::device::INTERVAL;

/// How many are begun at once, and how long until one more is, in milliseconds: from one address, and from one region.
type Bounds = [(i64, i64); 2];
/// Twice as many from one address as may be open, so that what is given up counts for little; from a region a small part of all that
/// may be open.
const SIGN_INS: Bounds = [(200, 3_000), (400, 1_500)];
const DEVICES: Bounds = [(40, 15_000), (200, 3_000)];
/// The questions of one device that are looked at.
const QUESTIONS: (i64, i64) = (5, INTERVAL * 1_000);

/// The counts of what was begun and asked.
pub(super) struct Openings {
    sign_ins: Places,
    devices: Places,
    questions: Counts<String>,
}

struct Places {
    bounds: Bounds,
    near: Counts<IpAddr>,
    far: Counts<IpAddr>,
}

impl Default for Openings {
    fn default() -> Self {
        Self { sign_ins: Places::of(SIGN_INS), devices: Places::of(DEVICES), questions: Counts::none() }
    }
}

impl std::fmt::Debug for Openings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Openings")
    }
}

impl Openings {
    /// Counts a sign-in that is begun from here; whether it may be.
    pub(super) fn sign_in(&self, from: IpAddr, now: i64) -> bool {
        self.sign_ins.one_more(from, now)
    }

    /// Counts a device that begins from here; whether it may.
    pub(super) fn device(&self, from: IpAddr, now: i64) -> bool {
        self.devices.one_more(from, now)
    }

    /// Takes a sign-in back that was begun from here: it ended with somebody who is here.
    pub(super) fn signed_in(&self, from: IpAddr, now: i64) {
        self.sign_ins.give_back(from, now);
    }

    /// Takes a device back that began from here: somebody approved it, and it has its token.
    pub(super) fn redeemed(&self, from: IpAddr, now: i64) {
        self.devices.give_back(from, now);
    }

    /// Counts a question of the device with this (hashed) code; whether it is looked at.
    pub(super) fn question(&self, device: &str, now: i64) -> bool {
        one_more(&self.questions, &device.to_owned(), QUESTIONS, now)
    }
}

impl Places {
    fn of(bounds: Bounds) -> Self {
        Self { bounds, near: Counts::none(), far: Counts::none() }
    }

    fn one_more(&self, from: IpAddr, now: i64) -> bool {
        let [near, far] = self.bounds;
        // What one address is refused does not count against its neighbours.
        one_more(&self.near, &network(from), near, now) && one_more(&self.far, &region(from), far, now)
    }

    fn give_back(&self, from: IpAddr, now: i64) {
        let [(_, near), (_, far)] = self.bounds;
        self.near.give_back(&network(from), near, now);
        self.far.give_back(&region(from), far, now);
    }
}

fn one_more<K: std::hash::Hash + Eq + Clone>(counts: &Counts<K>, key: &K, bound: (i64, i64), now: i64) -> bool {
    let may = counts.wait(key, bound, now).is_none();
    if may {
        counts.count(key, bound, now);
    }
    may
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_begins_a_small_part_of_what_may_be_open() {
        let openings = Openings::default();
        let from = |number: usize| format!("2001:db8:1:{number:x}::1").parse().unwrap();
        let count = |taken: &dyn Fn(usize) -> bool| (0..10_000).filter(|number| taken(*number)).count();
        assert_eq!(count(&|number| openings.device(from(number), 0)), 200);
        assert_eq!(count(&|number| openings.sign_in(from(number), 0)), 400);
        let other = "2001:db8:2::1".parse().unwrap();
        assert_eq!(count(&|_| openings.device(other, 0)), 40);
        assert_eq!(count(&|_| openings.sign_in(other, 0)), 200);
        assert!(openings.device(from(1), 3_000) && openings.sign_in(from(1), 1_500));
    }

    #[test]
    fn a_device_that_asks_without_pause_is_heard_every_few_seconds() {
        let openings = Openings::default();
        let heard = (0..60_000).filter(|at| openings.question("code", *at)).count();
        assert_eq!(heard, 5 + 11);
        assert!((0..100).all(|number| openings.question("patient", number * INTERVAL * 1_000)));
    }

    #[test]
    fn what_is_finished_is_begun_from_one_address_as_often_as_one_likes() {
        let openings = Openings::default();
        let office: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..1_000 {
            assert!(openings.device(office, 0) && openings.sign_in(office, 0));
            openings.redeemed(office, 0);
            openings.signed_in(office, 0);
        }
        // It is no stock: what was never begun is not given back.
        let begun = |one: &dyn Fn() -> bool| (0..1_000).filter(|_| one()).count();
        assert_eq!(begun(&|| openings.device(office, 0)), DEVICES[0].0 as usize);
        assert_eq!(begun(&|| openings.sign_in(office, 0)), SIGN_INS[0].0 as usize);
        openings.redeemed(office, 0);
        assert_eq!(begun(&|| openings.device(office, 0)), 1);
    }
}
