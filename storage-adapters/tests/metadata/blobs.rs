//! Blobs: uploads that end, links, and deletions.

use hallmark_oci::{Algorithm, Digest, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{
    Blob, BlobDeletion, Body, Engine, Error, Event, Finish, Finished, NewUpload, PrincipalId, Repository,
    SMALL_BLOB_BYTES, SmallKey, StoreSmall,
};

use crate::harness::images::image;
use crate::harness::{NOW, World, family};

family! {
    opening_an_upload_takes_two_statements,
    finishing_a_new_blob_takes_seven_statements,
    a_finished_blob_is_read_in_its_repository_alone,
    the_loser_of_two_equal_uploads_gives_its_own_key_away,
    an_upload_finishes_once,
    an_upload_finishes_under_its_fence_only,
    an_upload_cannot_end_at_a_strange_key,
    a_blob_that_fits_its_tail_keeps_it,
    a_quarantined_blob_heals_on_docker_push,
    a_blob_is_quarantined_under_the_key_that_was_read_and_once,
    a_deleted_blob_is_gone_at_once,
    a_blob_that_a_manifest_names_is_not_deleted,
    a_deleted_blob_is_pushed_again_under_another_key,
    a_small_blob_is_a_fact,
    a_small_blob_ends_an_empty_upload_of_its_user_alone,
    a_small_push_heals_what_a_file_lost,
    damaged_bytes_of_a_small_blob_are_told_apart_and_a_push_replaces_them,
    bytes_that_were_replaced_since_they_were_read_are_not_quarantined,
    a_file_that_heals_a_small_blob_takes_its_place,
    a_change_of_unknown_outcome_is_read_back,
}

/// Stores a small blob, of an upload or of none; what came of it, and the statements it took.
async fn small(
    world: &World,
    repository: &Repository,
    upload: Option<(UploadId, PrincipalId)>,
    body: &'static [u8],
) -> (Option<Finished>, u64) {
    let stored: Result<_, Error> = world
        .metadata
        .write((repository.clone(), upload, StorageKey::random()), move |tx, (repository, upload, fresh)| {
            Box::pin(async move {
                let repository = &tx.repository(&repository.name).await?.unwrap();
                let key = match upload {
                    Some((upload, principal)) => SmallKey::OfUpload(upload, *principal),
                    None => SmallKey::Fresh(fresh),
                };
                let digest = &Digest::of(Algorithm::Sha256, body);
                let finished = tx.store_small(&StoreSmall { repository, key, digest, body, now: NOW }).await?;
                Ok((finished, tx.statements()))
            })
        })
        .await;
    stored.unwrap()
}

fn whole(bytes: &'static [u8]) -> Option<Body> {
    Some(Body::Whole(bytes.into()))
}

async fn a_small_blob_is_a_fact(world: World) {
    let repository = world.repository("alice/app").await;
    let (finished, statements) = small(&world, &repository, None, b"small").await;
    // PostgreSQL is asked what stands there, as it is for a known one, and charges within the statements that link.
    assert_eq!(statements, if world.metadata.engine() == Engine::Postgres { 7 } else { 8 });
    let digest = Digest::of(Algorithm::Sha256, b"small");
    let blob = world.metadata.blob(repository.id, &digest).await.unwrap().unwrap();
    assert_eq!((blob.id, blob.size, blob.body), (finished.unwrap().blob, 5, whole(b"small")));
    let (again, _) = small(&world, &repository, None, b"small").await;
    assert!(again.unwrap().known);
    assert_eq!(world.count("SELECT COUNT(*) FROM small_blobs").await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions").await, 1, "the second key is nobody's");
}

async fn a_small_blob_ends_an_empty_upload_of_its_user_alone(world: World) {
    let repository = world.repository("alice/app").await;
    let alice = world.alice.id;
    let (upload, key) = world.upload(&repository, 1).await;
    let stranger = PrincipalId(alice.0 + 1);
    assert_eq!(small(&world, &repository, Some((upload.clone(), stranger)), b"small").await.0, None);
    world.meddle("UPDATE uploads SET received = 1").await;
    assert_eq!(small(&world, &repository, Some((upload.clone(), alice)), b"small").await.0, None, "it has bytes");
    world.meddle(&format!("UPDATE uploads SET received = 0, leased_until = {}", NOW + 1)).await;
    assert_eq!(small(&world, &repository, Some((upload.clone(), alice)), b"small").await.0, None, "somebody sends");
    world.meddle("UPDATE uploads SET leased_until = 0").await;
    assert!(!small(&world, &repository, Some((upload.clone(), alice)), b"small").await.0.unwrap().known);
    assert_eq!(world.look("SELECT storage_key FROM blobs").await, [key.as_str()]);
    assert_eq!(small(&world, &repository, Some((upload, alice)), b"small").await.0, None, "it ended");
}

async fn a_small_push_heals_what_a_file_lost(world: World) {
    let repository = world.repository("alice/app").await;
    let upload = world.upload(&repository, 1).await;
    world.finish(&repository, upload, b"small").await.unwrap().unwrap();
    world.meddle("UPDATE blobs SET quarantined_at = 1").await;
    assert!(!small(&world, &repository, None, b"small").await.0.unwrap().known);
    let digest = Digest::of(Algorithm::Sha256, b"small");
    let blob = world.metadata.without_cache().blob(repository.id, &digest).await.unwrap().unwrap();
    assert_eq!(blob.body, whole(b"small"));
}

async fn damaged_bytes_of_a_small_blob_are_told_apart_and_a_push_replaces_them(world: World) {
    let repository = world.repository("alice/app").await;
    let digest = Digest::of(Algorithm::Sha256, b"small");
    let look = async || world.metadata.without_cache().blob(repository.id, &digest).await.unwrap().unwrap().body;
    small(&world, &repository, None, b"small").await;
    for damaged in ["", "73", "536d616c6c", "736d616c6c21"] {
        world.meddle(&world.with_bytes("UPDATE small_blobs SET body = $", damaged)).await;
        assert_eq!(look().await, Some(Body::Damaged), "{damaged}");
    }
    world.meddle("UPDATE blobs SET quarantined_at = 1").await;
    small(&world, &repository, None, b"small").await;
    assert_eq!(look().await, whole(b"small"));
}

/// What a file heals is read from it.
/// Race 11 where the key stays the same: who read damaged bytes comes to mark them after a push has put good ones there.
async fn bytes_that_were_replaced_since_they_were_read_are_not_quarantined(world: World) {
    let repository = world.repository("alice/app").await;
    let digest = Digest::of(Algorithm::Sha256, b"small");
    let look = async || world.metadata.without_cache().blob(repository.id, &digest).await.unwrap().unwrap();
    small(&world, &repository, None, b"small").await;
    world.meddle(&world.with_bytes("UPDATE small_blobs SET body = $", "73")).await;
    let read = look().await;
    assert!(read.is_damaged());
    assert!(small(&world, &repository, None, b"small").await.0.unwrap().known);
    assert!(!quarantine(&world, &read, &digest).await);
    assert_eq!(look().await.body, whole(b"small"));
    world.meddle(&world.with_bytes("UPDATE small_blobs SET body = $", "73")).await;
    assert!(quarantine(&world, &read, &digest).await);
}

async fn a_file_that_heals_a_small_blob_takes_its_place(world: World) {
    let repository = world.repository("alice/app").await;
    small(&world, &repository, None, b"small").await;
    world.meddle("UPDATE blobs SET quarantined_at = 1").await;
    let upload = world.upload(&repository, 1).await;
    let key = upload.1.clone();
    world.finish(&repository, upload, b"small").await.unwrap().unwrap();
    let digest = Digest::of(Algorithm::Sha256, b"small");
    let blob = world.metadata.without_cache().blob(repository.id, &digest).await.unwrap().unwrap();
    assert_eq!((blob.key, blob.body), (key, None));
}

async fn a_change_of_unknown_outcome_is_read_back(world: World) {
    let repository = world.repository("alice/app").await;
    let (upload, _) = world.upload(&repository, 1).await;
    world.meddle("UPDATE uploads SET leased_until = 0").await;
    let alice = world.alice.id;
    let look = async || {
        let input = (repository.clone(), upload.clone());
        let told: Result<_, Error> = world
            .metadata
            .write(input, move |tx, (repository, upload)| {
                Box::pin(async move {
                    let (digest, key) = (Digest::of(Algorithm::Sha256, b"small"), StorageKey::random());
                    let held = tx.is_blob_in(&repository.name, &digest, &key, NOW).await?;
                    Ok((tx.is_upload_open(upload, repository.id, alice).await?, held))
                })
            })
            .await;
        told.unwrap()
    };
    assert_eq!(look().await, (true, false));
    assert_eq!(world.count("SELECT COUNT(*) FROM blobs").await, 0, "to look leaves nothing behind");
    small(&world, &repository, Some((upload.clone(), alice)), b"small").await;
    assert_eq!(look().await, (false, true));
    world.meddle("UPDATE blobs SET quarantined_at = 1").await;
    assert_eq!(look().await, (false, false));
}

/// Threat 2: who pushes must not see by the clock whether somebody else has the blob, so the same pages are written.
#[tokio::test]
async fn a_small_blob_that_is_known_writes_as_much_as_a_new_one() {
    let world = World::open(Engine::Sqlite).await;
    let bob = world.user("bob").await.account_id;
    let one = world.repository("alice/app").await;
    let other = world.repository_in("bob/app".parse().unwrap(), bob).await;
    let pages = async |repository: &Repository, known: bool, content: &'static [u8]| {
        let before = world.metadata.log_bytes().unwrap();
        assert_eq!(small(&world, repository, None, content).await.0.unwrap().known, known);
        (world.metadata.log_bytes().unwrap() - before) / 4096
    };
    let contents = Vec::leak((0..9_u8).map(|number| vec![number; SMALL_BLOB_BYTES]).collect::<Vec<_>>());
    for content in contents.iter() {
        let (new, known) = (pages(&one, false, content).await, pages(&other, true, content).await);
        assert!(new.abs_diff(known) <= 1, "{new} pages of a new one, {known} of a known one");
    }
}

async fn opening_an_upload_takes_two_statements(world: World) {
    let repository = world.repository("alice/app").await;
    let statements: Result<u64, Error> = world
        .metadata
        .write((repository, world.alice.id), |tx, (repository, principal)| {
            Box::pin(async move {
                let held = tx.repository(&repository.name).await?.unwrap();
                let new = NewUpload {
                    id: &UploadId::from_bytes([1; 16]),
                    repository: held.id,
                    principal: *principal,
                    key: &StorageKey::random(),
                    hash_state: b"",
                    leased_until: 0,
                    expires_at: NOW,
                };
                tx.begin_upload(&new).await?;
                Ok(tx.statements())
            })
        })
        .await;
    assert_eq!(statements.unwrap(), 2);
}

async fn finish_recorded(world: &World, repository: &Repository, content: &'static [u8]) -> u64 {
    let (upload, key) = world.upload(repository, 77).await;
    let statements: Result<u64, Error> = world
        .metadata
        .write((repository.clone(), upload, key, world.alice.id), move |tx, (repository, upload, key, actor)| {
            Box::pin(async move {
                let repository = &tx.repository(&repository.name).await?.unwrap();
                let (digest, size) = (&Digest::of(Algorithm::Sha256, content), content.len() as u64);
                let finish = Finish { repository, upload, fence: 1, digest, size, key, now: NOW };
                tx.finish_upload(&finish).await?.unwrap();
                let event = Event {
                    actor: *actor,
                    kind: "blob_pushed",
                    account: Some(repository.account_id),
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
    statements.unwrap()
}

async fn finishing_a_new_blob_takes_seven_statements(world: World) {
    let repository = world.repository("alice/app").await;
    // Where no answer is waited for, the account and the repository are charged by statements of their own.
    let charges = if world.metadata.engine() == Engine::Postgres { 0 } else { 2 };
    assert_eq!(finish_recorded(&world, &repository, b"new").await, 7 + charges);
    assert_eq!(world.look("SELECT kind, subject, seq FROM events").await.len(), 1);
}

async fn a_finished_blob_is_read_in_its_repository_alone(world: World) {
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let upload = world.upload(&app, 1).await;
    let key = upload.1.clone();
    let finished = world.finish(&app, upload, b"content").await.unwrap().unwrap();
    assert!(!finished.known);
    let digest = Digest::of(Algorithm::Sha256, b"content");
    let blob = world.metadata.blob(app.id, &digest).await.unwrap().unwrap();
    assert_eq!((blob.id, blob.size, blob.key), (finished.blob, 7, key));
    assert_eq!(world.metadata.blob(other.id, &digest).await.unwrap(), None, "I6");
    assert_eq!(world.look("SELECT kind FROM candidates").await, ["link"]);
}

async fn the_loser_of_two_equal_uploads_gives_its_own_key_away(world: World) {
    let repository = world.repository("alice/app").await;
    let (first, second) = (world.upload(&repository, 1).await, world.upload(&repository, 2).await);
    let (kept, doomed) = (first.1.clone(), second.1.clone());
    let first = world.finish(&repository, first, b"same").await.unwrap().unwrap();
    let second = world.finish(&repository, second, b"same").await.unwrap().unwrap();
    assert_eq!((second.blob, second.known), (first.blob, true));
    assert_eq!(world.look("SELECT storage_key FROM blobs").await, [kept.as_str()]);
    assert_eq!(world.look("SELECT storage_key FROM key_deletions").await, [doomed.as_str()]);
}

async fn an_upload_finishes_once(world: World) {
    let repository = world.repository("alice/app").await;
    let upload = world.upload(&repository, 1).await;
    assert!(world.finish(&repository, upload.clone(), b"x").await.unwrap().is_some());
    assert_eq!(world.finish(&repository, upload, b"x").await.unwrap(), None);
}

async fn an_upload_finishes_under_its_fence_only(world: World) {
    let repository = world.repository("alice/app").await;
    let (id, key) = world.upload(&repository, 1).await;
    let input = (id.clone(), repository.id, world.alice.id);
    let leased: Result<_, Error> = world
        .metadata
        .write(input, |tx, (id, repository, alice)| {
            Box::pin(tx.lease_upload((id, *repository, *alice), None, NOW + 1_000, (NOW + 2_000, NOW + 3_000)))
        })
        .await;
    leased.unwrap();
    assert_eq!(world.finish(&repository, (id, key), b"x").await.unwrap(), None);
}

async fn an_upload_cannot_end_at_a_strange_key(world: World) {
    let repository = world.repository("alice/app").await;
    let (id, _) = world.upload(&repository, 1).await;
    let strange = StorageKey::from_bytes([7; 16]);
    assert!(world.finish(&repository, (id, strange), b"x").await.is_err());
    assert_eq!(world.count("SELECT COUNT(*) FROM uploads").await, 1, "and it is still there");
}

async fn a_blob_that_fits_its_tail_keeps_it(world: World) {
    let repository = world.repository("alice/app").await;
    for (number, ends_at_tail) in [(1, true), (2, false)] {
        let (id, key) = world.upload(&repository, number).await;
        let tail = StorageKey::from_bytes([number as u8; 16]);
        world.meddle(&format!("UPDATE uploads SET tail_key = '{tail}' WHERE id = '{id}'")).await;
        let (kept, doomed) = if ends_at_tail { (tail, key) } else { (key, tail) };
        let content = [number as u8];
        world.finish(&repository, (id, kept.clone()), &content).await.unwrap().unwrap();
        let digest = Digest::of(Algorithm::Sha256, &content);
        assert_eq!(world.metadata.blob(repository.id, &digest).await.unwrap().unwrap().key, kept);
        let going = format!("SELECT COUNT(*) FROM key_deletions WHERE storage_key = '{doomed}'");
        assert_eq!(world.count(&going).await, 1);
    }
    world.is_sound().await;
}

/// Whether the blob was marked as quarantined.
async fn quarantine(world: &World, blob: &Blob, digest: &Digest) -> bool {
    let marked: Result<bool, Error> = world
        .metadata
        .write((blob.clone(), digest.clone()), |tx, (blob, digest)| Box::pin(tx.quarantine(blob, digest, NOW)))
        .await;
    marked.unwrap()
}

async fn a_quarantined_blob_heals_on_docker_push(world: World) {
    let repository = world.repository("alice/app").await;
    let digest = world.blob(&repository, b"rots").await;
    let rotten = world.metadata.blob(repository.id, &digest).await.unwrap().unwrap();
    assert!(quarantine(&world, &rotten, &digest).await);
    let found = world.metadata.blob(repository.id, &digest).await.unwrap();
    assert_eq!(found, None, "or Docker would not push it again");
    let put = world.try_put(&repository, Algorithm::Sha256, &image(&digest, &[], ""), &[]).await;
    assert!(put.is_err(), "rotten bytes count as absent");
    let upload = world.upload(&repository, 2).await;
    let healthy = upload.1.clone();
    let finished = world.finish(&repository, upload, b"rots").await.unwrap().unwrap();
    assert_eq!((finished.blob, finished.known), (rotten.id, false));
    let blob = world.metadata.blob(repository.id, &digest).await.unwrap().unwrap();
    assert_eq!((blob.id, blob.key), (rotten.id, healthy));
    assert_eq!(world.look("SELECT storage_key FROM key_deletions").await, [rotten.key.as_str()]);
}

/// Bytes that were healed since somebody found them damaged lie under another key.
async fn a_blob_is_quarantined_under_the_key_that_was_read_and_once(world: World) {
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let digest = world.blob(&app, b"rots").await;
    world.blob(&other, b"rots").await;
    let blob = world.metadata.blob(app.id, &digest).await.unwrap().unwrap();
    let before = Blob { key: StorageKey::from_bytes([9; 16]), ..blob.clone() };
    assert!(!quarantine(&world, &before, &digest).await);
    assert_eq!(world.metadata.blob(app.id, &digest).await.unwrap().as_ref(), Some(&blob));
    assert!(quarantine(&world, &blob, &digest).await);
    for repository in [&app, &other] {
        assert_eq!(
            world.metadata.blob(repository.id, &digest).await.unwrap(),
            None,
            "the bytes are gone for everybody"
        );
    }
    assert!(!quarantine(&world, &blob, &digest).await, "it is told once");
}

async fn a_deleted_blob_is_gone_at_once(world: World) {
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let digest = world.blob(&app, b"x").await;
    world.blob(&other, b"x").await;
    assert!(world.metadata.blob(app.id, &digest).await.unwrap().is_some());
    assert_eq!(world.delete_blob(&app, &digest).await, BlobDeletion::Deleted);
    assert_eq!(world.metadata.blob(app.id, &digest).await.unwrap(), None);
    assert_eq!(world.delete_blob(&app, &digest).await, BlobDeletion::Unknown);
    assert!(world.metadata.blob(other.id, &digest).await.unwrap().is_some(), "others keep it");
    assert_eq!(world.count("SELECT COUNT(*) FROM candidates WHERE kind = 'account'").await, 1);
}

async fn a_blob_that_a_manifest_names_is_not_deleted(world: World) {
    let repository = world.repository("alice/app").await;
    let digest = world.blob(&repository, b"x").await;
    let manifest = world.put(&repository, &image(&digest, &[], ""), &[]).await;
    let refused = world.delete_blob(&repository, &digest).await;
    assert_eq!(refused, BlobDeletion::StillNamedBy(vec![manifest.clone()]));
    world.delete_manifest(&repository, &manifest).await;
    assert_eq!(world.delete_blob(&repository, &digest).await, BlobDeletion::Deleted);
}

async fn a_deleted_blob_is_pushed_again_under_another_key(world: World) {
    let repository = world.repository("alice/app").await;
    let digest = world.blob(&repository, b"x").await;
    let before = world.metadata.blob(repository.id, &digest).await.unwrap().unwrap();
    world.delete_blob(&repository, &digest).await;
    world.meddle("DELETE FROM account_blobs").await;
    world.meddle("DELETE FROM blobs").await;
    world.blob(&repository, b"x").await;
    let after = world.metadata.blob(repository.id, &digest).await.unwrap().unwrap();
    assert!(after.id != before.id && after.key != before.key, "I3");
}
