//! `hallmark gc`: what is deleted frees its files in the data folder, in its time, and can be pushed again.

use std::path::Path;

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::Request,
    image::Image,
    server::{Plan, Server},
};

use super::world::{REPOSITORY, says};

/// Where Debian's libfaketime puts the library that gives a process another time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A server on this folder whose clock is so many days ahead.
fn after(days: i64, data: &Path) -> Outcome<Server> {
    let plan = Plan::default().data(data).variable("LD_PRELOAD", FAKETIME).variable("FAKETIME", format!("+{days}d"));
    plan.variable("FAKETIME_DONT_FAKE_MONOTONIC", "1").start()
}

/// How many blobs lie in the folder as files, beside the mark that says whose folder it is.
fn files(data: &Path) -> Outcome<usize> {
    let (mut folders, mut files) = (vec![data.join("blobs/blobs")], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != ".mark" {
                files += 1;
            }
        }
    }
    Ok(files)
}

#[test]
fn what_was_deleted_frees_its_files_and_is_pushed_again() -> Outcome<()> {
    holds(Path::new(FAKETIME).exists(), || {
        format!("{FAKETIME} is not there: run `apt-get install --no-install-recommends libfaketime`")
    })?;
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let (image, kept) = (Image::random(1, &[100_000, 50_000]), Image::random(2, &[60_000]));
    let layer = image.layers[0].digest.clone();

    let mut server = after(0, &data)?;
    server.registry().push_image(REPOSITORY, "1", &image)?;
    server.registry().push_image(REPOSITORY, "2", &kept)?;
    let before = files(&data)?;
    says(&server.attempt(&["gc", "run"], "")?, 0, &["deleted 0 keys"])?;
    holds(files(&data)? == before, || "what is in use was deleted".into())?;
    let explained = server.verb(&["gc", "explain", &layer, "--account", "admin"])?;
    let names = format!("{REPOSITORY}: {} names it", image.manifest.digest);
    holds(explained.contains(&names), || format!("explained as {explained}"))?;
    let target = format!("/v2/{REPOSITORY}/manifests/{}", image.manifest.digest);
    server.registry().client().send(&Request::new("DELETE", target))?.expect(202)?;
    server.stop()?;

    let mut server = after(2, &data)?;
    let get = Request::new("HEAD", format!("/v2/{REPOSITORY}/blobs/{layer}"));
    let faded = server.registry().client().send(&get)?;
    holds(faded.status == 404, || format!("a blob that nothing names is shown for ever: {}", faded.status))?;
    says(&server.attempt(&["gc", "pause"], "")?, 0, &["paused"])?;
    says(&server.attempt(&["gc", "run"], "")?, 1, &["hallmark gc resume"])?;
    says(&server.attempt(&["gc", "resume"], "")?, 0, &["goes on"])?;
    says(&server.attempt(&["gc", "run", "--dry-run"], "")?, 0, &["Nothing was deleted"])?;
    server.verb(&["gc", "run"])?;
    let explained = server.verb(&["gc", "explain", &layer, "--account", "admin"])?;
    holds(explained.contains("in the trash names it, until"), || format!("explained as {explained}"))?;
    holds(files(&data)? == before, || "what can be brought back has lost its bytes".into())?;
    server.stop()?;

    let mut server = after(16, &data)?;
    says(&server.attempt(&["gc", "run"], "")?, 1, &["the clock has jumped ahead", "hallmark gc resume"])?;
    holds(files(&data)? == before, || "a clock that jumped has deleted something".into())?;
    server.verb(&["gc", "resume"])?;
    server.verb(&["gc", "run"])?;
    says(&server.attempt(&["gc", "explain", &layer], "")?, 1, &["the store has no blob"])?;
    holds(files(&data)? == before, || "bytes went with the last fact, and a reader may still be at them".into())?;
    says(&server.attempt(&["gc", "status"], "")?, 0, &["keys whose bytes go: 0 now, "])?;
    server.stop()?;

    let server = after(24, &data)?;
    server.verb(&["gc", "resume"])?;
    server.verb(&["gc", "run"])?;
    let left = files(&data)?;
    holds(left + 2 <= before && left > 0, || format!("{left} of {before} files are left"))?;
    server.registry().check_image(REPOSITORY, "2")?;
    server.registry().push_image(REPOSITORY, "1", &image)?;
    server.registry().check_image(REPOSITORY, "1").map(drop)
}
