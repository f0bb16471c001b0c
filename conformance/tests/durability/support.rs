//! What the storms share: one at a time, with a seed that is printed, and a record of what they counted.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hallmark_conformance::{
    durability::{Storm, Tally},
    record::Record,
    settings,
};

/// Storms run one after another: each is to have the machine, and its kills their random moments.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `HALLMARK_SEED`, to run a storm again, or a new one.
pub(crate) fn seed() -> u64 {
    settings::number("HALLMARK_SEED", RandomState::new().build_hasher().finish())
}

/// Kills of a storm, or losses of everything that was not synced: `HALLMARK_KILLS`, or a hundred.
fn kills() -> usize {
    usize::try_from(settings::number("HALLMARK_KILLS", 100)).expect("so many kills can be counted")
}

/// How long a storm goes on at least: `HALLMARK_STORM_SECONDS`, or until its kills are done.
fn least_time() -> Duration {
    Duration::from_secs(settings::number("HALLMARK_STORM_SECONDS", 0))
}

/// Starts and kills the server as often and as long as the run asks for; `done` is what of the counts is asked for.
pub(crate) fn rage(storm: &mut Storm, done: fn(&Tally) -> usize) {
    let begin = Instant::now();
    while done(&storm.tally()) < kills() || begin.elapsed() < least_time() {
        storm.cycle().expect("the server comes up after every kill");
    }
}

/// Prints and records what a storm counted.
pub(crate) fn tell(name: &str, seed: u64, tally: &Tally) {
    record(name, &format!("{name}, seed {seed}: {tally}"));
}

/// Prints and records a line.
pub(crate) fn record(name: &str, text: &str) {
    eprintln!("{text}");
    let mut record = Record::begin(&format!("durability-{name}")).expect("the record can be begun");
    record.line(text).expect("the record can be written");
}

/// No promise was broken, and nothing was refused by a server that had no reason to.
pub(crate) fn hold(tally: &Tally) {
    assert_eq!(tally.violations, Vec::<String>::new());
    assert!(tally.refusals.is_empty(), "{:?}", tally.refusals);
    assert_eq!(tally.busy, 0, "uploads were still held by requests of a server that was killed");
    assert!(tally.manifests > 0 && tally.blobs > 0 && tally.rehashed > 0, "the storm pushed nothing");
}
