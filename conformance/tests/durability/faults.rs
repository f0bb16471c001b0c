//! Full and broken disks: an answer is an honest refusal, pulls go on, nothing acknowledged is lost, and when the disk
//! works again so does the server, without a restart.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use hallmark_conformance::{
    durability::{Habits, Storm, Tally, Watched},
    process::run,
    server::Plan,
    tools,
};
use tempfile::TempDir;

use crate::{
    model::shim,
    support::{alone, seed, tell},
};

/// How long clients push before, during and after a fault.
const WHILE: Duration = Duration::from_millis(1200);

/// A file system of its own in memory, unmounted with the value.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new(tools::locate("mount").unwrap());
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "hallmark-test"]).arg(folder.path());
        run(&mut mount).expect("mounting a small disk needs root");
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the space that is left; removing the file gives it back.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("ballast");
        let mut ballast = File::create(&path).unwrap();
        let block = vec![7; 64 << 10];
        while ballast.write_all(&block).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the next run mounts a folder of its own.
        let _ = tools::locate("umount").map(|umount| Command::new(umount).arg("-l").arg(self.path()).status());
    }
}

/// Holds that whatever was refused was refused with one of these statuses.
fn only(statuses: &[u16], tally: &Tally) {
    let others = tally.refusals.iter().filter(|(status, _)| !statuses.contains(status)).collect::<Vec<_>>();
    assert!(others.is_empty(), "{others:?}");
}

/// What a case begins with: its name, its seed and the only statuses that may refuse.
struct Case<'a> {
    name: &'a str,
    seed: u64,
    statuses: &'a [u16],
}

/// Pushes, lets the fault begin, pushes and pulls, lets it end, pushes: what every case of this file does.
fn through_a_fault(case: &Case<'_>, mut storm: Storm, begin: impl FnOnce(&Storm), end: impl FnOnce(&Storm)) {
    storm.server().start().unwrap();
    storm.work(WHILE);
    let before = storm.tally();
    assert_eq!(before.refused(), 0, "{before}");
    begin(&storm);
    storm.work(WHILE);
    storm.pull_everything().unwrap();
    let during = storm.tally();
    end(&storm);
    storm.work(WHILE);
    let after = storm.tally();
    storm.kill().unwrap();
    let tally = storm.finish().unwrap();
    tell(case.name, case.seed, &tally);
    assert_eq!(tally.violations, Vec::<String>::new());
    assert!(during.refused() > 0, "the fault was not felt");
    only(case.statuses, &tally);
    assert_eq!(after.refused(), during.refused(), "refused after the fault had ended: {after}");
    assert!(after.manifests > during.manifests, "no push succeeded after the fault had ended");
}

#[test]
fn a_full_disk_refuses_pushes_and_loses_nothing() {
    let _alone = alone();
    // Larger than what the storm pushes while the disk is still well, at the speed of memory.
    let disk = SmallDisk::mount("512m");
    let server = Plan::default().data(&disk.path().join("data")).prepare().unwrap();
    let case = Case { name: "full-disk", seed: seed(), statuses: FULL };
    let storm = Storm::of(server, None, case.seed, Habits { mounts: true });
    let full = || drop(disk.fill());
    let freed = || std::fs::remove_file(disk.path().join("ballast")).unwrap();
    through_a_fault(&case, storm, |_| full(), |_| freed());
}

/// A fault that the preloaded library makes, and the power loss at its end.
fn through_injected(name: &str, statuses: &[u16], rules: &[&str]) {
    let _alone = alone();
    let case = Case { name, seed: seed(), statuses };
    let storm = Storm::watched(case.seed, Watched::new(shim()).unwrap()).unwrap();
    let fail = |rules: &[&str], storm: &Storm| storm.folder().unwrap().fail(rules).unwrap();
    through_a_fault(&case, storm, |storm| fail(rules, storm), |storm| fail(&[], storm));
}

/// What an error that is no shortage of space is answered with: come again.
const BROKEN: &[u16] = &[503];
const FULL: &[u16] = &[503, 507];

#[test]
fn a_failed_sync_of_a_blob_is_not_acknowledged() {
    through_injected("blob-sync-fails", BROKEN, &["sync blob 3 4 EIO"]);
}

#[test]
fn a_failed_sync_of_a_folder_is_not_acknowledged() {
    through_injected("folder-sync-fails", BROKEN, &["sync folder 3 4 EIO"]);
}

#[test]
fn a_failed_sync_of_the_log_is_not_acknowledged() {
    through_injected("log-sync-fails", BROKEN, &["sync wal 3 4 EIO"]);
}

#[test]
fn a_failed_write_of_a_blob_is_not_acknowledged() {
    through_injected("blob-write-fails", BROKEN, &["write blob 3 4 EIO"]);
}

#[test]
fn a_blob_that_finds_no_space_is_not_acknowledged() {
    through_injected("blob-write-full", FULL, &["write blob 3 4 ENOSPC"]);
}

#[test]
fn a_failed_write_of_the_log_is_not_acknowledged() {
    through_injected("log-write-fails", BROKEN, &["write wal 3 4 EIO"]);
}

#[test]
fn a_log_that_finds_no_space_is_not_acknowledged() {
    through_injected("log-write-full", FULL, &["write wal 3 4 ENOSPC"]);
}

#[test]
fn a_disk_that_takes_no_more_writes_still_serves_pulls() {
    let calls = ["open", "name", "write"];
    let rules = calls.iter().flat_map(|call| ["blob", "wal"].map(|class| format!("{call} {class} 0 0 EROFS")));
    let rules = rules.collect::<Vec<_>>();
    through_injected("read-only", BROKEN, &rules.iter().map(String::as_str).collect::<Vec<_>>());
}
