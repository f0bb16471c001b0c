//! crane, the client of go-containerregistry: PATCH of the whole layer, `201` or nothing, realms on the same name.

use hallmark_conformance::{
    Outcome,
    check::holds,
    image::Image,
    relay::Manner,
    server::{ADMIN, PASSWORD},
};

use super::world::{LARGE, Recovery, World, has_line, holds_image, text};

fn logged_in() -> Outcome<World> {
    let world = World::new()?;
    world.run("crane", &["auth", "login", &world.host(), "-u", ADMIN, "-p", PASSWORD])?;
    Ok(world)
}

fn push(world: &World, image: &Image, name: &str) -> Outcome<()> {
    let layout = world.layout(&name.replace(['/', ':'], "-"), image)?;
    world.run("crane", &["push", text(&layout), &world.image(name)])?;
    Ok(())
}

#[test]
fn crane_pushes_and_pulls_the_same_bytes() -> Outcome<()> {
    let world = logged_in()?;
    let image = Image::random(1, &[100_000, 3_000_000]);
    push(&world, &image, "app:1")?;
    let pulled = world.path("pulled");
    world.run("crane", &["pull", "--format=oci", &world.image("app:1"), text(&pulled)])?;
    holds_image(&pulled, &image)
}

#[test]
fn crane_assembles_an_index_and_pulls_one_platform_of_it() -> Outcome<()> {
    let world = logged_in()?;
    let amd64 = Image::for_architecture("amd64", 2, &[10_000]);
    let arm64 = Image::for_architecture("arm64", 3, &[10_000]);
    push(&world, &amd64, "app:amd64")?;
    push(&world, &arm64, "app:arm64")?;
    let (first, second, index) = (world.image("app:amd64"), world.image("app:arm64"), world.image("app:multi"));
    world.run("crane", &["index", "append", "-m", &first, "-m", &second, "-t", &index])?;
    let pulled = world.path("pulled");
    let words = ["pull", "--platform=linux/arm64", "--format=oci", &index, text(&pulled)];
    world.run("crane", &words)?;
    holds_image(&pulled, &arm64)
}

#[test]
fn crane_copies_across_repositories_by_mounting() -> Outcome<()> {
    let world = logged_in()?;
    let image = Image::random(4, &[1_000_000]);
    push(&world, &image, "app:1")?;
    let before = world.relay.seen().len();
    world.run("crane", &["copy", &world.image("app:1"), &world.image("other:1")])?;
    let (mounts, bytes) = world.mounts_since(before);
    holds(mounts >= 2 && bytes == 0, || {
        format!("{mounts} mounts were asked for and {bytes} bytes of blobs were sent")
    })?;
    world.registry().check_image("admin/other", "1")?;
    Ok(())
}

#[test]
fn crane_lists_tags_and_repositories_and_deletes() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(5, &[1_000]), "app:1")?;
    push(&world, &Image::random(6, &[1_000]), "app:2")?;
    let repository = world.image("app");
    has_line(&world.run("crane", &["ls", &repository])?, "2")?;
    has_line(&world.run("crane", &["catalog", &world.host()])?, "admin/app")?;
    let digest = world.run("crane", &["digest", &world.image("app:1")])?;
    world.run("crane", &["delete", &format!("{repository}@{}", digest.trim())])?;
    let left = world.run("crane", &["ls", &repository])?;
    holds(left.trim() == "2", || format!("only the tag 2 was to be left: {left}"))
}

#[test]
fn crane_is_refused_after_its_logout() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(7, &[1_000]), "app:1")?;
    world.run("crane", &["auth", "logout", &world.host()])?;
    world.refuses("crane", &["ls", &world.image("app")], &["unauthorized", "401"])
}

#[test]
fn crane_gets_its_image_through_a_server_that_dies_in_mid_layer() -> Outcome<()> {
    let mut world = logged_in()?;
    let image = Image::random(8, &[LARGE]);
    let layout = world.layout("large", &image)?;
    let mut push = world.program("crane")?;
    push.args(["push", text(&layout), &world.image("app:1")]);
    let recovery = world.push_over_a_kill(&mut push, Manner::Cut)?;
    holds(recovery == Recovery::OwnRetry, || "crane was to try again by itself".into())?;
    world.registry().check_image("admin/app", &image.manifest.digest)?;
    Ok(())
}
