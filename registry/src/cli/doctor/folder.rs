//! The data folder: whose it is, who may read it, how much room is left, and what its files say about the clock.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use hallmark_storage::blobs::StorageConfig;

use super::Finding;
use crate::config::{Config, MasterKey};

/// Below this there is no room for the write-ahead log and a few layers, in bytes.
const SPACE_NEEDED: u64 = 256 << 20;
/// Below this an operator wants to know, in bytes.
const SPACE_WANTED: u64 = 5 << 30;
/// How far a file may lie in the future before the clock is to blame, in milliseconds.
const CLOCK_TOLERANCE: i64 = 60_000;
/// 2026-01-01T00:00:00Z in milliseconds: no release is older.
const RELEASED: i64 = 1_767_225_600_000;

/// That the folder is there, private and writable; or that it can be made.
pub(super) fn data(data: &Path) -> Vec<Finding> {
    const CHECK: &str = "data folder";
    let shown = data.display();
    let found = match fs::metadata(data) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return vec![Finding::ok(CHECK, format!("{shown} is made at the first start"))];
        }
        Err(error) => {
            return vec![Finding::fail(
                CHECK,
                format!("{shown}: {error}"),
                "give its parents to the user that runs hallmark",
            )];
        }
    };
    if !found.is_dir() {
        return vec![Finding::fail(CHECK, format!("{shown} is not a folder"), "name another one with --data")];
    }
    let mode = found.permissions().mode() & 0o777;
    let open = if mode & 0o077 == 0 {
        Finding::ok(CHECK, format!("{shown} is private (mode {mode:04o})"))
    } else {
        Finding::warn(CHECK, format!("{shown} can be read by others (mode {mode:04o})"), format!("chmod 700 {shown}"))
    };
    let writable = match writable(data) {
        Ok(()) => Finding::ok(CHECK, format!("{shown} can be written")),
        Err(error) => Finding::fail(
            CHECK,
            format!("{shown} cannot be written: {error}"),
            "give it to the user that runs hallmark, and see that its disk is not read-only",
        ),
    };
    vec![open, writable]
}

/// Writes a file, syncs it and takes it away.
fn writable(data: &Path) -> io::Result<()> {
    let probe = data.join(format!(".doctor-{}", std::process::id()));
    let written = fs::write(&probe, b"probe").and_then(|()| fs::File::open(&probe)?.sync_all());
    let removed = fs::remove_file(&probe);
    written.and(removed)
}

/// That what opens the registry can be read by its owner only.
pub(super) fn secrets(config: &Config, settings: Option<&Path>) -> Vec<Finding> {
    const CHECK: &str = "secrets";
    let mut files: Vec<PathBuf> = vec![config.data.join("admin-password"), config.data.join("control.sock")];
    files.extend(match &config.master_key {
        MasterKey::File(path) => Some(path.clone()),
        MasterKey::PassphraseFile(path) => Some(path.clone()),
        MasterKey::Token(token) => Some(token.pin_file.clone()),
        MasterKey::Given(_) | MasterKey::Passphrase(_) => None,
    });
    files.extend(config.tls.as_ref().map(|tls| tls.key.clone()));
    // The file of settings holds a secret only if the key to the bucket or the database stands in it; it is read as text.
    files.extend(settings.filter(|path| names_a_secret(path)).map(Path::to_owned));
    let mut findings: Vec<_> = files.iter().filter_map(|path| readable_by_others(path)).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "keys and passwords can be read by their owner only"));
    }
    if config.data.join("admin-password").exists() {
        findings.push(Finding::warn(
            CHECK,
            format!("the first password of admin still stands in {}", config.data.join("admin-password").display()),
            "note it or set another (`hallmark user password admin`), then delete the file",
        ));
    }
    findings
}

fn names_a_secret(settings: &Path) -> bool {
    fs::read_to_string(settings).is_ok_and(|text| text.contains("secret_access_key") || text.contains("postgres"))
}

fn readable_by_others(path: &Path) -> Option<Finding> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let shown = path.display();
    (mode & 0o077 != 0).then(|| {
        Finding::fail(
            "secrets",
            format!("{shown} can be read by others (mode {mode:04o})"),
            format!("chmod 600 {shown}"),
        )
    })
}

/// That there is room where bytes are written.
pub(super) fn space(config: &Config) -> Vec<Finding> {
    let mut folders = vec![config.data.as_path()];
    if let StorageConfig::Folder { path } = &config.storage
        && !path.starts_with(&config.data)
    {
        folders.push(path);
    }
    folders.into_iter().map(space_in).collect()
}

fn space_in(folder: &Path) -> Finding {
    const CHECK: &str = "free space";
    // A folder that is made later has the room of the one it is made in.
    let there = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("."));
    let room = match rustix::fs::statvfs(there) {
        Ok(room) => room,
        Err(error) => return Finding::warn(CHECK, format!("{}: {error}", there.display()), "see what `df` says"),
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let message = format!("{} MiB are free in {}", free >> 20, folder.display());
    let out_of_names = room.f_files > 0 && room.f_favail == 0;
    match free {
        _ if out_of_names => {
            Finding::fail(CHECK, format!("no inode is free in {}", folder.display()), "delete small files")
        }
        ..SPACE_NEEDED => Finding::fail(CHECK, message, "make room, or move the data folder to a larger disk"),
        SPACE_NEEDED..SPACE_WANTED => {
            Finding::warn(CHECK, message, "plan for a larger disk, or for storage.url = s3://…")
        }
        _ => Finding::ok(CHECK, message),
    }
}

/// That the clock has not gone back behind what was written already: tokens and expiry depend on it.
pub(super) fn clock(data: &Path, now: i64) -> Vec<Finding> {
    const CHECK: &str = "clock";
    const ADVICE: &str = "set the clock, and let the machine keep it with NTP";
    if now < RELEASED {
        let message = format!("it is {} by the clock, before this release was made", crate::clock::rfc3339(now));
        return vec![Finding::fail(CHECK, message, ADVICE)];
    }
    let newest = fs::read_dir(data).into_iter().flatten().flatten().filter_map(|entry| {
        let written = entry.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some((i64::try_from(written.as_millis()).ok()?, entry.path()))
    });
    match newest.max() {
        Some((written, path)) if written > now + CLOCK_TOLERANCE => {
            let message = format!("{} was written {} s in the future", path.display(), (written - now) / 1000);
            vec![Finding::fail(CHECK, message, ADVICE)]
        }
        _ => vec![Finding::ok(CHECK, crate::clock::rfc3339(now))],
    }
}
