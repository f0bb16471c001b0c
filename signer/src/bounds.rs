//! How often a signature may be asked for: by each collection, and by each caller that the registry names.
//!
//! A bound is a rate with a minute's worth at once. What the registry does by itself (renewals, and publishing what was vouched
//! for) is held to the collection's bound alone, which one that is renewed twice a week never meets: whoever has taken the registry
//! over can sign no faster in its own name. The counts are this process's own and begin anew with it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::wire::Unserved;

/// How many collections and callers are counted apart; further ones share one count.
const COUNTED: usize = 20_000;
/// A minute, in microseconds, in which intervals between requests are exact enough.
const MINUTE: i64 = 60_000_000;
/// Who asks for what nobody asked the registry for.
const REGISTRY: [&str; 2] = ["renewal", "publisher"];

/// How many signatures a minute may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// For one collection.
    pub collection: u32,
    /// By one caller, over all collections.
    pub caller: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { collection: 120, caller: 600 }
    }
}

/// The counts.
pub(crate) struct Bounds {
    rates: Rates,
    /// When a caller or collection would have used up what it has asked for, in microseconds since 1970.
    used_up: Mutex<HashMap<String, i64>>,
}

impl Bounds {
    pub(crate) fn of(rates: Rates) -> Self {
        Self { rates, used_up: Mutex::default() }
    }

    /// Counts a signature for `collection`, which `caller` asks for through `client`.
    ///
    /// # Errors
    /// [`Unserved::Busy`]; then nothing is counted.
    pub(crate) fn count(&self, collection: &str, client: &str, caller: &str, now: i64) -> Result<(), Unserved> {
        let mut used_up = self.used_up.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now.saturating_mul(1_000);
        if used_up.len() >= COUNTED {
            used_up.retain(|_, until| *until > now);
        }
        let of_collection = (format!("collection {collection}"), self.rates.collection);
        // The id of the request stands behind who asks.
        let who = caller.split(' ').next().unwrap_or_default();
        let of_caller = (format!("caller {client} {who}"), self.rates.caller);
        let counted: &[_] = if REGISTRY.contains(&caller) { &[of_collection] } else { &[of_collection, of_caller] };
        let counted: Vec<_> = counted.iter().map(|(name, rate)| (place(&used_up, name), *rate)).collect();
        let mut after = Vec::with_capacity(counted.len());
        for (name, rate) in counted {
            after.push((name.clone(), next(used_up.get(&name).copied(), rate, now)?));
        }
        used_up.extend(after);
        Ok(())
    }
}

/// Where it is counted.
fn place(used_up: &HashMap<String, i64>, name: &str) -> String {
    if used_up.len() < COUNTED || used_up.contains_key(name) { name.to_owned() } else { "others".to_owned() }
}

/// When what has been asked for, with one more, is used up.
fn next(used_up: Option<i64>, rate: u32, now: i64) -> Result<i64, Unserved> {
    let interval = MINUTE / i64::from(rate.max(1));
    // A clock that was set back must not keep anybody waiting for the time that it lost.
    let until = used_up.filter(|until| *until <= now + MINUTE + interval).unwrap_or(now).max(now) + interval;
    let wait = until - now - MINUTE.max(interval);
    if wait > 0 { Err(Unserved::Busy { wait_ms: wait.div_euclid(1_000) + 1 }) } else { Ok(until) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn bounds(collection: u32, caller: u32) -> Bounds {
        Bounds::of(Rates { collection, caller })
    }

    /// How many of `asked` requests are taken at once.
    fn taken(bounds: &Bounds, asked: u32, collection: &str, caller: &str, now: i64) -> usize {
        (0..asked).filter(|_| bounds.count(collection, "", caller, now).is_ok()).count()
    }

    #[test]
    fn a_minute_s_worth_is_taken_at_once_and_then_one_at_a_time() {
        let bounds = bounds(60, 1_000);
        assert_eq!(taken(&bounds, 100, "c", "7 r-1", NOW), 60);
        assert_eq!(bounds.count("c", "", "7 r-1", NOW), Err(Unserved::Busy { wait_ms: 1_001 }));
        assert_eq!(taken(&bounds, 100, "c", "7 r-1", NOW + 1_000), 1);
        assert_eq!(taken(&bounds, 100, "c", "7 r-1", NOW + 11_000), 10);
        assert_eq!(taken(&bounds, 100, "other", "7 r-2", NOW), 60);
    }

    #[test]
    fn a_caller_is_bound_over_all_collections_whatever_request_it_is() {
        let bounds = bounds(60, 10);
        let over_all = |who: &str| -> usize {
            (0..50).map(|number| taken(&bounds, 1, &format!("c{number}"), &format!("{who} r-{number}"), NOW)).sum()
        };
        assert_eq!(over_all("7"), 10);
        assert_eq!(over_all("8"), 10);
    }

    #[test]
    fn the_registry_s_own_work_is_bound_by_collection_only_and_nobody_passes_for_it() {
        let bounds = bounds(5, 10);
        let over_all =
            |who: &str| -> usize { (0..50).map(|number| taken(&bounds, 1, &format!("c{number}"), who, NOW)).sum() };
        assert_eq!(over_all("renewal"), 50);
        assert_eq!(over_all("7 renewal"), 10, "a request may have any id");
        assert_eq!(taken(&bounds, 50, "d", "renewal", NOW), 5);
    }

    #[test]
    fn what_was_refused_is_not_counted_anywhere() {
        let bounds = bounds(1, 2);
        assert_eq!(taken(&bounds, 1, "c", "7", NOW), 1);
        assert_eq!(taken(&bounds, 50, "c", "7", NOW), 0);
        assert_eq!(taken(&bounds, 1, "d", "7", NOW), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_waiting() {
        let bounds = bounds(2, 2);
        assert_eq!(taken(&bounds, 9, "c", "7", NOW), 2);
        assert_eq!(taken(&bounds, 9, "c", "7", NOW - 3_600_000), 2);
    }

    #[test]
    fn a_flood_of_names_takes_no_more_memory() {
        let bounds = bounds(1, 60_000);
        for number in 0..COUNTED + 100 {
            let _ = bounds.count(&format!("c{number}"), "", "renewal", NOW);
        }
        assert!(bounds.used_up.lock().unwrap().len() <= COUNTED + 1);
        assert_eq!(taken(&bounds, 1, "new", "renewal", NOW), 0, "those beyond share one count");
        assert_eq!(taken(&bounds, 1, "new", "renewal", NOW + 61_000), 1);
    }
}
