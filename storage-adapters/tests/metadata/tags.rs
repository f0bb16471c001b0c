//! Tags: pages, moves and their history.

use hallmark_oci::Reference;

use crate::harness::images::image;
use crate::harness::{World, family};

family! {
    tags_page_in_byte_order_on_both,
    a_moved_tag_keeps_its_history,
    a_tag_that_comes_back_goes_on_counting,
    deleting_a_tag_keeps_its_manifest,
    times_rise_though_the_clock_stands,
}

async fn tags_page_in_byte_order_on_both(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    world.put(&repository, &image(&blob, &[], ""), &["_", "a", "a-b", "a.b", "ab", "B"]).await;
    let page = async |after| world.metadata.tags(repository.id, after, 4).await.unwrap();
    assert_eq!(page(None).await, ["B", "_", "a", "a-b"]);
    assert_eq!(page(Some("a-b")).await, ["a.b", "ab"]);
    assert_eq!(page(Some("a-a")).await, ["a-b", "a.b", "ab"], "the one before need not exist");
    assert_eq!(world.metadata.tags(repository.id, None, 0).await.unwrap(), [""; 0]);
}

async fn a_moved_tag_keeps_its_history(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let first = world.put(&repository, &image(&blob, &[], "1"), &["t"]).await;
    let second = world.put(&repository, &image(&blob, &[], "2"), &["t"]).await;
    world.put(&repository, &image(&blob, &[], "2"), &["t"]).await;
    world.put(&repository, &image(&blob, &[], "1"), &["t"]).await;
    let history = world.look("SELECT version, digest, actor_id FROM tag_history ORDER BY version").await;
    let actor = world.alice.id;
    assert_eq!(history, [format!("1 {first} {actor}"), format!("2 {second} {actor}"), format!("3 {first} {actor}")]);
    world.is_sound().await;
}

async fn a_tag_that_comes_back_goes_on_counting(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &["t"]).await;
    assert_eq!(world.delete_tag(&repository, "t").await, Some(digest.clone()));
    assert_eq!(world.delete_tag(&repository, "t").await, None);
    world.put(&repository, &image(&blob, &[], ""), &["t"]).await;
    let history = world.look("SELECT version, digest FROM tag_history ORDER BY version").await;
    assert_eq!(history, [format!("1 {digest}"), "2 -".to_owned(), format!("3 {digest}")]);
    world.is_sound().await;
}

async fn deleting_a_tag_keeps_its_manifest(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &["t", "u"]).await;
    world.delete_tag(&repository, "t").await;
    assert_eq!(world.metadata.tags(repository.id, None, 9).await.unwrap(), ["u"]);
    assert!(world.metadata.manifest(repository.id, &Reference::Digest(digest)).await.unwrap().is_some());
}

async fn times_rise_though_the_clock_stands(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    for note in ["1", "2", "3"] {
        world.put(&repository, &image(&blob, &[], note), &["t"]).await;
    }
    world.delete_tag(&repository, "t").await;
    world.put(&repository, &image(&blob, &[], "1"), &["t"]).await;
    assert_eq!(world.count("SELECT COUNT(DISTINCT at) FROM tag_history").await, 5);
    world.is_sound().await;
}
