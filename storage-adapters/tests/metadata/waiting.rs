//! Who waits for whom on PostgreSQL, where changes run beside each other: each clause holds one change open while another comes.

use std::sync::Arc;
use std::time::Duration;

use hallmark_oci::{Algorithm, Manifest, RepositoryName};
use hallmark_storage::metadata::{
    BlobDeletion, Engine, Error, ErrorKind, Finish, Looked, PutManifest, PutRefused, Quota, Repository, Room, Scope,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::harness::images::{image, named};
use crate::harness::{NOW, World, run};

/// Much longer than what waits for nothing takes, on a machine that is busy too.
const LIMIT: Duration = Duration::from_secs(20);

/// Deletes a blob and pushes it again, in one change that is held open: whoever waits for its link finds it gone, and another in its
/// place.
async fn replaced(
    world: &Arc<World>,
    repository: &Repository,
    content: &'static [u8],
    go: &Arc<Notify>,
) -> JoinHandle<()> {
    let (upload, began) = (world.upload(repository, 77).await, Arc::new(Notify::new()));
    let input = (repository.clone(), upload, Arc::clone(&began), Arc::clone(go));
    let metadata = world.metadata.clone();
    let holder = tokio::spawn(async move {
        let replaced: Result<(), Error> = metadata
            .write(input, move |tx, (repository, (upload, key), began, go)| {
                Box::pin(async move {
                    let repository = &tx.repository(&repository.name).await?.unwrap();
                    let digest = &named(Algorithm::Sha256, content);
                    assert_eq!(tx.delete_blob(repository, digest, NOW).await?, BlobDeletion::Deleted);
                    let (size, fence, now) = (content.len() as u64, 1, NOW);
                    tx.finish_upload(&Finish { repository, upload, fence, digest, size, key, now }).await?.unwrap();
                    began.notify_one();
                    go.notified().await;
                    Ok(())
                })
            })
            .await;
        replaced.unwrap();
    });
    began.notified().await;
    holder
}

/// What was collected while a push waited for it, and is there again, is looked for a second time.
#[test]
fn a_push_that_loses_the_race_is_tried_once_more() {
    run(Engine::Postgres, async |world: World| {
        let world = Arc::new(world);
        let repository = world.repository("alice/app").await;
        let blob = world.blob(&repository, b"layer").await;
        let go = Arc::new(Notify::new());
        let holder = replaced(&world, &repository, b"layer", &go).await;
        let (pusher, to) = (Arc::clone(&world), repository.clone());
        let put =
            tokio::spawn(async move { pusher.try_put(&to, Algorithm::Sha256, &image(&blob, &[], ""), &["v1"]).await });
        let waiting =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while world.count(waiting).await == 0 {
            assert!(!put.is_finished(), "the push did not wait: {:?}", put.await);
        }
        go.notify_one();
        holder.await.unwrap();
        let put: Result<_, PutRefused> = put.await.unwrap();
        assert_eq!(put.unwrap().moved.len(), 1);
        world.is_sound().await;
    });
}

/// A push that is held open between what it charges and its commit.
async fn held_open(world: &Arc<World>, repository: &Repository, body: String, go: &Arc<Notify>) -> JoinHandle<()> {
    let (upload, began) = (world.upload(repository, 78).await.0, Arc::new(Notify::new()));
    let input = (repository.clone(), body, upload, world.alice.id, Arc::clone(&began), Arc::clone(go));
    let metadata = world.metadata.clone();
    let holder = tokio::spawn(async move {
        let pushed: Result<(), Error> = metadata
            .write(input, |tx, (repository, body, upload, pushed_by, began, go)| {
                Box::pin(async move {
                    let repository = &tx.repository(&repository.name).await?.unwrap();
                    let place = (repository.id, repository.account_id);
                    assert!(tx.reserve((upload, 1), place, Room { account: 5, repository: 5 }).await?);
                    let manifest = &Manifest::parse(body.as_bytes(), None, 1 << 20).unwrap();
                    let digest = &named(Algorithm::Sha256, body.as_bytes());
                    let (tags, pushed_by, now) = (&["held".parse().unwrap()][..], *pushed_by, NOW);
                    let body = body.as_bytes();
                    tx.put_manifest(&PutManifest { repository, digest, manifest, body, tags, pushed_by, now })
                        .await
                        .unwrap();
                    began.notify_one();
                    go.notified().await;
                    Ok(())
                })
            })
            .await;
        pushed.unwrap();
    });
    began.notified().await;
    holder
}

/// What is charged and reserved is appended: no row is changed by two.
#[test]
fn under_a_limit_no_push_waits_for_another() {
    run(Engine::Postgres, async |world: World| {
        let world = Arc::new(world);
        let repository = world.repository("alice/app").await;
        let other = world.repository("alice/other").await;
        let blob = world.blob(&repository, b"layer").await;
        for scope in [Scope::Account(repository.account_id), Scope::Repository(repository.id)] {
            let quota = Quota { soft: Some(1), hard: Some(1 << 40) };
            world.change((scope, quota), |tx, (scope, quota)| Box::pin(tx.set_quota(*scope, *quota))).await;
        }
        let go = Arc::new(Notify::new());
        let holder = held_open(&world, &repository, image(&blob, &[], "held"), &go).await;
        let pushes = async {
            for to in [&repository, &other] {
                let upload = world.upload(to, 100 + u128::from(to.id == other.id)).await;
                let input = (upload.0.clone(), (to.id, to.account_id));
                let reserved = world.change(input, |tx, (upload, place)| {
                    Box::pin(tx.reserve((upload, 1), *place, Room { account: 9, repository: 9 }))
                });
                assert!(reserved.await);
                world.finish(to, upload, b"another layer").await.unwrap().unwrap();
                world.put(to, &image(&named(Algorithm::Sha256, b"another layer"), &[], "other"), &["v1"]).await;
                world.metadata.usage(Scope::Account(to.account_id)).await.unwrap();
            }
            // The same content, and the same blob as the push that is held open names.
            world.put(&repository, &image(&blob, &[], "beside it"), &["v2"]).await;
        };
        timeout(LIMIT, pushes).await.expect("a push waited for another of the same account");
        assert!(!holder.is_finished(), "the first one is still open");
        go.notify_one();
        holder.await.unwrap();
        world.is_sound().await;
    });
}

/// A collector that comes to a link while its repository is handed over judges it where it stands then, and holds the bytes behind it
/// in that account: of two who take the last away, one must see that it was the last.
#[test]
fn a_link_is_judged_in_the_account_that_its_repository_was_handed_over_to() {
    run(Engine::Postgres, async |world: World| {
        let bob = world.user("bob").await;
        let repository = world.repository("alice/app").await;
        world.blob(&repository, b"layer").await;
        let candidates: Result<_, Error> =
            world.metadata.write((), |tx, ()| Box::pin(tx.claim_candidates(i64::MAX / 2, 10))).await;
        let [link] = candidates.unwrap()[..] else { panic!("one link") };
        let [began, go, looked, end] = [(); 4].map(|()| Arc::new(Notify::new()));
        let (metadata, input) = (world.metadata.clone(), (repository, Arc::clone(&began), Arc::clone(&go)));
        let mover = tokio::spawn(async move {
            let moved: Result<(), Error> = metadata
                .write(input, |tx, (repository, began, go)| {
                    Box::pin(async move {
                        let (account, held) =
                            (tx.account("bob").await?, tx.hold_repository(&repository.name).await?.unwrap());
                        let name = "bob/app".parse().unwrap();
                        tx.hand_over(&held, (account.as_ref(), &name), NOW).await?.unwrap();
                        began.notify_one();
                        go.notified().await;
                        Ok(())
                    })
                })
                .await;
            moved.unwrap();
        });
        began.notified().await;
        let (metadata, input) = (world.metadata.clone(), (link, Arc::clone(&looked), Arc::clone(&end)));
        let collector = tokio::spawn(async move {
            let seen: Result<Looked, Error> = metadata
                .write(input, |tx, (link, looked, end)| {
                    Box::pin(async move {
                        let seen = tx.look_at(link).await?;
                        looked.notify_one();
                        end.notified().await;
                        Ok(seen)
                    })
                })
                .await;
            seen.unwrap()
        });
        let waiting =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while world.count(waiting).await == 0 {
            assert!(!collector.is_finished(), "the collector did not wait");
        }
        go.notify_one();
        mover.await.unwrap();
        looked.notified().await;
        let held = format!("SELECT blob_id FROM account_blobs WHERE account_id = {} FOR UPDATE NOWAIT", bob.account_id);
        let refusal = timeout(LIMIT, world.refusal(&held)).await.unwrap();
        assert!(refusal.contains("could not obtain lock"), "{refusal}");
        end.notify_one();
        assert!(matches!(collector.await.unwrap(), Looked::Link(seen) if !seen.named));
    });
}

/// Has every change that makes a repository refused with this SQLSTATE, the first `times` it is tried.
async fn in_the_way(world: &World, state: &str, times: u32) {
    for statement in [
        "CREATE SEQUENCE tried".to_owned(),
        // What a sequence gave it does not take back with the transaction.
        format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF nextval('tried') <= {times} THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '{state}'; END IF;
               RETURN NEW;
             END $$"
        ),
        "CREATE TRIGGER refuse BEFORE INSERT ON repositories FOR EACH ROW EXECUTE FUNCTION refuse()".to_owned(),
    ] {
        world.meddle(&statement).await;
    }
}

/// Rule 6: serialization failure and deadlock, which the server may end any change with.
#[test]
fn a_change_that_others_were_in_the_way_of_is_run_again() {
    for state in ["40001", "40P01"] {
        run(Engine::Postgres, async |world: World| {
            in_the_way(&world, state, 7).await;
            let before = world.metadata.statistics().repeats;
            let repository = world.repository("alice/app").await;
            assert_eq!(world.metadata.statistics().repeats - before, 7, "{state}");
            assert_eq!(world.metadata.repository(&repository.name).await.unwrap(), Some(repository), "{state}");
        });
    }
}

#[test]
fn a_change_that_others_are_in_the_way_of_eight_times_is_given_up() {
    for state in ["40001", "40P01"] {
        run(Engine::Postgres, async |world: World| {
            in_the_way(&world, state, 8).await;
            let before = world.metadata.statistics().repeats;
            let name: RepositoryName = "alice/app".parse().unwrap();
            let made: Result<Repository, Error> = world
                .metadata
                .write((name.clone(), world.alice.account_id), |tx, (name, account)| {
                    Box::pin(tx.create_repository(name, *account, NOW))
                })
                .await;
            assert_eq!(made.unwrap_err().kind(), ErrorKind::Contended, "{state}");
            assert_eq!(world.metadata.statistics().repeats - before, 7, "{state}");
            assert_eq!(world.metadata.repository(&name).await.unwrap(), None, "{state}");
            // Tried again by whoever asked, it succeeds.
            world.repository("alice/app").await;
        });
    }
}
