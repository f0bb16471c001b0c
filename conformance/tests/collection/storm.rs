//! The storm: a day passes from one start of the server to the next, so that what was let go of on one day is collected on the
//! following ones, while clients push the very same digests again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    durability::{Random, Shim, Watched, mix},
    failure::While,
    http::{Request, encode},
    management::Management,
    process::run,
    record::Record,
    scratch::Scratch,
    server::{ADMIN, Plan, Server},
    settings, tools,
};
use serde_json::{Value, json};

use crate::{
    client::{COUNTED, Client, OVER, Role, Tally},
    image::{content, contents, is_file, seeded},
    look::Found,
    store,
};

/// Where Debian's libfaketime puts the library that gives a process another time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// Clients that push beside each other, and how many repositories they have: the last ones share theirs.
const CLIENTS: u64 = 7;
const REPOSITORIES: u64 = 6;
/// The bytes that the first repository may hold: less than a client comes to that keeps as much as the others.
const QUOTA: u64 = 420_000;
/// Seconds from one start to the next by the server's clock: longer than what is shown and the margin after it, together.
const DAY: u64 = 26 * 60 * 60;
/// A server is killed after this many milliseconds, at least and at most; now and then it lives so long that what it does by itself
/// begins.
const LIFE: std::ops::Range<u64> = 200..2_500;
const LONG_LIFE: std::ops::Range<u64> = 3_500..5_000;
const LONG: u64 = 6;
/// How long what the server does by itself may take to be seen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the storm goes on, in seconds, and how many requests are answered in it, at least; a long run asks for more.
const SECONDS: u64 = 25;
const OPERATIONS: u64 = 2_000;
/// Days that a drain may take: what is deleted goes on the next day, its bytes on the day after, and what a killed upload has left is
/// deleted twice, a day apart.
const DRAIN: u32 = 12;
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
    // Ends before its database.
    server: Server,
    /// Where facts are not in the folder.
    database: Option<Scratch>,
    watched: Watched,
    clock: PathBuf,
    day: u64,
    clients: Vec<Client>,
    /// Who pushed what is there before the storm, and does nothing in it.
    seeder: Client,
    random: Random,
    kills: u64,
    /// The files that lay in the folder after the last kill, and how many have gone from one to the next: a key is never used again.
    files: BTreeSet<PathBuf>,
    gone: usize,
}

impl Storm {
    fn new(seed: u64, shim: &Shim, clock: &Path, database: Option<Scratch>) -> Outcome<Self> {
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
            ("HALLMARK_GC_TRASH_WINDOW", "24h"),
            ("HALLMARK_GC_BYTE_GRACE", "1h"),
            // Files are as old as the machine's own clock says.
            ("HALLMARK_GC_COMPARE_INTERVAL", "0s"),
        ] {
            plan = plan.variable(name, value);
        }
        if let Some(database) = &database {
            plan = plan.variable("HALLMARK_DATABASE_URL", database.url());
        }
        let server = plan.variable("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()).prepare()?;
        let repositories = (0..REPOSITORIES).map(repository).collect::<Vec<_>>();
        let client = |number| Client::new(server.port(), role(number), &repositories, mix(seed, number));
        let clients = (0..CLIENTS).map(client).collect();
        let place = format!("{ADMIN}/seeded");
        let seeder = Role { name: "seeder".into(), repository: place, alone: true, limited: false };
        let seeder = Client::new(server.port(), seeder, &[], mix(seed, CLIENTS));
        let (clock, random) = (clock.to_owned(), Random::new(seed));
        Ok(Self {
            server,
            database,
            watched,
            clock,
            day: 0,
            clients,
            seeder,
            random,
            kills: 0,
            files: BTreeSet::new(),
            gone: 0,
        })
    }

    /// Starts the server on the next day; somebody says that its clock is right.
    fn start(&mut self) -> Outcome<()> {
        forget_the_killed()?;
        write_clock(&self.clock, self.day)?;
        self.day += 1;
        self.server.start()?;
        let day = self.day;
        self.clients.iter_mut().chain([&mut self.seeder]).try_for_each(|client| client.sign_in(day))
    }

    /// Says what the storm needs to be true: rules that take tags away, and a limit; and what is known to live and known to be
    /// garbage, whatever comes.
    fn set_up(&mut self) -> Outcome<()> {
        self.start()?;
        for (image, garbage) in seeded() {
            let done = self.seeder.seed(&image, garbage).is_ok_and(|done| done);
            holds(done, || format!("{} was not laid down", image.manifest.digest))?;
        }
        let management = self.management();
        for client in &mut self.clients {
            // A repository begins with what is pushed to it.
            while client.images.is_empty() {
                holds(client.act().is_ok(), || "the server went away before the storm began".into())?;
            }
            let path = format!("/repositories/{}", encode(&client.role.repository));
            let rule = json!({"name": "gone", "do": "remove", "when": {"tag": "gone-*"}});
            management.ask("PUT", &format!("{path}/policy"), &json!({"retention": {"rules": [rule]}}))?;
            if client.role.limited {
                management.ask("PUT", &format!("{path}/quota"), &json!({"hard": QUOTA}))?;
            }
        }
        self.server.stop().map(drop)
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
        let life = if self.day.is_multiple_of(LONG) { LONG_LIFE } else { LIFE };
        let (life, management) = (Duration::from_millis(self.random.within(life)), self.management());
        let database = self.database.as_mut().filter(|_| faulty);
        let (server, stop) = (&mut self.server, AtomicBool::new(false));
        let killed = thread::scope(|scope| {
            for client in &mut self.clients {
                client.faulty = faulty;
                let stop = &stop;
                scope.spawn(move || while !stop.load(Ordering::Relaxed) && client.act().is_ok() {});
            }
            scope.spawn(|| collect_while(&management, || !stop.load(Ordering::Relaxed)));
            thread::sleep(life);
            let crashed = database.map_or(Ok(()), |database| crash(database, life));
            let killed = server.kill();
            stop.store(true, Ordering::Relaxed);
            crashed.and(killed)
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
        self.clients.iter().for_each(|client| sum += &client.tally);
        // What it did is no part of the storm.
        sum.violations.extend(self.seeder.tally.violations.iter().cloned());
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
            self.wait_for_rules()?;
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

    /// Waits until rules have taken away what they take away.
    fn wait_for_rules(&self) -> Outcome<()> {
        let admin = self.server.admin();
        let (begin, mut left) = (Instant::now(), String::new());
        while begin.elapsed() < PATIENCE {
            left.clear();
            for number in 0..REPOSITORIES {
                let answer =
                    admin.send(&Request::new("GET", format!("/v2/{}/tags/list?n=1000", repository(number))))?;
                left += &answer.expect(200)?.text();
            }
            if !left.contains("\"gone-") {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
        holds(false, || format!("no rule takes away what it should: {left}"))
    }

    /// Looks at everything that clients were told, at everything that is left in the folder, and at what is charged for it.
    fn look_at_everything(&mut self) -> Outcome<()> {
        self.start()?;
        let mut repositories = BTreeMap::<String, Found>::new();
        for client in self.clients.iter_mut().chain([&mut self.seeder]) {
            client.faulty = false;
            let found = client.look_at_everything();
            let Ok(found) = found else { return holds(false, || "the server went away while it was looked at".into()) };
            repositories.entry(client.role.repository.clone()).or_default().merge(found);
        }
        let named: BTreeSet<u64> = repositories.values().flat_map(|found| found.blobs.iter().copied()).collect();
        self.look_at_bytes(&named)?;
        self.look_at_sizes(&repositories)?;
        self.server.stop().map(drop)
    }

    fn look_at_bytes(&self, named: &BTreeSet<u64>) -> Outcome<()> {
        for (number, content) in (0..).zip(contents()) {
            let told = self.server.attempt(&["gc", "explain", &content.digest], "")?;
            let kept = !format!("{told:?}").contains("the store has no blob");
            let needed = named.contains(&number);
            holds(kept == needed, || format!("content {number} is kept: {kept}, and needed: {needed}; {told:?}"))?;
        }
        let files = store::digests(self.server.data())?;
        let needed = named.iter().map(|number| content(*number)).filter(is_file);
        let needed: BTreeMap<String, usize> = needed.map(|content| (content.digest, 1)).collect();
        holds(files == needed, || format!("files lie there of {files:?}, and {needed:?} are needed"))
    }

    /// Sizes and what is charged are what a count of what clients found comes to.
    fn look_at_sizes(&self, repositories: &BTreeMap<String, Found>) -> Outcome<()> {
        let length = |number: &u64| content(*number).bytes.len();
        let manifests = |found: &Found| found.manifests.values().sum::<usize>();
        let mut account = (BTreeSet::new(), 0);
        for (name, found) in repositories {
            let counted = found.blobs.iter().map(length).sum::<usize>() + manifests(found);
            self.holds_so_many(&format!("/repositories/{}/sizes", encode(name)), counted)?;
            account.0.extend(found.blobs.iter().copied());
            account.1 += manifests(found);
        }
        let limited = repositories.get(&repository(0)).map_or(0, |found| found.blobs.iter().map(length).sum());
        holds(limited as u64 <= QUOTA, || format!("{limited} bytes are more than the quota lets in"))?;
        let counted = account.0.iter().map(length).sum::<usize>() + account.1;
        self.holds_so_many(&format!("/accounts/{ADMIN}/sizes"), counted)
    }

    /// What is charged is added up every few seconds.
    fn holds_so_many(&self, path: &str, counted: usize) -> Outcome<()> {
        let begin = Instant::now();
        loop {
            let told = self.management().ask("GET", path, &Value::Null)?.json()?;
            let number = |name: &str| told[name].as_u64();
            let apart = number("unique").zip(number("shared")).map(|(unique, shared)| unique + shared);
            let (counted, nothing) = (Some(counted as u64), Some(0));
            let right = [number("logical"), number("used"), apart].iter().all(|told| *told == counted)
                && [number("reclaimable"), number("reserved")].iter().all(|told| *told == nothing);
            if right || begin.elapsed() > PATIENCE {
                return holds(right, || format!("{path} tells {told}, and {counted:?} bytes were counted"));
            }
            thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Kills the database, lets the storm find that out, and starts it again on what it left.
fn crash(database: &mut Scratch, life: Duration) -> Outcome<()> {
    database.kill()?;
    thread::sleep(life / 4);
    forget_the_killed()?;
    database.revive()?;
    let psql = tools::locate("psql")?;
    let begin = Instant::now();
    loop {
        match run(Command::new(&psql).args(["--no-psqlrc", "--command", "SELECT 1", database.url()])) {
            Err(failure) if begin.elapsed() > PATIENCE => {
                return holds(false, || format!("{failure}; the database says: {}", database.log()));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
            Ok(_) => break,
        }
    }
    thread::sleep(life);
    Ok(())
}

/// Takes away what libfaketime keeps in memory for processes that were killed: a process of another user that gets one of their numbers
/// could not open it, and would not start.
fn forget_the_killed() -> Outcome<()> {
    for entry in fs::read_dir("/dev/shm")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_prefix("sem.faketime_sem_").or_else(|| name.strip_prefix("faketime_shm_"));
        if number.is_some_and(|number| !Path::new("/proc").join(number).exists()) {
            // Another storm may have been faster.
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

/// A day of the storm by the clock of whatever reads this file.
fn write_clock(clock: &Path, day: u64) -> Outcome<()> {
    Ok(fs::write(clock, format!("+{}", day * DAY))?)
}

/// A PostgreSQL server by the same clock as the program's: nothing is deleted where they differ.
fn database(clock: &Path) -> Outcome<Scratch> {
    Scratch::postgres_with(&[
        ("LD_PRELOAD", FAKETIME.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
    ])
}

/// The name of the repository with this number.
fn repository(number: u64) -> String {
    format!("{ADMIN}/storm-{number}")
}

/// The first is alone with a limit, and the last two are in one repository.
fn role(number: u64) -> Role {
    let place = number.min(REPOSITORIES - 1);
    Role {
        name: format!("c{number}"),
        repository: repository(place),
        alone: place + 1 < REPOSITORIES,
        limited: number == 0,
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

/// Where a storm keeps its facts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Engine {
    Sqlite,
    Postgres,
}

/// A storm that has raged for so long and so many answers.
fn rage(seed: u64, engine: Engine, home: &Path, least: (Duration, u64)) -> Outcome<(Storm, Duration)> {
    holds(Path::new(FAKETIME).exists(), || {
        format!("{FAKETIME} is not there: run `apt-get install --no-install-recommends libfaketime`")
    })?;
    // PostgreSQL runs as somebody else, who reads the clock too.
    fs::set_permissions(home, fs::Permissions::from_mode(0o755))?;
    let (shim, clock) = (Shim::build()?, home.join("clock"));
    forget_the_killed()?;
    write_clock(&clock, 0)?;
    let database = if engine == Engine::Postgres { Some(database(&clock)?) } else { None };
    let mut storm = Storm::new(seed, &shim, &clock, database)?;
    storm.set_up()?;
    let begin = Instant::now();
    while begin.elapsed() < least.0 || storm.tally().of("answered") < least.1 {
        storm.cycle()?;
    }
    Ok((storm, begin.elapsed()))
}

fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[test]
fn nothing_that_lives_is_lost_and_all_garbage_goes() -> Outcome<()> {
    storm_on(Engine::Sqlite)
}

#[test]
fn on_postgresql_nothing_that_lives_is_lost_and_all_garbage_goes() -> Outcome<()> {
    storm_on(Engine::Postgres)
}

fn storm_on(engine: Engine) -> Outcome<()> {
    let seed = settings::number("HALLMARK_SEED", any_seed());
    let seconds = Duration::from_secs(settings::number("HALLMARK_STORM_SECONDS", SECONDS));
    let operations = settings::number("HALLMARK_STORM_OPERATIONS", OPERATIONS);
    let home = tempfile::tempdir()?;
    let (mut storm, raged) = rage(seed, engine, home.path(), (seconds, operations))?;
    storm.drain()?;
    storm.look_at_everything()?;
    let tally = storm.tally();
    let told = format!(
        "collection on {engine:?}, seed {seed}: in {raged:.0?} {:?}, {} kills, {} files gone meanwhile; {} violations",
        tally.counts,
        storm.kills,
        storm.gone,
        tally.violations.len()
    );
    eprintln!("{told}");
    let mut record = Record::begin("collection")?;
    record.line(&told)?;
    for (garbage, fate) in [(false, "live, pulled whole in the end"), (true, "garbage, gone in the end")] {
        let which = seeded().filter(|(_, is)| *is == garbage).map(|(image, _)| image.manifest.digest);
        let which = which.collect::<Vec<_>>().join(" ");
        record.line(&format!("seeded before the storm and {fate}, unless a violation says otherwise: {which}"))?;
    }
    holds(tally.violations.is_empty(), || tally.violations.join("\n"))?;
    let never = COUNTED.iter().chain([&OVER]).filter(|what| tally.of(what) == 0).collect::<Vec<_>>();
    holds(never.is_empty() && storm.gone > 0, || format!("the storm was a calm: nothing was {never:?}"))
}

/// What the look at everything is worth: bytes that nothing needs, and a blob that is lost, are found.
#[test]
fn a_loss_that_was_made_on_purpose_is_found() -> Outcome<()> {
    let seed = any_seed();
    let home = tempfile::tempdir()?;
    let (mut storm, _) = rage(seed, Engine::Sqlite, home.path(), (Duration::ZERO, 600))?;
    storm.drain()?;
    storm.look_at_everything()?;
    let before = storm.tally().violations;
    holds(before.is_empty(), || format!("seed {seed}: {}", before.join("\n")))?;

    let stray = storm.server.data().join("blobs/blobs/ff/stray");
    fs::create_dir_all(stray.parent().unwrap_or(&stray))?;
    fs::write(&stray, "nothing needs this")?;
    let told = storm.look_at_everything().err().map(|failure| failure.to_string()).unwrap_or_default();
    holds(told.contains("files lie there"), || {
        format!("seed {seed}: bytes that nothing needs were not found: {told}")
    })?;
    storm.server.stop()?;
    fs::remove_file(&stray)?;

    let files = store::files(storm.server.data())?;
    let lost = files.first().or_fail("the storm has left no file")?;
    fs::remove_file(lost)?;
    let told = storm.look_at_everything().err().map(|failure| failure.to_string()).unwrap_or_default();
    let violations = storm.tally().violations;
    let found =
        violations.iter().any(|violation| violation.starts_with("GET of a blob that an acknowledged manifest names"));
    holds(found && told.contains("files lie there"), || format!("seed {seed}: a lost blob was not found: {told}"))
}
