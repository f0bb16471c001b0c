//! Manifests: whole or absent (I1), byte for byte (I7), gone when they go.

use hallmark_oci::limits::MANIFEST_BYTES;
use hallmark_oci::{Algorithm, Digest, Manifest, Reference, Tag};
use hallmark_storage::metadata::{Event, ManifestDeletion, PutManifest, PutRefused};

use crate::harness::images::{image, index};
use crate::harness::{NOW, World, family};

family! {
    putting_a_small_image_takes_at_most_fourteen_statements,
    a_manifest_reads_back_byte_for_byte,
    a_manifest_that_names_an_unknown_blob_is_refused_with_its_digest,
    a_blob_of_another_repository_is_unknown,
    an_index_of_an_unknown_manifest_is_refused_with_its_digest,
    a_refused_manifest_leaves_nothing,
    a_size_that_is_not_the_contents_own_is_refused,
    a_manifest_that_names_one_blob_twice_is_put,
    a_manifest_put_again_is_known,
    one_body_under_two_algorithms_is_two_manifests,
    a_tag_remembers_its_digests_algorithm,
    a_deleted_manifest_is_gone_with_its_tags,
    a_child_of_an_index_is_not_deleted,
    deleting_a_manifest_tells_the_collector,
    an_untagged_manifest_is_a_candidate,
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse().unwrap())
}

async fn putting_a_small_image_takes_at_most_fourteen_statements(world: World) {
    let repository = world.repository("alice/app").await;
    let (config, layer) = (world.blob(&repository, b"config").await, world.blob(&repository, b"layer").await);
    let body = image(&config, &[&layer], "");
    let statements: Result<u64, PutRefused> = world
        .metadata
        .write((repository, body, world.alice.id), |tx, (repository, body, actor)| {
            Box::pin(async move {
                let repository = &tx.repository(&repository.name).await?.unwrap();
                let manifest = &Manifest::parse(body.as_bytes(), None, MANIFEST_BYTES).unwrap();
                let digest = &Digest::of(Algorithm::Sha256, body.as_bytes());
                let tags: &[Tag] = &["latest".parse().unwrap()];
                let put = PutManifest {
                    repository,
                    digest,
                    manifest,
                    body: body.as_bytes(),
                    tags,
                    pushed_by: *actor,
                    now: NOW,
                };
                tx.put_manifest(&put).await?;
                let event = Event {
                    actor: *actor,
                    kind: "manifest_pushed",
                    account: None,
                    repository: Some(repository.id),
                    subject: digest.as_str(),
                    payload: "{}",
                    request_id: "r",
                    at: NOW,
                };
                tx.record(&event).await?;
                Ok(tx.statements())
            })
        })
        .await;
    let statements = statements.unwrap();
    assert!(statements <= 14, "{statements}");
}

async fn a_manifest_reads_back_byte_for_byte(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"config").await;
    let body = image(&config, &[], "odd \\u00e9 spacing").replace(",\"config\"", " ,\n\t\"config\"");
    let digest = world.put(&repository, &body, &["1.0"]).await;
    for reference in [tag("1.0"), Reference::Digest(digest.clone())] {
        let manifest = world.metadata.manifest(repository.id, &reference).await.unwrap().unwrap();
        assert_eq!((&manifest.body[..], &manifest.digest), (body.as_bytes(), &digest));
        assert_eq!(
            (manifest.media_type.as_str(), manifest.size),
            ("application/vnd.oci.image.manifest.v1+json", body.len() as u64)
        );
    }
    assert_eq!(world.metadata.manifest(repository.id, &tag("2.0")).await.unwrap(), None);
}

async fn a_manifest_that_names_an_unknown_blob_is_refused_with_its_digest(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"config").await;
    let absent = Digest::of(Algorithm::Sha256, b"never pushed");
    match world.try_put(&repository, Algorithm::Sha256, &image(&config, &[&absent], ""), &["x"]).await {
        Err(PutRefused::UnknownBlobs(digests)) => assert_eq!(digests, [absent]),
        other => panic!("{other:?}"),
    }
}

async fn a_blob_of_another_repository_is_unknown(world: World) {
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let elsewhere = world.blob(&other, b"x").await;
    let refused = world.try_put(&app, Algorithm::Sha256, &image(&elsewhere, &[], ""), &[]).await;
    assert!(matches!(refused, Err(PutRefused::UnknownBlobs(_))), "I6");
}

async fn an_index_of_an_unknown_manifest_is_refused_with_its_digest(world: World) {
    let repository = world.repository("alice/app").await;
    let absent = Digest::of(Algorithm::Sha256, b"never pushed");
    match world.try_put(&repository, Algorithm::Sha256, &index(&[&absent]), &["x"]).await {
        Err(PutRefused::UnknownChildren(digests)) => assert_eq!(digests, [absent]),
        other => panic!("{other:?}"),
    }
}

async fn a_refused_manifest_leaves_nothing(world: World) {
    let repository = world.repository("alice/app").await;
    let absent = Digest::of(Algorithm::Sha256, b"never pushed");
    assert!(world.try_put(&repository, Algorithm::Sha256, &image(&absent, &[], ""), &["x"]).await.is_err());
    for table in ["manifests", "manifest_blobs", "tags", "tag_history", "candidates"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
}

async fn a_size_that_is_not_the_contents_own_is_refused(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"config").await;
    let body = image(&config, &[], "").replace("\"size\":6", "\"size\":5");
    match world.try_put(&repository, Algorithm::Sha256, &body, &[]).await {
        Err(PutRefused::SizeDiffers(digest)) => assert_eq!(digest, config),
        other => panic!("{other:?}"),
    }
}

async fn a_manifest_that_names_one_blob_twice_is_put(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    world.put(&repository, &image(&blob, &[&blob, &blob], ""), &[]).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM manifest_blobs").await, 1);
}

async fn a_manifest_put_again_is_known(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let body = image(&blob, &[], "");
    let first = world.try_put(&repository, Algorithm::Sha256, &body, &["a"]).await.unwrap();
    let again = world.try_put(&repository, Algorithm::Sha256, &body, &["a", "b", "b"]).await.unwrap();
    assert_eq!((again.id, first.known, again.known), (first.id, false, true));
    let moved: Vec<_> = again.moved.iter().map(Tag::as_str).collect();
    assert_eq!(moved, ["b"], "a pointed there already");
}

async fn one_body_under_two_algorithms_is_two_manifests(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let body = image(&blob, &[], "");
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        world.try_put(&repository, algorithm, &body, &[]).await.unwrap();
        let reference = Reference::Digest(Digest::of(algorithm, body.as_bytes()));
        let manifest = world.metadata.manifest(repository.id, &reference).await.unwrap().unwrap();
        assert_eq!(manifest.digest.algorithm(), algorithm);
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM manifests").await, 2);
}

async fn a_tag_remembers_its_digests_algorithm(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    world.try_put(&repository, Algorithm::Sha512, &image(&blob, &[], ""), &["long"]).await.unwrap();
    let manifest = world.metadata.manifest(repository.id, &tag("long")).await.unwrap().unwrap();
    assert_eq!(manifest.digest.algorithm(), Algorithm::Sha512);
}

async fn a_deleted_manifest_is_gone_with_its_tags(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let digest = world.put(&repository, &image(&blob, &[], "1"), &["a", "b"]).await;
    world.put(&repository, &image(&blob, &[], "2"), &["c"]).await;
    assert!(world.metadata.manifest(repository.id, &tag("a")).await.unwrap().is_some());
    assert_eq!(
        world.delete_manifest(&repository, &digest).await,
        ManifestDeletion::Deleted { tags: vec!["a".to_owned(), "b".to_owned()] }
    );
    for reference in [tag("a"), tag("b"), Reference::Digest(digest.clone())] {
        assert_eq!(world.metadata.manifest(repository.id, &reference).await.unwrap(), None, "{reference:?}");
    }
    assert_eq!(world.metadata.tags(repository.id, None, 9).await.unwrap(), ["c"]);
    assert_eq!(world.delete_manifest(&repository, &digest).await, ManifestDeletion::Unknown);
    let deleted = "SELECT name, version FROM tag_history WHERE digest IS NULL ORDER BY name";
    assert_eq!(world.look(deleted).await, ["a 2", "b 2"]);
    world.is_sound().await;
}

async fn a_child_of_an_index_is_not_deleted(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let child = world.put(&repository, &image(&blob, &[], ""), &["child"]).await;
    let parent = world.put(&repository, &index(&[&child]), &[]).await;
    let refused = world.delete_manifest(&repository, &child).await;
    assert_eq!(refused, ManifestDeletion::StillNamedBy(vec![parent.clone()]));
    assert_eq!(world.metadata.tags(repository.id, None, 9).await.unwrap(), ["child"], "and its tags stay");
    assert_eq!(world.delete_manifest(&repository, &parent).await, ManifestDeletion::Deleted { tags: Vec::new() });
    assert_eq!(
        world.delete_manifest(&repository, &child).await,
        ManifestDeletion::Deleted { tags: vec!["child".to_owned()] }
    );
}

async fn deleting_a_manifest_tells_the_collector(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let child = world.put(&repository, &image(&blob, &[], ""), &["t"]).await;
    let parent = world.put(&repository, &index(&[&child]), &["t"]).await;
    world.meddle("DELETE FROM candidates").await;
    world.delete_manifest(&repository, &parent).await;
    assert_eq!(world.look("SELECT kind FROM candidates").await, ["manifest"]);
    world.delete_manifest(&repository, &child).await;
    assert_eq!(world.look("SELECT kind FROM candidates ORDER BY kind").await, ["link", "manifest"]);
}

async fn an_untagged_manifest_is_a_candidate(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let candidates = "SELECT COUNT(*) FROM candidates WHERE kind = 'manifest'";
    world.put(&repository, &image(&blob, &[], "1"), &["t"]).await;
    assert_eq!(world.count(candidates).await, 0);
    world.put(&repository, &image(&blob, &[], "2"), &["t"]).await;
    assert_eq!(world.count(candidates).await, 1, "the tag left the first");
    world.put(&repository, &image(&blob, &[], "3"), &[]).await;
    assert_eq!(world.count(candidates).await, 2);
}
