//! Images that are deleted: what goes with them, when, and what stays.

use hallmark_gc::{Error, clean};
use hallmark_storage::metadata::{BlobDeletion, Graces, Hold, HoldKind, ManifestDeletion, Placing, PutRefused};

use crate::harness::images::{digest, image, index};
use crate::harness::{NOW, TINY, World, suite};

suite! {
    a_deleted_image_goes_after_its_window_and_its_bytes_after_their_grace,
    a_layer_that_another_image_names_stays,
    a_blob_fades_before_it_goes_and_a_manifest_may_still_name_it,
    a_faded_blob_is_not_mounted,
    a_manifest_without_a_tag_stays,
    children_go_with_their_index,
    a_child_that_has_a_tag_stays,
    a_child_that_is_held_goes_once_it_is_released,
    what_refers_to_a_manifest_goes_when_that_leaves_the_trash,
    what_refers_to_a_manifest_that_never_was_here_stays,
    an_image_that_is_pushed_again_leaves_the_trash,
    a_window_that_cannot_be_ended_holds_up_no_other,
    a_blob_that_is_deleted_alone_goes,
    small_blobs_go_too,
    a_blob_that_another_account_s_repository_holds_stays,
    a_look_that_was_overtaken_takes_nothing,
}

/// Long after every grace.
const LATER: i64 = NOW + 10_000;

/// Runs the collector until nothing is due.
async fn drain(world: &World, from: i64) {
    for step in 0..20 {
        if world.clean(from + step * 1_000).await.is_empty() {
            return;
        }
    }
    panic!("there is always more to collect");
}

async fn a_deleted_image_goes_after_its_window_and_its_bytes_after_their_grace(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.push(&repository, b"config", NOW).await.unwrap();
    let layer = world.push(&repository, b"layer", NOW).await.unwrap();
    let image = world.put(&repository, &image(b"config", &[b"layer"], None), &["v1"], NOW).await.unwrap();
    drain(&world, NOW + 50).await;
    assert!(world.holds(&repository, &image).await, "what a tag points to stays");
    assert_eq!(
        world.delete(&repository, &image, LATER).await.unwrap(),
        ManifestDeletion::Deleted { tags: vec!["v1".to_owned()] }
    );
    assert!(!world.holds(&repository, &image).await);
    assert!(!world.shows(&repository, b"layer", LATER).await, "nothing names it any more");

    let unlinked = world.clean(LATER + TINY.margin).await.collected;
    assert_eq!((unlinked.links, unlinked.accounts, unlinked.purged), (2, 0, 0), "the trash pins the bytes");
    let purged = world.clean(LATER + TINY.window).await;
    assert_eq!((purged.collected.purged, purged.collected.blobs, purged.keys), (1, 2, 0));
    assert_eq!(purged.collected.bytes, 11);
    assert!(world.has_bytes(&config).await && world.has_bytes(&layer).await, "facts first, bytes later");
    assert_eq!(world.clean(LATER + TINY.window + TINY.bytes).await.keys, 2);
    assert_eq!(world.files(), 0);
    for table in ["blobs", "account_blobs", "repository_blobs", "candidates", "key_deletions", "trash", "trash_blobs"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    let kinds = world.look("SELECT kind FROM events ORDER BY id").await;
    assert_eq!(kinds.last().map(String::as_str), Some("manifest_purged"));
}

async fn a_layer_that_another_image_names_stays(world: World) {
    let repository = world.repository("alice/app").await;
    for content in [b"one", b"two", b"all"] {
        world.push(&repository, content, NOW).await.unwrap();
    }
    let one = world.put(&repository, &image(b"one", &[b"all"], None), &["one"], NOW).await.unwrap();
    let two = world.put(&repository, &image(b"two", &[b"all"], None), &["two"], NOW).await.unwrap();
    world.delete(&repository, &one, NOW).await.unwrap();
    drain(&world, LATER).await;
    assert!(world.holds(&repository, &two).await);
    assert_eq!(world.look("SELECT digest FROM blobs ORDER BY size, digest").await.len(), 2);
    assert!(world.shows(&repository, b"all", LATER).await && !world.shows(&repository, b"one", LATER).await);
    assert_eq!(world.files(), 2);
}

async fn a_blob_fades_before_it_goes_and_a_manifest_may_still_name_it(world: World) {
    let repository = world.repository("alice/app").await;
    world.push(&repository, b"config", NOW).await.unwrap();
    assert!(world.shows(&repository, b"config", NOW + TINY.shown - 1).await);
    assert!(!world.shows(&repository, b"config", NOW + TINY.shown).await);
    let early = world.clean(NOW + TINY.shown + TINY.margin - 1).await;
    assert!(early.is_empty(), "{early:?}");
    world.put(&repository, &image(b"config", &[], None), &["v1"], NOW + 19).await.unwrap();
    assert!(world.shows(&repository, b"config", LATER).await, "also where its fading was remembered");
    drain(&world, LATER).await;
    assert_eq!(world.files(), 1);

    world.push(&repository, b"other", NOW).await.unwrap();
    drain(&world, LATER).await;
    let refused = world.put(&repository, &image(b"other", &[], None), &["v2"], LATER).await.unwrap_err();
    assert!(matches!(&refused, PutRefused::UnknownBlobs(gone) if *gone == [digest(b"other")]), "{refused:?}");
    world.push(&repository, b"other", LATER).await.unwrap();
    world.put(&repository, &image(b"other", &[], None), &["v2"], LATER).await.unwrap();
}

async fn a_faded_blob_is_not_mounted(world: World) {
    let (from, to) = (world.repository("alice/app").await, world.repository("alice/other").await);
    world.push(&from, b"layer", NOW).await.unwrap();
    assert!(!world.mount((&from, &to), b"layer", NOW + TINY.shown).await.unwrap());
    assert!(world.mount((&from, &to), b"layer", NOW + TINY.shown - 1).await.unwrap());
    world.put(&from, &image(b"layer", &[], None), &["v1"], NOW).await.unwrap();
    assert!(world.mount((&from, &to), b"layer", LATER).await.unwrap());
}

async fn a_manifest_without_a_tag_stays(world: World) {
    let repository = world.repository("alice/app").await;
    world.push(&repository, b"config", NOW).await.unwrap();
    let pushed = world.put(&repository, &image(b"config", &[], None), &[], NOW).await.unwrap();
    world.push(&repository, b"other", NOW).await.unwrap();
    let tagged = world.put(&repository, &image(b"other", &[], None), &["v1"], NOW).await.unwrap();
    world.delete_tag(&repository, "v1", NOW).await.unwrap();
    drain(&world, LATER).await;
    assert!(world.holds(&repository, &pushed).await && world.holds(&repository, &tagged).await);
}

async fn children_go_with_their_index(world: World) {
    let repository = world.repository("alice/app").await;
    let mut bodies = Vec::new();
    for content in [b"amd", b"arm"] {
        world.push(&repository, content, NOW).await.unwrap();
        bodies.push(image(content, &[], None));
        world.put(&repository, bodies.last().unwrap(), &[], NOW).await.unwrap();
    }
    let parent = world.put(&repository, &index(&[&bodies[0], &bodies[1]]), &["v1"], NOW).await.unwrap();
    drain(&world, LATER).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM manifests").await, 3);
    world.delete(&repository, &parent, LATER).await.unwrap();
    assert_eq!(world.count("SELECT COUNT(*) FROM manifests").await, 2);
    assert_eq!(world.clean(LATER + TINY.margin).await.collected.manifests, 2);
    assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, 3);
    drain(&world, LATER + 1_000).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, 0);
    assert_eq!(world.files(), 0);
}

async fn a_child_that_has_a_tag_stays(world: World) {
    let repository = world.repository("alice/app").await;
    world.push(&repository, b"amd", NOW).await.unwrap();
    let body = image(b"amd", &[], None);
    let child = world.put(&repository, &body, &["amd64"], NOW).await.unwrap();
    let parent = world.put(&repository, &index(&[&body]), &["v1"], NOW).await.unwrap();
    world.delete(&repository, &parent, LATER).await.unwrap();
    drain(&world, LATER + 1_000).await;
    assert!(world.holds(&repository, &child).await && world.shows(&repository, b"amd", LATER + 50_000).await);
}

/// Whoever releases it does not know that it is the last that is left of an index.
async fn a_child_that_is_held_goes_once_it_is_released(world: World) {
    let repository = world.repository("alice/app").await;
    world.push(&repository, b"amd", NOW).await.unwrap();
    let body = image(b"amd", &[], None);
    let child = world.put(&repository, &body, &[], NOW).await.unwrap();
    let parent = world.put(&repository, &index(&[&body]), &["v1"], NOW).await.unwrap();
    let hold = Hold { kind: HoldKind::Legal, placed_by: "alice".to_owned(), reason: "x".to_owned(), placed_at: NOW };
    let placed: Result<Placing, hallmark_storage::metadata::Error> = world
        .metadata
        .write((repository.id, child.clone(), hold), |tx, (repository, digest, hold)| {
            Box::pin(tx.place_hold(*repository, digest, hold))
        })
        .await;
    assert_eq!(placed.unwrap(), Placing::Placed);
    world.delete(&repository, &parent, LATER).await.unwrap();
    for step in 1..6 {
        world.clean(LATER + step * 1_000).await;
    }
    assert!(world.holds(&repository, &child).await);
    let released: Result<bool, hallmark_storage::metadata::Error> = world
        .metadata
        .write((repository.id, child.clone()), |tx, (repository, digest)| {
            Box::pin(tx.release_hold(*repository, digest, HoldKind::Legal))
        })
        .await;
    assert!(released.unwrap());
    drain(&world, LATER + 10_000).await;
    assert!(!world.holds(&repository, &child).await && world.count("SELECT COUNT(*) FROM trash").await == 0);
}

async fn what_refers_to_a_manifest_goes_when_that_leaves_the_trash(world: World) {
    let repository = world.repository("alice/app").await;
    for content in [b"app", b"sig"] {
        world.push(&repository, content, NOW).await.unwrap();
    }
    let body = image(b"app", &[], None);
    let subject = world.put(&repository, &body, &["v1"], NOW).await.unwrap();
    let referrer = world.put(&repository, &image(b"sig", &[], Some(&body)), &[], NOW).await.unwrap();
    let cosign = format!("{}.sig", subject.as_str().replacen(':', "-", 1));
    let signature = world.put(&repository, &image(b"sig", &[b"app"], None), &[&cosign], NOW).await.unwrap();
    world.delete(&repository, &subject, LATER).await.unwrap();
    world.clean(LATER + TINY.window - 1).await;
    assert!(world.holds(&repository, &referrer).await && world.holds(&repository, &signature).await);
    drain(&world, LATER + TINY.window).await;
    assert!(!world.holds(&repository, &referrer).await && !world.holds(&repository, &signature).await);
    assert_eq!(world.files(), 0);
}

async fn what_refers_to_a_manifest_that_never_was_here_stays(world: World) {
    let repository = world.repository("alice/app").await;
    world.push(&repository, b"sig", NOW).await.unwrap();
    let elsewhere = image(b"app", &[], None);
    let referrer = world.put(&repository, &image(b"sig", &[], Some(&elsewhere)), &[], NOW).await.unwrap();
    drain(&world, LATER).await;
    assert!(world.holds(&repository, &referrer).await && world.shows(&repository, b"sig", LATER).await);
}

async fn an_image_that_is_pushed_again_leaves_the_trash(world: World) {
    let repository = world.repository("alice/app").await;
    world.push(&repository, b"config", NOW).await.unwrap();
    let body = image(b"config", &[], None);
    let image = world.put(&repository, &body, &["v1"], NOW).await.unwrap();
    world.delete(&repository, &image, NOW).await.unwrap();
    world.clean(NOW + 50).await;
    let refused = world.put(&repository, &body, &["v1"], NOW + 50).await.unwrap_err();
    assert!(matches!(refused, PutRefused::UnknownBlobs(_)), "the trash keeps bytes, not links");
    world.push(&repository, b"config", NOW + 50).await.unwrap();
    world.put(&repository, &body, &["v1"], NOW + 50).await.unwrap();
    assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, 0);
    drain(&world, LATER).await;
    assert!(world.holds(&repository, &image).await);
    assert_eq!(world.files(), 1);
}

async fn a_window_that_cannot_be_ended_holds_up_no_other(world: World) {
    let repository = world.repository("alice/app").await;
    world.push(&repository, b"config", NOW).await.unwrap();
    let mut images = Vec::new();
    for note in ["1", "2"] {
        images.push(world.put(&repository, &image(b"config", &[], Some(note)), &[], NOW).await.unwrap());
    }
    for (at, digest) in images.iter().enumerate() {
        world.delete(&repository, digest, NOW + at as i64).await.unwrap();
    }
    world.look(&format!("UPDATE trash SET digest = 'none' WHERE digest = '{}'", images[0])).await;
    let ended = clean(&world.metadata, &world.blobs, LATER, || true).await;
    assert!(matches!(ended, Err(Error::Unseen { failed: 1, .. })), "{ended:?}");
    assert_eq!(world.look("SELECT digest FROM trash").await, ["none"]);
    assert!(clean(&world.metadata, &world.blobs, LATER + 1, || true).await.is_ok(), "it is left alone for a while");
}

async fn a_blob_that_is_deleted_alone_goes(world: World) {
    let repository = world.repository("alice/app").await;
    let key = world.push(&repository, b"layer", NOW).await.unwrap();
    assert_eq!(world.delete_blob(&repository, b"layer", NOW).await, BlobDeletion::Deleted);
    assert!(!world.shows(&repository, b"layer", NOW).await);
    assert_eq!(world.clean(NOW).await.collected.blobs, 1);
    assert!(world.has_bytes(&key).await);
    drain(&world, NOW + TINY.bytes).await;
    assert!(!world.has_bytes(&key).await);
}

async fn small_blobs_go_too(world: World) {
    let repository = world.repository("alice/app").await;
    world.push_small(&repository, b"{}", NOW).await.unwrap();
    let image = world.put(&repository, &image(b"{}", &[], None), &["v1"], NOW).await.unwrap();
    drain(&world, LATER).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM small_blobs").await, 1);
    world.delete(&repository, &image, LATER).await.unwrap();
    drain(&world, LATER + 1_000).await;
    for table in ["small_blobs", "blobs", "key_deletions", "candidates"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
}

async fn a_blob_that_another_account_s_repository_holds_stays(world: World) {
    let (one, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    for repository in [&one, &other] {
        world.push(repository, b"base", NOW).await.unwrap();
    }
    let image = world.put(&other, &image(b"base", &[], None), &["v1"], NOW).await.unwrap();
    world.delete_blob(&one, b"base", NOW).await;
    drain(&world, LATER).await;
    assert!(world.holds(&other, &image).await && world.shows(&other, b"base", LATER).await);
    assert!(!world.shows(&one, b"base", LATER).await);
    assert_eq!(world.files(), 1, "the copy that was written second is gone");
}

async fn a_look_that_was_overtaken_takes_nothing(world: World) {
    world.metadata.set_graces(Graces { window: 1_000_000, ..TINY });
    let repository = world.repository("alice/app").await;
    world.push(&repository, b"config", NOW).await.unwrap();
    let body = image(b"config", &[], None);
    let claimed = world
        .metadata
        .write(LATER, |tx, now| Box::pin(async move { tx.claim_candidates(*now, 10).await }))
        .await
        .unwrap();
    assert_eq!(claimed.len(), 1);
    let named = world.put(&repository, &body, &["v1"], LATER).await.unwrap();
    world.delete(&repository, &named, LATER).await.unwrap();
    let looked = world.metadata.write(claimed[0], |tx, candidate| Box::pin(tx.look_at(candidate))).await.unwrap();
    assert_eq!(looked, hallmark_storage::metadata::Looked::Overtaken, "who saw it a moment ago has its margin");
}
