//! skopeo: challenges from the ping only, PATCH then PUT, exactly 201.

use std::path::Path;

use hallmark_conformance::{
    Outcome,
    check::holds,
    image::{Image, Index},
    relay::Manner,
    server::{ADMIN, PASSWORD},
};

use super::world::{LARGE, Recovery, World, holds_image, text};

fn logged_in() -> Outcome<World> {
    let world = World::new()?;
    let host = world.host();
    world.run("skopeo", &["login", "--tls-verify=false", "-u", ADMIN, "-p", PASSWORD, &host])?;
    Ok(world)
}

fn in_layout(layout: &Path) -> String {
    format!("oci:{}:1", text(layout))
}

fn remote(world: &World, name: &str) -> String {
    format!("docker://{}", world.image(name))
}

/// The words of a copy over plain HTTP, with no policy of the machine in the way.
fn copy_words(from: &str, to: &str) -> [String; 6] {
    let words = ["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", from, to];
    words.map(str::to_owned)
}

fn copy(world: &World, from: &str, to: &str, flags: &[&str]) -> Outcome<()> {
    let words = copy_words(from, to);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend_from_slice(flags);
    world.run("skopeo", &words)?;
    Ok(())
}

fn push(world: &World, image: &Image, name: &str) -> Outcome<()> {
    let layout = world.layout(&name.replace(['/', ':'], "-"), image)?;
    // Layers that are not compressed would be, and then be other bytes.
    copy(world, &in_layout(&layout), &remote(world, name), &["--preserve-digests"])
}

#[test]
fn skopeo_pushes_and_pulls_the_same_bytes() -> Outcome<()> {
    let world = logged_in()?;
    let image = Image::random(1, &[100_000, 3_000_000]);
    push(&world, &image, "app:1")?;
    let pulled = world.path("pulled");
    copy(&world, &remote(&world, "app:1"), &in_layout(&pulled), &["--preserve-digests"])?;
    holds_image(&pulled, &image)
}

#[test]
fn skopeo_pushes_and_pulls_an_index_with_all_it_names() -> Outcome<()> {
    let world = logged_in()?;
    let index = Index::random(2, 10_000);
    let layout = world.index_layout("multi", &index)?;
    let (target, pulled) = (remote(&world, "app:multi"), world.path("pulled"));
    let whole = ["--all", "--preserve-digests"];
    copy(&world, &in_layout(&layout), &target, &whole)?;
    copy(&world, &target, &in_layout(&pulled), &whole)?;
    index.images.iter().try_for_each(|image| holds_image(&pulled, image))
}

#[test]
fn skopeo_copies_across_repositories_by_mounting() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(4, &[1_000_000]), "app:1")?;
    let before = world.relay.seen().len();
    copy(&world, &remote(&world, "app:1"), &remote(&world, "other:1"), &["--preserve-digests"])?;
    let (mounts, bytes) = world.mounts_since(before);
    // The configuration is small and sent anew; the layer is not.
    holds(mounts >= 1 && bytes < 100_000, || {
        format!("{mounts} mounts were asked for and {bytes} bytes of blobs were sent")
    })?;
    world.registry().check_image("admin/other", "1")?;
    Ok(())
}

#[test]
fn skopeo_lists_tags_and_deletes() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(5, &[1_000]), "app:1")?;
    push(&world, &Image::random(6, &[1_000]), "app:2")?;
    world.run("skopeo", &["delete", "--tls-verify=false", &remote(&world, "app:1")])?;
    let left = world.run("skopeo", &["list-tags", "--tls-verify=false", &remote(&world, "app")])?;
    let left: serde_json::Value = serde_json::from_str(&left)?;
    holds(left["Tags"] == serde_json::json!(["2"]), || format!("only the tag 2 was to be left: {left}"))
}

#[test]
fn skopeo_is_refused_after_its_logout() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(7, &[1_000]), "app:1")?;
    world.run("skopeo", &["logout", &world.host()])?;
    let words = ["list-tags", "--tls-verify=false", &remote(&world, "app")];
    world.refuses("skopeo", &words, &["unauthorized", "401", "authentication required"])
}

/// Copies an image of one large layer while the server dies in the middle of it.
fn copy_over_a_kill(manner: Manner) -> Outcome<Recovery> {
    let mut world = logged_in()?;
    let image = Image::random(8, &[LARGE]);
    let layout = world.layout("large", &image)?;
    let mut push = world.program("skopeo")?;
    push.args(copy_words(&in_layout(&layout), &remote(&world, "app:1")));
    push.args(["--preserve-digests", "--retry-times", "3"]);
    let recovery = world.push_over_a_kill(&mut push, manner)?;
    world.registry().check_image("admin/app", &image.manifest.digest)?;
    Ok(recovery)
}

/// A connection that ends while it waits for an answer is worth another try to skopeo, once `--retry-times` is given.
#[test]
fn skopeo_tries_again_by_itself_when_the_server_dies_in_mid_layer() -> Outcome<()> {
    let recovery = copy_over_a_kill(Manner::Swallow)?;
    holds(recovery == Recovery::OwnRetry, || "skopeo was to try again by itself".into())
}

/// This skopeo counts a connection that closed under its own write (`broken pipe`, `use of closed network connection`) as
/// final, `--retry-times` or not, and whether it notices by its read or its write is chance. The relay ends the connection
/// in good order here, so it gives up, and the same command succeeds when given again.
#[test]
fn skopeo_gives_up_where_its_own_write_breaks_and_succeeds_when_run_again() -> Outcome<()> {
    let recovery = copy_over_a_kill(Manner::Cut)?;
    holds(recovery == Recovery::SecondRun, || {
        "this skopeo was known to give up: say so if it has learned to retry".into()
    })
}
