//! A small registry in which everything that can happen happens in every order: pushes, mounts, puts, deletions, undeletes and
//! collectors that stop between any two transactions, or go on after their claim has ended. What it decides is decided by the collector's own functions.
//! Each action is one transaction, as the data model says. A look is two steps, and holds its item between them. What the real collector
//! and its clients did beside each other is replayed on it.
//! Start reading at `Registry`, then at `properties`; the bugs at the end are found. Then `replay`.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

#[path = "../collect/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the clauses of the collector use the rest")]
mod harness;
mod registry;
mod replay;

use stateright::{Checker, HasDiscoveries, Model};

use registry::{Bug, Registry};

/// Every state that this registry can come to, and whether one of them breaks a promise.
fn check(registry: Registry) -> (usize, Vec<&'static str>) {
    let checker = registry.checker().threads(2).spawn_bfs().join();
    (checker.unique_state_count(), checker.discoveries().into_keys().collect())
}

/// Looks until this promise is broken, and holds that it is.
fn breaks(registry: Registry, promise: &'static str) {
    let broken = HasDiscoveries::AnyOf([promise].into());
    let checker = registry.checker().threads(2).finish_when(broken).spawn_bfs().join();
    assert!(
        checker.discoveries().contains_key(promise),
        "{promise}: not found in {} states",
        checker.unique_state_count()
    );
}

#[test]
fn nothing_acknowledged_is_lost_and_everything_unneeded_goes() {
    let (states, broken) = check(Registry::default());
    assert!(broken.is_empty(), "{broken:?}");
    assert!(states > 20_000, "{states} states are no exhaustive look");
}

/// Two collectors, whose claims may end while they are at it, and an image that loses its tag or the index that names it, while somebody
/// points a tag to it or puts it again.
fn two(bug: Option<Bug>) -> Registry {
    Registry { collectors: 2, with_image: true, operations: 2, bug }
}

#[test]
fn two_collectors_whose_claims_end_lose_nothing_and_leave_nothing() {
    let (states, broken) = check(two(None));
    assert!(broken.is_empty(), "{broken:?}");
    assert!(states > 20_000, "{states} states are no exhaustive look");
}

/// An operation more, where one collector looks at a time.
#[test]
fn whoever_comes_to_need_what_is_collected_keeps_it() {
    let (states, broken) = check(Registry { operations: 3, collectors: 1, ..two(None) });
    assert!(broken.is_empty(), "{broken:?}");
    assert!(states > 20_000, "{states} states are no exhaustive look");
}

/// Who comes to point to a manifest between the look at it and the deed loses it. It is found in the very world in which the collector
/// that does so rightly is searched: that search comes as far.
#[test]
fn a_tag_that_moves_to_what_is_collected_is_found() {
    breaks(two(Some(Bug::LooksBeforeItLocks)), "what a tag points to is there");
}

/// So does who puts an index that names it.
#[test]
fn an_index_that_comes_to_name_what_is_collected_is_found() {
    breaks(two(Some(Bug::LooksBeforeItLocks)), "what an index names is there");
}

/// So does who puts it again by its digest, without a tag.
#[test]
fn a_put_of_what_is_collected_that_is_forgotten_is_found() {
    breaks(two(Some(Bug::LooksBeforeItLocks)), "what was asked to stay is there");
}

/// A manifest needs no tag to stay.
#[test]
fn a_collector_that_takes_what_has_no_tag_is_found() {
    breaks(two(Some(Bug::TakesUntagged)), "what was asked to stay is there");
}

/// Without the generation of a request, an old look answers a new one, and what became garbage meanwhile stays for ever.
#[test]
fn a_request_that_is_answered_by_an_older_look_is_found() {
    breaks(
        Registry { bug: Some(Bug::AnswersNewerRequests), ..Registry::default() },
        "everything that nothing needs goes in the end",
    );
}

/// A look without a lock is old by the time of the deed.
#[test]
fn a_look_before_the_lock_is_found() {
    breaks(Registry { bug: Some(Bug::LooksBeforeItLocks), ..Registry::default() }, "what was acknowledged is whole");
}

/// A key that is derived from the digest is used again, and then the bytes of a later push are to be deleted.
#[test]
fn a_key_that_is_used_again_is_found() {
    breaks(Registry { bug: Some(Bug::UsesKeysAgain), ..Registry::default() }, "a key has one owner");
}

/// What may be brought back needs its bytes.
#[test]
fn a_trash_that_pins_nothing_is_found() {
    breaks(Registry { bug: Some(Bug::TrashPinsNothing), ..Registry::default() }, "what is in the trash can come back");
}
