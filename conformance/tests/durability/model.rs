//! The power loss itself, shown on small programs before it judges a server: what is synced stays, what is not goes.

use std::{fs, os::unix::process::ExitStatusExt, path::PathBuf, process::Command, sync::OnceLock};

use hallmark_conformance::{
    durability::{Loss, Shim, Watched},
    settings,
};

pub(crate) fn shim() -> &'static Shim {
    static SHIM: OnceLock<Shim> = OnceLock::new();
    SHIM.get_or_init(|| Shim::build().expect("the library compiles"))
}

/// Python calls the C library as any program does, and brings SQLite.
fn python() -> PathBuf {
    let folders = [PathBuf::from("/usr/bin")].into_iter().chain(settings::search_path());
    let mut programs = folders.map(|folder| folder.join("python3"));
    programs.find(|program| program.exists()).expect("python3 is not installed: run `apt-get install python3`")
}

/// Runs a script in the watched folder until it kills itself.
fn run(watched: &Watched, script: &str) {
    let script = format!("import os\n{script}\nos.kill(os.getpid(), 9)");
    let mut command = Command::new(python());
    command.args(["-B", "-c", &script]).current_dir(watched.folder()).envs(watched.variables());
    let ended = command.output().expect("python starts");
    let complaints = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.signal(), Some(9), "the script did not reach its end: {complaints}");
}

/// What a script leaves when the power goes at its end: names and contents, folders with a slash.
fn left_after(script: &str) -> Vec<(String, String)> {
    left_with(script, &[])
}

fn left_with(script: &str, faults: &[&str]) -> Vec<(String, String)> {
    let watched = Watched::new(shim()).unwrap();
    // What stands there before the program starts is durable.
    fs::write(watched.folder().join("old"), "old bytes").unwrap();
    watched.fail(faults).unwrap();
    run(&watched, script);
    watched.lose_power(Loss::Everything).unwrap();
    contents(&watched)
}

fn contents(watched: &Watched) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(watched.folder()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            found.push((format!("{name}/"), fs::read_dir(entry.path()).unwrap().count().to_string()));
        } else {
            found.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

fn files(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

const OLD: (&str, &str) = ("old", "old bytes");
/// Opens a new file as `f` and the folder as `d`.
const NEW: &str = "f = os.open('new', os.O_CREAT | os.O_RDWR)\nd = os.open('.', os.O_RDONLY)\n";
/// Opens the old file as `f`.
const OPEN: &str = "f = os.open('old', os.O_RDWR)\n";

#[test]
fn a_file_that_is_synced_with_its_folder_stays() {
    let left = left_after(&format!("{NEW}os.write(f, b'kept')\nos.fsync(f)\nos.fsync(d)"));
    assert_eq!(left, files(&[("new", "kept"), OLD]));
}

#[test]
fn a_synced_file_in_a_folder_that_is_not_is_gone() {
    assert_eq!(left_after(&format!("{NEW}os.write(f, b'kept')\nos.fsync(f)")), files(&[OLD]));
}

#[test]
fn a_synced_folder_keeps_the_name_and_not_the_bytes() {
    assert_eq!(left_after(&format!("{NEW}os.write(f, b'gone')\nos.fsync(d)")), files(&[("new", ""), OLD]));
}

#[test]
fn bytes_written_after_the_sync_are_gone_and_those_before_stay() {
    let left = left_after(&format!("{NEW}os.write(f, b'kept')\nos.fdatasync(f)\nos.write(f, b'gone')\nos.fsync(d)"));
    assert_eq!(left, files(&[("new", "kept"), OLD]));
}

#[test]
fn an_unsynced_overwrite_of_old_bytes_is_undone() {
    assert_eq!(left_after(&format!("{OPEN}os.pwrite(f, b'NEW', 4)")), files(&[OLD]));
}

#[test]
fn a_file_opened_for_writing_only_is_undone_too() {
    assert_eq!(left_after("f = os.open('old', os.O_WRONLY)\nos.pwrite(f, b'NEW', 0)"), files(&[OLD]));
}

#[test]
fn an_unsynced_truncation_is_undone() {
    assert_eq!(left_after(&format!("{OPEN}os.ftruncate(f, 3)")), files(&[OLD]));
}

#[test]
fn a_truncation_by_open_is_undone() {
    assert_eq!(left_after("f = os.open('old', os.O_WRONLY | os.O_TRUNC)\nos.write(f, b'new')"), files(&[OLD]));
}

#[test]
fn appended_bytes_are_undone_through_a_duplicate_of_the_descriptor() {
    let script = "f = os.open('old', os.O_WRONLY | os.O_APPEND)\nos.write(os.dup(f), b' and new')";
    assert_eq!(left_after(script), files(&[OLD]));
}

#[test]
fn vectored_and_copied_bytes_are_undone() {
    let script = format!(
        "{NEW}os.fsync(d)\nos.writev(f, [b'a', b'b'])\nos.pwritev(f, [b'c'], 9)\n\
         o = os.open('old', os.O_RDONLY)\nos.copy_file_range(o, f, 4)\nos.sendfile(f, o, 0, 4)\nos.posix_fallocate(f, 0, 99)"
    );
    assert_eq!(left_after(&script), files(&[("new", ""), OLD]));
}

#[test]
fn an_unsynced_removal_comes_back() {
    assert_eq!(left_after("os.unlink('old')"), files(&[OLD]));
}

#[test]
fn a_synced_removal_stays() {
    assert_eq!(left_after("os.unlink('old')\nos.fsync(os.open('.', os.O_RDONLY))"), files(&[]));
}

#[test]
fn an_unsynced_rename_goes_back_and_what_it_replaced_comes_back() {
    let script = format!("{NEW}os.write(f, b'new')\nos.fsync(f)\nos.fsync(d)\nos.rename('new', 'old')");
    assert_eq!(left_after(&script), files(&[("new", "new"), OLD]));
}

#[test]
fn a_synced_rename_stays() {
    let script = format!("{NEW}os.write(f, b'new')\nos.fsync(f)\nos.rename('new', 'old')\nos.fsync(d)");
    assert_eq!(left_after(&script), files(&[("old", "new")]));
}

#[test]
fn an_unsynced_folder_is_gone_with_all_that_was_synced_in_it() {
    let script = "os.mkdir('sub')\nf = os.open('sub/x', os.O_CREAT | os.O_WRONLY)\nos.fsync(f)\nos.fsync(os.open('sub', os.O_RDONLY))";
    assert_eq!(left_after(script), files(&[OLD]));
    let above = format!("{script}\nos.fsync(os.open('.', os.O_RDONLY))");
    assert_eq!(left_after(&above), files(&[OLD, ("sub/", "1")]));
}

#[test]
fn an_unsynced_link_is_gone() {
    assert_eq!(left_after("os.link('old', 'second')"), files(&[OLD]));
}

#[test]
fn sync_file_range_keeps_nothing() {
    let script = format!("import ctypes\n{OPEN}os.pwrite(f, b'NEW', 0)\nctypes.CDLL(None).sync_file_range(f, 0, 0, 7)");
    assert_eq!(left_after(&script), files(&[OLD]));
}

#[test]
fn a_sync_of_the_file_system_keeps_everything() {
    let script = format!("{NEW}os.write(f, b'kept')\nos.sync()");
    assert_eq!(left_after(&script), files(&[("new", "kept"), OLD]));
}

#[test]
fn a_sync_that_succeeds_after_one_that_failed_keeps_nothing() {
    let script =
        format!("{OPEN}os.pwrite(f, b'NEW', 0)\ntry: os.fsync(f)\nexcept OSError: os.fsync(f)\nelse: raise SystemExit");
    assert_eq!(left_with(&script, &["sync blob 0 1 EIO"]), files(&[OLD]));
}

#[test]
fn bytes_written_again_after_a_failed_sync_are_kept_by_the_next() {
    let script = format!(
        "{OPEN}os.pwrite(f, b'NEW', 0)\ntry: os.fsync(f)\nexcept OSError: pass\nos.pwrite(f, b'NEW', 0)\nos.fsync(f)"
    );
    assert_eq!(left_with(&script, &["sync blob 0 1 EIO"]), files(&[("old", "NEW bytes")]));
}

#[test]
fn an_injected_full_disk_fails_the_chosen_write_and_no_other() {
    let script = format!(
        "{OPEN}os.pwrite(f, b'1', 0)\ntry: os.pwrite(f, b'2', 1)\nexcept OSError as e: os.pwrite(f, b'%d' % e.errno, 4)\nos.fsync(f)"
    );
    assert_eq!(left_with(&script, &["write blob 1 1 ENOSPC"]), files(&[("old", "1ld 28tes")]));
}

#[test]
fn a_sync_that_is_made_to_lose_counts_as_not_done() {
    let script = format!("{NEW}os.write(f, b'gone')\nos.fsync(f)\nos.fsync(d)");
    assert_eq!(left_with(&script, &["sync blob 0 0 LOST"]), files(&[("new", ""), OLD]));
}

#[test]
fn a_torn_loss_keeps_some_pages_and_takes_others() {
    let watched = Watched::new(shim()).unwrap();
    run(&watched, &format!("{NEW}os.ftruncate(f, 65536)\nos.fsync(f)\nos.fsync(d)\nos.write(f, b'x' * 65536)"));
    watched.lose_power(Loss::Torn(7)).unwrap();
    let bytes = fs::read(watched.folder().join("new")).unwrap();
    let kept = bytes.chunks(4096).filter(|page| page.iter().all(|byte| *byte == b'x')).count();
    let taken = bytes.chunks(4096).filter(|page| page.iter().all(|byte| *byte == 0)).count();
    assert!(kept > 0 && taken > 0 && kept + taken == 16, "{kept} kept, {taken} taken");
}

#[test]
fn a_call_that_the_model_cannot_follow_is_refused() {
    let watched = Watched::new(shim()).unwrap();
    run(&watched, &format!("import mmap\n{NEW}os.ftruncate(f, 4096)\nm = mmap.mmap(f, 4096)"));
    let failure = watched.lose_power(Loss::Everything).unwrap_err().to_string();
    assert!(failure.contains("mmap"), "{failure}");
}

/// Opens a database in WAL mode as `b`.
const SQLITE: &str = "import sqlite3\nb = sqlite3.connect('facts.db', isolation_level=None)\n\
                      b.execute('PRAGMA journal_mode=WAL')\nb.execute('CREATE TABLE IF NOT EXISTS t (n)')\n";

/// Rows that survive fifty commits at a level of `synchronous`, the power lost at the end of each ten.
fn rows_left(synchronous: &str, loss: impl Fn(u64) -> Loss) -> usize {
    let watched = Watched::new(shim()).unwrap();
    for round in 0..5 {
        let inserts = "for n in range(10): b.execute('INSERT INTO t VALUES (?)', (n,))";
        // The table itself is made with FULL, so that a loss is one of rows.
        let script = format!("{SQLITE}b.execute('PRAGMA synchronous={synchronous}')\n{inserts}");
        run(&watched, &script);
        watched.lose_power(loss(round)).unwrap();
    }
    let count = format!("{SQLITE}print(b.execute('SELECT COUNT(*) FROM t').fetchone()[0], flush=True)");
    let output = Command::new(python()).args(["-c", &count]).current_dir(watched.folder()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn sqlite_with_synchronous_full_loses_no_commit() {
    assert_eq!(rows_left("FULL", |_| Loss::Everything), 50);
    assert_eq!(rows_left("FULL", Loss::Torn), 50);
}

#[test]
fn sqlite_with_synchronous_off_loses_every_commit() {
    assert_eq!(rows_left("OFF", |_| Loss::Everything), 0);
}
