//! How many different refusals are told apart: whoever makes names up makes an event of each, and would push the events of others
//! out of the log, and out of what is kept until it is written down.

use std::collections::HashMap;
use std::net::IpAddr;

use hallmark_storage::metadata::PrincipalId;

use super::Happening;
use crate::auth::{network, region};

/// How many different refusals of strangers from one address are told apart in a minute, from one region, and from everywhere.
const OF_STRANGERS: [usize; 3] = [32, 128, 4_096];
/// How many of one principal, from one address and from everywhere.
const OF_PRINCIPAL: [usize; 2] = [32, 128];
/// How one is told that stands for all further ones of a place: it has no subject, and a count.
const FOLDED: &str = "folded";

/// By how many minutes a clock is put back at least, for what was counted before to be of a clock that was ahead.
const STEP: i64 = 60;

/// The different refusals of this minute, by what they are, whose they are, and where they are from.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    minute: i64,
    of: HashMap<(&'static str, PrincipalId, Place), usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Network(IpAddr),
    Region(IpAddr),
    Anywhere,
}

impl Refusals {
    /// What to remember of a refusal that was not seen in this minute: itself, or when its place has had its share, the one
    /// that stands for all further ones of this place.
    pub(super) fn told(&mut self, refusal: Happening, minute: i64) -> Happening {
        let Some(client) = refusal.client else { return refusal };
        // What was asked before and ends late is of this minute: whoever sends slowly does not empty what is counted.
        if self.minute < minute || self.minute - minute > STEP {
            *self = Self { minute, of: HashMap::new() };
        }
        let (near, far) = (Place::Network(network(client)), Place::Region(region(client)));
        let places = match (refusal.actor, OF_STRANGERS, OF_PRINCIPAL) {
            (PrincipalId::SYSTEM, [of_near, of_far, all], _) => {
                vec![(near, of_near), (far, of_far), (Place::Anywhere, all)]
            }
            (_, _, [of_near, all]) => vec![(near, of_near), (Place::Anywhere, all)],
        };
        let key = |place| (refusal.kind, refusal.actor, place);
        let is_full = |(place, most): &&(Place, usize)| self.of.get(&key(*place)).is_some_and(|count| count >= most);
        if let Some((place, _)) = places.iter().find(is_full) {
            let client = match place {
                Place::Network(address) | Place::Region(address) => Some(*address),
                Place::Anywhere => None,
            };
            return Happening { subject: String::new(), how: FOLDED, client, ..refusal };
        }
        for (place, _) in places {
            *self.of.entry(key(place)).or_default() += 1;
        }
        refusal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_ends_late_does_not_empty_what_was_counted() {
        let mut refusals = Refusals::default();
        let mut folds = |number: usize, minute: i64| {
            let refusal = Happening {
                kind: "sign_in_failed",
                actor: PrincipalId::SYSTEM,
                account: None,
                repository: None,
                subject: format!("name{number}"),
                how: "password",
                client: Some(IpAddr::from([192, 0, 2, 1])),
            };
            refusals.told(refusal, minute).how == FOLDED
        };
        let [near, ..] = OF_STRANGERS;
        assert_eq!((0..near).filter(|number| folds(*number, 1_000)).count(), 0);
        assert!(folds(near, 1_000));
        assert!(folds(near, 998) && folds(near, 1_000), "one that began before");
        assert!(!folds(near, 1_001), "the next minute");
        assert!(!folds(near, 100), "the clock was ahead");
    }
}
