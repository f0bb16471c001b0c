//! Bytes in S3 that no row names, as a crash leaves them, are found by the running registry; what is young, or named, is not. And bytes
//! that are no longer what they were are found by the same job, and healed by the next push.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant, UNIX_EPOCH},
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::{Failure, While},
    http::Request,
    image::Image,
    registry::Registry,
};

use super::Grown;

/// A replica looks whose store it is after its start, and at the first part of it a minute later.
const FOUND_LIMIT: Duration = Duration::from_secs(240);

fn count(registry: &Registry, series: &str) -> Outcome<u64> {
    let metrics = registry.client().send_plain(&Request::new("GET", "/metrics"))?.expect(200)?.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|count| count.parse().ok()).or_fail(format!("no count {series}: {metrics}"))
}

fn orphans(registry: &Registry) -> Outcome<u64> {
    count(registry, "hallmark_orphans_total")
}

/// The one object below this folder that holds these bytes.
fn object_of(folder: &Path, bytes: &[u8]) -> Outcome<PathBuf> {
    for part in fs::read_dir(folder)? {
        let part = part?.path();
        for object in if part.is_dir() { fs::read_dir(part)? } else { continue } {
            let object = object?.path();
            if object.is_file() && fs::read(&object)? == bytes {
                return Ok(object);
            }
        }
    }
    Err(Failure::new(format!("no object in {} holds the layer", folder.display())))
}

#[test]
fn bytes_in_s3_that_nothing_names_are_found_and_no_others() -> Outcome<()> {
    let grown = Grown::with(&[("HALLMARK_GC_SCRUB_INTERVAL", "1s")])?;
    let registry = grown.server.registry();
    let (image, rotten) = (Image::random(7, &[50_000]), Image::random(8, &[90_000]));
    let waiting = || -> Outcome<_> {
        let status = registry.client().send(&Request::new("GET", "/api/v1/gc"))?.expect(200)?.json()?;
        status.get("keys_waiting").and_then(serde_json::Value::as_u64).or_fail(format!("no count of keys: {status}"))
    };
    registry.push_image("admin/app", "v1", &image)?;
    let part = grown.store.objects()?.join("outages/blobs/00");
    fs::create_dir_all(&part)?;
    for (name, is_old) in [("0a", true), ("0b", true), ("0c", false)] {
        let file = File::create(part.join(format!("00{}", name.repeat(15))))?;
        // Older than what a push may still be at.
        if is_old {
            file.set_modified(UNIX_EPOCH)?;
        }
    }
    registry.push_image("admin/app", "rotten", &rotten)?;
    let layer = &rotten.layers[0];
    let object = object_of(&grown.store.objects()?.join("outages/blobs"), &layer.bytes)?;
    // As many bytes, in the same file: what the store says of it is what it said.
    File::options().write(true).open(&object)?.write_all(&vec![b'x'; layer.bytes.len()])?;
    let before = waiting()?;
    let begin = Instant::now();
    while orphans(&registry)? == 0 {
        holds(begin.elapsed() < FOUND_LIMIT, || {
            format!("nothing was found in {FOUND_LIMIT:?}: {}", grown.server.log())
        })?;
        std::thread::sleep(Duration::from_secs(1));
    }
    holds(orphans(&registry)? == 2, || format!("two are old enough, and {:?} were found", orphans(&registry)))?;
    // Keys of small blobs, whose bytes move to the facts, wait as well.
    holds(waiting()? >= before + 2, || format!("{before} keys waited before, and now {:?}", waiting()))?;
    registry.check_image("admin/app", "v1")?;
    // The same turn of the job reads what is old before it looks for what nothing names.
    let damaged = count(&registry, "hallmark_blobs_damaged_total")?;
    holds(damaged == 1, || format!("one blob is damaged, and {damaged} were found: {}", grown.server.log()))?;
    let head = Request::new("HEAD", format!("/v2/admin/app/blobs/{}", layer.digest));
    let told = registry.client().send(&head)?.status;
    holds(told == 404, || format!("{told} was told of a blob that is damaged, so that nobody pushes it again"))?;
    registry.push_image("admin/app", "rotten", &rotten)?;
    registry.check_image("admin/app", "rotten").map(drop)
}
