//! The power goes at a moment that the test chose: nothing that was told before is missing when the server comes up again (I4).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::MutexGuard,
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    durability::{Loss, Watched, walk},
    image::{Image, noise},
    server::Server,
};

use crate::{model::shim, support::alone};

const REPOSITORY: &str = "admin/app";

/// A watched server on a data folder that its first start has made, in two folders that were missing.
struct Scene {
    server: Server,
    watched: Watched,
    _alone: MutexGuard<'static, ()>,
}

impl Scene {
    fn begin() -> Outcome<Self> {
        Self::with(|_| Vec::new())
    }

    /// The same with these variables, told from the watched folder.
    fn with(more: impl FnOnce(&Path) -> Vec<(&'static str, String)>) -> Outcome<Self> {
        let alone = alone();
        let watched = Watched::new(shim())?;
        let plan = watched.plan(&watched.folder().join("made/for/data"));
        let variables = more(&watched.folder()).into_iter();
        let server = variables.fold(plan, |plan, (name, value)| plan.variable(name, value)).start()?;
        Ok(Self { server, watched, _alone: alone })
    }

    /// Takes the power, and all that was not synced, and starts the server again.
    fn loses_power(&mut self) -> Outcome<()> {
        self.loses_power_and(|_| Ok(()))
    }

    /// The same, and something happens to the data folder before the server starts.
    fn loses_power_and(&mut self, happens: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<()> {
        self.server.kill()?;
        self.watched.lose_power(Loss::Everything)?;
        happens(self.server.data())?;
        self.server.start()
    }

    /// Holds that an image that is pushed now survives, and with it all that the start made.
    fn keeps_an_image(mut self) -> Outcome<()> {
        self.server.registry().push_image(REPOSITORY, "1", &Image::random(1, &[100_000, 50_000]))?;
        self.loses_power()?;
        self.server.registry().check_image(REPOSITORY, "1")?;
        self.server.stop().map(drop)
    }

    fn files(&self) -> Outcome<BTreeSet<PathBuf>> {
        Ok(walk(self.server.data())?.into_iter().collect())
    }
}

/// Its own name and those of the folders above it, the master key, and the tree that blobs lie in.
#[test]
fn a_data_folder_that_a_start_made_survives_a_power_loss() -> Outcome<()> {
    Scene::begin()?.keeps_an_image()
}

/// Whoever gives the master key has no file of it written, whose sync would make the database's name durable too.
#[test]
fn a_database_beside_no_other_file_survives_a_power_loss() -> Outcome<()> {
    let key = ("HALLMARK_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned());
    Scene::with(|_| vec![key])?.keeps_an_image()
}

/// Nothing else is written beside it, whose sync would make the names of its folders durable too.
#[test]
fn a_store_outside_the_data_folder_survives_a_power_loss() -> Outcome<()> {
    let store = |watched: &Path| watched.join("other/place/of/blobs").display().to_string();
    Scene::with(|watched| vec![("HALLMARK_STORAGE_URL", store(watched))])?.keeps_an_image()
}

/// A mark that went, or lost what it says, would make the store another database's, from which nothing is deleted any more.
#[test]
fn a_store_that_was_marked_is_known_again_after_a_power_loss() -> Outcome<()> {
    let mut scene = Scene::begin()?;
    scene.server.verb(&["gc", "run"])?;
    scene.loses_power()?;
    scene.server.verb(&["gc", "run"])?;
    scene.server.stop().map(drop)
}

/// What a backup leaves out that copies files.
fn remove_empty_folders(folder: &Path) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let below = entry?.path();
        if below.is_dir() {
            remove_empty_folders(&below)?;
        }
    }
    if fs::read_dir(folder)?.next().is_none() {
        fs::remove_dir(folder)?;
    }
    Ok(())
}

/// They are made again under a mark that was there before, so that no writing of it syncs the folder which they stand in.
#[test]
fn folders_that_a_restore_left_out_survive_a_power_loss_with_what_is_put_in_them() -> Outcome<()> {
    let mut scene = Scene::begin()?;
    scene.server.verb(&["gc", "run"])?;
    scene.loses_power_and(remove_empty_folders)?;
    scene.keeps_an_image()
}

/// The row that owned the file is gone by then, and nobody would look for it.
#[test]
fn a_file_that_the_collector_removed_does_not_come_back() -> Outcome<()> {
    let mut scene = Scene::begin()?;
    let bytes = noise(1, 100_000);
    // The second upload ends with a file that nothing names, because the blob is there.
    scene.server.registry().push_blob(REPOSITORY, &bytes)?;
    scene.server.registry().push_blob(REPOSITORY, &bytes)?;
    let before = scene.files()?;
    scene.server.verb(&["gc", "run"])?;
    let after = scene.files()?;
    let removed: Vec<_> = before.difference(&after).collect();
    holds(!removed.is_empty(), || format!("the collector removed none of {before:?}"))?;
    scene.loses_power()?;
    let back: Vec<_> = removed.into_iter().filter(|file| file.exists()).collect();
    holds(back.is_empty(), || format!("{back:?} came back"))?;
    scene.server.stop().map(drop)
}
