//! Bytes in S3 that no row names, as a crash leaves them, are found by the running registry; what is young, or named, is not.

use std::{
    fs::{self, File},
    time::{Duration, Instant, UNIX_EPOCH},
};

use hallmark_conformance::{Outcome, check::holds, failure::While, http::Request, image::Image, registry::Registry};

use super::Grown;

/// A replica looks whose store it is after its start, and at the first part of it a minute later.
const FOUND_LIMIT: Duration = Duration::from_secs(240);

fn orphans(registry: &Registry) -> Outcome<u64> {
    let metrics = registry.client().send_plain(&Request::new("GET", "/metrics"))?.expect(200)?.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("hallmark_orphans_total "));
    line.and_then(|count| count.parse().ok()).or_fail(format!("no count of orphans: {metrics}"))
}

#[test]
fn bytes_in_s3_that_nothing_names_are_found_and_no_others() -> Outcome<()> {
    let grown = Grown::start()?;
    let registry = grown.server.registry();
    let image = Image::random(7, &[50_000]);
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
    registry.check_image("admin/app", "v1").map(drop)
}
