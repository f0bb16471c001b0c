//! Races, each run on both engines until it has had every chance: what is acknowledged holds, and nothing is owned twice.

use std::future::Future;
use std::sync::Arc;

use hallmark_oci::limits::MANIFEST_BYTES;
use hallmark_oci::{Algorithm, Digest, Manifest, Reference, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{
    BlobDeletion, DueTrash, Engine, Error, ManifestDeletion, NameRange, NewRobot, PREFIXES, PrincipalId, PutManifest,
    PutRefused, Repository, SmallKey, StoreSmall, SystemRole, UserRemoval,
};
use tokio::sync::Notify;

use crate::harness::images::{image, index};
use crate::harness::people::on_prefix;
use crate::harness::{NOW, WINDOW, World, run, suite};

/// Rounds of each race of two.
const ROUNDS: u32 = 25;

suite! {
    two_that_finish_the_same_digest_both_succeed,
    an_upload_is_finished_or_cancelled,
    a_manifest_put_while_its_blob_is_deleted_is_whole_or_refused,
    an_index_put_while_its_child_is_deleted_is_whole_or_refused,
    a_tag_put_while_its_manifest_is_deleted_never_dangles,
    a_manifest_put_while_its_window_ends_or_it_comes_back_is_there_once,
    tags_moved_at_once_keep_a_history_without_gaps,
    a_tag_deleted_while_it_is_moved_is_found,
    a_name_is_taken_once,
    a_repository_made_at_once_is_one,
    an_account_is_removed_or_has_its_repository,
    a_deleted_repository_takes_no_late_push,
    images_that_share_blobs_are_pushed_at_once,
    a_blob_that_is_being_stored_is_waited_for,
    two_owners_who_go_at_once_leave_one,
    whoever_waits_for_a_user_sees_what_was_waited_for,
    a_robot_bound_while_its_repository_is_deleted_goes_with_it,
    prefixes_given_at_once_are_counted,
}

async fn both<A: Send + 'static, B: Send + 'static>(
    one: impl Future<Output = A> + Send + 'static,
    other: impl Future<Output = B> + Send + 'static,
) -> (A, B) {
    let (one, other) = (tokio::spawn(one), tokio::spawn(other));
    (one.await.unwrap(), other.await.unwrap())
}

async fn two_that_finish_the_same_digest_both_succeed(world: World) {
    let repository = world.repository("alice/app").await;
    let other = world.repository("alice/other").await;
    let world = Arc::new(world);
    let mut tasks = Vec::new();
    for number in 0..32_u128 {
        let world = Arc::clone(&world);
        let repository = if number % 2 == 0 { repository.clone() } else { other.clone() };
        tasks.push(tokio::spawn(async move {
            let upload = world.upload(&repository, number).await;
            world.finish(&repository, upload, &[(number / 8) as u8]).await.unwrap().unwrap()
        }));
    }
    let mut new = 0;
    for task in tasks {
        new += u32::from(!task.await.unwrap().known);
    }
    assert_eq!(new, 4);
    assert_eq!(world.count("SELECT COUNT(*) FROM blobs").await, 4);
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions").await, 28);
    assert_eq!(world.count("SELECT COUNT(*) FROM repository_blobs").await, 8);
    world.is_sound().await;
}

async fn an_upload_is_finished_or_cancelled(world: World) {
    let repository = world.repository("alice/app").await;
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let upload = world.upload(&repository, u128::from(round)).await;
        let (finisher, canceller) = (Arc::clone(&world), Arc::clone(&world));
        let which = (upload.0.clone(), repository.id, world.alice.id);
        let to = repository.clone();
        let (finished, cancelled) =
            both(async move { finisher.finish(&to, upload, &round.to_be_bytes()).await.unwrap() }, async move {
                let cancelled: Result<bool, Error> = canceller
                    .metadata
                    .write(which, |tx, (id, repository, alice)| {
                        Box::pin(tx.cancel_upload((id, *repository, *alice), None, NOW))
                    })
                    .await;
                cancelled.unwrap()
            })
            .await;
        assert_ne!(finished.is_some(), cancelled);
    }
    world.is_sound().await;
    assert_eq!(world.count("SELECT COUNT(*) FROM uploads").await, 0);
}

async fn a_manifest_put_while_its_blob_is_deleted_is_whole_or_refused(world: World) {
    let repository = world.repository("alice/app").await;
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let blob = world.blob(&repository, &round.to_be_bytes()).await;
        let (putter, deleter, body) = (Arc::clone(&world), Arc::clone(&world), image(&blob, &[], ""));
        let (to, from) = (repository.clone(), repository.clone());
        let (put, deleted) =
            both(async move { putter.try_put(&to, Algorithm::Sha256, &body, &["t"]).await }, async move {
                deleter.delete_blob(&from, &blob).await
            })
            .await;
        match (put, deleted) {
            (Ok(_), BlobDeletion::StillNamedBy(_)) | (Err(PutRefused::UnknownBlobs(_)), BlobDeletion::Deleted) => {}
            other => panic!("{other:?}"),
        }
    }
    world.is_sound().await;
}

async fn an_index_put_while_its_child_is_deleted_is_whole_or_refused(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let child = world.put(&repository, &image(&blob, &[], &round.to_string()), &[]).await;
        let (putter, deleter, body) = (Arc::clone(&world), Arc::clone(&world), index(&[&child]));
        let (to, from) = (repository.clone(), repository.clone());
        let (put, deleted) =
            both(async move { putter.try_put(&to, Algorithm::Sha256, &body, &["t"]).await }, async move {
                deleter.delete_manifest(&from, &child).await
            })
            .await;
        match (put, deleted) {
            (Ok(_), ManifestDeletion::StillNamedBy(_)) => {}
            (Err(PutRefused::UnknownChildren(_)), ManifestDeletion::Deleted { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    world.is_sound().await;
}

async fn a_tag_put_while_its_manifest_is_deleted_never_dangles(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let body = image(&blob, &[], &round.to_string());
        let digest = world.put(&repository, &body, &["a"]).await;
        let (putter, deleter, reference) = (Arc::clone(&world), Arc::clone(&world), Reference::Digest(digest.clone()));
        let (to, from) = (repository.clone(), repository.clone());
        let (put, deleted) =
            both(async move { putter.try_put(&to, Algorithm::Sha256, &body, &["b"]).await.unwrap() }, async move {
                deleter.delete_manifest(&from, &digest).await
            })
            .await;
        assert!(matches!(deleted, ManifestDeletion::Deleted { .. }));
        let there = world.metadata.manifest(repository.id, &reference).await.unwrap();
        assert_eq!(there.is_some(), !put.known, "a put that found it was before the deletion, another made it anew");
        let tags = world.metadata.tags(repository.id, None, 9).await.unwrap();
        assert_eq!(tags, if put.known { vec![] } else { vec!["b"] });
    }
    world.is_sound().await;
}

/// Whoever puts it again, brings it back or ends its window takes hold of the same things in the same order.
async fn a_manifest_put_while_its_window_ends_or_it_comes_back_is_there_once(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let body = image(&blob, &[], &round.to_string());
        let digest = world.put(&repository, &body, &["a"]).await;
        world.delete_manifest(&repository, &digest).await;
        let due: Result<Vec<DueTrash>, Error> =
            world.metadata.write((), |tx, ()| Box::pin(tx.claim_trash(NOW + WINDOW, 9))).await;
        let (due, reference) = (due.unwrap(), Reference::Digest(digest.clone()));
        let (putter, other) = (Arc::clone(&world), Arc::clone(&world));
        let (to, back) = (repository.clone(), (repository.clone(), digest, world.alice.id, due[0], round % 2 == 0));
        let (put, ()) =
            both(async move { putter.try_put(&to, Algorithm::Sha256, &body, &["b"]).await.unwrap() }, async move {
                let done: Result<(), Error> = other
                    .metadata
                    .write(back, |tx, (repository, digest, actor, due, ends)| {
                        Box::pin(async move {
                            if *ends {
                                return tx.purge(due, NOW + WINDOW).await.map(drop);
                            }
                            tx.repository(&repository.name).await?;
                            tx.undelete_manifest(repository, digest, *actor, NOW).await.map(drop)
                        })
                    })
                    .await;
                done.unwrap();
            })
            .await;
        assert_eq!(put.moved.len(), 1);
        assert!(world.metadata.manifest(repository.id, &reference).await.unwrap().is_some());
        assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, 0);
    }
    assert_eq!(world.metadata.statistics().repeats, 0, "nobody waits for who waits for him");
    world.is_sound().await;
}

async fn tags_moved_at_once_keep_a_history_without_gaps(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let world = Arc::new(world);
    let mut tasks = Vec::new();
    for writer in 0..6 {
        let (world, repository, blob) = (Arc::clone(&world), repository.clone(), blob.clone());
        tasks.push(tokio::spawn(async move {
            for turn in 0..12 {
                let body = image(&blob, &[], &((writer + turn) % 4).to_string());
                world.put(&repository, &body, &["t", "u"]).await;
                if turn % 4 == writer % 4 {
                    world.delete_tag(&repository, "t").await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    world.is_sound().await;
}

async fn a_tag_deleted_while_it_is_moved_is_found(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"x").await;
    let bodies = ["a", "b"].map(|note| image(&blob, &[], note));
    let digests = bodies.each_ref().map(|body| Digest::of(Algorithm::Sha256, body.as_bytes()));
    world.put(&repository, &bodies[0], &["t"]).await;
    let world = Arc::new(world);
    for round in 0..ROUNDS as usize {
        let (mover, deleter, body) = (Arc::clone(&world), Arc::clone(&world), bodies[(round + 1) % 2].clone());
        let (to, from) = (repository.clone(), repository.clone());
        let ((), deleted) = both(async move { drop(mover.put(&to, &body, &["t"]).await) }, async move {
            deleter.delete_tag(&from, "t").await
        })
        .await;
        assert!(digests.iter().any(|digest| deleted.as_ref() == Some(digest)), "{deleted:?}");
        world.put(&repository, &bodies[round % 2], &["t"]).await;
        world.put(&repository, &bodies[(round + 1) % 2], &["t"]).await;
    }
    world.is_sound().await;
}

/// The same, its moments chosen: the deletion waits for the row when the move commits.
#[test]
fn a_tag_whose_deletion_waited_for_its_move_is_found() {
    run(Engine::Postgres, async |world: World| {
        let repository = world.repository("alice/app").await;
        let blob = world.blob(&repository, b"x").await;
        let (first, second) = (image(&blob, &[], "a"), image(&blob, &[], "b"));
        world.put(&repository, &second, &["other"]).await;
        world.put(&repository, &first, &["t"]).await;
        let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let world = Arc::new(world);
        let mover = {
            let metadata = world.metadata.clone();
            let input = (repository.clone(), second.clone(), world.alice.id, Arc::clone(&began), Arc::clone(&go));
            tokio::spawn(async move {
                let moved: Result<_, PutRefused> = metadata
                    .write(input, |tx, (repository, body, alice, began, go)| {
                        Box::pin(async move {
                            let manifest = Manifest::parse(body.as_bytes(), None, MANIFEST_BYTES).unwrap();
                            let put = PutManifest {
                                repository,
                                digest: &Digest::of(Algorithm::Sha256, body.as_bytes()),
                                manifest: &manifest,
                                body: body.as_bytes(),
                                tags: &["t".parse().unwrap()],
                                pushed_by: *alice,
                                now: NOW,
                            };
                            let put = tx.put_manifest(&put).await?;
                            began.notify_one();
                            go.notified().await;
                            Ok(put)
                        })
                    })
                    .await;
                assert_eq!(moved.unwrap().moved.len(), 1);
            })
        };
        began.notified().await;
        let deleter = Arc::clone(&world);
        let deletion = tokio::spawn(async move { deleter.delete_tag(&repository, "t").await });
        let waiting =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while world.count(waiting).await == 0 {}
        go.notify_one();
        mover.await.unwrap();
        assert_eq!(deletion.await.unwrap(), Some(Digest::of(Algorithm::Sha256, second.as_bytes())));
        world.is_sound().await;
    });
}

async fn a_name_is_taken_once(world: World) {
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let name = format!("user-{round}");
        let (one, other) = (Arc::clone(&world), Arc::clone(&world));
        let make = |world: Arc<World>, name: String| async move {
            let new =
                hallmark_storage::metadata::NewUser { name, password: None, role: SystemRole::None, source: None };
            let made: Result<_, Error> = world.metadata.write(new, |tx, new| Box::pin(tx.create_user(new, NOW))).await;
            made.unwrap().is_some()
        };
        let (one, other) = both(make(one, name.clone()), make(other, name)).await;
        assert_ne!(one, other);
    }
}

async fn a_repository_made_at_once_is_one(world: World) {
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let make = |world: Arc<World>| async move { world.repository(&format!("alice/app-{round}")).await };
        let (one, other) = both(make(Arc::clone(&world)), make(Arc::clone(&world))).await;
        assert_eq!(one, other);
    }
}

async fn an_account_is_removed_or_has_its_repository(world: World) {
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let name = format!("user-{round}");
        let account = world.user(&name).await.account_id;
        let (maker, remover) = (Arc::clone(&world), Arc::clone(&world));
        let repository = format!("{name}/app").parse::<hallmark_oci::RepositoryName>().unwrap();
        let (made, removed) = both(
            async move {
                let made: Result<Option<Repository>, Error> = maker
                    .metadata
                    .write((repository, account), |tx, (repository, account)| {
                        Box::pin(async move {
                            let owner = repository.account().unwrap_or_default();
                            if tx.account(owner).await?.is_none() {
                                return Ok(None);
                            }
                            tx.create_repository(repository, *account, NOW).await.map(Some)
                        })
                    })
                    .await;
                made.unwrap()
            },
            async move {
                let removed: Result<_, Error> =
                    remover.metadata.write(name, |tx, name| Box::pin(tx.remove_user(name, NOW))).await;
                removed.unwrap()
            },
        )
        .await;
        assert_eq!(made.is_some(), removed == UserRemoval::AccountHasRepositories);
    }
}

async fn a_deleted_repository_takes_no_late_push(world: World) {
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let repository = world.repository(&format!("alice/app-{round}")).await;
        let upload = world.upload(&repository, u128::from(round)).await;
        let (pusher, deleter) = (Arc::clone(&world), Arc::clone(&world));
        let (to, gone) = (repository.clone(), repository.clone());
        let (finished, deleted) =
            both(async move { pusher.finish(&to, upload, &round.to_be_bytes()).await.unwrap() }, async move {
                let deleted: Result<bool, Error> =
                    deleter.metadata.write(gone, |tx, gone| Box::pin(tx.delete_repository(gone, NOW))).await;
                deleted.unwrap()
            })
            .await;
        assert!(deleted);
        let links = format!("SELECT COUNT(*) FROM repository_blobs WHERE repository_id = {}", repository.id);
        assert_eq!(world.count(&links).await, i64::from(finished.is_some()));
    }
    world.is_sound().await;
}

async fn images_that_share_blobs_are_pushed_at_once(world: World) {
    let repository = world.repository("alice/app").await;
    let world = Arc::new(world);
    let mut tasks = Vec::new();
    for pusher in 0..8_u8 {
        let (world, repository) = (Arc::clone(&world), repository.clone());
        tasks.push(tokio::spawn(async move {
            for turn in 0..6_u8 {
                let base = world.blob(&repository, b"base").await;
                let own = world.blob(&repository, &[pusher, turn]).await;
                let body = image(&base, &[&own], "");
                world.put(&repository, &body, &["latest", &format!("{pusher}-{turn}")]).await;
                let reference = Reference::Digest(Digest::of(Algorithm::Sha256, body.as_bytes()));
                assert!(world.metadata.manifest(repository.id, &reference).await.unwrap().is_some());
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM blobs").await, 49);
    world.is_sound().await;
}

/// Why the change below was undone.
enum Undone {
    Asked,
    Failed(Error),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A small blob on its way into a repository, through an upload or without one.
#[derive(Clone)]
struct Storing {
    repository: Repository,
    upload: Option<(UploadId, PrincipalId)>,
    fresh: StorageKey,
    content: [u8; 1],
}

/// Stores a small blob; holds the change open when there is a gate, and undoes it then unless it is to be kept.
async fn store(world: Arc<World>, what: Storing, gate: Option<[Arc<Notify>; 2]>, keep: bool) -> Result<(), Undone> {
    world
        .metadata
        .write((what, gate), move |tx, (what, gate)| {
            Box::pin(async move {
                let repository = &tx.repository(&what.repository.name).await?.unwrap();
                let key = match &what.upload {
                    Some((upload, principal)) => SmallKey::OfUpload(upload, *principal),
                    None => SmallKey::Fresh(&what.fresh),
                };
                let digest = &Digest::of(Algorithm::Sha256, &what.content);
                let small = StoreSmall { repository, key, digest, body: &what.content, now: NOW };
                tx.store_small(&small).await?.unwrap();
                if let Some([stored, go]) = gate {
                    stored.notify_one();
                    go.notified().await;
                }
                if keep { Ok(()) } else { Err(Undone::Asked) }
            })
        })
        .await
}

/// Whether the blob is stored, as it is read back after a COMMIT of unknown outcome.
async fn is_stored(world: Arc<World>, what: Storing) -> bool {
    let told: Result<bool, Error> = world
        .metadata
        .write(what, |tx, what| {
            Box::pin(async move {
                let (repository, digest) = (&what.repository, Digest::of(Algorithm::Sha256, &what.content));
                match &what.upload {
                    Some((upload, principal)) => Ok(!tx.is_upload_open(upload, repository.id, *principal).await?),
                    None => tx.is_blob_in(&repository.name, &digest, &what.fresh, NOW).await,
                }
            })
        })
        .await;
    told.unwrap()
}

/// What a COMMIT came to whose answer was lost is known once whatever it locked is free.
async fn a_blob_that_is_being_stored_is_waited_for(world: World) {
    let (one, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let world = Arc::new(world);
    for case in 0..8_u8 {
        let (keep, known, uploaded) = (case & 1 == 0, case & 2 == 0, case & 4 == 0);
        let (repository, content) = (other.clone(), [case]);
        let before = Storing { repository, upload: None, fresh: StorageKey::random(), content };
        if known {
            assert!(store(Arc::clone(&world), before.clone(), None, true).await.is_ok());
        }
        let (upload, _) = world.upload(&one, u128::from(case)).await;
        world.meddle("UPDATE uploads SET leased_until = 0").await;
        let upload = uploaded.then_some((upload, world.alice.id));
        let what = Storing { repository: one.clone(), upload, fresh: StorageKey::random(), ..before };
        let gate = [Arc::new(Notify::new()), Arc::new(Notify::new())];
        let holder = tokio::spawn(store(Arc::clone(&world), what.clone(), Some(gate.clone()), keep));
        gate[0].notified().await;
        let asker = tokio::spawn(is_stored(Arc::clone(&world), what));
        if matches!(world.metadata.engine(), Engine::Postgres) {
            let waiting = "SELECT COUNT(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while world.count(waiting).await == 0 {}
        }
        gate[1].notify_one();
        match holder.await.unwrap() {
            Err(Undone::Failed(error)) => panic!("{error:?}"),
            end => assert_eq!(end.is_ok(), keep),
        }
        assert_eq!(asker.await.unwrap(), keep, "known {known}, uploaded {uploaded}");
    }
    world.is_sound().await;
}

async fn two_owners_who_go_at_once_leave_one(world: World) {
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let owners = [world.user(&format!("a{round}")).await, world.user(&format!("b{round}")).await];
        let organization = world.organization(&format!("o{round}"), &owners[0]).await;
        world.member(&organization, &owners[1], true).await;
        let go = |name: String| {
            let world = Arc::clone(&world);
            async move {
                world
                    .change(name, |tx, name| {
                        Box::pin(async move {
                            let user = tx.user(name).await?.unwrap();
                            if tx.owned_alone(user.principal.id).await?.is_some() {
                                return Ok(false);
                            }
                            Ok(tx.remove_user(name, NOW).await? == UserRemoval::Removed)
                        })
                    })
                    .await
            }
        };
        let [one, other] = owners.map(|owner| owner.name);
        let (one, other) = both(go(one), go(other)).await;
        assert!(one ^ other, "one goes, and the other stays");
        assert_eq!(world.metadata.members(organization.id, &NameRange::after(None), None, 9).await.unwrap().len(), 1);
    }
}

/// Two who change a user as they saw them: the second sees the first one's change, although it stands in another row than
/// the one that both waited for.
async fn whoever_waits_for_a_user_sees_what_was_waited_for(world: World) {
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let name = format!("u{round}");
        world.user(&name).await;
        let promote = || {
            let (world, name) = (Arc::clone(&world), name.clone());
            async move {
                world
                    .change(name, |tx, name| {
                        Box::pin(async move {
                            let user = tx.user(name).await?.unwrap().principal;
                            let is_first = user.role == SystemRole::None;
                            if is_first {
                                tx.set_role(&user, SystemRole::Auditor).await?;
                            }
                            Ok(is_first)
                        })
                    })
                    .await
            }
        };
        let (one, other) = both(promote(), promote()).await;
        assert!(one ^ other, "both changed what only one had seen");
    }
}

async fn a_robot_bound_while_its_repository_is_deleted_goes_with_it(world: World) {
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let repository = world.repository("alice/app").await;
        let (binder, deleter, gone) = (Arc::clone(&world), Arc::clone(&world), repository.clone());
        let bind = async move {
            let input = (repository.name, format!("ci{round}"));
            binder
                .change(input, |tx, (to, name)| {
                    Box::pin(async move {
                        let account = &tx.account("alice").await?.unwrap();
                        let Some(repository) = &tx.repository(to).await? else { return Ok(false) };
                        let new = NewRobot { account, repository: Some(repository), name, description: "" };
                        Ok(tx.create_robot(&new, NOW).await?.is_some())
                    })
                })
                .await
        };
        let (_, deleted) = both(bind, async move { deleter.delete_repository(&gone).await }).await;
        assert!(deleted);
        assert_eq!(world.count("SELECT COUNT(*) FROM robots").await, 0);
        while world.change((), |tx, ()| Box::pin(tx.empty_deleted_repository(NOW + WINDOW, 9))).await {}
        assert_eq!(world.count("SELECT COUNT(*) FROM repositories").await, 0);
    }
}

async fn prefixes_given_at_once_are_counted(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let world = Arc::new(world);
    for round in 0..8 {
        let bob = world.user(&format!("bob{round}")).await.id;
        for number in 1..PREFIXES {
            world.give(on_prefix(&acme, &format!("acme/{number}-"), bob), "read").await;
        }
        let give = |prefix: &'static str| {
            let (world, holding) = (Arc::clone(&world), on_prefix(&acme, prefix, bob));
            async move { world.give(holding, "read").await }
        };
        let (one, other) = both(give("acme/one"), give("acme/other")).await;
        assert!(one ^ other, "there was room for one");
        let count = format!("SELECT COUNT(*) FROM prefix_grants WHERE principal_id = {bob}");
        assert_eq!(world.count(&count).await, i64::from(PREFIXES));
    }
}
