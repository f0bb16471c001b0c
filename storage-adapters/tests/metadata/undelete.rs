//! The way back from the trash, and what is told of what is kept.

use hallmark_oci::{Digest, Reference, RepositoryName, Tag};
use hallmark_storage::metadata::{
    Candidate, DeletedRepository, Engine, Error, Item, Kept, KeptBy, Repository, RepositoryId, Restored, Undeleted,
    UserRemoval, Waiting,
};

use crate::harness::images::{image, index};
use crate::harness::{NOW, World, family};

const DAY: i64 = 24 * 60 * 60 * 1_000;
const LATER: i64 = NOW + 100 * DAY;

family! {
    the_trash_of_the_release_before_is_somebodys,
    a_deleted_manifest_comes_back_with_its_blobs_and_tags,
    an_index_comes_back_whole_or_not_at_all,
    what_is_damaged_does_not_come_back,
    a_tag_comes_back_to_what_it_pointed_to,
    a_tag_that_comes_back_is_not_vouched_for,
    what_a_tag_pointed_to_is_known_for_every_time,
    a_deleted_repository_comes_back_until_its_window_is_over,
    a_repository_that_is_being_emptied_does_not_come_back,
    an_account_can_go_when_only_deleted_repositories_are_left,
    what_keeps_a_digest_is_told_within_an_account,
    what_waits_is_counted,
}

async fn undelete(world: &World, repository: &Repository, digest: &Digest, now: i64) -> Undeleted {
    let input = (repository.clone(), digest.clone(), world.alice.id, now);
    let back: Result<_, Error> = world
        .metadata
        .write(input, |tx, (repository, digest, actor, now)| {
            Box::pin(async move {
                tx.repository(&repository.name).await?;
                let back = tx.undelete_manifest(repository, digest, *actor, *now).await?;
                if let Undeleted::Back(manifest, tags) = &back {
                    for tag in tags {
                        tx.restore_tag(repository, (tag, true), (*manifest, digest), *actor, *now).await?;
                    }
                }
                Ok(back)
            })
        })
        .await;
    back.unwrap()
}

async fn restore(world: &World, repository: &Repository, tag: &str, digest: &Digest) -> bool {
    let input = (repository.clone(), tag.parse::<Tag>().unwrap(), digest.clone(), world.alice.id);
    let moved: Result<_, Error> = world
        .metadata
        .write(input, |tx, (repository, tag, digest, actor)| {
            Box::pin(async move {
                tx.repository(&repository.name).await?;
                let (Undeleted::Back(manifest, _) | Undeleted::Present(manifest)) =
                    tx.undelete_manifest(repository, digest, *actor, NOW).await?
                else {
                    panic!("{digest} is nowhere");
                };
                tx.restore_tag(repository, (tag, false), (manifest, digest), *actor, NOW).await
            })
        })
        .await;
    moved.unwrap() != Restored::Not
}

async fn tagged(world: &World, repository: &Repository, tag: &str) -> Option<Digest> {
    let reference = Reference::Tag(tag.parse().unwrap());
    world.metadata.manifest(repository.id, &reference).await.unwrap().map(|manifest| manifest.digest.clone())
}

async fn a_deleted_manifest_comes_back_with_its_blobs_and_tags(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let body = image(&blob, &[], "");
    let digest = world.put(&repository, &body, &["taken", "v1"]).await;
    world.delete_manifest(&repository, &digest).await;
    let trash = world.metadata.trash(repository.id, "", 10).await.unwrap();
    assert_eq!((trash.len(), &trash[0].digest, trash[0].until), (1, &digest, NOW + 14 * DAY));
    assert_eq!(
        (trash[0].tags.clone(), trash[0].deleted_by.as_deref()),
        (vec!["taken".to_owned(), "v1".to_owned()], Some("alice"))
    );
    world.meddle("DELETE FROM repository_blobs").await;
    let other = world.blob(&repository, b"other").await;
    let other = world.put(&repository, &image(&other, &[], ""), &["taken"]).await;
    assert!(matches!(undelete(&world, &repository, &digest, NOW).await, Undeleted::Back(_, tags) if tags.len() == 2));
    assert_eq!(tagged(&world, &repository, "v1").await, Some(digest.clone()));
    assert_eq!(tagged(&world, &repository, "taken").await, Some(other), "a tag that points elsewhere by now stays");
    let stored = world.metadata.manifest(repository.id, &Reference::Digest(digest.clone())).await.unwrap().unwrap();
    assert_eq!(stored.body, body.as_bytes(), "byte for byte (I7)");
    assert!(world.metadata.shown_blob(repository.id, &blob, LATER).await.unwrap().is_some());
    assert!(matches!(undelete(&world, &repository, &digest, NOW).await, Undeleted::Present(_)));
    assert_eq!(world.metadata.trash(repository.id, "", 10).await.unwrap(), []);
    world.is_sound().await;
}

async fn an_index_comes_back_whole_or_not_at_all(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let child = world.put(&repository, &image(&blob, &[], "child"), &[]).await;
    let live = world.put(&repository, &image(&blob, &[], "live"), &["live"]).await;
    let parent = world.put(&repository, &index(&[&child, &live]), &["v1"]).await;
    for digest in [&parent, &child] {
        world.delete_manifest(&repository, digest).await;
    }
    assert!(matches!(undelete(&world, &repository, &parent, NOW).await, Undeleted::Back(..)));
    assert_eq!(world.count("SELECT COUNT(*) FROM manifest_children").await, 2);
    for digest in [&parent, &child] {
        world.delete_manifest(&repository, digest).await;
    }
    world.meddle(&format!("DELETE FROM trash WHERE digest = '{child}'")).await;
    assert_eq!(undelete(&world, &repository, &parent, NOW).await, Undeleted::Incomplete(child.clone()));
    assert_eq!(undelete(&world, &repository, &child, NOW).await, Undeleted::Unknown);
}

async fn what_is_damaged_does_not_come_back(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &["v1"]).await;
    world.delete_manifest(&repository, &digest).await;
    world.meddle("UPDATE blobs SET quarantined_at = 1").await;
    assert_eq!(undelete(&world, &repository, &digest, NOW).await, Undeleted::Damaged(blob));
}

async fn a_tag_comes_back_to_what_it_pointed_to(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let one = world.put(&repository, &image(&blob, &[], "one"), &["v1"]).await;
    let two = world.put(&repository, &image(&blob, &[], "two"), &["v1"]).await;
    assert!(restore(&world, &repository, "v1", &one).await, "an overwritten tag");
    assert_eq!(tagged(&world, &repository, "v1").await, Some(one.clone()));
    assert!(!restore(&world, &repository, "v1", &one).await, "it points there already");
    world.delete_tag(&repository, "v1").await;
    world.delete_manifest(&repository, &two).await;
    assert!(restore(&world, &repository, "v1", &two).await, "a deleted tag of a deleted manifest");
    assert_eq!(tagged(&world, &repository, "v1").await, Some(two));
    world.is_sound().await;
}

async fn a_tag_that_comes_back_is_not_vouched_for(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &["v1"]).await;
    world
        .meddle(&format!(
            "INSERT INTO vouches (repository_id, tag, digest, size, media_type, signer_id, signer, source, at)
             VALUES ({}, 'v1', '{digest}', 1, 'm', 1, 's', 'signature', 1)",
            repository.id
        ))
        .await;
    world.delete_tag(&repository, "v1").await;
    assert!(restore(&world, &repository, "v1", &digest).await);
    assert_eq!(world.count("SELECT COUNT(*) FROM vouches").await, 0, "whoever signs it looks at it anew");
}

async fn what_a_tag_pointed_to_is_known_for_every_time(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let one = world.put(&repository, &image(&blob, &[], "one"), &["v1"]).await;
    let two = world.put(&repository, &image(&blob, &[], "two"), &["v1"]).await;
    world.delete_tag(&repository, "v1").await;
    let tag: Tag = "v1".parse().unwrap();
    let moves = world.metadata.tag_history(repository.id, &tag, i64::MAX, 10).await.unwrap();
    let told: Vec<_> = moves.iter().map(|moved| (moved.version, moved.digest.clone())).collect();
    assert_eq!(told, [(3, None), (2, Some(two.clone())), (1, Some(one.clone()))]);
    assert_eq!(moves[0].actor.as_deref(), Some("alice"));
    assert_eq!(world.metadata.tag_history(repository.id, &tag, 2, 10).await.unwrap().len(), 1);
    for (at, version) in [(NOW, Some(1)), (NOW + 1, Some(2)), (NOW + 2, Some(3)), (NOW - 1, None)] {
        let held = world.metadata.tag_at(repository.id, &tag, at).await.unwrap();
        assert_eq!(held.map(|held| held.version), version);
    }
    let within: Result<_, Error> = world
        .metadata
        .write((repository, tag), |tx, (repository, tag)| {
            Box::pin(async move {
                let held = tx.move_at(repository, tag, NOW + 1).await?;
                Ok((held.and_then(|held| held.digest), tx.moves_of(repository, tag, i64::MAX, 2).await?.len()))
            })
        })
        .await;
    assert_eq!(within.unwrap(), (Some(two), 2));
}

async fn delete_repository(world: &World, repository: &Repository) {
    let deleted: Result<bool, Error> = world
        .metadata
        .write(repository.clone(), |tx, repository| Box::pin(tx.delete_repository(repository, NOW)))
        .await;
    assert!(deleted.unwrap());
}

async fn undelete_repository(world: &World, name: &str, now: i64) -> Option<RepositoryId> {
    let input: (_, RepositoryName, _) = (world.alice.account_id, name.parse().unwrap(), now);
    let back: Result<_, Error> = world
        .metadata
        .write(input, |tx, (account, name, now)| Box::pin(tx.undelete_repository(*account, name, *now)))
        .await;
    back.unwrap()
}

async fn empty(world: &World, now: i64) -> bool {
    let emptied: Result<bool, Error> =
        world.metadata.write(now, |tx, now| Box::pin(tx.empty_deleted_repository(*now, 1))).await;
    emptied.unwrap()
}

async fn a_deleted_repository_comes_back_until_its_window_is_over(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &["v1"]).await;
    delete_repository(&world, &repository).await;
    let until = NOW + 14 * DAY;
    assert!(!empty(&world, until - 1).await, "it is whole until then");
    let listed = world.metadata.deleted_repositories(world.alice.account_id, NOW, RepositoryId(0), 10).await.unwrap();
    let gone = DeletedRepository { id: repository.id, name: repository.name.clone(), deleted_at: NOW, until };
    assert_eq!(listed, [gone]);
    assert_eq!(undelete_repository(&world, "alice/app", until).await, None);
    assert_eq!(undelete_repository(&world, "alice/other", NOW).await, None);
    assert_eq!(undelete_repository(&world, "alice/app", until - 1).await, Some(repository.id));
    assert_eq!(tagged(&world, &repository, "v1").await, Some(digest));
    assert_eq!(world.repository("alice/app").await.id, repository.id);
    assert!(!empty(&world, LATER).await);
}

async fn a_repository_that_is_being_emptied_does_not_come_back(world: World) {
    let repository = world.repository("alice/app").await;
    world.blob(&repository, b"layer").await;
    delete_repository(&world, &repository).await;
    assert!(empty(&world, LATER).await);
    assert_eq!(
        undelete_repository(&world, "alice/app", NOW).await,
        None,
        "whose clock is behind must not see half of it"
    );
}

async fn an_account_can_go_when_only_deleted_repositories_are_left(world: World) {
    let repository = world.repository("alice/app").await;
    world.blob(&repository, b"layer").await;
    let remove = async || -> UserRemoval {
        let removed: Result<_, Error> = world.metadata.write((), |tx, ()| Box::pin(tx.remove_user("alice", NOW))).await;
        removed.unwrap()
    };
    assert_eq!(remove().await, UserRemoval::AccountHasRepositories);
    delete_repository(&world, &repository).await;
    assert_eq!(remove().await, UserRemoval::GivesUpDeleted);
    while empty(&world, NOW).await {}
    assert_eq!(remove().await, UserRemoval::Removed);
}

fn unnamed(touched_at: i64, due_at: Option<i64>) -> KeptBy {
    KeptBy::Unnamed { touched_at, due_at }
}

async fn what_keeps_a_digest_is_told_within_an_account(world: World) {
    let repository = world.repository("alice/app").await;
    let (blob, alone) = (world.blob(&repository, b"layer").await, world.blob(&repository, b"alone").await);
    let child = world.put(&repository, &image(&blob, &[], "child"), &[]).await;
    let parent = world.put(&repository, &index(&[&child]), &["v1"]).await;
    let kept = async |digest: &Digest| -> Vec<KeptBy> {
        let kept: Vec<Kept> = world.metadata.kept(world.alice.account_id, digest).await.unwrap();
        assert!(kept.iter().all(|kept| kept.repository == "alice/app"));
        kept.into_iter().map(|kept| kept.by).collect()
    };
    assert_eq!(kept(&blob).await, [KeptBy::Manifest(child.clone())]);
    assert_eq!(kept(&alone).await, [unnamed(NOW, Some(NOW + 2 * DAY))]);
    assert_eq!(kept(&child).await, [KeptBy::Index(parent.clone())]);
    assert_eq!(kept(&parent).await, [KeptBy::Tag("v1".to_owned())]);
    world.delete_manifest(&repository, &parent).await;
    assert_eq!(kept(&child).await, [KeptBy::Orphaned(NOW + DAY)]);
    assert_eq!(kept(&parent).await, [KeptBy::Trashed(NOW + 14 * DAY)]);
    world.delete_manifest(&repository, &child).await;
    assert_eq!(kept(&blob).await, [unnamed(NOW, Some(NOW + DAY)), KeptBy::Trash(child.clone(), NOW + 14 * DAY)]);
    let bob = world.user("bob").await;
    assert_eq!(world.metadata.kept(bob.account_id, &blob).await.unwrap(), [], "nobody is told what others hold (I6)");
    let stored = world.metadata.in_store(&blob).await.unwrap().unwrap();
    assert_eq!((stored.size, stored.accounts, stored.quarantined_at), (5, 1, None));
    assert_eq!(world.metadata.in_store(&child).await.unwrap(), None);
}

async fn what_waits_is_counted(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &["v1"]).await;
    world.delete_manifest(&repository, &digest).await;
    let waiting = Waiting { candidates: (0, 1), trash: (0, 1), keys: (0, 0) };
    assert_eq!(world.metadata.waiting(NOW).await.unwrap(), waiting);
    let due = world.metadata.due_candidates(NOW + DAY, 10).await.unwrap();
    assert_eq!((due.len(), due[0].item), (1, Item::Link));
    let bytes = async |candidate: Candidate| -> u64 {
        let bytes: Result<u64, Error> =
            world.metadata.write(candidate, |tx, candidate| Box::pin(tx.bytes_of(candidate))).await;
        bytes.unwrap()
    };
    assert_eq!(bytes(due[0]).await, 0, "the trash holds them");
    world.meddle("DELETE FROM trash").await;
    assert_eq!(bytes(due[0]).await, 5);
    let account = Candidate { item: Item::Account, owner: repository.account_id.0, ..due[0] };
    assert_eq!(bytes(account).await, 0, "a repository holds them");
    assert_eq!(world.metadata.waiting(LATER).await.unwrap().candidates, (1, 0));
}

async fn the_trash_of_the_release_before_is_somebodys(world: World) {
    let (one, two) = (world.repository("alice/one").await, world.repository("alice/two").await);
    let layer = world.blob(&one, b"layer").await;
    world.blob(&two, b"layer").await;
    for repository in [&one, &two] {
        let digest = world.put(repository, &image(&layer, &[], ""), &["v1"]).await;
        world.delete_manifest(repository, &digest).await;
    }
    let owners =
        "SELECT t.repository_id, n.repository_id FROM trash_blobs n JOIN trash t ON t.id = n.trash_id ORDER BY 1";
    let expected = [format!("{0} {0}", one.id), format!("{0} {0}", two.id)];
    assert_eq!(world.look(owners).await, expected);
    let (before, migration) = match world.metadata.engine() {
        Engine::Sqlite => ("", include_str!("../../migrations/sqlite/0011_trash_by_repository.sql")),
        Engine::Postgres => (
            "DROP TRIGGER trash_blobs_are_somebodys ON trash_blobs;\nDROP FUNCTION say_whose_trash;\n",
            include_str!("../../migrations/postgres/0011_trash_by_repository.sql"),
        ),
    };
    let before = format!("{before}DROP INDEX trash_blobs_of;\nALTER TABLE trash_blobs DROP COLUMN repository_id;\n");
    for text in [&before, "CREATE INDEX trash_blobs_of ON trash_blobs (account_id, blob_id);\n", migration] {
        for statement in text.split(";\n").filter(|statement| !statement.trim().is_empty()) {
            world.meddle(statement).await;
        }
    }
    assert_eq!(world.look(owners).await, expected);
    if world.metadata.engine() == Engine::Postgres {
        // The release before goes on for a while beside this one, and says nothing of the repository.
        world.blob(&one, b"other").await;
        let said = "INSERT INTO trash_blobs (trash_id, account_id, blob_id)
                    SELECT n.trash_id, n.account_id, a.blob_id FROM trash_blobs n JOIN account_blobs a ON a.account_id = n.account_id
                     WHERE a.blob_id <> n.blob_id";
        world.meddle(said).await;
        let [one, two] = expected;
        assert_eq!(world.look(owners).await, [one.clone(), one, two.clone(), two]);
    }
}
