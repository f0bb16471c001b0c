//! Mounts: a blob of one repository linked into another (I6).

use hallmark_oci::Digest;
use hallmark_storage::metadata::{AccountId, BlobId, Error, Mount, Repository, RepositoryId};

use crate::harness::{NOW, World, family};

family! {
    a_mounted_blob_is_there,
    what_the_source_does_not_hold_is_not_mounted,
    a_deleted_source_gives_nothing,
    a_mounted_blob_survives_its_source,
    a_search_in_one_account_names_no_other,
    a_search_of_all_accounts_names_open_ones_only,
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
    assert_eq!(held_in(&world, &digest, world.alice.account_id, 64).await, [""; 0]);
    assert_eq!(open(&world, &digest, true, 64).await, [""; 0]);
}

async fn a_mounted_blob_survives_its_source(world: World) {
    let (from, to) = (world.repository("alice/from").await, world.repository("alice/to").await);
    let digest = world.blob(&from, b"x").await;
    mount(&world, &to, from.id, &digest).await.unwrap();
    world.delete_blob(&from, &digest).await;
    assert!(world.metadata.blob(to.id, &digest).await.unwrap().is_some());
}

fn names(sources: Vec<Repository>) -> Vec<String> {
    sources.into_iter().map(|repository| repository.name.to_string()).collect()
}

async fn held_in(world: &World, digest: &Digest, account: AccountId, limit: u32) -> Vec<String> {
    names(world.metadata.sources_in(digest, account, limit).await.unwrap())
}

async fn open(world: &World, digest: &Digest, everything: bool, limit: u32) -> Vec<String> {
    names(world.metadata.open_sources(digest, everything, limit).await.unwrap())
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

async fn a_search_in_one_account_names_no_other(world: World) {
    let digest = four_that_hold_it(&world).await;
    let (own, bob) = (world.alice.account_id, world.metadata.account("bob").await.unwrap().unwrap().id);
    assert_eq!(held_in(&world, &digest, own, 64).await, ["alice/one", "alice/two"]);
    assert_eq!(held_in(&world, &digest, own, 1).await, ["alice/one"]);
    assert_eq!(held_in(&world, &digest, bob, 64).await, ["bob/open", "bob/shut"]);
    assert_eq!(held_in(&world, &digest, AccountId::SYSTEM, 64).await, [""; 0]);
}

async fn a_search_of_all_accounts_names_open_ones_only(world: World) {
    let digest = four_that_hold_it(&world).await;
    assert_eq!(open(&world, &digest, false, 64).await, ["bob/open"]);
    assert_eq!(open(&world, &digest, true, 64).await, ["bob/open", "bob/shut", "alice/one", "alice/two"]);
    assert_eq!(open(&world, &digest, true, 3).await, ["bob/open", "bob/shut", "alice/one"]);
}
