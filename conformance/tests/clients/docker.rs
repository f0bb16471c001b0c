//! The Docker engine with its graph driver: the registry's first client. Each test starts an engine of its own by hand.
//! It has no verb that lists the tags or repositories of a registry, and none that deletes there: `search` knows Docker Hub
//! only, `rmi` is about its own store.

use std::process::Command;

use hallmark_conformance::{
    Outcome,
    check::holds,
    engine,
    image::Image,
    process::{attempt, run},
    relay::Manner,
    server::{ADMIN, PASSWORD},
    tools,
};

use super::world::{LARGE, Recovery, World, text};

/// A Docker engine with a store of its own and no network.
pub(super) struct Engine(engine::Engine);

impl Engine {
    pub(super) fn start(world: &World, name: &str) -> Outcome<Self> {
        engine::Engine::start(world.program("dockerd")?, &world.path(name)).map(Self)
    }

    pub(super) fn command(&self, world: &World, words: &[&str]) -> Outcome<Command> {
        let mut command = world.program("docker")?;
        command.arg("--host").arg(self.0.host()).args(words);
        Ok(command)
    }

    fn say(&self, world: &World, words: &[&str]) -> Outcome<String> {
        run(&mut self.command(world, words)?)
    }

    /// Loads an image under the name it will be pushed by.
    pub(super) fn load(&self, world: &World, image: &Image, name: &str) -> Outcome<String> {
        let (archive, full) = (world.path("archive.tar"), world.image(name));
        image.write_docker_archive(&archive, &full)?;
        self.say(world, &["load", "-q", "-i", text(&archive)])?;
        Ok(full)
    }

    /// The image's own digest, which names its configuration and with it every unpacked layer.
    fn identity(&self, world: &World, name: &str) -> Outcome<String> {
        self.say(world, &["image", "inspect", "--format", "{{.Id}} {{.RootFS.Layers}}", name])
    }
}

fn logged_in() -> Outcome<(World, Engine)> {
    tools::locate("dockerd")?;
    let world = World::new()?;
    let engine = Engine::start(&world, "engine")?;
    engine.say(&world, &["login", "-u", ADMIN, "-p", PASSWORD, &world.host()])?;
    Ok((world, engine))
}

#[test]
fn docker_pushes_and_a_fresh_engine_pulls_the_same_image() -> Outcome<()> {
    let (world, engine) = logged_in()?;
    let name = engine.load(&world, &Image::random(1, &[100_000, 3_000_000]), "app:1")?;
    engine.say(&world, &["push", &name])?;
    world.registry().check_image("admin/app", "1")?;
    let fresh = Engine::start(&world, "fresh")?;
    fresh.say(&world, &["pull", &name])?;
    let (pushed, pulled) = (engine.identity(&world, &name)?, fresh.identity(&world, &name)?);
    holds(pushed == pulled, || format!("{pushed} was pushed and {pulled} was pulled"))
}

#[test]
fn docker_pushes_an_imported_tree_and_reads_its_file_back() -> Outcome<()> {
    let (world, engine) = logged_in()?;
    let image = Image::random(2, &[50_000]);
    let (tree, name) = (world.path("tree.tar"), world.image("tree:1"));
    std::fs::write(&tree, &image.layers[0].bytes)?;
    engine.say(&world, &["import", text(&tree), &name])?;
    engine.say(&world, &["push", &name])?;
    let fresh = Engine::start(&world, "fresh")?;
    fresh.say(&world, &["pull", &name])?;
    let container = fresh.say(&world, &["create", &name, "/none"])?;
    let (copied, noise) = (world.path("copied"), format!("{}:/noise-2000", container.trim()));
    fresh.say(&world, &["cp", &noise, text(&copied)])?;
    let expected = hallmark_conformance::image::noise(2000, 50_000);
    holds(std::fs::read(&copied)? == expected, || "the file is not the one that was pushed".into())
}

#[test]
fn docker_pushes_a_manifest_list_and_pulls_one_platform_of_it() -> Outcome<()> {
    let (world, engine) = logged_in()?;
    let amd64 = engine.load(&world, &Image::for_architecture("amd64", 3, &[10_000]), "app:amd64")?;
    let arm64 = engine.load(&world, &Image::for_architecture("arm64", 4, &[10_000]), "app:arm64")?;
    engine.say(&world, &["push", &amd64])?;
    engine.say(&world, &["push", &arm64])?;
    let list = world.image("app:multi");
    engine.say(&world, &["manifest", "create", "--insecure", &list, &amd64, &arm64])?;
    engine.say(&world, &["manifest", "push", "--insecure", &list])?;
    let fresh = Engine::start(&world, "fresh")?;
    fresh.say(&world, &["pull", "--platform", "linux/arm64", &list])?;
    let (pushed, pulled) = (engine.identity(&world, &arm64)?, fresh.identity(&world, &list)?);
    holds(pushed == pulled, || format!("{pushed} was pushed and {pulled} was pulled"))
}

#[test]
fn docker_pushes_to_another_repository_by_mounting() -> Outcome<()> {
    let (world, engine) = logged_in()?;
    let name = engine.load(&world, &Image::random(5, &[1_000_000]), "app:1")?;
    engine.say(&world, &["push", &name])?;
    let (before, other) = (world.relay.seen().len(), world.image("other:1"));
    engine.say(&world, &["tag", &name, &other])?;
    engine.say(&world, &["push", &other])?;
    let (mounts, bytes) = world.mounts_since(before);
    // The configuration is small and sent anew; the layer is not.
    holds(mounts >= 1 && bytes < 100_000, || {
        format!("{mounts} mounts were asked for and {bytes} bytes of blobs were sent")
    })?;
    world.registry().check_image("admin/other", "1")?;
    Ok(())
}

#[test]
fn docker_is_refused_with_a_wrong_password_and_after_its_logout() -> Outcome<()> {
    let (world, engine) = logged_in()?;
    let name = engine.load(&world, &Image::random(6, &[1_000]), "app:1")?;
    engine.say(&world, &["push", &name])?;
    engine.say(&world, &["logout", &world.host()])?;
    let refused = |words: &[&str]| -> Outcome<()> {
        let ran = attempt(&mut engine.command(&world, words)?)?;
        let said = format!("{}{}", ran.output, ran.complaints).to_lowercase();
        let told = ["unauthorized", "no basic auth", "denied", "authentication required"];
        holds(!ran.status.success() && told.iter().any(|word| said.contains(word)), || {
            format!("docker {words:?} was to be refused: {said}")
        })
    };
    refused(&["pull", &name])?;
    refused(&["login", "-u", ADMIN, "-p", "wrong", &world.host()])
}

#[test]
fn docker_gets_its_image_through_a_server_that_dies_in_mid_layer() -> Outcome<()> {
    let (mut world, engine) = logged_in()?;
    let name = engine.load(&world, &Image::random(7, &[LARGE]), "app:1")?;
    let mut push = engine.command(&world, &["push", &name])?;
    let recovery = world.push_over_a_kill(&mut push, Manner::Cut)?;
    holds(recovery == Recovery::OwnRetry, || "docker was to try again by itself".into())?;
    let fresh = Engine::start(&world, "fresh")?;
    fresh.say(&world, &["pull", &name])?;
    let (pushed, pulled) = (engine.identity(&world, &name)?, fresh.identity(&world, &name)?);
    holds(pushed == pulled, || format!("{pushed} was pushed and {pulled} was pulled"))
}
