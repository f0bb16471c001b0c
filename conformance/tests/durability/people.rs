//! The power goes after a command of the command line said that it is done: what it wrote into a person's folder is there, whole.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    durability::{Loss, Watched},
    image::Image,
    process::{attempt, run, run_with_input, typed},
    server::{ADMIN, PASSWORD, Server},
    tools,
};

use crate::model::shim;

/// How long a signature may take to be published.
const PUBLISHED: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Somebody whose home loses its power, and the server that they speak to, which does not.
struct Person {
    server: Server,
    watched: Watched,
}

impl Person {
    fn new() -> Outcome<Self> {
        Ok(Self { server: Server::fresh()?, watched: Watched::new(shim())? })
    }

    fn signed_in() -> Outcome<Self> {
        let person = Self::new()?;
        let url = format!("http://{}", person.server.host());
        let words = ["login", &url, "--user", ADMIN, "--password-stdin"];
        run_with_input(&mut person.command(&words)?, PASSWORD)?;
        Ok(person)
    }

    fn command(&self, words: &[&str]) -> Outcome<Command> {
        let home = self.watched.folder();
        let mut command = typed(&tools::hallmark()?, &home);
        command.current_dir(&home).envs(self.watched.variables()).args(words);
        Ok(command)
    }

    fn types(&self, words: &[&str]) -> Outcome<()> {
        run(&mut self.command(words)?).map(drop)
    }

    /// Holds that these files, by their names from the home on, are the same after a power loss.
    fn keeps(&self, files: &[impl AsRef<Path>]) -> Outcome<()> {
        let files: Vec<_> = files.iter().map(|file| self.watched.folder().join(file)).collect();
        let before = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
        self.watched.lose_power(Loss::Everything)?;
        for (file, before) in files.iter().zip(before) {
            let after = fs::read(file).ok();
            holds(after.as_ref() == Some(&before), || {
                format!(
                    "of {} bytes in {} there is {:?} left",
                    before.len(),
                    file.display(),
                    after.map(|after| after.len())
                )
            })?;
        }
        Ok(())
    }

    /// Verifies a tag, once what vouches for it is published.
    fn verifies(&self, image: &str) -> Outcome<()> {
        let begin = Instant::now();
        loop {
            let ran = attempt(&mut self.command(&["verify", image, "--root", "root.json"])?)?;
            if ran.status.success() {
                return Ok(());
            }
            holds(begin.elapsed() < PUBLISHED, || format!("{image} is not verified: {ran:?}"))?;
            thread::sleep(LOOK_EVERY);
        }
    }
}

#[test]
fn a_login_survives_a_power_loss() -> Outcome<()> {
    Person::signed_in()?.keeps(&[".config/hallmark/contexts.toml"])
}

/// The key that a root is held by is nowhere else, and a signature under a draft counts once it was shown.
#[test]
fn a_key_of_a_root_and_what_it_signed_survive_a_power_loss() -> Outcome<()> {
    let person = Person::signed_in()?;
    person.types(&["trust", "root", "key", "ann.key"])?;
    person.keeps(&["ann.key", "ann.key.pub"])?;
    let words = ["trust", "root", "init", "--key", "ann.key.pub", "--threshold", "1", "--out", "first.draft"];
    run(person.command(&words)?.env("HALLMARK_USER", ADMIN).env("HALLMARK_PASSWORD", PASSWORD))?;
    person.keeps(&["first.draft"])?;
    person.types(&["trust", "root", "sign", "first.draft", "--key", "ann.key"])?;
    person.keeps(&["first.draft"])
}

/// Without them a registry could show metadata again that it has replaced.
#[test]
fn the_newest_versions_that_verify_has_seen_survive_a_power_loss() -> Outcome<()> {
    let person = Person::signed_in()?;
    person.server.registry().push_image("admin/app", "1", &Image::random(1, &[1_000]))?;
    let image = format!("{}/admin/app:1", person.server.host());
    person.types(&["sign", &image])?;
    person.types(&["trust", "root", "get", "--out", "root.json"])?;
    person.verifies(&image)?;
    // The root that holds is the one that was pinned.
    let memory = Path::new(".config/hallmark/trust").join(person.server.host().replace(':', "_")).join("admin+app");
    person.keeps(&["timestamp.json", "snapshot.json"].map(|file| memory.join(file)))
}
