//! Measures the byte store on this machine: rate and CPU of appending and reading 1 GiB, and the CPU of a small blob.
//! It never asserts: budgets are held by the benchmark, not by a timed test.
//! Run `cargo run --release -p hallmark-storage --example blobs -- DIR`.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use hallmark_oci::Algorithm;
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{BlobBody, Blobs, StorageConfig, UploadState};

const GIB: usize = 1 << 30;
/// What a server's body frames measure on average.
const FRAME: usize = 144 * 1024;
const ROUNDS: u8 = 4;
const SMALL: usize = 4096;
const SMALL_BLOBS: u32 = 2000;
const SLOW_READERS: u32 = 1000;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from).join("hallmark-bench");
    let blobs = Blobs::open(&StorageConfig::Folder { path: folder.clone() }).await?;
    for round in 0..ROUNDS {
        let key = StorageKey::from_bytes([round; 16]);
        append(&blobs, &key).await?;
        read(&blobs, &key).await?;
        hash(&blobs, &key).await?;
        small(&blobs, round).await?;
        if round + 1 == ROUNDS {
            slow_readers(&blobs, &key).await?;
        }
        blobs.delete(&key, None).await?;
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

async fn append(blobs: &Blobs, key: &StorageKey) -> Outcome<()> {
    let frame = Bytes::from(vec![0x5a; FRAME]);
    let clock = Clock::start();
    let mut appender = blobs.append(UploadState::new(key.clone(), Algorithm::Sha256), 1).await?;
    let mut checkpoints = 0;
    while appender.received() < GIB as u64 {
        appender.write(frame.clone()).await?;
        if let Some(state) = appender.take_checkpoint() {
            appender.committed(&state);
            checkpoints += 1;
        }
    }
    let size = appender.received();
    appender.seal(key).await?;
    clock.report("append", size, &format!("{checkpoints} checkpoints on the way"));
    Ok(())
}

async fn read(blobs: &Blobs, key: &StorageKey) -> Outcome<()> {
    let clock = Clock::start();
    let (mut size, mut pieces) = (0, 0);
    if let Some(BlobBody::Stream(mut stream)) = blobs.read(key, 0..GIB as u64).await? {
        while let Some(piece) = stream.next().await {
            size += piece?.len() as u64;
            pieces += 1;
        }
    }
    clock.report("read", size, &format!("{pieces} pieces"));
    Ok(())
}

/// Reading and hashing, without writing: less the line above, it is what the hash takes of every append.
async fn hash(blobs: &Blobs, key: &StorageKey) -> Outcome<()> {
    let clock = Clock::start();
    if let Some((digest, size)) = blobs.hash(key, Algorithm::Sha256).await? {
        clock.report("hash again", size, digest.as_str());
    }
    Ok(())
}

async fn small(blobs: &Blobs, round: u8) -> Outcome<()> {
    let body = Bytes::from(vec![0xa5; SMALL]);
    let key = |number: u32| StorageKey::from_bytes((u128::from(round) << 64 | u128::from(number) << 100).to_be_bytes());
    let clock = Clock::start();
    for number in 0..SMALL_BLOBS {
        let mut appender = blobs.append(UploadState::new(key(number), Algorithm::Sha256), 1).await?;
        appender.write(body.clone()).await?;
        appender.seal(&key(number)).await?;
    }
    clock.each("small blob, append and seal", SMALL_BLOBS);
    let clock = Clock::start();
    for number in 0..SMALL_BLOBS {
        blobs.read(&key(number), 0..SMALL as u64).await?;
    }
    clock.each("small blob, read", SMALL_BLOBS);
    for number in 0..SMALL_BLOBS {
        blobs.delete(&key(number), None).await?;
    }
    Ok(())
}

/// Opens many streams, takes one piece of each, and reads one blob whole while all of them stay open.
async fn slow_readers(blobs: &Blobs, key: &StorageKey) -> Outcome<()> {
    let mut streams = Vec::new();
    for _ in 0..SLOW_READERS {
        let Some(BlobBody::Stream(mut stream)) = blobs.read(key, 0..GIB as u64).await? else { continue };
        stream.next().await.transpose()?;
        streams.push(stream);
    }
    println!("{} slow readers hold {} threads and {}", streams.len(), status("Threads:"), status("VmRSS:"));
    read(blobs, key).await
}

struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    fn report(&self, work: &str, bytes: u64, note: &str) {
        let (wall, used) = (self.wall.elapsed().as_secs_f64(), (cpu() - self.cpu).as_secs_f64());
        let gib = bytes as f64 / GIB as f64;
        println!("{work}: {:.2} GB/s, {:.2} CPU s/GiB; {note}", bytes as f64 / wall / 1e9, used / gib);
    }

    fn each(&self, work: &str, times: u32) {
        let (wall, used) = (self.wall.elapsed() / times, (cpu() - self.cpu) / times);
        println!("{work}: {} us, {} us CPU", wall.as_micros(), used.as_micros());
    }
}

/// The CPU time of this process so far, in the kernel's ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn status(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or("?").trim().to_owned()
}
