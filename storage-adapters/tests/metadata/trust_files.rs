//! The registry's own repository of TUF 1.0.

use hallmark_storage::metadata::{FilesMetadata, NamedFile, TrustRoot};

use crate::harness::{NOW, World, family};

family! {
    files_are_put_listed_and_removed,
    metadata_is_kept_once_for_each_version_and_forgotten,
    organizations_show_their_newest_root,
    roots_are_counted_from_a_time,
}

fn file(name: &str, body: &str) -> NamedFile {
    NamedFile { name: name.into(), sha256: vec![1; 32], body: body.as_bytes().to_vec(), put_at: NOW }
}

async fn files_are_put_listed_and_removed(world: World) {
    let put = async |file: NamedFile| world.change(file, |tx, file| Box::pin(tx.put_trust_file(file))).await;
    put(file("b", "old")).await;
    put(file("a", "one")).await;
    put(file("b", "two")).await;
    assert_eq!(world.metadata.trust_files("", 9).await.unwrap(), [file("a", "one"), file("b", "two")]);
    assert_eq!(world.metadata.trust_files("a", 9).await.unwrap(), [file("b", "two")]);
    assert_eq!(world.metadata.trust_files("", 1).await.unwrap(), [file("a", "one")]);
    assert_eq!(world.metadata.named_trust_file("b").await.unwrap(), Some(file("b", "two")));
    assert_eq!(world.metadata.named_trust_file("c").await.unwrap(), None);
    let remove = async || world.change("b", |tx, name| Box::pin(tx.remove_trust_file(name))).await;
    assert!(remove().await && !remove().await);
}

async fn metadata_is_kept_once_for_each_version_and_forgotten(world: World) {
    let of = |version: i64| FilesMetadata { version, renew_at: NOW, covers: "all".into(), body: vec![version as u8] };
    let store = async |version: i64| {
        world.change(of(version), |tx, made| Box::pin(tx.store_trust_files_metadata("snapshot", made))).await
    };
    assert!(store(1).await && store(2).await && !store(2).await);
    let found = async |version| world.metadata.trust_files_metadata("snapshot", version).await.unwrap();
    assert_eq!((found(None).await, found(Some(1)).await), (Some(of(2)), Some(of(1))));
    assert_eq!(world.metadata.trust_files_metadata("targets", None).await.unwrap(), None);
    world.change(2, |tx, before| Box::pin(tx.forget_trust_files_metadata("snapshot", *before))).await;
    assert_eq!((found(Some(1)).await, found(Some(2)).await), (None, Some(of(2))));
}

async fn add(world: &World, domain: &str, version: i64, at: i64) {
    let root = TrustRoot { domain: domain.to_owned(), version, body: vec![version as u8] };
    assert!(world.change((root, at), |tx, (root, at)| Box::pin(tx.add_trust_root(root, *at))).await);
}

async fn organizations_show_their_newest_root(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    add(&world, "tuf1/registry", 1, NOW).await;
    assert_eq!(world.metadata.organization_roots().await.unwrap(), []);
    for version in [1, 2] {
        add(&world, &format!("tuf1/organization/{}", acme.id), version, NOW).await;
    }
    assert_eq!(world.metadata.organization_roots().await.unwrap(), [("acme".to_owned(), vec![2])]);
    let of = async |name: &str| world.metadata.organization_root(name).await.unwrap();
    assert_eq!((of("acme").await, of("alice").await, of("none").await), (Some(vec![2]), None, None));
}

async fn roots_are_counted_from_a_time(world: World) {
    for version in [1, 2, 3] {
        add(&world, "d", version, NOW + version).await;
    }
    for (after, count) in [(NOW, 3), (NOW + 2, 1), (NOW + 3, 0)] {
        assert_eq!(world.metadata.trust_roots_since("d", after).await.unwrap(), count);
    }
}
