//! The order of system calls: no 201 before the sync of the file, its folder entry and the log (I4).

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use hallmark_conformance::{
    Outcome,
    durability::{Call, Habits, Known, Layer, Report, Storm, check, mix, parse},
    registry::Registry,
    server::Plan,
    settings, tools,
};
use tempfile::TempDir;

use crate::support::{alone, record, seed};

/// Calls that write, sync, name, ask or answer.
const CALLS: &str = "trace=openat,creat,write,pwrite64,writev,pwritev,sendto,sendmsg,read,readv,recvfrom,recvmsg,fsync,\
                     fdatasync,rename,renameat,renameat2,unlink,ftruncate,mkdir";
/// Bytes of a string that strace prints: a page of SQLite, and its head.
const STRING: &str = "4300";

/// What a server did while clients pushed to it.
struct Traced {
    calls: Vec<Call>,
    known: Known,
    folder: PathBuf,
    seed: u64,
    /// Keeps the folder until the test has looked at it.
    _home: TempDir,
}

impl Traced {
    /// Runs a server under strace, with more of strace's own words. A layer that is synced on its way is pushed where there are none: where
    /// syncs fail, `large` tells what becomes of it.
    fn run(more: &[&str]) -> Self {
        let _alone = alone();
        let seed = seed();
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("trace");
        // With -D the tracer stands beside the server, which keeps its place as our child and gets our signals.
        let usual = format!("-D -f -tt -yy -s {STRING} -e {CALLS} -o {}", file.display());
        let strace = tools::locate("strace").unwrap().display().to_string();
        let words = [strace.as_str()].into_iter().chain(usual.split(' ')).chain(more.iter().copied());
        let server = Plan::default().data(&home.path().join("data")).wrapper(words).prepare().unwrap();
        // A mounted blob has no file of its own, and the trace none of the one that it is.
        let mut storm = Storm::of(server, None, seed, Habits { mounts: false });
        storm.server().start().unwrap();
        storm.work(Duration::from_secs(settings::number("HALLMARK_TRACE_SECONDS", 5)));
        let large = more.is_empty().then(|| large_layer(&storm.server().registry(), seed).unwrap());
        let folder = storm.server().data().to_owned();
        let mut known = storm.known();
        large.iter().for_each(|layer| layer.make_known(&mut known));
        let process = storm.server().id().unwrap();
        storm.server().stop().unwrap();
        wait_for_end(&file, process);
        assert_eq!(storm.tally().violations, Vec::<String>::new());
        let calls = parse(&String::from_utf8_lossy(&fs::read(file).unwrap())).unwrap();
        Self { calls, known, folder, seed, _home: home }
    }

    /// Checks the trace as it is, records the counts, and holds that no answer came too early.
    fn hold(&self, name: &str) -> Report {
        let report = self.check(&self.calls);
        let counts = format!(
            "{name}, seed {}: {} calls, {} of them failed syncs; {} answers 201, {} of them for blobs in files, \
             {} answers 202 to PATCH, {} to DELETE; {} others that tell how far an upload is; {} violations",
            self.seed,
            self.calls.len(),
            self.failed_syncs(),
            report.created,
            report.of_files,
            report.appended,
            report.deleted,
            report.told,
            report.violations.len()
        );
        record(name, &counts);
        let violations = report.violations.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(violations, Vec::<String>::new());
        report
    }

    fn failed_syncs(&self) -> usize {
        self.calls.iter().filter(|call| is_sync(call) && call.result < 0).count()
    }

    fn check(&self, calls: &[Call]) -> Report {
        check(calls, &self.known, self.folder.to_str().unwrap())
    }

    /// The trace of a server that forgets some syncs.
    fn without(&self, forgotten: impl Fn(&Path) -> bool) -> Vec<Call> {
        self.calls.iter().filter(|call| !(is_sync(call) && forgotten(Path::new(call.path())))).cloned().collect()
    }
}

/// Pushes a layer that is synced on its way, and asks how far it has come meanwhile.
fn large_layer(registry: &Registry, seed: u64) -> Outcome<Layer> {
    let layer = Layer::begin(registry, "admin/large", mix(seed, 0))?;
    let mut unfinished = layer.send(registry)?;
    unfinished.told(registry)?;
    unfinished.end()?.expect(202)?;
    layer.go_on(registry)?;
    Ok(layer)
}

fn is_sync(call: &Call) -> bool {
    call.name == "fsync" || call.name == "fdatasync"
}

/// The tracer writes down the end of the server a moment after the server has ended.
fn wait_for_end(trace: &Path, server: u32) {
    let limit = Instant::now() + Duration::from_secs(10);
    let begin = format!("{server} ");
    let ended = |line: &str| line.starts_with(&begin) && line.ends_with(" +++");
    while !String::from_utf8_lossy(&fs::read(trace).unwrap()).lines().any(ended) {
        assert!(Instant::now() < limit, "strace does not come to its end");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn i4_no_answer_is_sent_before_what_it_acknowledges_is_synced() {
    let traced = Traced::run(&[]);
    let report = traced.hold("syncs");
    // A storm's blobs are mostly larger than what the database takes, and each of them is in a file.
    assert!(report.of_files > 0 && report.appended > 0 && report.deleted > 0 && report.told > 0, "{report:?}");

    let is_log = |path: &Path| path.to_string_lossy().ends_with("-wal");
    let is_database = |path: &Path| is_log(path) || path.extension().is_some();
    for (class, calls) in [
        ("the log", traced.without(is_log)),
        ("folders", traced.without(|path| path.is_dir())),
        ("blobs", traced.without(|path| path.is_file() && !is_database(path))),
    ] {
        let violations = traced.check(&calls).violations;
        assert!(
            violations.iter().any(|violation| violation.status == 201),
            "without the syncs of {class}: {violations:?}"
        );
    }
}

/// Every 17th sync of each thread fails, from the 30th on, and is not made: the kernel's own behaviour after that, pages
/// that count as clean, is in the checker's rule.
const FAILING: &[&str] = &["-e", "inject=fsync,fdatasync:error=EIO:when=30+17"];

#[test]
fn a_sync_that_failed_is_never_taken_for_done() {
    let traced = Traced::run(FAILING);
    traced.hold("failed-syncs");
    assert!(traced.failed_syncs() > 0, "no sync failed");
}
