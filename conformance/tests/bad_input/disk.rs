//! A disk that is full, and one that cannot be written: what was acknowledged stays, what cannot be kept is refused.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use hallmark_conformance::{
    Failure, Outcome,
    check::{holds, refused},
    http::{Request, Response},
    image::{Content, MANIFEST, digest, noise},
    process::run,
    registry::Registry,
    server::Plan,
    tools,
};
use serde_json::json;

use super::scene::{REPOSITORY, Scene};

/// Larger than what an empty registry needs, small enough to fill at once.
const DISK: &str = "size=40m";
const BLOB: usize = 4 << 20;

/// A small disk in memory, gone with the test. It must outlive the server that uses it: declare it first.
struct Disk {
    place: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Outcome<Self> {
        let place = tempfile::tempdir()?;
        let mut mount = Command::new(tools::locate("mount")?);
        run(mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(place.path()))
            .map_err(|failure| Failure::caused_by("a small disk can only be mounted as root", failure))?;
        Ok(Self { place })
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn make_read_only(&self) -> Outcome<()> {
        run(Command::new(tools::locate("mount")?).args(["-o", "remount,ro"]).arg(self.path()))?;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, so that a server that is still ending cannot keep it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// Holds that a full disk is told in the words for it, and when to come again.
fn says_full(answer: &Response) -> Outcome<()> {
    says(answer, 507, "INSUFFICIENT_STORAGE", "the registry's storage is full; nothing of this request was kept")
}

/// Holds that a disk that cannot be written is told in the words for it, and when to come again.
fn says_unavailable(answer: &Response) -> Outcome<()> {
    says(answer, 503, "UNAVAILABLE", "the registry's blob store does not take part at the moment")
}

fn says(answer: &Response, status: u16, code: &str, words: &str) -> Outcome<()> {
    refused(answer, &[status], &[code])?;
    answer.required("retry-after")?;
    holds(answer.json()?["errors"][0]["message"] == words, || answer.to_string())
}

/// Pushes blobs until one is refused, and gives the digests of those that were acknowledged.
fn fill(registry: &Registry) -> Outcome<Vec<String>> {
    let mut kept = Vec::new();
    for seed in 0..40 {
        let bytes = noise(1_000 + seed, BLOB);
        let location = match begin(registry)? {
            Ok(location) => location,
            Err(answer) => return says_full(&answer).map(|()| kept),
        };
        let answer = registry.finish(&location, &digest(&bytes), &bytes)?;
        if answer.status != 201 {
            return says_full(&answer).map(|()| kept);
        }
        kept.push(digest(&bytes));
    }
    Err(Failure::new("160 MiB went onto a disk of 40 MiB"))
}

/// Opens an upload: its location, or the refusal.
fn begin(registry: &Registry) -> Outcome<Result<String, Response>> {
    let request = Request::new("POST", format!("/v2/{REPOSITORY}/blobs/uploads/"));
    let answer = registry.client().send(&request)?;
    if answer.status == 202 {
        return Ok(Ok(answer.required("location")?.to_owned()));
    }
    Ok(Err(answer))
}

#[test]
fn a_full_disk_refuses_what_it_cannot_keep_and_loses_nothing_it_acknowledged() -> Outcome<()> {
    let disk = Disk::mount()?;
    let mut scene = Scene::with(Plan::default().data(&disk.path().join("data")))?;
    let kept = fill(&scene.registry)?;
    holds(!kept.is_empty(), || "not one blob of 4 MiB went onto a disk of 40 MiB".into())?;
    let manifests = fill_with_manifests(&scene)?;
    for round in ["while the disk is full", "after the server was killed on it"] {
        scene.registry.check_image(REPOSITORY, "1")?;
        for digest in &kept {
            scene.registry.check_blob(REPOSITORY, digest)?;
        }
        for tag in &manifests {
            scene.registry.check_image(REPOSITORY, tag)?;
        }
        if round.starts_with("while") {
            scene.server.kill()?;
            make_room(disk.path())?;
            scene.server.start()?;
        }
    }
    Ok(())
}

/// A little room, as an operator makes it before the next start: a file that the test itself put there.
fn make_room(disk: &Path) -> Outcome<()> {
    let filler = filler(disk);
    if filler.exists() {
        std::fs::remove_file(filler)?;
    }
    Ok(())
}

fn filler(disk: &Path) -> PathBuf {
    disk.join("filler")
}

/// Takes what space is left, then puts manifests until one is refused; gives the tags that were acknowledged.
fn fill_with_manifests(scene: &Scene) -> Outcome<Vec<String>> {
    let disk = scene.server.data().parent().map(Path::to_owned).unwrap_or_default();
    take_the_rest(&filler(&disk))?;
    let mut kept = Vec::new();
    for number in 0..200 {
        let mut manifest: serde_json::Value = serde_json::from_slice(&scene.image.manifest.bytes)?;
        manifest["annotations"] = json!({ "filler": "a".repeat(500_000), "number": number.to_string() });
        let tag = format!("full-{number}");
        let content = Content::document(MANIFEST, &manifest);
        let answer = scene.registry.put_manifest(REPOSITORY, &tag, &content)?;
        if answer.status != 201 {
            says_full(&answer)?;
            return Ok(kept);
        }
        kept.push(tag);
    }
    Err(Failure::new("100 MB of manifests went onto a full disk"))
}

/// Writes a file until the disk takes no more.
fn take_the_rest(path: &Path) -> Outcome<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)?;
    while file.write_all(&[1; 64 * 1024]).is_ok() {}
    Ok(())
}

#[test]
fn a_store_that_became_read_only_refuses_pushes_and_serves_pulls() -> Outcome<()> {
    let disk = Disk::mount()?;
    let store = disk.path().join("blobs");
    std::fs::create_dir(&store)?;
    let scene = Scene::with(Plan::default().variable("HALLMARK_STORAGE_URL", store.to_string_lossy()))?;
    let before = scene.look()?;
    disk.make_read_only()?;
    // An upload is a row of the database, which can be written; its bytes have no place.
    let location = scene.registry.begin_upload(REPOSITORY)?;
    let bytes = noise(7, 100_000);
    says_unavailable(&scene.registry.finish(&location, &digest(&bytes), &bytes)?)?;
    scene.registry.client().send(&Request::new("DELETE", &location))?.expect(204)?;
    scene.absent(&digest(&bytes))?;
    scene.is_still(&before)
}

#[test]
fn a_data_folder_that_cannot_be_written_stops_the_start_with_a_sentence() -> Outcome<()> {
    let disk = Disk::mount()?;
    disk.make_read_only()?;
    let mut server = Plan::default().data(&disk.path().join("data")).prepare()?;
    let status = server.spawn()?.wait(Duration::from_secs(30))?;
    let said = server.log().to_lowercase();
    holds(!status.success(), || format!("the server started on a disk it cannot write: {said}"))?;
    holds(said.contains("read-only") || said.contains("cannot be written") || said.contains("not writable"), || {
        format!("the server does not say that it cannot write: {said}")
    })
}
