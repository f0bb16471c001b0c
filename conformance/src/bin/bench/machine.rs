//! Which machine the numbers are of.
//! Never anything that identifies a host or a user.
//! Start at `describe`.

use std::{
    fs,
    hint::black_box,
    io::Write as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use hallmark_conformance::{Outcome, failure::While};
use ring::digest::{Context, SHA256};

use crate::{content::noise, load::ratio, options::GIB, report::rounded};

/// How much is hashed to see how fast that goes: a fraction of a GiB.
const HASHED: u64 = GIB / 8;
/// How much is written and synced to see how fast that goes, bytes.
const WRITTEN: usize = 256 << 20;
/// How much is copied from one place in memory to another, bytes: more than any processor keeps beside itself.
const COPIED: usize = 256 << 20;
/// How often each is tried; the best one counts, as in the rows.
const TRIES: usize = 3;
/// The most memory that is touched at once, in bytes.
const TOUCHED: u64 = 4 * GIB;

/// Processor, cores, its rates of hashing and copying, memory, kernel, and the file system under `folder` with its rate of
/// writing, one line each. Measured while no server runs.
///
/// # Errors
/// Nothing can be written to `folder`.
pub(crate) fn describe(folder: &Path) -> Outcome<Vec<String>> {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").and_then(|total| total.split(' ').next()?.parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let congestion = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    Ok(vec![
        format!("{cores} cores of {processor}"),
        format!("SHA-256 at {} s a GiB", rounded(hashing().as_secs_f64())),
        format!(
            "{} GiB of memory, copied at {} GiB/s",
            memory.unwrap_or(0) >> 20,
            rounded(copying(COPIED) / GIB as f64)
        ),
        format!("Linux {}", kernel.trim()),
        format!("TCP's congestion control {}", congestion.trim()),
        format!(
            "data on {}, written and synced at {} MiB/s ({} MiB)",
            file_system(folder),
            rounded(writing(folder, WRITTEN)? / f64::from(1 << 20)),
            WRITTEN >> 20
        ),
    ])
}

/// Touches three times the memory that a load of `bytes` will fill, up to [`TOUCHED`], and gives it back. A virtual machine may have
/// handed its free pages to the host: whoever fills them next pays for getting them again, over a second a GiB, and that is
/// neither the server's work nor the same for each of those that are compared.
pub(crate) fn touch(bytes: u64) {
    let size = usize::try_from((3 * bytes).min(TOUCHED)).unwrap_or(usize::MAX);
    black_box(vec![1_u8; size]);
}

/// How long one GiB takes on one core that does nothing else: the floor under every push, and four times as much where the
/// processor has no instructions for it.
fn hashing() -> Duration {
    let piece = vec![0; 1 << 20];
    let begin = Instant::now();
    let mut hash = Context::new(&SHA256);
    (0..HASHED >> 20).for_each(|_| hash.update(&piece));
    hash.finish();
    begin.elapsed() * u32::try_from(GIB / HASHED).unwrap_or(1)
}

/// Bytes a second from memory to memory by one thread: what a pull through one buffer more would pay.
fn copying(size: usize) -> f64 {
    let source = noise(size);
    let mut target = vec![1; size];
    let rates = (0..TRIES).map(|_| {
        let begin = Instant::now();
        target.copy_from_slice(black_box(&source));
        black_box(&target);
        ratio(size as f64, begin.elapsed().as_secs_f64())
    });
    rates.fold(0.0, f64::max)
}

/// Bytes a second into a new file until it is synced: what no push can go beyond for long.
fn writing(folder: &Path, size: usize) -> Outcome<f64> {
    let piece = noise(1 << 20);
    let mut best = 0.0;
    for _ in 0..TRIES {
        let mut file = tempfile::tempfile_in(folder).or_fail(format!("cannot write to {}", folder.display()))?;
        let begin = Instant::now();
        (0..size / piece.len()).try_for_each(|_| file.write_all(&piece))?;
        file.sync_all()?;
        best = f64::max(best, ratio(size as f64, begin.elapsed().as_secs_f64()));
    }
    Ok(best)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The type of the file system that holds `folder`.
fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let holder = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(point, _)| folder.starts_with(point))
        .max_by_key(|(point, _)| point.len());
    holder.map_or_else(|| "an unknown file system".to_owned(), |(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_are_told_and_nothing_is_left_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!(copying(1 << 20) > 0.0);
        assert!(writing(folder.path(), 2 << 20).unwrap() > 0.0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(writing(&folder.path().join("absent"), 1 << 20).is_err());
    }
}
