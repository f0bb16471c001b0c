//! Long lists, written while nobody looks: Hallmark's by the program that its storage brings for it, the peers' in their own
//! layout on disk, as far as lists read it. Through the APIs it would take many minutes.
//! Never a list that is measured before a page of it was checked.
//!
//! In distribution's folders only the entries of the pages that are asked for are whole; of the others it reads nothing but
//! the name, so they are empty files. Whole ones would be a million files, which some disks take many minutes to remove.
//! Start at `Entries`.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hallmark_conformance::{Failure, Outcome, failure::While, process::run, server::ADMIN};
use serde_json::{Value, json};

use crate::{
    content::{INDEX_TYPE, Image, MANIFEST_TYPE, Small, empty_index},
    server::{Kind, Server, Setup, distribution, hallmark::add_user, zot},
};

/// What a list shall hold.
#[derive(Debug)]
pub(crate) struct Entries {
    /// All names, in order.
    pub(crate) names: Vec<String>,
    /// The numbers of those that stand in pages which are asked for.
    pub(crate) paged: HashSet<usize>,
}

impl Entries {
    /// Makes an entry of distribution's at the path that `of` gives: with `inside`, if it is read, or as a mere name.
    fn make(&self, of: impl Fn(&str) -> PathBuf, inside: &str) -> Outcome<()> {
        for (number, name) in self.names.iter().enumerate() {
            let path = of(name);
            if self.paged.contains(&number) {
                fs::create_dir_all(path.join(inside)).or_fail("cannot write a peer's folder")?;
            } else if !path.exists() {
                fs::write(path, "").or_fail("cannot write a peer's file")?;
            }
        }
        Ok(())
    }
}

/// Writes tags into a repository that exists, all naming the empty index, which it holds.
/// `false`: this server has to be asked.
pub(crate) fn tags(server: &mut Server, setup: &Setup, repository: &str, entries: &Entries) -> Outcome<bool> {
    match server.kind {
        Kind::Hallmark => {
            hallmark(server, setup, ADMIN, ["tags", repository], entries.names.len())?;
            Ok(true)
        }
        Kind::Distribution => {
            let folder = distribution::repository_folder(&server.data(), repository).join("_manifests/tags");
            entries.make(|name| folder.join(name), "current")?;
            Ok(true)
        }
        Kind::Zot => {
            let file = zot::index_file(&server.data(), repository);
            let mut index = serde_json::from_slice::<Value>(&fs::read(&file)?)?;
            let manifest = empty_index();
            index["manifests"] = entries.names.iter().map(|name| named(name, &manifest)).collect();
            fs::write(file, index.to_string())?;
            Ok(true)
        }
        Kind::Nginx | Kind::Null => Ok(false),
    }
}

/// A line of zot's index of a repository.
fn named(name: &str, manifest: &Small) -> Value {
    json!({
        "mediaType": INDEX_TYPE,
        "digest": manifest.digest,
        "size": manifest.bytes.len(),
        "annotations": {"org.opencontainers.image.ref.name": name},
    })
}

/// Writes repositories whose names begin with `prefix`. `false`: this server has to be asked.
pub(crate) fn repositories(server: &mut Server, setup: &Setup, prefix: &str, entries: &Entries) -> Outcome<bool> {
    match server.kind {
        Kind::Hallmark => {
            hallmark(server, setup, ADMIN, ["repositories", prefix], entries.names.len())?;
            Ok(true)
        }
        Kind::Distribution => {
            let data = server.data();
            entries.make(|name| distribution::repository_folder(&data, name), "_manifests/tags")?;
            Ok(true)
        }
        Kind::Zot | Kind::Nginx | Kind::Null => Ok(false),
    }
}

/// Writes an organization of `count` people, `count` repositories and a team for every ten of them into Hallmark, with a
/// `member` of a hundred teams, who may read a thousand of the repositories.
pub(crate) fn people(
    server: &mut Server,
    setup: &Setup,
    organization: &str,
    member: &str,
    count: usize,
) -> Outcome<()> {
    hallmark(server, setup, organization, ["people", member], count)
}

/// Writes tags into a repository of Hallmark's, or repositories of one tag each, that the administrator has vouched for.
pub(crate) fn signed(server: &mut Server, setup: &Setup, what: [&str; 2], count: usize) -> Outcome<()> {
    hallmark(server, setup, ADMIN, what, count)
}

/// Images of two small blobs of their own each: those that stay, and those that were deleted so long ago that all they had may be
/// collected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Images {
    /// How many stay.
    pub(crate) live: usize,
    /// How many may be collected.
    pub(crate) garbage: usize,
}

impl Images {
    /// Everything of the images that may be collected: the peers', whose names Hallmark's do not share.
    pub(crate) fn collected(self) -> impl Iterator<Item = Image> {
        (self.live..self.live + self.garbage).map(small)
    }

    /// The first of those that stay.
    pub(crate) fn first(self) -> Image {
        small(0)
    }
}

/// Writes images into a repository; the collector rests until it is told to go on, or is asked to collect.
pub(crate) fn images(server: &mut Server, setup: &Setup, repository: &str, images: Images) -> Outcome<()> {
    if server.kind == Kind::Hallmark {
        hallmark(server, setup, ADMIN, ["images", repository], images.live)?;
        return hallmark(server, setup, ADMIN, ["garbage", repository], images.garbage);
    }
    let data = server.data();
    if server.kind == Kind::Zot {
        return images_of_zot(&data, repository, images);
    }
    let folder = distribution::repository_folder(&data, repository);
    for number in 0..images.live {
        let image = small(number);
        contents(&data, &folder, &image)?;
        let hex = image.manifest.digest.trim_start_matches("sha256:");
        let tag = folder.join(format!("_manifests/tags/v{number:06}"));
        for link in [
            folder.join("_manifests/revisions/sha256").join(hex),
            tag.join("current"),
            tag.join("index/sha256").join(hex),
        ] {
            write(&link.join("link"), image.manifest.digest.as_bytes())?;
        }
    }
    // A manifest that is deleted leaves all but its revision and tags.
    images.collected().try_for_each(|image| contents(&data, &folder, &image))
}

/// What is deleted leaves its bytes, and no line in the index.
fn images_of_zot(data: &Path, repository: &str, images: Images) -> Outcome<()> {
    let mut lines = Vec::new();
    for number in 0..images.live + images.garbage {
        let image = small(number);
        for content in [&image.config, &image.layer, &image.manifest] {
            write(&zot::blob_file(data, repository, &content.digest), &content.bytes)?;
        }
        if number < images.live {
            lines.push(json!({
                "mediaType": MANIFEST_TYPE,
                "digest": image.manifest.digest,
                "size": image.manifest.bytes.len(),
                "annotations": {"org.opencontainers.image.ref.name": format!("v{number:06}")},
            }));
        }
    }
    let index = json!({"schemaVersion": 2, "manifests": lines});
    write(&zot::index_file(data, repository), index.to_string().as_bytes())?;
    write(&data.join(repository).join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// The sizes are those of the images that `examples/seed` makes.
fn small(number: usize) -> Image {
    Image::sized(number as u64, 256)
}

/// The bytes of an image, and the links of its blobs.
fn contents(data: &Path, folder: &Path, image: &Image) -> Outcome<()> {
    for content in [&image.config, &image.layer, &image.manifest] {
        write(&distribution::blob_file(data, &content.digest), &content.bytes)?;
    }
    for blob in [&image.config, &image.layer] {
        let link = folder.join("_layers/sha256").join(blob.digest.trim_start_matches("sha256:")).join("link");
        write(&link, blob.digest.as_bytes())?;
    }
    Ok(())
}

fn write(file: &Path, bytes: &[u8]) -> Outcome<()> {
    let folder = file.parent().or_fail("a file stands in a folder")?;
    fs::create_dir_all(folder).or_fail("cannot write a peer's folder")?;
    fs::write(file, bytes).or_fail("cannot write a peer's file")
}

/// Lets everything that Hallmark has published be renewed at once.
pub(crate) fn due(server: &mut Server, setup: &Setup) -> Outcome<()> {
    hallmark(server, setup, ADMIN, ["due", "-"], 0)
}

/// Runs `examples/seed`, which comes out of the same build as the server, on the stopped server's database.
fn hallmark(server: &mut Server, setup: &Setup, account: &str, what: [&str; 2], count: usize) -> Outcome<()> {
    let program = setup.hallmark.with_file_name("examples").join("seed");
    if !program.exists() {
        return Err(Failure::new(format!(
            "{} is not there: run `cargo build --release -p hallmark-storage --example seed`",
            program.display()
        )));
    }
    server.while_stopped(setup, |data| {
        if let ["people", member] = what {
            add_user(setup, data, member)?;
        }
        let mut command = Command::new(program);
        command.arg(data.join("hallmark.db")).arg(account).args(what).arg(count.to_string());
        run(&mut command).map(drop)
    })
}
