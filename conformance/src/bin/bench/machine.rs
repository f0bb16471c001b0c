//! Which machine the numbers are of.
//! Never anything that identifies a host or a user.
//! Start at `describe`.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ring::digest::{Context, SHA256};

use crate::{options::GIB, report::rounded};

/// How much is hashed to see how fast that goes: a fraction of a GiB.
const HASHED: u64 = GIB / 8;

/// Processor, cores, its rate of hashing, memory, kernel, and the file system under `folder`, one line each.
pub(crate) fn describe(folder: &Path) -> Vec<String> {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").and_then(|total| total.split(' ').next()?.parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        format!("{cores} cores of {processor}"),
        format!("SHA-256 at {} s a GiB", rounded(hashing().as_secs_f64())),
        format!("{} GiB of memory", memory.unwrap_or(0) >> 20),
        format!("Linux {}", kernel.trim()),
        format!("data on {}", file_system(folder)),
    ]
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
