//! Mounts: a blob of one repository linked into another (I6).

use hallmark_oci::Digest;
use hallmark_storage::metadata::{BlobId, Error, Mount, Repository, RepositoryId, Viewer};

use crate::harness::{NOW, World, family};

family! {
    a_mounted_blob_is_there,
    what_the_source_does_not_hold_is_not_mounted,
    a_deleted_source_gives_nothing,
    a_mounted_blob_survives_its_source,
    a_search_looks_at_the_callers_own_repositories_first,
    a_search_never_names_what_the_viewer_may_not_see,
}

async fn mount(world: &World, to: &Repository, source: RepositoryId, digest: &Digest) -> Option<BlobId> {
    let mounted: Result<_, Error> = world
        .metadata
        .write((to.clone(), source, digest.clone()), |tx, (to, source, digest)| {
            Box::pin(async move {
                let repository = &tx.repository(&to.name).await?.unwrap();
                tx.mount(&Mount { repository, source: *source, digest, now: NOW }).await
            })
        })
        .await;
    mounted.unwrap()
}

async fn a_mounted_blob_is_there(world: World) {
    let (from, to) = (world.repository("alice/from").await, world.repository("library").await);
    let digest = world.blob(&from, b"x").await;
    let blob = world.metadata.blob(from.id, &digest).await.unwrap().unwrap();
    for _ in 0..2 {
        assert_eq!(mount(&world, &to, from.id, &digest).await, Some(blob.id));
    }
    assert_eq!(world.metadata.blob(to.id, &digest).await.unwrap(), Some(blob));
}

async fn what_the_source_does_not_hold_is_not_mounted(world: World) {
    let (from, to) = (world.repository("alice/from").await, world.repository("alice/to").await);
    let third = world.repository("alice/third").await;
    let digest = world.blob(&third, b"x").await;
    assert_eq!(mount(&world, &to, from.id, &digest).await, None);
    assert_eq!(world.metadata.blob(to.id, &digest).await.unwrap(), None);
}

async fn a_deleted_source_gives_nothing(world: World) {
    let (from, to) = (world.repository("alice/from").await, world.repository("alice/to").await);
    let digest = world.blob(&from, b"x").await;
    let source = from.id;
    let deleted: Result<bool, Error> =
        world.metadata.write(from, |tx, from| Box::pin(tx.delete_repository(from, NOW))).await;
    assert!(deleted.unwrap());
    assert_eq!(mount(&world, &to, source, &digest).await, None);
    let sources = world.metadata.mount_sources(&digest, world.alice.account_id, Viewer::All, 64).await.unwrap();
    assert_eq!(sources, []);
}

async fn a_mounted_blob_survives_its_source(world: World) {
    let (from, to) = (world.repository("alice/from").await, world.repository("alice/to").await);
    let digest = world.blob(&from, b"x").await;
    mount(&world, &to, from.id, &digest).await.unwrap();
    world.delete_blob(&from, &digest).await;
    assert!(world.metadata.blob(to.id, &digest).await.unwrap().is_some());
}

async fn held_by(world: &World, digest: &Digest, viewer: Viewer, limit: u32) -> Vec<String> {
    let sources = world.metadata.mount_sources(digest, world.alice.account_id, viewer, limit).await.unwrap();
    sources.into_iter().map(|repository| repository.name.to_string()).collect()
}

/// Bob has a public and a private repository, made before alice's two; all hold the blob.
async fn four_that_hold_it(world: &World) -> Digest {
    let bob = world.user("bob").await.account_id;
    let open = world.repository_in("bob/open".parse().unwrap(), bob).await;
    let shut = world.repository_in("bob/shut".parse().unwrap(), bob).await;
    let mut digest = None;
    for repository in [&open, &shut, &world.repository("alice/one").await, &world.repository("alice/two").await] {
        digest = Some(world.blob(repository, b"x").await);
    }
    let set: Result<bool, Error> = world.metadata.write(open, |tx, open| Box::pin(tx.set_public(open, true))).await;
    assert!(set.unwrap());
    digest.unwrap()
}

async fn a_search_looks_at_the_callers_own_repositories_first(world: World) {
    let digest = four_that_hold_it(&world).await;
    let own = Viewer::Owner(world.alice.account_id);
    assert_eq!(held_by(&world, &digest, own, 64).await, ["alice/one", "alice/two", "bob/open"]);
    assert_eq!(held_by(&world, &digest, own, 1).await, ["alice/one"]);
    assert_eq!(held_by(&world, &digest, Viewer::All, 3).await, ["alice/one", "alice/two", "bob/open"]);
}

async fn a_search_never_names_what_the_viewer_may_not_see(world: World) {
    let digest = four_that_hold_it(&world).await;
    assert_eq!(held_by(&world, &digest, Viewer::Public, 64).await, ["bob/open"]);
    assert_eq!(held_by(&world, &digest, Viewer::All, 64).await.len(), 4);
}
