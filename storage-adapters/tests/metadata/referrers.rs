//! Referrers: by subject, and folded from the index under a fallback tag.

use hallmark_oci::{Algorithm, Digest};
use hallmark_storage::metadata::{ManifestDeletion, Repository};

use crate::harness::images::{artifact, image, index};
use crate::harness::{World, family};

family! {
    a_referrer_is_listed_before_its_subject_exists,
    a_referrer_is_described_by_its_own_bytes,
    a_filter_keeps_one_artifact_type,
    referrers_page_by_id,
    a_list_of_referrers_tells_what_describing_them_reads,
    a_referrer_that_was_deleted_meanwhile_is_not_described,
    a_deleted_referrer_is_gone_at_once,
    a_fallback_tag_folds_its_children,
    a_folded_child_goes_with_the_tag,
    a_folded_child_goes_when_the_tag_moves,
    a_child_that_names_its_subject_is_listed_once,
    a_long_digests_fallback_tag_is_found,
    a_fallback_tag_stays_a_tag,
}

async fn list(world: &World, repository: &Repository, subject: &Digest, kind: Option<&str>) -> Vec<String> {
    let referrers = world.metadata.referrers(repository.id, subject, kind, None, 100).await.unwrap();
    referrers.into_iter().map(|referrer| referrer.digest.to_string()).collect()
}

/// The entry of the first referrer.
async fn first_described(world: &World, repository: &Repository, subject: &Digest) -> serde_json::Value {
    let referrers = world.metadata.referrers(repository.id, subject, None, None, 9).await.unwrap();
    let described = world.metadata.describe(repository.id, &referrers).await.unwrap();
    serde_json::from_str(&described[0].descriptor).unwrap()
}

async fn a_referrer_is_listed_before_its_subject_exists(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"{}").await;
    let subject = Digest::of(Algorithm::Sha256, b"pushed later or never");
    assert_eq!(list(&world, &repository, &subject, None).await, [""; 0]);
    let referrer = world.put(&repository, &artifact(&config, "a/b", Some(&subject), ""), &[]).await;
    assert_eq!(list(&world, &repository, &subject, None).await, [referrer.as_str()]);
}

async fn a_referrer_is_described_by_its_own_bytes(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"{}").await;
    let subject = Digest::of(Algorithm::Sha256, b"subject");
    let body = artifact(&config, "application/vnd.x+json", Some(&subject), "why");
    let digest = world.put(&repository, &body, &[]).await;
    let described = first_described(&world, &repository, &subject).await;
    let expected = serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest.as_str(),
        "size": body.len(),
        "artifactType": "application/vnd.x+json",
        "annotations": { "note": "why" },
    });
    assert_eq!(described, expected);
}

async fn a_filter_keeps_one_artifact_type(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"{}").await;
    let subject = Digest::of(Algorithm::Sha256, b"subject");
    let kept = world.put(&repository, &artifact(&config, "a/b", Some(&subject), ""), &[]).await;
    world.put(&repository, &artifact(&config, "a/c", Some(&subject), ""), &[]).await;
    assert_eq!(list(&world, &repository, &subject, Some("a/b")).await, [kept.as_str()]);
    assert_eq!(list(&world, &repository, &subject, Some("x/y")).await, [""; 0]);
    assert_eq!(list(&world, &repository, &subject, None).await.len(), 2);
}

async fn referrers_page_by_id(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"{}").await;
    let subject = Digest::of(Algorithm::Sha256, b"subject");
    for note in ["1", "2", "3"] {
        world.put(&repository, &artifact(&config, "a/b", Some(&subject), note), &[]).await;
    }
    let first = world.metadata.referrers(repository.id, &subject, None, None, 2).await.unwrap();
    let rest = world.metadata.referrers(repository.id, &subject, None, Some(first[1].id), 2).await.unwrap();
    assert_eq!((first.len(), rest.len()), (2, 1));
    assert!(!first.contains(&rest[0]));
}

/// Who pushes decides how large an annotation is: a list that read them would hold all of them at once.
async fn a_list_of_referrers_tells_what_describing_them_reads(world: World) {
    let repository = world.repository("alice/app").await;
    let (subject, signature) = signed_by_an_older_client(&world, &repository, Algorithm::Sha256).await;
    let config = world.blob(&repository, b"{}").await;
    world.put(&repository, &artifact(&config, "a/b", Some(&subject), &"ä".repeat(10_000)), &[]).await;
    let listed = world.metadata.referrers(repository.id, &subject, None, None, 9).await.unwrap();
    let described = world.metadata.describe(repository.id, &listed).await.unwrap();
    let [folded, kept] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&folded.digest, folded.described, kept.described), (&signature, false, true));
    assert_eq!(folded.bytes, artifact(&config, "sig", None, "signature").len() as u64, "its whole body is parsed");
    assert_eq!(kept.bytes, described[1].descriptor.len() as u64, "in bytes, not in characters");
}

async fn a_referrer_that_was_deleted_meanwhile_is_not_described(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"{}").await;
    let subject = Digest::of(Algorithm::Sha256, b"subject");
    let gone = world.put(&repository, &artifact(&config, "a/b", Some(&subject), "1"), &[]).await;
    world.put(&repository, &artifact(&config, "a/b", Some(&subject), "2"), &[]).await;
    let listed = world.metadata.referrers(repository.id, &subject, None, None, 9).await.unwrap();
    world.delete_manifest(&repository, &gone).await;
    let described = world.metadata.describe(repository.id, &listed).await.unwrap();
    assert_eq!(described.iter().map(|entry| entry.id).collect::<Vec<_>>(), [listed[1].id]);
}

async fn a_deleted_referrer_is_gone_at_once(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"{}").await;
    let subject = world.put(&repository, &image(&config, &[], ""), &[]).await;
    let referrer = world.put(&repository, &artifact(&config, "a/b", Some(&subject), ""), &[]).await;
    world.delete_manifest(&repository, &subject).await;
    assert_eq!(list(&world, &repository, &subject, None).await, [referrer.as_str()], "the subject may go");
    world.delete_manifest(&repository, &referrer).await;
    assert_eq!(list(&world, &repository, &subject, None).await, [""; 0]);
}

/// An image, a signature that does not name it as its subject, and the image's digest.
async fn signed_by_an_older_client(world: &World, repository: &Repository, algorithm: Algorithm) -> (Digest, Digest) {
    let config = world.blob(repository, b"{}").await;
    let body = image(&config, &[], "signed");
    world.try_put(repository, algorithm, &body, &[]).await.unwrap();
    let subject = Digest::of(algorithm, body.as_bytes());
    let signature = world.put(repository, &artifact(&config, "sig", None, "signature"), &[]).await;
    world.put(repository, &index(&[&signature]), &[subject.fallback_tag().as_str()]).await;
    (subject, signature)
}

async fn a_fallback_tag_folds_its_children(world: World) {
    let repository = world.repository("alice/app").await;
    let (subject, signature) = signed_by_an_older_client(&world, &repository, Algorithm::Sha256).await;
    assert_eq!(list(&world, &repository, &subject, None).await, [signature.as_str()]);
    assert_eq!(list(&world, &repository, &subject, Some("sig")).await, [signature.as_str()]);
    assert_eq!(list(&world, &repository, &subject, Some("other")).await, [""; 0]);
    let described = first_described(&world, &repository, &subject).await;
    assert_eq!(described["annotations"]["note"], "signature", "from the child's own bytes");
    let elsewhere = world.repository("alice/other").await;
    assert_eq!(list(&world, &elsewhere, &subject, None).await, [""; 0]);
}

async fn a_folded_child_goes_with_the_tag(world: World) {
    let repository = world.repository("alice/app").await;
    let (subject, signature) = signed_by_an_older_client(&world, &repository, Algorithm::Sha256).await;
    let listed = world.delete_tag(&repository, subject.fallback_tag().as_str()).await.unwrap();
    assert_eq!(list(&world, &repository, &subject, None).await, [""; 0]);
    let deleted = ManifestDeletion::Deleted { tags: Vec::new() };
    assert_eq!(world.delete_manifest(&repository, &listed).await, deleted);
    assert_eq!(world.delete_manifest(&repository, &signature).await, deleted);
}

async fn a_folded_child_goes_when_the_tag_moves(world: World) {
    let repository = world.repository("alice/app").await;
    let (subject, _) = signed_by_an_older_client(&world, &repository, Algorithm::Sha256).await;
    let config = world.blob(&repository, b"{}").await;
    let other = world.put(&repository, &artifact(&config, "sig", None, "another"), &[]).await;
    let tag = subject.fallback_tag();
    world.put(&repository, &index(&[&other]), &[tag.as_str()]).await;
    assert_eq!(list(&world, &repository, &subject, None).await, [other.as_str()]);
    world.put(&repository, &image(&config, &[], "no index"), &[tag.as_str()]).await;
    assert_eq!(list(&world, &repository, &subject, None).await, [""; 0]);
}

async fn a_child_that_names_its_subject_is_listed_once(world: World) {
    let repository = world.repository("alice/app").await;
    let config = world.blob(&repository, b"{}").await;
    let subject = world.put(&repository, &image(&config, &[], ""), &[]).await;
    let referrer = world.put(&repository, &artifact(&config, "sig", Some(&subject), ""), &[]).await;
    world.put(&repository, &index(&[&referrer]), &[subject.fallback_tag().as_str()]).await;
    assert_eq!(list(&world, &repository, &subject, None).await, [referrer.as_str()]);
}

async fn a_long_digests_fallback_tag_is_found(world: World) {
    let repository = world.repository("alice/app").await;
    let (subject, signature) = signed_by_an_older_client(&world, &repository, Algorithm::Sha512).await;
    assert!(subject.fallback_tag().as_str().len() < subject.as_str().len(), "it is cut off");
    assert_eq!(list(&world, &repository, &subject, None).await, [signature.as_str()]);
}

async fn a_fallback_tag_stays_a_tag(world: World) {
    let repository = world.repository("alice/app").await;
    let (subject, _) = signed_by_an_older_client(&world, &repository, Algorithm::Sha256).await;
    assert_eq!(world.metadata.tags(repository.id, None, 9).await.unwrap(), [subject.fallback_tag().as_str()]);
}
