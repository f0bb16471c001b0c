//! SIGKILL and power loss at random moments of concurrent pushes.

use hallmark_conformance::durability::{Storm, Watched};

use crate::{
    model::shim,
    support::{alone, hold, rage, seed, tell},
};

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let _alone = alone();
    let seed = seed();
    let mut storm = Storm::new(seed).unwrap();
    rage(&mut storm, |tally| tally.kills);
    let tally = storm.finish().unwrap();
    tell("kills", seed, &tally);
    hold(&tally);
}

#[test]
fn what_was_acknowledged_survives_every_power_loss() {
    let _alone = alone();
    let seed = seed();
    let mut storm = Storm::watched(seed, Watched::new(shim()).unwrap()).unwrap();
    rage(&mut storm, |tally| tally.dark);
    let tally = storm.finish().unwrap();
    tell("power-losses", seed, &tally);
    hold(&tally);
    assert!(tally.lost.pieces > 0, "the power losses took nothing: was the library preloaded?");
}

/// How many power losses a server that forgets a class of sync is given to show it.
const BOUND: usize = 30;

/// What SQLite says of a file that is torn, and a server that cannot use it.
const TORN: [&str; 4] = ["malformed", "not a database", "corrupt", "the database"];

/// Whether the storm sees that, from its second start on, syncs of this class count as not done.
fn sees_the_loss_of(class: &str) -> bool {
    let _alone = alone();
    let seed = seed();
    let mut storm = Storm::watched(seed, Watched::new(shim()).unwrap()).unwrap();
    storm.cycle().expect("the first start, with every sync");
    storm.folder().unwrap().fail(&[&format!("sync {class} 0 0 LOST")]).unwrap();
    let (mut refused, mut before) = (None, 0);
    while refused.is_none() && storm.tally().violations.is_empty() && storm.tally().kills < BOUND {
        before = storm.server().log().len();
        refused = storm.cycle().err();
    }
    let tally = storm.tally();
    tell(&format!("without-{class}-syncs"), seed, &tally);
    if let Some(refused) = &refused {
        // A server whose database is torn refuses to start and says so, and has lost what it held.
        let said = format!("{refused}\n{}", storm.server().log().get(before..).unwrap_or_default());
        assert!(TORN.iter().any(|word| said.contains(word)), "it ended for another reason: {said}");
    }
    refused.is_some() || !tally.violations.is_empty()
}

#[test]
fn blobs_that_are_not_synced_are_missed() {
    assert!(sees_the_loss_of("blob"));
}

#[test]
fn folder_entries_that_are_not_synced_are_missed() {
    assert!(sees_the_loss_of("folder"));
}

#[test]
fn a_log_that_is_not_synced_is_missed() {
    assert!(sees_the_loss_of("wal"));
}
