//! How often a person's code may be guessed: a bound for each person and a wider one for each address. A code that is not
//! there has no count of its own. Each process counts for itself.

use std::net::IpAddr;

use super::super::attempts::Counts;
use super::super::line::network;

/// Wrong codes of one person that are taken at once, and how long until one more is, in milliseconds.
const OF_PERSON: (i64, i64) = (5, 120_000);
/// Wrong codes from one address, whoever types them.
const OF_PLACE: (i64, i64) = (20, 30_000);

/// The counts of wrong codes.
pub(super) struct Guesses {
    people: Counts<i64>,
    places: Counts<IpAddr>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { people: Counts::none(), places: Counts::none() }
    }
}

impl std::fmt::Debug for Guesses {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Guesses")
    }
}

impl Guesses {
    /// Whether this principal at this address may try a code now.
    pub(super) fn may_try(&self, person: i64, place: IpAddr, now: i64) -> bool {
        self.people.wait(&person, OF_PERSON, now).is_none()
            && self.places.wait(&network(place), OF_PLACE, now).is_none()
    }

    /// Counts a wrong code.
    pub(super) fn wrong(&self, person: i64, place: IpAddr, now: i64) {
        self.people.count(&person, OF_PERSON, now);
        self.places.count(&network(place), OF_PLACE, now);
    }
}
