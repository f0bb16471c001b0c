//! regctl, the client of regclient: mounts without a source, chunks that resume at the offset, sha512.

use std::path::Path;

use hallmark_conformance::{
    Outcome,
    check::holds,
    image::{Image, Index},
    relay::Manner,
    server::{ADMIN, PASSWORD},
};

use super::world::{HALF, LARGE, Recovery, World, has_line, holds_image, text};

/// The chunk that the resume test sends its layer in.
const CHUNK: usize = 1 << 20;

fn logged_in() -> Outcome<World> {
    let world = World::new()?;
    let host = world.host();
    world.run("regctl", &["registry", "set", "--tls", "disabled", "--skip-check", &host])?;
    world.run("regctl", &["registry", "login", &host, "-u", ADMIN, "-p", PASSWORD])?;
    Ok(world)
}

fn in_layout(layout: &Path) -> String {
    format!("ocidir://{}:1", text(layout))
}

fn push(world: &World, image: &Image, name: &str) -> Outcome<()> {
    let layout = world.layout(&name.replace(['/', ':'], "-"), image)?;
    world.run("regctl", &["image", "copy", &in_layout(&layout), &world.image(name)])?;
    Ok(())
}

#[test]
fn regctl_pushes_and_pulls_the_same_bytes() -> Outcome<()> {
    let world = logged_in()?;
    let image = Image::random(1, &[100_000, 3_000_000]);
    push(&world, &image, "app:1")?;
    let pulled = world.path("pulled");
    world.run("regctl", &["image", "copy", &world.image("app:1"), &in_layout(&pulled)])?;
    holds_image(&pulled, &image)
}

#[test]
fn regctl_pushes_and_pulls_an_index_with_all_it_names() -> Outcome<()> {
    let world = logged_in()?;
    let index = Index::random(2, 10_000);
    let layout = world.index_layout("multi", &index)?;
    world.run("regctl", &["image", "copy", &in_layout(&layout), &world.image("app:multi")])?;
    let pulled = world.path("pulled");
    world.run("regctl", &["image", "copy", &world.image("app:multi"), &in_layout(&pulled)])?;
    index.images.iter().try_for_each(|image| holds_image(&pulled, image))
}

#[test]
fn regctl_copies_across_repositories_by_mounting() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(4, &[1_000_000]), "app:1")?;
    let before = world.relay.seen().len();
    world.run("regctl", &["image", "copy", &world.image("app:1"), &world.image("other:1")])?;
    let (mounts, bytes) = world.mounts_since(before);
    holds(mounts >= 2 && bytes == 0, || {
        format!("{mounts} mounts were asked for and {bytes} bytes of blobs were sent")
    })?;
    world.registry().check_image("admin/other", "1")?;
    Ok(())
}

#[test]
fn regctl_converts_an_image_to_sha512_and_reads_it_back() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(5, &[10_000]), "app:1")?;
    let (from, to) = (world.image("app:1"), world.image("app:long"));
    world.run("regctl", &["image", "mod", "--digest-algo", "sha512", &from, "--create", &to])?;
    let digest = world.run("regctl", &["image", "digest", &to])?;
    holds(digest.starts_with("sha512:"), || format!("the tag forgot its algorithm: {digest}"))?;
    let pulled = world.path("pulled");
    world.run("regctl", &["image", "copy", &to, &in_layout(&pulled)])?;
    Ok(())
}

#[test]
fn regctl_lists_tags_and_repositories_and_deletes() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(6, &[1_000]), "app:1")?;
    push(&world, &Image::random(7, &[1_000]), "app:2")?;
    push(&world, &Image::random(8, &[1_000]), "app:3")?;
    let repository = world.image("app");
    has_line(&world.run("regctl", &["tag", "ls", &repository])?, "2")?;
    has_line(&world.run("regctl", &["repo", "ls", &world.host()])?, "admin/app")?;
    world.run("regctl", &["tag", "delete", &world.image("app:1")])?;
    let digest = world.run("regctl", &["image", "digest", &world.image("app:2")])?;
    world.run("regctl", &["manifest", "delete", &format!("{repository}@{}", digest.trim())])?;
    let left = world.run("regctl", &["tag", "ls", &repository])?;
    holds(left.trim() == "3", || format!("only the tag 3 was to be left: {left}"))
}

#[test]
fn regctl_is_refused_after_its_logout() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(9, &[1_000]), "app:1")?;
    world.run("regctl", &["registry", "logout", &world.host()])?;
    world.refuses("regctl", &["tag", "ls", &world.image("app")], &["unauthorized", "401"])
}

#[test]
fn regctl_gets_its_image_through_a_server_that_dies_in_mid_layer() -> Outcome<()> {
    let mut world = logged_in()?;
    let image = Image::random(10, &[LARGE]);
    let layout = world.layout("large", &image)?;
    let mut push = world.program("regctl")?;
    push.args(["image", "copy", &in_layout(&layout), &world.image("app:1")]);
    let recovery = world.push_over_a_kill(&mut push, Manner::Cut)?;
    holds(recovery == Recovery::OwnRetry, || "regctl was to try again by itself".into())?;
    world.registry().check_image("admin/app", &image.manifest.digest)?;
    Ok(())
}

#[test]
fn regctl_resumes_at_the_offset_and_sends_no_acknowledged_byte_again() -> Outcome<()> {
    let mut world = logged_in()?;
    let (host, chunk) = (world.host(), CHUNK.to_string());
    let words = ["registry", "set", "--skip-check", "--blob-max", &chunk, "--blob-chunk", &chunk, &host];
    world.run("regctl", &words)?;
    let image = Image::random(11, &[LARGE]);
    let layout = world.layout("large", &image)?;
    let mut push = world.program("regctl")?;
    push.args(["image", "copy", &in_layout(&layout), &world.image("app:1")]);
    let recovery = world.push_over_a_kill(&mut push, Manner::Cut)?;
    holds(recovery == Recovery::OwnRetry, || "regctl was to resume by itself".into())?;
    world.registry().check_image("admin/app", &image.manifest.digest)?;
    let sent = world.relay.uploaded();
    let whole: u64 = image.blobs().map(|blob| blob.bytes.len() as u64).sum();
    // One chunk was under way when the server died; nothing before it is sent a second time.
    holds(sent <= whole + CHUNK as u64, || {
        format!("{sent} bytes were sent for {whole}, {HALF} of them before the server died")
    })
}
