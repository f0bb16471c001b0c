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
        if self.minute != minute {
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
