//! oras, the client of oras-go: one PUT for each blob, a Location on the same host, referrers.

use std::{fs, time::Duration};

use hallmark_conformance::{
    Outcome,
    check::holds,
    image::{Image, Index},
    relay::{Manner, Seen},
    server::{ADMIN, PASSWORD},
};

use super::world::{LARGE, Recovery, World, has_line, holds_image, start, text};

/// How long oras may take to come back: it waits a quarter of a second at first, and at most three.
const RETRY_LIMIT: Duration = Duration::from_secs(20);

fn logged_in() -> Outcome<World> {
    let world = World::new()?;
    let host = world.host();
    world.run("oras", &["login", "--plain-http", &host, "-u", ADMIN, "-p", PASSWORD])?;
    Ok(world)
}

/// The words of a copy from an OCI image layout.
fn push_words(layout: &std::path::Path, target: &str) -> Vec<String> {
    let source = format!("{}:1", text(layout));
    let words = ["cp", "--to-plain-http", "--from-oci-layout", &source, target];
    words.map(str::to_owned).to_vec()
}

fn push(world: &World, image: &Image, name: &str) -> Outcome<()> {
    let layout = world.layout(&name.replace(['/', ':'], "-"), image)?;
    let words = push_words(&layout, &world.image(name));
    world.run("oras", &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(())
}

fn pull(world: &World, name: &str) -> Outcome<std::path::PathBuf> {
    let pulled = world.path("pulled");
    let target = format!("{}:1", text(&pulled));
    let words = ["cp", "--from-plain-http", "--to-oci-layout", &world.image(name), &target];
    world.run("oras", &words)?;
    Ok(pulled)
}

#[test]
fn oras_pushes_and_pulls_the_same_bytes() -> Outcome<()> {
    let world = logged_in()?;
    let image = Image::random(1, &[100_000, 3_000_000]);
    push(&world, &image, "app:1")?;
    holds_image(&pull(&world, "app:1")?, &image)
}

#[test]
fn oras_pushes_and_pulls_an_index_with_all_it_names() -> Outcome<()> {
    let world = logged_in()?;
    let index = Index::random(2, 10_000);
    let layout = world.index_layout("multi", &index)?;
    let words = push_words(&layout, &world.image("app:multi"));
    world.run("oras", &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let pulled = pull(&world, "app:multi")?;
    index.images.iter().try_for_each(|image| holds_image(&pulled, image))
}

#[test]
fn oras_copies_across_repositories_by_mounting() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(4, &[1_000_000]), "app:1")?;
    let before = world.relay.seen().len();
    let (from, to) = (world.image("app:1"), world.image("other:1"));
    world.run("oras", &["cp", "--from-plain-http", "--to-plain-http", &from, &to])?;
    let (mounts, bytes) = world.mounts_since(before);
    holds(mounts >= 2 && bytes == 0, || {
        format!("{mounts} mounts were asked for and {bytes} bytes of blobs were sent")
    })?;
    world.registry().check_image("admin/other", "1")?;
    Ok(())
}

#[test]
fn oras_attaches_an_artifact_and_finds_it_by_its_subject() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(5, &[1_000]), "app:1")?;
    fs::write(world.path("home").join("note.txt"), "seen")?;
    let image = world.image("app:1");
    let attach = ["attach", "--plain-http", "--artifact-type", "application/vnd.note", &image, "note.txt"];
    world.run("oras", &attach)?;
    let found = world.run("oras", &["discover", "--plain-http", "--format", "json", &image])?;
    holds(found.contains("application/vnd.note"), || format!("no referrer was found: {found}"))?;
    let tags = world.registry().tags("admin/app")?;
    holds(tags == ["1"], || format!("a fallback tag was written although referrers are supported: {tags:?}"))
}

#[test]
fn oras_lists_tags_and_repositories_and_deletes() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(6, &[1_000]), "app:1")?;
    push(&world, &Image::random(7, &[1_000]), "app:2")?;
    let repository = world.image("app");
    has_line(&world.run("oras", &["repo", "tags", "--plain-http", &repository])?, "2")?;
    has_line(&world.run("oras", &["repo", "ls", "--plain-http", &world.host()])?, "admin/app")?;
    world.run("oras", &["manifest", "delete", "--plain-http", "--force", &world.image("app:1")])?;
    let left = world.run("oras", &["repo", "tags", "--plain-http", &repository])?;
    holds(left.trim() == "2", || format!("only the tag 2 was to be left: {left}"))
}

#[test]
fn oras_is_refused_after_its_logout() -> Outcome<()> {
    let world = logged_in()?;
    push(&world, &Image::random(8, &[1_000]), "app:1")?;
    world.run("oras", &["logout", &world.host()])?;
    let words = ["repo", "tags", "--plain-http", &world.image("app")];
    world.refuses("oras", &words, &["unauthorized", "401", "basic credential not found"])
}

/// oras sends the body of a layer once: it cannot rewind it, so it tries again neither after a broken connection nor after an
/// answer that asks for it. It gives up, and the same command succeeds when given again.
#[test]
fn oras_gives_up_where_the_server_dies_in_mid_layer_and_succeeds_when_run_again() -> Outcome<()> {
    let mut world = logged_in()?;
    let image = Image::random(9, &[LARGE]);
    let layout = world.layout("large", &image)?;
    let mut push = world.program("oras")?;
    push.args(push_words(&layout, &world.image("app:1")));
    let recovery = world.push_over_a_kill(&mut push, Manner::Cut)?;
    holds(recovery == Recovery::SecondRun, || {
        "this oras was known to give up: say so if it has learned to retry".into()
    })?;
    world.registry().check_image("admin/app", &image.manifest.digest)?;
    Ok(())
}

/// What oras does try again by itself: a request without a body that is told to come back later.
#[test]
fn oras_tries_again_by_itself_while_the_registry_is_read_only() -> Outcome<()> {
    let world = logged_in()?;
    let image = Image::random(10, &[100_000]);
    let layout = world.layout("small", &image)?;
    world.server.verb(&["readonly", "on"])?;
    let mut push = world.program("oras")?;
    let pushing = start(push.args(push_words(&layout, &world.image("app:1"))))?;
    // Two blobs are pushed: the third POST is the second try of one of them.
    let asks = |seen: &Seen| seen.method == "POST" && seen.is_upload();
    let came_again =
        world.relay.wait_until_seen(RETRY_LIMIT, |seen| seen.iter().filter(|seen| asks(seen)).count() >= 3);
    world.server.verb(&["readonly", "off"])?;
    let output = pushing.wait_with_output()?;
    came_again?;
    holds(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
    world.registry().check_image("admin/app", &image.manifest.digest)?;
    Ok(())
}
