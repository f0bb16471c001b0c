//! Long lists, written while nobody looks: Hallmark's by the program that its storage brings for it, the peers' in their own
//! layout on disk, as far as lists read it. Through the APIs it would take many minutes.
//! Never a list that is measured before a page of it was checked.
//! Start at `tags`.

use std::{fs, path::Path, process::Command};

use hallmark_conformance::{Failure, Outcome, failure::While, process::run, server::ADMIN};
use serde_json::{Value, json};

use crate::{
    content::{INDEX_TYPE, Small, empty_index},
    server::{Kind, Server, Setup, distribution, zot},
};

/// Writes tags into a repository that exists, all naming the empty index, which it holds.
/// `false`: this server has to be asked.
pub(crate) fn tags(server: &mut Server, setup: &Setup, repository: &str, names: &[String]) -> Outcome<bool> {
    match server.kind {
        Kind::Hallmark => {
            hallmark(server, setup, ["tags", repository], names.len())?;
            Ok(true)
        }
        Kind::Distribution => {
            let folder = distribution::repository_folder(&server.data(), repository).join("_manifests/tags");
            names.iter().try_for_each(|name| make(&folder.join(name)))?;
            Ok(true)
        }
        Kind::Zot => {
            let file = zot::index_file(&server.data(), repository);
            let mut index = serde_json::from_slice::<Value>(&fs::read(&file)?)?;
            let manifest = empty_index();
            index["manifests"] = names.iter().map(|name| named(name, &manifest)).collect();
            fs::write(file, index.to_string())?;
            Ok(true)
        }
        Kind::Nginx | Kind::Null => Ok(false),
    }
}

/// Writes repositories whose names begin with `prefix`. `false`: this server has to be asked.
pub(crate) fn repositories(server: &mut Server, setup: &Setup, prefix: &str, names: &[String]) -> Outcome<bool> {
    match server.kind {
        Kind::Hallmark => {
            hallmark(server, setup, ["repositories", prefix], names.len())?;
            Ok(true)
        }
        Kind::Distribution => {
            for name in names {
                let folder = distribution::repository_folder(&server.data(), name);
                fs::create_dir_all(&folder).or_fail("cannot write a peer's folder")?;
                make(&folder.join("_manifests"))?;
            }
            Ok(true)
        }
        Kind::Zot | Kind::Nginx | Kind::Null => Ok(false),
    }
}

/// Runs `examples/seed`, which comes out of the same build as the server, on the stopped server's database.
fn hallmark(server: &mut Server, setup: &Setup, what: [&str; 2], count: usize) -> Outcome<()> {
    let program = setup.hallmark.with_file_name("examples").join("seed");
    if !program.exists() {
        return Err(Failure::new(format!(
            "{} is not there: run `cargo build --release -p hallmark-storage --example seed`",
            program.display()
        )));
    }
    server.while_stopped(setup, |data| {
        let mut command = Command::new(program);
        command.arg(data.join("hallmark.db")).arg(ADMIN).args(what).arg(count.to_string());
        run(&mut command).map(drop)
    })
}

/// Makes an empty file where distribution has a folder, unless it is there: its lists read nothing but names, and folders
/// take minutes to remove on a disk that discards.
fn make(file: &Path) -> Outcome<()> {
    if !file.exists() {
        fs::write(file, "").or_fail("cannot write a peer's file")?;
    }
    Ok(())
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
