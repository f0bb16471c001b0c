//! How many different refusals are told apart: whoever makes names up makes an event of each, and would push the events of others
//! out of the log, and out of what is kept until it is written down.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use hallmark_storage::metadata::PrincipalId;

use super::Happening;
use crate::auth::{network, region};

/// How many different refusals of strangers from one address are told apart in a minute, from one region, and from everywhere.
const OF_STRANGERS: [usize; 3] = [32, 128, 4_096];
/// How many of one principal, from one address and from everywhere.
const OF_PRINCIPAL: [usize; 2] = [32, 128];
/// How many sign-ins that failed for one name of somebody here are told apart, whatever strangers make up beside, and for all such
/// names. A place and a name are told once a minute, however often it was.
const OF_NAMES: [usize; 2] = [32, 4_096];
/// How one is told that stands for all further ones of a place: it has no subject, and a count. Of a name of somebody here it keeps
/// that, and has no place.
const FOLDED: &str = "folded";

/// By how many minutes a clock is put back at least, for what was counted before to be of a clock that was ahead.
const STEP: i64 = 60;

/// The different refusals of this minute, by what they are, whose they are, and where they are from.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    minute: i64,
    of: HashMap<(&'static str, PrincipalId, Place), usize>,
    /// Names of this minute that somebody here has.
    known: HashSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Network(IpAddr),
    Region(IpAddr),
    Anywhere,
    /// For who is here, by their name.
    Name(String),
    AnyName,
}

impl Refusals {
    /// What to remember of a refusal that was not seen in this minute: itself, or when its place has had its share, the one
    /// that stands for all further ones of this place.
    pub(super) fn told(&mut self, refusal: Happening, minute: i64) -> Happening {
        let Some(client) = refusal.client else { return refusal };
        self.begin(minute);
        let (near, far) = (Place::Network(network(client)), Place::Region(region(client)));
        let places = match (refusal.actor, OF_STRANGERS, OF_PRINCIPAL, OF_NAMES) {
            (PrincipalId::SYSTEM, _, _, [of_name, all]) if self.known.contains(&refusal.subject) => {
                vec![(Place::Name(refusal.subject.clone()), of_name), (Place::AnyName, all)]
            }
            (PrincipalId::SYSTEM, [of_near, of_far, all], ..) => {
                vec![(near, of_near), (far, of_far), (Place::Anywhere, all)]
            }
            (_, _, [of_near, all], _) => vec![(near, of_near), (Place::Anywhere, all)],
        };
        let key = |place: &Place| (refusal.kind, refusal.actor, place.clone());
        let is_full = |(place, most): &&(Place, usize)| self.of.get(&key(place)).is_some_and(|count| count >= most);
        if let Some((place, _)) = places.iter().find(is_full) {
            let (subject, client) = match place {
                Place::Network(address) | Place::Region(address) => (String::new(), Some(*address)),
                Place::Anywhere | Place::AnyName => (String::new(), None),
                Place::Name(name) => (name.clone(), None),
            };
            return Happening { subject, how: FOLDED, client, ..refusal };
        }
        for (place, _) in &places {
            *self.of.entry(key(place)).or_default() += 1;
        }
        refusal
    }

    /// Remembers for this minute that somebody here has this name: what is made up cannot push it out of the log.
    pub(super) fn known(&mut self, name: &str, minute: i64) {
        let [_, all] = OF_NAMES;
        self.begin(minute);
        if self.known.len() < all && !self.known.contains(name) {
            self.known.insert(name.to_owned());
        }
    }

    /// Counts from nothing in another minute. What was asked before and ends late is of this one: whoever sends slowly does not empty
    /// what is counted.
    fn begin(&mut self, minute: i64) {
        if self.minute < minute || self.minute - minute > STEP {
            *self = Self { minute, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_ends_late_does_not_empty_what_was_counted() {
        let mut refusals = Refusals::default();
        let mut folds = |number: usize, minute: i64| {
            refusals.told(failed(&format!("name{number}"), [192, 0, 2, 1]), minute).how == FOLDED
        };
        let [near, ..] = OF_STRANGERS;
        assert_eq!((0..near).filter(|number| folds(*number, 1_000)).count(), 0);
        assert!(folds(near, 1_000));
        assert!(folds(near, 998) && folds(near, 1_000), "one that began before");
        assert!(!folds(near, 1_001), "the next minute");
        assert!(!folds(near, 100), "the clock was ahead");
    }
    fn failed(name: &str, client: [u8; 4]) -> Happening {
        Happening {
            kind: "sign_in_failed",
            actor: PrincipalId::SYSTEM,
            account: None,
            repository: None,
            subject: name.to_owned(),
            how: "password",
            client: Some(IpAddr::from(client)),
        }
    }

    #[test]
    fn guesses_at_a_name_of_somebody_here_are_told_whatever_is_made_up_beside() {
        let mut refusals = Refusals::default();
        let ([near, _, all], [of_name, _]) = (OF_STRANGERS, OF_NAMES);
        let anywhere = |number: usize| [10, (number >> 16) as u8, (number >> 8) as u8, number as u8];
        for number in 0..2 * all {
            // From everywhere, so that also the share of all strangers is used up.
            refusals
                .told(failed(&format!("made-up-{number}"), [(number % 200) as u8 + 1, (number / 200) as u8, 0, 1]), 7);
        }
        for number in 0..2 * near {
            refusals.told(failed(&format!("near-{number}"), [192, 0, 2, 1]), 7);
        }
        assert_eq!(refusals.told(failed("admin", [192, 0, 2, 1]), 7).how, FOLDED, "nobody said that there is one");
        refusals.known("admin", 7);
        let told: Vec<_> = (0..of_name).map(|number| refusals.told(failed("admin", anywhere(number)), 7)).collect();
        assert!(told.iter().all(|one| (one.subject.as_str(), one.how) == ("admin", "password")), "{told:?}");
        let folded = refusals.told(failed("admin", [203, 0, 113, 9]), 7);
        assert_eq!((folded.subject.as_str(), folded.how, folded.client), ("admin", FOLDED, None));
        refusals.known("ann", 7);
        assert_eq!(
            refusals.told(failed("ann", [203, 0, 113, 9]), 7).how,
            "password",
            "another has a share of their own"
        );
    }

    #[test]
    fn guesses_at_the_names_of_everybody_here_are_bounded_too() {
        let mut refusals = Refusals::default();
        let [_, all] = OF_NAMES;
        let mut told = 0;
        for number in 0..2 * all {
            let name = format!("user-{number}");
            refusals.known(&name, 7);
            told +=
                usize::from(refusals.told(failed(&name, [10, 0, (number >> 8) as u8, number as u8]), 7).how != FOLDED);
        }
        // Those beyond are told apart like names that nobody has, and no better.
        let [_, _, of_strangers] = OF_STRANGERS;
        assert!((all..=all + of_strangers).contains(&told), "{told}");
        assert_eq!(refusals.known.len(), all);
        assert!(refusals.told(failed("user-0", [10, 9, 9, 9]), 8).how != FOLDED, "the next minute");
        assert!(refusals.known.is_empty());
    }
}
