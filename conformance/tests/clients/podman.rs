//! podman with a store of its own: as skopeo on the wire, with images that it unpacks and packs again.
//! It lists the tags of a repository (`search --list-tags`); it has no verb that lists the repositories of a registry, and
//! none that deletes there.

use std::process::Command;

use hallmark_conformance::{
    Outcome,
    check::holds,
    image::Image,
    process::run,
    relay::Manner,
    server::{ADMIN, PASSWORD},
};

use super::world::{LARGE, Recovery, World, text};

/// A podman whose images lie in `store` and nowhere else.
pub(super) fn podman(world: &World, store: &str, words: &[&str]) -> Outcome<Command> {
    let mut command = world.program("podman")?;
    command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none"]);
    command.arg("--root").arg(world.path(store).join("root"));
    command.arg("--runroot").arg(world.path(store).join("run"));
    command.args(words);
    Ok(command)
}

fn say(world: &World, store: &str, words: &[&str]) -> Outcome<String> {
    run(&mut podman(world, store, words)?)
}

fn logged_in() -> Outcome<World> {
    let world = World::new()?;
    let words = ["login", "--tls-verify=false", "-u", ADMIN, "-p", PASSWORD, &world.host()];
    say(&world, "store", &words)?;
    Ok(world)
}

/// Loads an image into a store under the name it will be pushed by.
pub(super) fn load(world: &World, image: &Image, name: &str) -> Outcome<String> {
    let (archive, full) = (world.path("archive.tar"), world.image(name));
    image.write_docker_archive(&archive, &full)?;
    say(world, "store", &["load", "-q", "-i", text(&archive)])?;
    Ok(full)
}

fn push(world: &World, name: &str) -> Outcome<()> {
    say(world, "store", &["push", "-q", "--tls-verify=false", name])?;
    Ok(())
}

/// What an image is, whatever its layers were packed with: its platform and the digests of its unpacked layers.
fn identity(world: &World, store: &str, name: &str) -> Outcome<String> {
    say(world, store, &["image", "inspect", "--format", "{{.Architecture}} {{.RootFS.Layers}}", name])
}

fn same_in_a_fresh_store(world: &World, name: &str) -> Outcome<()> {
    say(world, "fresh", &["pull", "-q", "--tls-verify=false", name])?;
    let (pushed, pulled) = (identity(world, "store", name)?, identity(world, "fresh", name)?);
    holds(pushed == pulled, || format!("{pushed} was pushed and {pulled} was pulled"))
}

#[test]
fn podman_pushes_and_pulls_the_same_layers() -> Outcome<()> {
    let world = logged_in()?;
    let name = load(&world, &Image::random(1, &[100_000, 3_000_000]), "app:1")?;
    push(&world, &name)?;
    same_in_a_fresh_store(&world, &name)?;
    world.registry().check_image("admin/app", "1")?;
    Ok(())
}

#[test]
fn podman_pushes_a_manifest_list_and_pulls_one_platform_of_it() -> Outcome<()> {
    let world = logged_in()?;
    let amd64 = load(&world, &Image::for_architecture("amd64", 2, &[10_000]), "app:amd64")?;
    let arm64 = load(&world, &Image::for_architecture("arm64", 3, &[10_000]), "app:arm64")?;
    let list = world.image("app:multi");
    say(&world, "store", &["manifest", "create", &list])?;
    for image in [&amd64, &arm64] {
        let local = format!("containers-storage:{image}");
        say(&world, "store", &["manifest", "add", &list, &local])?;
    }
    let target = format!("docker://{list}");
    say(&world, "store", &["manifest", "push", "-q", "--all", "--tls-verify=false", &list, &target])?;
    say(&world, "fresh", &["pull", "-q", "--tls-verify=false", "--arch=arm64", &list])?;
    let (pushed, pulled) = (identity(&world, "store", &arm64)?, identity(&world, "fresh", &list)?);
    holds(pushed == pulled, || format!("{pushed} was pushed and {pulled} was pulled"))
}

#[test]
fn podman_pushes_to_another_repository_by_mounting() -> Outcome<()> {
    let world = logged_in()?;
    let name = load(&world, &Image::random(4, &[1_000_000]), "app:1")?;
    push(&world, &name)?;
    let (before, other) = (world.relay.seen().len(), world.image("other:1"));
    say(&world, "store", &["push", "-q", "--tls-verify=false", &name, &other])?;
    let (mounts, bytes) = world.mounts_since(before);
    // The configuration is small and sent anew; the layer is not.
    holds(mounts >= 1 && bytes < 100_000, || {
        format!("{mounts} mounts were asked for and {bytes} bytes of blobs were sent")
    })?;
    world.registry().check_image("admin/other", "1")?;
    Ok(())
}

#[test]
fn podman_lists_tags() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &load(&world, &Image::random(5, &[1_000]), "app:1")?)?;
    push(&world, &load(&world, &Image::random(6, &[1_000]), "app:2")?)?;
    let words = ["search", "--tls-verify=false", "--list-tags", "--format", "{{.Tag}}", &world.image("app")];
    let printed = say(&world, "store", &words)?;
    let tags = printed.lines().filter_map(|line| line.split_whitespace().next_back());
    holds(tags.filter(|tag| *tag != "TAG").eq(["1", "2"]), || format!("the tags 1 and 2 were pushed: {printed}"))
}

#[test]
fn podman_is_refused_after_its_logout() -> Outcome<()> {
    let world = logged_in()?;
    let name = load(&world, &Image::random(7, &[1_000]), "app:1")?;
    push(&world, &name)?;
    say(&world, "store", &["logout", &world.host()])?;
    let refused = say(&world, "fresh", &["pull", "-q", "--tls-verify=false", &name]);
    let said = refused.err().map(|failure| failure.to_string().to_lowercase()).unwrap_or_default();
    holds(said.contains("unauthorized") || said.contains("authentication required"), || {
        format!("a pull after the logout was to be refused: {said}")
    })
}

/// Pushes an image of one large layer while the server dies in the middle of it.
fn push_over_a_kill(manner: Manner) -> Outcome<Recovery> {
    let mut world = logged_in()?;
    let name = load(&world, &Image::random(8, &[LARGE]), "app:1")?;
    let mut push = podman(&world, "store", &["push", "-q", "--tls-verify=false", &name])?;
    let recovery = world.push_over_a_kill(&mut push, manner)?;
    same_in_a_fresh_store(&world, &name)?;
    Ok(recovery)
}

/// A connection that ends while it waits for an answer is worth another try to podman.
#[test]
fn podman_tries_again_by_itself_when_the_server_dies_in_mid_layer() -> Outcome<()> {
    let recovery = push_over_a_kill(Manner::Swallow)?;
    holds(recovery == Recovery::OwnRetry, || "podman was to try again by itself".into())
}

/// As skopeo: this podman counts a connection that closed under its own write as final. It gives up, and the same command
/// succeeds when given again.
#[test]
fn podman_gives_up_where_its_own_write_breaks_and_succeeds_when_run_again() -> Outcome<()> {
    let recovery = push_over_a_kill(Manner::Cut)?;
    holds(recovery == Recovery::SecondRun, || {
        "this podman was known to give up: say so if it has learned to retry".into()
    })
}
