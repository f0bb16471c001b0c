//! What the collector's transactions find and do, one by one: what follows from a look is decided elsewhere, and is not here.

use std::collections::BTreeSet;

use hallmark_oci::Digest;
use hallmark_storage::metadata::{
    AccountSeen, BlobSeen, Candidate, DueTrash, Error, Graces, Item, LinkSeen, Looked, ManifestDeletion, ManifestSeen,
    Purge,
};

use crate::harness::images::{artifact, image, index};
use crate::harness::{NOW, World, family};

const DAY: i64 = 24 * 60 * 60 * 1_000;
/// When nothing waits any more.
const LATER: i64 = NOW + 100 * DAY;

family! {
    a_candidate_is_claimed_once_and_its_claim_ends,
    who_claim_at_once_share_what_is_due,
    a_newer_request_survives_the_answer_to_an_older_one,
    what_keeps_a_thing_is_seen,
    an_orphan_stays_one_when_somebody_else_asks_for_a_look,
    what_is_taken_away_asks_for_a_look_at_what_it_stood_on,
    what_something_names_is_not_taken_away,
    a_manifest_of_a_deleted_repository_sleeps,
    a_manifest_in_the_trash_waits_for_its_index,
    referrers_of_what_leaves_the_trash_are_asked_for_page_by_page,
    signatures_in_tags_go_with_what_they_sign,
    what_was_pushed_after_a_deletion_stays_when_its_window_ends,
    a_manifest_that_lives_again_keeps_its_signatures,
    a_deleted_repository_is_emptied_of_its_trash,
    a_repository_that_cannot_be_emptied_is_put_off_and_one_without_a_window_gets_one,
    graces_are_what_was_said,
}

async fn claim(world: &World, now: i64) -> Vec<Candidate> {
    let claimed: Result<_, Error> =
        world.metadata.write(now, |tx, now| Box::pin(async move { tx.claim_candidates(*now, 1_000).await })).await;
    let mut claimed = claimed.unwrap();
    claimed.sort_by_key(|candidate| (candidate.item, candidate.id));
    claimed
}

async fn look(world: &World, candidate: Candidate) -> Looked {
    let looked: Result<_, Error> =
        world.metadata.write(candidate, |tx, candidate| Box::pin(tx.look_at(candidate))).await;
    looked.unwrap()
}

async fn collect(world: &World, candidate: Candidate) -> Result<u64, Error> {
    world
        .metadata
        .write(candidate, |tx, candidate| {
            Box::pin(async move {
                tx.look_at(candidate).await?;
                tx.collect(candidate, LATER).await
            })
        })
        .await
}

/// Ends one window that is over, or comes a step closer to it; `None` when there is none.
async fn purge(world: &World, now: i64) -> Option<Purge> {
    let claimed: Result<Vec<DueTrash>, Error> =
        world.metadata.write(now, |tx, now| Box::pin(tx.claim_trash(*now, 1))).await;
    let due = claimed.unwrap().pop()?;
    Some(end(world, due, now).await)
}

async fn end(world: &World, due: DueTrash, now: i64) -> Purge {
    let purged: Result<Purge, Error> =
        world.metadata.write((due, now), |tx, (due, now)| Box::pin(tx.purge(due, *now))).await;
    purged.unwrap()
}

async fn a_candidate_is_claimed_once_and_its_claim_ends(world: World) {
    let repository = world.repository("alice/app").await;
    world.blob(&repository, b"layer").await;
    assert_eq!(claim(&world, NOW + 2 * DAY - 1).await, [], "whoever was told of it still has time");
    let claimed = claim(&world, NOW + 2 * DAY).await;
    assert_eq!((claimed.len(), claimed[0].item, claimed[0].owner), (1, Item::Link, repository.id.0));
    assert_eq!(claim(&world, NOW + 2 * DAY + 60_000).await, []);
    assert_eq!(claim(&world, NOW + 3 * DAY).await, claimed, "whoever claimed it first died");
    let put_off: Result<(), Error> =
        world.metadata.write(claimed[0], |tx, candidate| Box::pin(tx.postpone(candidate, NOW + 9 * DAY))).await;
    put_off.unwrap();
    assert_eq!(claim(&world, NOW + 9 * DAY - 1).await, []);
    assert_eq!(claim(&world, NOW + 9 * DAY).await, claimed);
}

async fn who_claim_at_once_share_what_is_due(world: World) {
    let repository = world.repository("alice/app").await;
    for number in 0..40_u8 {
        world.blob(&repository, &[number]).await;
    }
    let some = async || {
        let claimed: Result<Vec<Candidate>, Error> =
            world.metadata.write((), |tx, ()| Box::pin(async move { tx.claim_candidates(LATER, 20).await })).await;
        claimed.unwrap()
    };
    let (one, other) = tokio::join!(some(), some());
    assert_eq!((one.len(), other.len()), (20, 20), "neither waits for the other, or takes less");
    let both: BTreeSet<i64> = one.iter().chain(&other).map(|candidate| candidate.id).collect();
    assert_eq!(both.len(), 40, "each is claimed by one of them");
}

async fn a_newer_request_survives_the_answer_to_an_older_one(world: World) {
    let repository = world.repository("alice/app").await;
    world.blob(&repository, b"layer").await;
    let older = claim(&world, LATER).await[0];
    world.blob(&repository, b"layer").await;
    assert_eq!(look(&world, older).await, Looked::Overtaken);
    let settled: Result<(), Error> = world.metadata.write(older, |tx, candidate| Box::pin(tx.settle(candidate))).await;
    settled.unwrap();
    let newer = claim(&world, LATER).await[0];
    assert_ne!(older.generation, newer.generation);
    assert_eq!(look(&world, newer).await, Looked::Link(LinkSeen { named: false, touched_at: NOW }));
}

async fn what_keeps_a_thing_is_seen(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let child = image(&blob, &[], "child");
    let child = world.put(&repository, &child, &["v1"]).await;
    let subject = world.put(&repository, &artifact(&blob, "a/b", Some(&child), "sig"), &[]).await;
    let claimed = claim(&world, LATER).await;
    let seen: Vec<Looked> = [look(&world, claimed[0]).await, look(&world, claimed[1]).await].to_vec();
    let referrer = ManifestSeen { has_subject: true, touched_at: NOW, ..ManifestSeen::default() };
    assert_eq!(seen, [Looked::Manifest(referrer), Looked::Link(LinkSeen { named: true, touched_at: NOW })]);

    let parent = world.put(&repository, &index(&[&child]), &[]).await;
    world.delete_tag(&repository, "v1").await;
    world.delete_manifest(&repository, &subject).await;
    let claimed = claim(&world, LATER).await;
    assert_eq!(
        claimed.iter().map(|candidate| candidate.item).collect::<Vec<_>>(),
        [Item::Manifest; 2].to_vec().into_iter().chain([Item::Link]).collect::<Vec<_>>()
    );
    let seen = look(&world, claimed[0]).await;
    assert_eq!(seen, Looked::Manifest(ManifestSeen { has_parent: true, touched_at: NOW, ..ManifestSeen::default() }));
    world.delete_manifest(&repository, &parent).await;
    let orphan = claim(&world, LATER).await.into_iter().find(|candidate| candidate.orphaned).unwrap();
    let seen = look(&world, orphan).await;
    assert_eq!(seen, Looked::Manifest(ManifestSeen { orphaned: true, touched_at: NOW, ..ManifestSeen::default() }));
}

async fn an_orphan_stays_one_when_somebody_else_asks_for_a_look(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let (tagged, pushed) = (image(&blob, &[], "tagged"), image(&blob, &[], "pushed"));
    let children = [world.put(&repository, &tagged, &["v1"]).await, world.put(&repository, &pushed, &[]).await];
    let parent = world.put(&repository, &index(&[&children[0], &children[1]]), &["all"]).await;
    world.delete_manifest(&repository, &parent).await;
    world.delete_tag(&repository, "v1").await;
    world.put(&repository, &pushed, &[]).await;
    let orphans = claim(&world, LATER).await.into_iter().filter(|candidate| candidate.orphaned).count();
    assert_eq!(orphans, 1, "what it belonged to is gone all the same; the other was pushed for its own sake");
}

async fn what_is_taken_away_asks_for_a_look_at_what_it_stood_on(world: World) {
    let repository = world.repository("alice/app").await;
    world.blob(&repository, b"layer").await;
    let steps = [
        (Item::Link, Looked::Link(LinkSeen { named: false, touched_at: NOW }), 0),
        (Item::Account, Looked::Account(AccountSeen::default()), 0),
        (Item::Blob, Looked::Blob(BlobSeen::default()), 5),
    ];
    for (item, seen, freed) in steps {
        let claimed = claim(&world, LATER).await;
        assert_eq!((claimed.len(), claimed[0].item), (1, item));
        assert_eq!(look(&world, claimed[0]).await, seen);
        assert_eq!(collect(&world, claimed[0]).await.unwrap(), freed);
        assert_eq!(look(&world, claimed[0]).await, Looked::Overtaken, "its request is answered");
    }
    assert_eq!(claim(&world, LATER).await, []);
    let due = world.count("SELECT due_at FROM key_deletions").await;
    assert_eq!(due, LATER + Graces::default().bytes, "bytes go long after the last fact");
    world.is_sound().await;
}

async fn what_something_names_is_not_taken_away(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let manifest = world.put(&repository, &image(&blob, &[], ""), &["v1"]).await;
    let link = claim(&world, LATER).await[0];
    assert_eq!(link.item, Item::Link);
    collect(&world, link).await.unwrap_err();
    let of = |item, owner, id| Candidate { item, owner, id, ..link };
    collect(&world, of(Item::Account, repository.account_id.0, link.id)).await.unwrap_err();
    collect(&world, of(Item::Blob, 0, link.id)).await.unwrap_err();
    assert_eq!(world.count("SELECT COUNT(*) FROM manifest_blobs").await, 1, "the foreign keys are the judge (I1)");
    assert_eq!(
        world.delete_manifest(&repository, &manifest).await,
        ManifestDeletion::Deleted { tags: vec!["v1".to_owned()] }
    );
}

async fn a_manifest_of_a_deleted_repository_sleeps(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    world.put(&repository, &image(&blob, &[], ""), &[]).await;
    let deleted: Result<bool, Error> =
        world.metadata.write(repository, |tx, repository| Box::pin(tx.delete_repository(repository, NOW))).await;
    assert!(deleted.unwrap());
    assert_eq!(look(&world, claim(&world, LATER).await[0]).await, Looked::Asleep);
}

async fn a_manifest_in_the_trash_waits_for_its_index(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let child = world.put(&repository, &image(&blob, &[], ""), &[]).await;
    let parent = world.put(&repository, &index(&[&child]), &["v1"]).await;
    for digest in [&parent, &child] {
        world.delete_manifest(&repository, digest).await;
    }
    world.meddle(&format!("UPDATE trash SET purge_at = {} WHERE digest = '{parent}'", NOW + 50 * DAY)).await;
    assert_eq!(purge(&world, NOW + 14 * DAY - 1).await, None);
    assert_eq!(purge(&world, NOW + 14 * DAY).await, Some(Purge::Left));
    assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, 2, "an index comes back whole");
    assert_eq!(purge(&world, NOW + 50 * DAY - 1).await, None);
    while purge(&world, NOW + 51 * DAY).await.is_some() {}
    assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, 0);
}

async fn referrers_of_what_leaves_the_trash_are_asked_for_page_by_page(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let subject = world.put(&repository, &image(&blob, &[], ""), &[]).await;
    let referrer = world.put(&repository, &artifact(&blob, "a/b", Some(&subject), ""), &[]).await;
    // What its column holds does not matter here.
    world
        .meddle(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
             INSERT INTO manifests (id, repository_id, digest, media_type, subject_digest, size, touched_at, pushed_by, body)
             SELECT 900000 + n.i, m.repository_id, 'sha256:' || n.i, m.media_type, m.subject_digest, 1, 1, 0, m.body
               FROM n JOIN manifests m ON m.digest = '{referrer}'"
        ))
        .await;
    world.delete_manifest(&repository, &subject).await;
    let asked = "SELECT COUNT(*) FROM candidates WHERE orphaned = 1";
    let claimed: Result<Vec<DueTrash>, Error> =
        world.metadata.write((), |tx, ()| Box::pin(tx.claim_trash(LATER, 9))).await;
    let due = claimed.unwrap()[0];
    assert_eq!(purge(&world, LATER).await, None, "it is claimed");
    for (expected, left, came_to) in [(500, 1, Purge::Begun), (601, 0, Purge::Ended)] {
        assert_eq!(end(&world, due, LATER).await, came_to);
        assert_eq!(world.count(asked).await, expected);
        assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, left);
    }
    assert_eq!(end(&world, due, LATER).await, Purge::Left);
    let claimed = claim(&world, LATER).await;
    let orphan = claimed.into_iter().find(|candidate| candidate.orphaned && candidate.id < 900_000).unwrap();
    assert_eq!(collect(&world, orphan).await.unwrap(), 0);
    assert_eq!(world.count(&format!("SELECT COUNT(*) FROM trash WHERE digest = '{referrer}'")).await, 1);
}

async fn signatures_in_tags_go_with_what_they_sign(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let signed: Digest = world.put(&repository, &image(&blob, &[], "signed"), &["v1"]).await;
    let stem = signed.as_str().replacen(':', "-", 1);
    let tags: Vec<String> = ["", ".sig", ".att", ".sbom", ".other"].map(|end| format!("{stem}{end}")).to_vec();
    for tag in &tags {
        // One refers to it, too, as newer clients sign.
        let subject = tag.ends_with(".att").then_some(&signed);
        world.put(&repository, &artifact(&blob, "a/b", subject, tag), &[tag]).await;
    }
    world.delete_manifest(&repository, &signed).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM tags").await, 5);
    while purge(&world, LATER).await.is_some() {}
    assert_eq!(world.look("SELECT name FROM tags").await, [format!("{stem}.other")]);
    assert_eq!(world.count("SELECT COUNT(*) FROM candidates WHERE orphaned = 1").await, 4);
    world.is_sound().await;
}

/// A signature may be put before the image that it is for is pushed again.
async fn what_was_pushed_after_a_deletion_stays_when_its_window_ends(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let signed = world.put(&repository, &image(&blob, &[], "signed"), &["v1"]).await;
    let stem = signed.as_str().replacen(':', "-", 1);
    let tag = |end: &str| format!("{stem}{end}");
    world.delete_manifest(&repository, &signed).await;
    // One is new, one moved, one was pushed again as it was.
    let attested = image(&blob, &[], "attested");
    for (body, end) in [(image(&blob, &[], "sig"), ".sig"), (image(&blob, &[], "sbom"), ".sbom"), (attested, ".att")] {
        world.put(&repository, &body, &[&tag(end)]).await;
    }
    let referrer = world.put(&repository, &artifact(&blob, "a/b", Some(&signed), ""), &[]).await;
    let (sig, att) = (tag(".sig"), tag(".att"));
    world.meddle(&format!("UPDATE tags SET moved_at = {} WHERE name = '{sig}'", NOW + 1)).await;
    let touched = format!("(SELECT manifest_id FROM tags WHERE name = '{att}')");
    world.meddle(&format!("UPDATE manifests SET touched_at = {} WHERE id = {touched}", NOW + 1)).await;
    world.meddle(&format!("UPDATE manifests SET touched_at = {} WHERE digest = '{referrer}'", NOW + 1)).await;
    while purge(&world, LATER).await.is_some() {}
    assert_eq!(world.look("SELECT name FROM tags ORDER BY name").await, [att, sig]);
    assert_eq!(world.count("SELECT COUNT(*) FROM candidates WHERE orphaned = 1").await, 1, "the one from before");
    assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, 0);
}

/// The release before this knows no trash: what it puts again is in both places.
async fn a_manifest_that_lives_again_keeps_its_signatures(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let signed = world.put(&repository, &image(&blob, &[], "signed"), &["v1"]).await;
    let tag = format!("{}.sig", signed.as_str().replacen(':', "-", 1));
    world.put(&repository, &image(&blob, &[], "sig"), &[&tag]).await;
    let other = world.put(&repository, &image(&blob, &[], "other"), &[]).await;
    world.delete_manifest(&repository, &other).await;
    world.meddle(&format!("UPDATE trash SET digest = '{signed}'")).await;
    assert_eq!(purge(&world, LATER).await, Some(Purge::Ended));
    assert_eq!(world.count(&format!("SELECT COUNT(*) FROM tags WHERE name = '{tag}'")).await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM candidates WHERE orphaned = 1").await, 0);
}

async fn a_deleted_repository_is_emptied_of_its_trash(world: World) {
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let manifest = world.put(&repository, &image(&blob, &[], ""), &["v1"]).await;
    world.delete_manifest(&repository, &manifest).await;
    let deleted: Result<bool, Error> =
        world.metadata.write(repository, |tx, repository| Box::pin(tx.delete_repository(repository, NOW))).await;
    assert!(deleted.unwrap());
    let empty = async || -> bool {
        let emptied: Result<bool, Error> =
            world.metadata.write((), |tx, ()| Box::pin(tx.empty_deleted_repository(LATER, 10))).await;
        emptied.unwrap()
    };
    while empty().await {}
    assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, 0);
    assert_eq!(world.look("SELECT kind FROM candidates WHERE kind = 'account'").await, ["account"]);
    assert_eq!(world.count("SELECT COUNT(*) FROM repositories").await, 0);
}

async fn graces_are_what_was_said(world: World) {
    let said = Graces { shown: 1, margin: 2, bytes: 3, window: 4 };
    assert_eq!(world.metadata.graces(), Graces::default());
    world.metadata.set_graces(said);
    assert_eq!(world.metadata.graces(), said);
    let repository = world.repository("alice/app").await;
    let blob = world.blob(&repository, b"layer").await;
    let shown = |now| world.metadata.shown_blob(repository.id, &blob, now);
    assert!(shown(NOW).await.unwrap().is_some() && shown(NOW + 1).await.unwrap().is_none());
    assert_eq!(claim(&world, NOW + 3).await.len(), 1);
}

async fn a_repository_that_cannot_be_emptied_is_put_off_and_one_without_a_window_gets_one(world: World) {
    let repository = world.repository("alice/app").await;
    let deleted: Result<bool, Error> =
        world.metadata.write(repository, |tx, repository| Box::pin(tx.delete_repository(repository, NOW))).await;
    assert!(deleted.unwrap());
    // The release before this knows no window.
    world.meddle("UPDATE repositories SET purge_at = NULL").await;
    let dated: Result<u64, Error> = world.metadata.write((), |tx, ()| Box::pin(tx.date_deleted_repositories())).await;
    assert_eq!(dated.unwrap(), 1);
    assert_eq!(world.count("SELECT purge_at FROM repositories").await, NOW + 14 * DAY);
    let put_off: Result<bool, Error> =
        world.metadata.write((), |tx, ()| Box::pin(tx.put_emptying_off(NOW + 14 * DAY))).await;
    assert!(put_off.unwrap());
    let empty = async |now: i64| -> bool {
        let emptied: Result<bool, Error> =
            world.metadata.write(now, |tx, now| Box::pin(tx.empty_deleted_repository(*now, 9))).await;
        emptied.unwrap()
    };
    assert!(!empty(NOW + 14 * DAY + 59 * 60_000).await, "others come before it");
    assert!(empty(NOW + 14 * DAY + 60 * 60_000).await);
}
