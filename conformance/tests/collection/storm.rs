//! The storm: a day passes from one start of the server to the next, so that what was let go of on one day is collected on the
//! following ones, while clients push the very same digests again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    durability::{Random, Shim, Watched, mix},
    management::Management,
    record::Record,
    server::{Plan, Server},
    settings,
};
use serde_json::{Value, json};

use crate::{
    client::{Client, Tally, content, contents, is_file},
    store,
};

/// Where Debian's libfaketime puts the library that gives a process another time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// Clients that push beside each other.
const CLIENTS: u64 = 6;
/// Seconds from one start to the next by the server's clock: longer than what is shown and the margin after it, together.
const DAY: u64 = 26 * 60 * 60;
/// A server is killed after this many milliseconds, at least and at most.
const LIFE: std::ops::Range<u64> = 200..2_500;
/// How long the storm goes on, in seconds, and how many requests are answered in it, at least; a long run asks for more.
const SECONDS: u64 = 25;
const OPERATIONS: u64 = 2_000;
/// Days that a drain may take: what is deleted goes on the next day, its bytes on the day after, and what a killed upload has left is
/// deleted twice, a day apart.
const DRAIN: u32 = 8;
/// What the disk gets wrong, one after another: nothing every second time. Rules as the head of `faults.h` tells them.
const FAULTS: [&[&str]; 6] = [
    &["name blob 2 4 EIO"],
    &["write blob 3 4 EIO"],
    &["sync wal 5 2 EIO"],
    &["sync blob 3 4 EIO"],
    &["write blob 3 4 ENOSPC", "name blob 6 3 EROFS"],
    &["write wal 9 2 EIO"],
];

/// A server on a watched folder whose clock a file tells, and its clients.
struct Storm {
    server: Server,
    watched: Watched,
    clock: PathBuf,
    day: u64,
    clients: Vec<Client>,
    random: Random,
    kills: u64,
    /// The files that lay in the folder after the last kill, and how many have gone from one to the next: a key is never used again.
    files: BTreeSet<PathBuf>,
    gone: usize,
}

impl Storm {
    fn new(seed: u64, shim: &Shim, clock: &Path) -> Outcome<Self> {
        let watched = Watched::new(shim)?;
        let mut plan = Plan::default().data(&watched.folder());
        for (name, value) in watched.variables() {
            let value = if name == "LD_PRELOAD" { format!("{value}:{FAKETIME}") } else { value };
            plan = plan.variable(name, value);
        }
        for (name, value) in [
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("HALLMARK_GC_SHOWN", "1h"),
            ("HALLMARK_GC_MARGIN", "24h"),
            ("HALLMARK_GC_TRASH_WINDOW", "0s"),
            ("HALLMARK_GC_BYTE_GRACE", "1h"),
            // Files are as old as the machine's own clock says.
            ("HALLMARK_GC_COMPARE_INTERVAL", "0s"),
        ] {
            plan = plan.variable(name, value);
        }
        let server = plan.variable("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()).prepare()?;
        let names = (0..CLIENTS).map(|number| format!("admin/storm-{number}")).collect::<Vec<_>>();
        let client = |(number, name): (u64, &String)| Client::new(server.port(), name, &names, mix(seed, number));
        let clients = (0..).zip(&names).map(client).collect();
        let (clock, random) = (clock.to_owned(), Random::new(seed));
        Ok(Self { server, watched, clock, day: 0, clients, random, kills: 0, files: BTreeSet::new(), gone: 0 })
    }

    /// Starts the server on the next day; somebody says that its clock is right.
    fn start(&mut self) -> Outcome<()> {
        fs::write(&self.clock, format!("+{}", self.day * DAY))?;
        self.day += 1;
        self.server.start()?;
        self.clients.iter_mut().try_for_each(Client::sign_in)
    }

    fn management(&self) -> Management {
        Management::new(self.server.admin())
    }

    /// One day: clients do what they do while the collector collects, until the server is killed.
    fn cycle(&mut self) -> Outcome<()> {
        self.watched.fail(&[])?;
        self.start()?;
        let rules = FAULTS.get(usize::try_from(self.day).unwrap_or(0) / 2 % FAULTS.len()).copied().unwrap_or_default();
        let faulty = self.day.is_multiple_of(2);
        if faulty {
            self.watched.fail(rules)?;
        }
        let (life, management) = (Duration::from_millis(self.random.within(LIFE)), self.management());
        let (server, stop) = (&mut self.server, AtomicBool::new(false));
        let killed = thread::scope(|scope| {
            for client in &mut self.clients {
                client.faulty = faulty;
                let stop = &stop;
                scope.spawn(move || while !stop.load(Ordering::Relaxed) && client.act().is_ok() {});
            }
            scope.spawn(|| collect_while(&management, || !stop.load(Ordering::Relaxed)));
            thread::sleep(life);
            let killed = server.kill();
            stop.store(true, Ordering::Relaxed);
            killed
        });
        self.kills += 1;
        killed?;
        let files: BTreeSet<PathBuf> = store::files(self.server.data())?.into_iter().collect();
        self.gone += self.files.difference(&files).count();
        self.files = files;
        Ok(())
    }

    fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.clients.iter().for_each(|client| sum += client.tally.clone());
        sum
    }

    /// Lets days pass in which nobody does anything, until the collector has nothing left to look at.
    fn drain(&mut self) -> Outcome<()> {
        self.watched.fail(&[])?;
        let mut left = Value::Null;
        for _ in 0..DRAIN {
            self.start()?;
            let management = self.management();
            collect_while(&management, || false);
            left = management.ask("GET", "/gc", &Value::Null)?.json()?;
            self.server.stop()?;
            let numbers: Vec<u64> =
                left.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_u64()).collect();
            holds(!numbers.is_empty(), || format!("nothing is told of what waits: {left}"))?;
            if numbers.iter().all(|number| *number == 0) {
                return Ok(());
            }
        }
        holds(false, || format!("after {DRAIN} days there is still something to collect: {left}"))
    }

    /// Looks at everything that clients were told, and at everything that is left in the folder.
    fn look_at_everything(&mut self) -> Outcome<()> {
        self.start()?;
        let mut named = BTreeSet::new();
        for client in &mut self.clients {
            client.faulty = false;
            let found = client.look_at_everything();
            holds(found.is_ok(), || "the server went away while it was looked at".into())?;
            named.extend(found.unwrap_or_default());
        }
        for (number, content) in (0..).zip(contents()) {
            let told = self.server.attempt(&["gc", "explain", &content.digest], "")?;
            let kept = !format!("{told:?}").contains("the store has no blob");
            let needed = named.contains(&number);
            holds(kept == needed, || format!("content {number} is kept: {kept}, and needed: {needed}; {told:?}"))?;
        }
        let files = store::digests(self.server.data())?;
        let needed = named.iter().map(|number| content(*number)).filter(is_file);
        let needed: BTreeMap<String, usize> = needed.map(|content| (content.digest, 1)).collect();
        holds(files == needed, || format!("files lie there of {files:?}, and {needed:?} are needed"))?;
        self.server.stop().map(drop)
    }
}

/// Asks for one run of the collector after another until this says no, at least once. In a storm a run hardly ends, and a server that
/// is killed answers nothing.
fn collect_while(management: &Management, goes_on: impl Fn() -> bool) {
    // A clock that has jumped by a day is believed when somebody says so.
    let mut believed = management.ask("PATCH", "/gc", &json!({"paused": false})).is_ok();
    loop {
        let _ = management.ask("POST", "/gc/run", &json!({}));
        if !goes_on() {
            return;
        }
        believed = believed || management.ask("PATCH", "/gc", &json!({"paused": false})).is_ok();
    }
}

#[test]
fn nothing_that_lives_is_lost_and_all_garbage_goes() -> Outcome<()> {
    holds(Path::new(FAKETIME).exists(), || {
        format!("{FAKETIME} is not there: run `apt-get install --no-install-recommends libfaketime`")
    })?;
    let seed = settings::number("HALLMARK_SEED", RandomState::new().build_hasher().finish());
    let seconds = Duration::from_secs(settings::number("HALLMARK_STORM_SECONDS", SECONDS));
    let operations = settings::number("HALLMARK_STORM_OPERATIONS", OPERATIONS);
    let (shim, home) = (Shim::build()?, tempfile::tempdir()?);
    let mut storm = Storm::new(seed, &shim, &home.path().join("clock"))?;
    let begin = Instant::now();
    while begin.elapsed() < seconds || storm.tally().operations < operations {
        storm.cycle()?;
    }
    let raged = begin.elapsed();
    storm.drain()?;
    storm.look_at_everything()?;
    let tally = storm.tally();
    let Tally { operations, pushed, mounted, deleted, again, rehashed, refused, violations } = &tally;
    let told = format!(
        "collection, seed {seed}: {operations} requests in {raged:.0?}, {pushed} images pushed, {again} of them again after they were deleted, \
         {mounted} blobs mounted, {deleted} images deleted, {rehashed} blobs re-hashed, {refused} refused by a failing disk, {} kills, {} files \
         gone meanwhile; {} violations",
        storm.kills,
        storm.gone,
        violations.len()
    );
    eprintln!("{told}");
    Record::begin("collection")?.line(&told)?;
    holds(violations.is_empty(), || violations.join("\n"))?;
    let was_felt = [pushed, again, mounted, deleted, rehashed, refused].into_iter().all(|count| *count > 0);
    holds(was_felt && storm.gone > 0, || "the storm was a calm".into())
}
