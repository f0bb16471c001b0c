//! What is charged, reserved and limited, and what it is counted against.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::{Algorithm, Digest, Manifest, UploadId};
use hallmark_storage::metadata::{
    Engine, Error, Graces, Lease, Mount, OrganizationChange, Passed, PutManifest, Quota, Repository, Room, Scope,
    Sizes, Undeleted, Usage,
};

use crate::harness::images::image;
use crate::harness::{NOW, World, family};

const DAY: i64 = 24 * 60 * 60 * 1_000;
/// When nothing waits any more.
const LATER: i64 = NOW + 100 * DAY;

family! {
    a_blob_is_charged_once_for_its_account_and_once_for_each_repository,
    trash_counts_until_it_is_purged,
    what_is_deleted_from_a_repository_counts_while_its_trash_names_it,
    a_deleted_repository_counts_until_it_is_emptied,
    what_is_forgotten_with_an_account_leaves_no_count,
    a_reservation_goes_with_its_upload,
    what_is_charged_is_covered_by_what_is_reserved,
    whoever_leases_an_upload_is_told_its_limits,
    entries_are_folded_once_whoever_folds,
    a_soft_limit_is_told_of_once_for_each_crossing,
    sizes_tell_what_is_shared_within_the_account_alone,
    what_was_there_before_is_counted_by_the_migration,
    new_accounts_begin_with_the_quota_that_all_get,
    what_a_release_charged_that_counts_nothing_is_put_right,
}

fn account(world: &World) -> Scope {
    Scope::Account(world.alice.account_id)
}

async fn used(world: &World, scope: Scope) -> u64 {
    world.metadata.usage(scope).await.unwrap().used
}

/// What an account and its repositories hold, counted by hand from the tables; and what they are charged for.
pub(crate) async fn is_counted(world: &World, repositories: &[&Repository]) {
    let sizes: BTreeMap<i64, u64> = pairs(world, "SELECT id, size FROM blobs").await.into_iter().collect();
    let sum = |blobs: &BTreeSet<i64>| blobs.iter().map(|blob| sizes[blob]).sum::<u64>();
    let mut of_account = 0;
    for repository in repositories {
        let id = repository.id;
        let mut blobs = BTreeSet::new();
        for query in [
            format!("SELECT blob_id, blob_id FROM repository_blobs WHERE repository_id = {id}"),
            format!(
                "SELECT n.blob_id, n.blob_id FROM trash t JOIN trash_blobs n ON n.trash_id = t.id WHERE t.repository_id = {id}"
            ),
        ] {
            blobs.extend(pairs(world, &query).await.into_iter().map(|(blob, _)| blob));
        }
        let mut manifests = 0;
        for table in ["manifests", "trash"] {
            let query = format!("SELECT id, size FROM {table} WHERE repository_id = {id}");
            manifests += pairs(world, &query).await.into_iter().map(|(_, size)| size).sum::<u64>();
        }
        of_account += manifests;
        assert_eq!(used(world, Scope::Repository(id)).await, sum(&blobs) + manifests, "{}", repository.name);
        let counted = world.metadata.sizes_of_repository(id, repository.account_id).await.unwrap();
        assert_eq!(counted.logical, sum(&blobs) + manifests);
        assert_eq!(counted.unique + counted.shared, counted.logical);
    }
    let query = format!("SELECT blob_id, blob_id FROM account_blobs WHERE account_id = {}", world.alice.account_id);
    let blobs: BTreeSet<i64> = pairs(world, &query).await.into_iter().map(|(blob, _)| blob).collect();
    assert_eq!(used(world, account(world)).await, sum(&blobs) + of_account, "the account");
    let counted = world.metadata.sizes_of_account(world.alice.account_id).await.unwrap();
    assert_eq!(counted.logical, sum(&blobs) + of_account);
}

async fn pairs(world: &World, query: &str) -> Vec<(i64, u64)> {
    let rows = world.look(query).await;
    let pair = |row: &String| row.split_once(' ').map(|(one, two)| (one.parse().unwrap(), two.parse().unwrap()));
    rows.iter().filter_map(pair).collect()
}

async fn mount(world: &World, to: &Repository, from: &Repository, digest: &Digest) {
    let mounted: Result<_, Error> = world
        .metadata
        .write((to.clone(), from.id, digest.clone()), |tx, (to, source, digest)| {
            Box::pin(async move {
                let repository = &tx.repository(&to.name).await?.unwrap();
                tx.mount(&Mount { repository, source: *source, digest, now: NOW }).await
            })
        })
        .await;
    assert!(mounted.unwrap().is_some());
}

pub(crate) async fn undelete(world: &World, repository: &Repository, digest: &Digest) -> Undeleted {
    let input = (repository.clone(), digest.clone(), world.alice.id);
    let back: Result<_, Error> = world
        .metadata
        .write(input, |tx, (repository, digest, actor)| {
            Box::pin(async move {
                tx.repository(&repository.name).await?;
                tx.undelete_manifest(repository, digest, *actor, NOW).await
            })
        })
        .await;
    back.unwrap()
}

/// Collects what is due at this time: whatever nothing needs, and with `purges` what is in the trash.
pub(crate) async fn collect(world: &World, now: i64, purges: bool) {
    for _ in 0..8 {
        let done: Result<(), Error> = world
            .metadata
            .write((now, purges), |tx, (now, purges)| {
                Box::pin(async move {
                    if *purges {
                        for due in tx.claim_trash(*now, 100).await? {
                            tx.purge(&due, *now).await?;
                        }
                    }
                    for candidate in tx.claim_candidates(*now, 100).await? {
                        use hallmark_storage::metadata::Looked;
                        let goes = match tx.look_at(&candidate).await? {
                            Looked::Link(seen) => !seen.named,
                            Looked::Account(seen) => !seen.linked && !seen.in_trash,
                            Looked::Blob(seen) => !seen.held,
                            _ => false,
                        };
                        if goes {
                            tx.collect(&candidate, *now).await?;
                        } else {
                            tx.settle(&candidate).await?;
                        }
                    }
                    Ok(())
                })
            })
            .await;
        done.unwrap();
    }
}

/// Folds until nothing is left; what is told of soft limits.
async fn fold(world: &World, scope: Scope) -> Vec<Passed> {
    let mut told = Vec::new();
    loop {
        let folded: Result<_, Error> = world
            .metadata
            .write(scope, |tx, scope| {
                Box::pin(async move {
                    let (taken, total) = tx.fold(*scope, 3).await?;
                    let passed = if taken == 0 { None } else { tx.judge_soft_limit(*scope, total).await? };
                    Ok((taken, passed))
                })
            })
            .await;
        let (taken, passed) = folded.unwrap();
        told.extend(passed);
        if taken == 0 {
            return told;
        }
    }
}

async fn set_quota(world: &World, scope: Scope, soft: Option<u64>, hard: Option<u64>) {
    let set: Result<(), Error> = world
        .metadata
        .write((scope, Quota { soft, hard }), |tx, (scope, quota)| {
            Box::pin(async move {
                tx.hold_quota(*scope).await?;
                tx.set_quota(*scope, *quota).await
            })
        })
        .await;
    set.unwrap();
    assert_eq!(world.metadata.quota(scope).await.unwrap(), Quota { soft, hard });
}

async fn reserve(world: &World, repository: &Repository, upload: (&UploadId, i64), room: Room) -> bool {
    let input = (upload.0.clone(), upload.1, repository.id, repository.account_id, room);
    let reserved: Result<bool, Error> = world
        .metadata
        .write(input, |tx, (upload, fence, repository, account, room)| {
            Box::pin(async move { tx.reserve((upload, *fence), (*repository, *account), *room).await })
        })
        .await;
    reserved.unwrap()
}

async fn a_blob_is_charged_once_for_its_account_and_once_for_each_repository(world: World) {
    let (one, two) = (world.repository("alice/one").await, world.repository("alice/two").await);
    let layer = world.blob(&one, b"layer").await;
    world.blob(&one, b"layer").await;
    assert_eq!((used(&world, account(&world)).await, used(&world, Scope::Repository(one.id)).await), (5, 5));
    mount(&world, &two, &one, &layer).await;
    mount(&world, &two, &one, &layer).await;
    assert_eq!((used(&world, account(&world)).await, used(&world, Scope::Repository(two.id)).await), (5, 5));
    let body = image(&layer, &[], "");
    for repository in [&one, &one, &two] {
        world.put(repository, &body, &["v1"]).await;
    }
    let size = body.len() as u64;
    assert_eq!(used(&world, account(&world)).await, 5 + 2 * size, "a manifest is kept once for each repository");
    assert_eq!(used(&world, Scope::Repository(one.id)).await, 5 + size);
    is_counted(&world, &[&one, &two]).await;
}

async fn trash_counts_until_it_is_purged(world: World) {
    let repository = world.repository("alice/app").await;
    let layer = world.blob(&repository, b"layer").await;
    let body = image(&layer, &[], "");
    let digest = world.put(&repository, &body, &["v1"]).await;
    let whole = 5 + body.len() as u64;
    let counts = async |what: &str| {
        assert_eq!(used(&world, account(&world)).await, whole, "{what}");
        assert_eq!(used(&world, Scope::Repository(repository.id)).await, whole, "{what}");
        is_counted(&world, &[&repository]).await;
    };
    world.delete_manifest(&repository, &digest).await;
    counts("deleted").await;
    let seen = world.metadata.sizes_of_repository(repository.id, repository.account_id).await.unwrap();
    assert_eq!((seen.logical, seen.reclaimable), (whole, whole));
    assert!(matches!(undelete(&world, &repository, &digest).await, Undeleted::Back(..)));
    counts("brought back").await;
    world.delete_manifest(&repository, &digest).await;
    world.put(&repository, &body, &["v1"]).await;
    counts("pushed again").await;
    world.delete_manifest(&repository, &digest).await;
    // The link goes before the window is over, and the trash keeps the blob.
    collect(&world, LATER, false).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM repository_blobs").await, 0);
    counts("unlinked").await;
    assert!(matches!(undelete(&world, &repository, &digest).await, Undeleted::Back(..)));
    counts("brought back, and linked again").await;
    world.delete_manifest(&repository, &digest).await;
    collect(&world, LATER, true).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM blobs").await, 0);
    assert_eq!((used(&world, account(&world)).await, used(&world, Scope::Repository(repository.id)).await), (0, 0));
}

async fn what_is_deleted_from_a_repository_counts_while_its_trash_names_it(world: World) {
    let (one, two) = (world.repository("alice/one").await, world.repository("alice/two").await);
    let (layer, other) = (world.blob(&one, b"layer").await, world.blob(&one, b"other layer").await);
    mount(&world, &two, &one, &layer).await;
    let first = world.put(&one, &image(&layer, &[&other], "first"), &[]).await;
    let second = world.put(&one, &image(&layer, &[], "second"), &[]).await;
    let before = used(&world, Scope::Repository(one.id)).await;
    for digest in [&first, &second] {
        world.delete_manifest(&one, digest).await;
    }
    world.delete_blob(&one, &layer).await;
    assert_eq!(
        used(&world, Scope::Repository(one.id)).await,
        before,
        "deleting does not make room for what can come back"
    );
    is_counted(&world, &[&one, &two]).await;
    assert!(matches!(undelete(&world, &one, &first).await, Undeleted::Back(..)));
    assert_eq!(used(&world, Scope::Repository(one.id)).await, before);
    collect(&world, LATER, true).await;
    is_counted(&world, &[&one, &two]).await;
    world.delete_manifest(&one, &first).await;
    collect(&world, LATER + DAY, true).await;
    collect(&world, LATER + 40 * DAY, true).await;
    is_counted(&world, &[&one, &two]).await;
}

async fn a_deleted_repository_counts_until_it_is_emptied(world: World) {
    let (kept, gone) = (world.repository("alice/kept").await, world.repository("alice/gone").await);
    let (layer, shared) = (world.blob(&gone, b"layer").await, world.blob(&kept, b"shared").await);
    mount(&world, &gone, &kept, &shared).await;
    world.put(&gone, &image(&layer, &[&shared], "lives"), &["v1"]).await;
    let buried = world.put(&gone, &image(&layer, &[], "buried"), &[]).await;
    world.delete_manifest(&gone, &buried).await;
    set_quota(&world, Scope::Repository(gone.id), Some(1), Some(1_000_000)).await;
    let before = used(&world, account(&world)).await;
    let deleted: Result<bool, Error> =
        world.metadata.write(gone.clone(), |tx, gone| Box::pin(tx.delete_repository(gone, NOW))).await;
    assert!(deleted.unwrap());
    assert_eq!(used(&world, account(&world)).await, before, "it can be brought back");
    let seen = world.metadata.sizes_of_account(world.alice.account_id).await.unwrap();
    assert_eq!(seen.reclaimable, before, "nothing that lives names a blob");
    for step in 0.. {
        let more: Result<bool, Error> =
            world.metadata.write((), |tx, ()| Box::pin(tx.empty_deleted_repository(LATER, 2))).await;
        if !more.unwrap() {
            break;
        }
        assert!(step < 50);
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM repositories").await, 1);
    let left = format!(
        "SELECT scope FROM usage_entries WHERE scope = 'repository' AND scope_id = {0}
        UNION ALL SELECT scope FROM usage_totals WHERE scope = 'repository' AND scope_id = {0}
        UNION ALL SELECT scope FROM quotas WHERE scope = 'repository' AND scope_id = {0}",
        gone.id
    );
    assert_eq!(world.look(&left).await, [""; 0]);
    collect(&world, LATER, true).await;
    is_counted(&world, &[&kept]).await;
}

async fn what_is_forgotten_with_an_account_leaves_no_count(world: World) {
    let made: Result<_, Error> =
        world.metadata.write(world.alice.id, |tx, alice| Box::pin(tx.create_organization("acme", *alice, NOW))).await;
    let acme = made.unwrap().unwrap();
    let scope = Scope::Account(acme.id);
    set_quota(&world, scope, None, Some(9)).await;
    let gone: Result<OrganizationChange, Error> =
        world.metadata.write(acme, |tx, acme| Box::pin(tx.remove_organization(acme, NOW))).await;
    assert_eq!(gone.unwrap(), OrganizationChange::Made);
    for table in ["usage_entries", "usage_totals", "quotas"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
}

async fn a_reservation_goes_with_its_upload(world: World) {
    let repository = world.repository("alice/app").await;
    let both = Room { account: 100, repository: 40 };
    let of = async |scope| world.metadata.usage(scope).await.unwrap();
    let (first, key) = world.upload(&repository, 1).await;
    assert!(reserve(&world, &repository, (&first, 1), both).await);
    assert!(reserve(&world, &repository, (&first, 1), Room { account: 70, repository: 40 }).await);
    assert!(!reserve(&world, &repository, (&first, 2), both).await, "another has taken it over");
    assert_eq!(of(account(&world)).await, Usage { used: 0, reserved: 70 });
    assert_eq!(of(Scope::Repository(repository.id)).await, Usage { used: 0, reserved: 40 });
    fold(&world, account(&world)).await;
    assert_eq!(of(account(&world)).await.reserved, 70, "a reservation is never folded");
    world.finish(&repository, (first, key), b"blob").await.unwrap().unwrap();
    assert_eq!(of(account(&world)).await, Usage { used: 4, reserved: 0 });
    let (second, _) = world.upload(&repository, 2).await;
    reserve(&world, &repository, (&second, 1), both).await;
    let gone: Result<u64, Error> =
        world.metadata.write((), |tx, ()| Box::pin(async { tx.expire_uploads(LATER, 10).await })).await;
    assert_eq!(gone.unwrap(), 1);
    assert_eq!(of(account(&world)).await, Usage { used: 4, reserved: 0 }, "what was abandoned");
    let (third, _) = world.upload(&repository, 3).await;
    reserve(&world, &repository, (&third, 1), both).await;
    let ended: Result<bool, Error> =
        world.metadata.write(third, |tx, third| Box::pin(async move { tx.end_passage(third).await })).await;
    assert!(ended.unwrap());
    assert_eq!(of(account(&world)).await, Usage { used: 4, reserved: 0 });
}

/// Puts a manifest in a change that says whether so much was reserved; the change is kept.
async fn covered(world: &World, repository: &Repository, body: &str, reserved: Room) -> bool {
    let input = (repository.clone(), body.to_owned(), world.alice.id, reserved);
    let covered: Result<bool, Error> = world
        .metadata
        .write(input, |tx, (repository, body, pushed_by, reserved)| {
            Box::pin(async move {
                let repository = &tx.repository(&repository.name).await?.unwrap();
                let manifest = &Manifest::parse(body.as_bytes(), None, 1 << 20).unwrap();
                let (digest, tags) = (&Digest::of(Algorithm::Sha256, body.as_bytes()), &[][..]);
                let (body, now, pushed_by) = (body.as_bytes(), NOW, *pushed_by);
                let put = PutManifest { repository, digest, manifest, body, tags, pushed_by, now };
                tx.put_manifest(&put).await.unwrap();
                Ok(tx.is_covered(repository.id, *reserved))
            })
        })
        .await;
    covered.unwrap()
}

async fn what_is_charged_is_covered_by_what_is_reserved(world: World) {
    let repository = world.repository("alice/app").await;
    let layer = world.blob(&repository, b"layer").await;
    let bodies: Vec<String> = (0..5).map(|number| image(&layer, &[], &number.to_string())).collect();
    let size = i64::try_from(bodies[0].len()).unwrap();
    let room = |account, repository| Room { account, repository };
    assert!(covered(&world, &repository, &bodies[0], room(0, 0)).await, "there is no limit");
    set_quota(&world, account(&world), None, Some(1)).await;
    assert!(!covered(&world, &repository, &bodies[1], room(size - 1, 0)).await);
    assert!(covered(&world, &repository, &bodies[1], room(0, 0)).await, "what is there already costs nothing");
    assert!(covered(&world, &repository, &bodies[2], room(size, 0)).await);
    set_quota(&world, Scope::Repository(repository.id), None, Some(1)).await;
    assert!(!covered(&world, &repository, &bodies[3], room(size, 0)).await);
    assert!(covered(&world, &repository, &bodies[4], room(size, size)).await);
}

async fn whoever_leases_an_upload_is_told_its_limits(world: World) {
    let repository = world.repository("alice/app").await;
    let (upload, _) = world.upload(&repository, 1).await;
    let lease = async |now: i64| {
        let input = (upload.clone(), repository.id, world.alice.id, now);
        let leased: Result<Lease, Error> = world
            .metadata
            .write(input, |tx, (upload, repository, principal, now)| {
                let ends = (*now + 1_000, LATER);
                Box::pin(tx.lease_upload((upload, *repository, *principal), None, *now, ends))
            })
            .await;
        let Ok(Lease::Leased(upload)) = leased else { panic!("{leased:?}") };
        upload
    };
    let leased = lease(NOW + 2_000).await;
    assert_eq!((leased.limits.is_any(), leased.limits.account_id), (false, world.alice.account_id));
    set_quota(&world, account(&world), None, Some(70)).await;
    set_quota(&world, Scope::Repository(repository.id), Some(3), None).await;
    assert!(reserve(&world, &repository, (&upload, leased.fence), Room { account: 9, repository: 8 }).await);
    let leased = lease(NOW + 5_000).await;
    assert_eq!((leased.limits.account, leased.limits.repository), (Some(70), None));
    assert_eq!(leased.reserved, Room::default(), "nothing has come that it would be for");
}

async fn entries_are_folded_once_whoever_folds(world: World) {
    let repository = world.repository("alice/app").await;
    let contents: Vec<String> = (0..24).map(|number| format!("content {number}")).collect();
    for content in &contents {
        world.blob(&repository, content.as_bytes()).await;
    }
    let all: u64 = contents.iter().map(|content| content.len() as u64).sum();
    let first = world.metadata.next_to_fold(None).await.unwrap();
    assert_eq!(first, Some(account(&world)));
    assert_eq!(world.metadata.next_to_fold(first).await.unwrap(), Some(Scope::Repository(repository.id)));
    let folders = (0..4).map(|_| fold(&world, account(&world)));
    futures_util::future::join_all(folders).await;
    assert_eq!(used(&world, account(&world)).await, all);
    let left = "SELECT COUNT(*) FROM usage_entries WHERE scope = 'account'";
    assert_eq!(world.count(left).await, 0);
    assert_eq!(world.metadata.next_to_fold(None).await.unwrap(), Some(Scope::Repository(repository.id)));
    is_counted(&world, &[&repository]).await;
}

async fn a_soft_limit_is_told_of_once_for_each_crossing(world: World) {
    let repository = world.repository("alice/app").await;
    let scope = Scope::Repository(repository.id);
    set_quota(&world, scope, Some(10), None).await;
    world.blob(&repository, b"0123456789").await;
    assert_eq!(fold(&world, scope).await, []);
    let more = world.blob(&repository, b"more").await;
    let told = fold(&world, scope).await;
    let passed = Passed {
        account: repository.account_id,
        repository: Some(repository.id),
        name: "alice/app".to_owned(),
        soft: 10,
    };
    assert_eq!(told, std::slice::from_ref(&passed));
    world.blob(&repository, b"and more").await;
    assert_eq!(fold(&world, scope).await, [], "it was told");
    world.delete_blob(&repository, &more).await;
    fold(&world, scope).await;
    set_quota(&world, scope, Some(100), None).await;
    assert_eq!(fold(&world, scope).await, []);
    set_quota(&world, scope, Some(10), None).await;
    assert_eq!(fold(&world, scope).await, [passed], "a limit that is set below is passed");
    set_quota(&world, account(&world), Some(1), None).await;
    assert_eq!(fold(&world, account(&world)).await[0].name, "alice");
    set_quota(&world, account(&world), None, None).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM quotas").await, 1);
}

async fn sizes_tell_what_is_shared_within_the_account_alone(world: World) {
    let (one, two) = (world.repository("alice/one").await, world.repository("alice/two").await);
    let (own, shared) = (world.blob(&one, b"own").await, world.blob(&one, b"shared").await);
    mount(&world, &two, &one, &shared).await;
    let unnamed = world.blob(&one, b"unnamed").await;
    let body = image(&own, &[&shared], "");
    world.put(&one, &body, &["v1"]).await;
    let size = body.len() as u64;
    let seen = async || {
        let of_one = world.metadata.sizes_of_repository(one.id, one.account_id).await.unwrap();
        let of_two = world.metadata.sizes_of_repository(two.id, two.account_id).await.unwrap();
        (of_one, of_two, world.metadata.sizes_of_account(one.account_id).await.unwrap())
    };
    let before = seen().await;
    let of_one = Sizes { logical: 3 + 6 + 7 + size, unique: 3 + 7 + size, shared: 6, reclaimable: 7, unneeded: 7 };
    let of_two = Sizes { logical: 6, unique: 0, shared: 6, reclaimable: 0, unneeded: 6 };
    assert_eq!(before, (of_one, of_two, of_one));
    let bob = world.user("bob").await;
    let theirs = world.repository_in("bob/app".parse().unwrap(), bob.account_id).await;
    for content in [&b"own"[..], b"shared", b"unnamed"] {
        world.blob(&theirs, content).await;
    }
    assert_eq!(seen().await, before, "who else holds it makes no difference");
    world.metadata.set_graces(Graces { window: 0, ..Graces::default() });
    collect(&world, LATER, true).await;
    let after = seen().await;
    assert_eq!(after.2.logical, before.2.logical - before.2.reclaimable);
    assert_eq!((after.0.reclaimable, after.2.reclaimable), (0, 0));
    assert!(world.metadata.blob(one.id, &unnamed).await.unwrap().is_none());
    is_counted(&world, &[&one]).await;
}

/// The part of the migration that counts what is there, run on tables that were counted all along.
async fn what_was_there_before_is_counted_by_the_migration(world: World) {
    let (one, two) = (world.repository("alice/one").await, world.repository("alice/two").await);
    let (layer, other) = (world.blob(&one, b"layer").await, world.blob(&one, b"other").await);
    mount(&world, &two, &one, &layer).await;
    let digest = world.put(&one, &image(&layer, &[&other], ""), &["v1"]).await;
    world.put(&two, &image(&layer, &[], ""), &["v1"]).await;
    world.delete_manifest(&one, &digest).await;
    world.delete_blob(&one, &other).await;
    is_counted(&world, &[&one, &two]).await;
    for table in ["usage_entries", "usage_totals"] {
        world.meddle(&format!("DELETE FROM {table}")).await;
    }
    assert_eq!(used(&world, account(&world)).await, 0);
    let migration = match world.metadata.engine() {
        Engine::Sqlite => include_str!("../../migrations/sqlite/0008_quotas.sql"),
        Engine::Postgres => include_str!("../../migrations/postgres/0008_quotas.sql"),
    };
    let lines: Vec<&str> = migration.lines().filter(|line| !line.starts_with("--")).collect();
    let text = lines.join("\n");
    let counts: Vec<&str> =
        text.split(';').map(str::trim).filter(|text| text.starts_with("INSERT INTO usage_totals")).collect();
    assert_eq!(counts.len(), 2);
    for count in counts {
        world.meddle(count).await;
    }
    is_counted(&world, &[&one, &two]).await;
}

async fn new_accounts_begin_with_the_quota_that_all_get(world: World) {
    world.metadata.set_account_quota(Some(1_000));
    let bob = world.user("bob").await;
    let made: Result<_, Error> =
        world.metadata.write(bob.id, |tx, bob| Box::pin(tx.create_organization("acme", *bob, NOW))).await;
    let acme = made.unwrap().unwrap();
    for account in [bob.account_id, acme.id] {
        let quota = world.metadata.quota(Scope::Account(account)).await.unwrap();
        assert_eq!(quota, Quota { soft: None, hard: Some(1_000) });
    }
    assert_eq!(world.metadata.quota(account(&world)).await.unwrap(), Quota::default(), "who was there has none");
    world.metadata.set_account_quota(None);
    let eve = world.user("eve").await;
    assert_eq!(world.metadata.quota(Scope::Account(eve.account_id)).await.unwrap(), Quota::default());
}

async fn what_a_release_charged_that_counts_nothing_is_put_right(world: World) {
    let repository = world.repository("alice/app").await;
    let layer = world.blob(&repository, b"layer").await;
    let digest = world.put(&repository, &image(&layer, &[], ""), &["v1"]).await;
    world.delete_manifest(&repository, &digest).await;
    assert_eq!(world.metadata.migrated_at().await.unwrap(), NOW);
    fold(&world, account(&world)).await;
    world.meddle("UPDATE usage_totals SET bytes = bytes + 7").await;
    world.meddle("DELETE FROM usage_entries WHERE scope = 'repository'").await;
    let (mut scopes, mut after, mut drifts) = (0, None, Vec::new());
    while let Some(scope) = world.metadata.next_scope(after).await.unwrap() {
        for _ in 0..2 {
            let drift: Result<i64, Error> = world
                .metadata
                .write(scope, |tx, scope| Box::pin(async move { tx.put_usage_right(*scope).await }))
                .await;
            drifts.push(drift.unwrap());
        }
        (scopes, after) = (scopes + 1, Some(scope));
    }
    let whole = i64::try_from(used(&world, Scope::Repository(repository.id)).await).unwrap();
    // The system's account, alice's, and her repository; nothing is put right twice.
    assert_eq!((scopes, drifts), (3, vec![0, 0, -7, 0, whole, 0]));
    is_counted(&world, &[&repository]).await;
}
