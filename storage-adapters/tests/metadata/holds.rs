//! What is kept on purpose, and the rules on what moves.

use hallmark_oci::Digest;
use hallmark_storage::metadata::{
    Candidate, Error, Hold, HoldKind, Item, KeptBy, Looked, ManifestDeletion, Placing, Policies, Repository,
    RepositoryId,
};

use crate::harness::images::{image, index};
use crate::harness::{NOW, WINDOW, World, family};

family! {
    what_is_held_is_not_deleted,
    what_is_held_is_not_collected,
    a_repository_goes_with_its_pins_and_not_with_a_legal_hold,
    holds_are_listed_page_by_page,
    rules_are_kept_for_repositories_and_accounts,
    repositories_with_rules_are_found,
}

fn hold(kind: HoldKind) -> Hold {
    Hold { kind, placed_by: "alice".to_owned(), reason: "a case".to_owned(), placed_at: NOW }
}

async fn place(world: &World, repository: &Repository, digest: &Digest, kind: HoldKind) -> Placing {
    let input = (repository.id, digest.clone(), hold(kind));
    let placed: Result<Placing, Error> = world
        .metadata
        .write(input, |tx, (repository, digest, hold)| Box::pin(tx.place_hold(*repository, digest, hold)))
        .await;
    placed.unwrap()
}

async fn release(world: &World, repository: &Repository, digest: &Digest, kind: HoldKind) -> bool {
    let input = (repository.id, digest.clone(), kind);
    let released: Result<bool, Error> = world
        .metadata
        .write(input, |tx, (repository, digest, kind)| Box::pin(tx.release_hold(*repository, digest, *kind)))
        .await;
    released.unwrap()
}

async fn what_is_held_is_not_deleted(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &["v1"]).await;
    assert_eq!(place(&world, &repository, &blob, HoldKind::Pin).await, Placing::Unknown);
    assert_eq!(place(&world, &repository, &digest, HoldKind::Legal).await, Placing::Placed);
    assert_eq!(place(&world, &repository, &digest, HoldKind::Legal).await, Placing::Present);
    let held = ManifestDeletion::Held(vec![hold(HoldKind::Legal)]);
    assert_eq!(world.delete_manifest(&repository, &digest).await, held);
    let kept = world.metadata.kept(repository.account_id, &digest).await.unwrap();
    assert_eq!(kept[0].by, KeptBy::Held(HoldKind::Legal, "a case".to_owned()));
    assert!(!release(&world, &repository, &digest, HoldKind::Pin).await);
    assert!(release(&world, &repository, &digest, HoldKind::Legal).await);
    assert!(matches!(world.delete_manifest(&repository, &digest).await, ManifestDeletion::Deleted { .. }));
}

async fn what_is_held_is_not_collected(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let child = world.put(&repository, &image(&blob, &[], ""), &[]).await;
    let parent = world.put(&repository, &index(&[&child]), &["all"]).await;
    place(&world, &repository, &child, HoldKind::Pin).await;
    world.delete_manifest(&repository, &parent).await;
    let claimed: Result<Vec<Candidate>, Error> =
        world.metadata.write((), |tx, ()| Box::pin(tx.claim_candidates(NOW + 10 * WINDOW, 99))).await;
    let orphan = claimed.unwrap().into_iter().find(|candidate| candidate.orphaned).unwrap();
    assert_eq!(orphan.item, Item::Manifest);
    let looked: Result<Looked, Error> = world.metadata.write(orphan, |tx, orphan| Box::pin(tx.look_at(orphan))).await;
    assert!(matches!(looked.unwrap(), Looked::Manifest(seen) if seen.held && seen.orphaned));
    let taken: Result<u64, Error> =
        world.metadata.write(orphan, |tx, orphan| Box::pin(tx.collect(orphan, NOW + 10 * WINDOW))).await;
    taken.unwrap_err();
    assert_eq!(world.count("SELECT COUNT(*) FROM manifests").await, 1, "the foreign key is the judge");
}

async fn a_repository_goes_with_its_pins_and_not_with_a_legal_hold(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&blob, &[], ""), &[]).await;
    place(&world, &repository, &digest, HoldKind::Pin).await;
    place(&world, &repository, &digest, HoldKind::Legal).await;
    let legal = async || {
        let held: Result<Option<Digest>, Error> =
            world.metadata.write(repository.id, |tx, id| Box::pin(tx.legal_hold_in(*id))).await;
        held.unwrap()
    };
    assert_eq!(legal().await, Some(digest.clone()));
    let deleted: Result<bool, Error> = world
        .metadata
        .write(repository.clone(), |tx, repository| Box::pin(tx.delete_repository(repository, NOW)))
        .await;
    assert!(deleted.unwrap());
    let empty = async || -> Result<bool, Error> {
        world.metadata.write((), |tx, ()| Box::pin(tx.empty_deleted_repository(NOW + WINDOW, 9))).await
    };
    while empty().await.is_ok() {}
    assert_eq!(world.look("SELECT kind FROM holds").await, ["legal"], "nobody deletes it, and what it holds stays");
    assert!(release(&world, &repository, &digest, HoldKind::Legal).await);
    assert_eq!(legal().await, None);
    while empty().await.unwrap() {}
    assert_eq!(world.count("SELECT COUNT(*) FROM repositories").await, 0);
}

async fn holds_are_listed_page_by_page(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    for note in ["1", "2"] {
        let digest = world.put(&repository, &image(&blob, &[], note), &[]).await;
        place(&world, &repository, &digest, HoldKind::Legal).await;
        place(&world, &repository, &digest, HoldKind::Pin).await;
    }
    let (mut listed, mut after) = (Vec::new(), (0, String::new()));
    loop {
        let page = world.metadata.holds(repository.id, (after.0, &after.1), 3).await.unwrap();
        let Some((_, last, at)) = page.last() else { break };
        after = (*at, last.kind.word().to_owned());
        listed.extend(page.into_iter().map(|(digest, hold, _)| (digest, hold.kind)));
    }
    assert_eq!(listed.len(), 4);
    assert!(listed.windows(2).all(|pair| pair[0] != pair[1]));
}

async fn rules_are_kept_for_repositories_and_accounts(world: World) {
    let repository = world.repository("alice/app").await;
    let set = async |own: Option<&'static str>, of_account: Option<&'static str>| {
        let input = (repository.clone(), own, of_account);
        let set: Result<Policies, Error> = world
            .metadata
            .write(input, |tx, (repository, own, of_account)| {
                Box::pin(async move {
                    tx.set_policy(repository.id, *own).await?;
                    tx.set_account_policy(repository.account_id, *of_account).await?;
                    tx.policies(repository.id).await
                })
            })
            .await;
        set.unwrap()
    };
    let both = Policies { repository: Some("{}".to_owned()), account: Some("[]".to_owned()) };
    assert_eq!(set(Some("{}"), Some("[]")).await, both);
    assert_eq!(world.metadata.policies(repository.id).await.unwrap(), both);
    assert_eq!(world.metadata.account_policy(repository.account_id).await.unwrap().as_deref(), Some("[]"));
    assert_eq!(set(None, None).await, Policies::default());
}

async fn repositories_with_rules_are_found(world: World) {
    let own = world.repository("alice/own").await;
    let plain = world.repository("alice/plain").await;
    let ruled = async |own, after| -> Vec<RepositoryId> {
        let found = world.metadata.ruled_repositories(own, after, 9).await.unwrap();
        found.into_iter().map(|(id, _)| id).collect()
    };
    assert!(ruled(true, RepositoryId(0)).await.is_empty() && ruled(false, RepositoryId(0)).await.is_empty());
    let input = (own.id, own.account_id);
    let set: Result<(), Error> = world
        .metadata
        .write(input, |tx, (repository, account)| {
            Box::pin(async move {
                tx.set_policy(*repository, Some("{}")).await?;
                tx.set_account_policy(*account, Some("{}")).await
            })
        })
        .await;
    set.unwrap();
    assert_eq!(
        (ruled(true, RepositoryId(0)).await, ruled(false, RepositoryId(0)).await),
        (vec![own.id], vec![plain.id])
    );
    assert!(ruled(true, own.id).await.is_empty() && ruled(false, plain.id).await.is_empty());
}
