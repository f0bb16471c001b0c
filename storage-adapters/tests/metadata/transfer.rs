//! Repositories that are handed over to another account.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hallmark_oci::{Algorithm, Digest, Reference, RepositoryName};
use hallmark_storage::metadata::{
    AccountId, Engine, Error, Grant, HandedOver, Holder, MOST_HANDED_OVER, MOST_LEFT_BEHIND, Principal, PrincipalId,
    Quota, Repository, Rights, Room, Scope, Target, Undeleted, Weight,
};

use crate::harness::images::{image, index};
use crate::harness::people::on_repository;
use crate::harness::{NOW, World, family, run};
use crate::usage::{collect, undelete};

const LATER: i64 = NOW + 100 * 24 * 60 * 60 * 1_000;
/// Rounds of each race.
const ROUNDS: u32 = 20;

family! {
    what_is_in_a_repository_goes_along_and_both_accounts_are_charged_right,
    what_the_account_before_has_given_stays_behind,
    a_repository_goes_to_the_system_and_back,
    a_name_that_is_taken_stays_its_repository_s,
    open_uploads_end,
    what_is_too_much_is_weighed_no_further,
    foreign_keys_hold_again_when_it_is_done,
    the_limit_of_the_other_account_is_told_with_what_it_is_charged,
    pushes_that_come_meanwhile_are_whole_or_nowhere,
    the_collector_judges_nothing_in_between,
    repositories_that_cross_arrive,
    two_that_want_the_same_repository_give_it_to_one,
}

/// Hands a repository over; `None` when it is not there any more, or the name is taken.
async fn hand_over(world: &World, repository: &Repository, name: &str) -> Option<HandedOver> {
    let input = (repository.clone(), name.parse::<RepositoryName>().unwrap());
    world
        .change(input, |tx, (repository, name)| {
            Box::pin(async move {
                let account = match name.account() {
                    Some(account) => tx.account(account).await?,
                    None => None,
                };
                let held = tx.hold_repository(&repository.name).await?.filter(|held| held.id == repository.id);
                let Some(held) = held else { return Ok(None) };
                assert!(tx.weigh(held.id).await?.is_bearable());
                let done = tx.hand_over(&held, (account.as_ref(), name), NOW).await?;
                if let Some(done) = &done {
                    let account = account.map_or(AccountId::SYSTEM, |account| account.id);
                    assert_eq!(tx.charged((held.id, account)), Room { account: done.charged, repository: 0 });
                }
                Ok(done)
            })
        })
        .await
}

async fn used(world: &World, scope: Scope) -> i64 {
    i64::try_from(world.metadata.usage(scope).await.unwrap().used).unwrap()
}

/// Each account is charged what a count of all its rows finds, each repository too, and no row names what is not there.
async fn adds_up(world: &World) {
    for account in world.look("SELECT id FROM accounts").await {
        let counted = world
            .count(&format!(
                "SELECT CAST(COALESCE(SUM(held.size), 0) AS BIGINT) FROM (
                   SELECT b.size FROM account_blobs a JOIN blobs b ON b.id = a.blob_id WHERE a.account_id = {account}
                   UNION ALL SELECT m.size FROM manifests m JOIN repositories r ON r.id = m.repository_id WHERE r.account_id = {account}
                   UNION ALL SELECT t.size FROM trash t JOIN repositories r ON r.id = t.repository_id WHERE r.account_id = {account}
                 ) AS held"
            ))
            .await;
        let id = AccountId(account.parse().unwrap());
        assert_eq!(used(world, Scope::Account(id)).await, counted, "account {account}");
        let sizes = world.metadata.sizes_of_account(id).await.unwrap();
        assert_eq!(i64::try_from(sizes.logical).unwrap(), counted, "account {account}");
    }
    for row in world.look("SELECT id, account_id FROM repositories WHERE name IS NOT NULL").await {
        let (id, account) = row.split_once(' ').unwrap();
        let scope = Scope::Repository(hallmark_storage::metadata::RepositoryId(id.parse().unwrap()));
        let Scope::Repository(repository) = scope else { unreachable!() };
        let sizes = world.metadata.sizes_of_repository(repository, AccountId(account.parse().unwrap())).await.unwrap();
        assert_eq!(used(world, scope).await, i64::try_from(sizes.logical).unwrap(), "repository {id}");
    }
    let astray = "SELECT l.repository_id, l.blob_id FROM repository_blobs l
           JOIN repositories r ON r.id = l.repository_id WHERE r.account_id <> l.account_id
         UNION ALL SELECT t.repository_id, n.blob_id FROM trash t JOIN trash_blobs n ON n.trash_id = t.id
           JOIN repositories r ON r.id = t.repository_id WHERE r.account_id <> n.account_id
         UNION ALL SELECT l.repository_id, l.blob_id FROM repository_blobs l WHERE NOT EXISTS
           (SELECT 1 FROM account_blobs a WHERE a.account_id = l.account_id AND a.blob_id = l.blob_id)";
    assert_eq!(world.look(astray).await, [""; 0], "a link that stands on another account");
    if world.metadata.engine() == Engine::Sqlite {
        assert_eq!(world.look("PRAGMA foreign_key_check").await, [""; 0]);
    }
    world.is_sound().await;
}

/// The contents that an account holds, of those that are given.
async fn held(world: &World, account: AccountId, contents: &[&[u8]]) -> Vec<String> {
    let query = format!(
        "SELECT b.digest FROM account_blobs a JOIN blobs b ON b.id = a.blob_id WHERE a.account_id = {}",
        account.0
    );
    let digests = world.look(&query).await;
    let held = contents.iter().filter(|content| digests.contains(&Digest::of(Algorithm::Sha256, content).to_string()));
    held.map(|content| String::from_utf8(content.to_vec()).unwrap()).collect()
}

async fn tagged(world: &World, repository: &Repository, tag: &str) -> Option<Digest> {
    let reference = Reference::Tag(tag.parse().unwrap());
    world.metadata.manifest(repository.id, &reference).await.unwrap().map(|manifest| manifest.digest.clone())
}

async fn found(world: &World, name: &str) -> Option<Repository> {
    world.metadata.repository(&name.parse().unwrap()).await.unwrap()
}

async fn what_is_in_a_repository_goes_along_and_both_accounts_are_charged_right(world: World) {
    const ALL: &[&[u8]] = &[b"own", b"shared", b"theirs", b"deleted", b"loose", b"deleted too"];
    let bob = world.user("bob").await;
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let theirs = world.named("bob/theirs").await;
    let mut blobs = Vec::new();
    for content in ALL {
        blobs.push(world.blob(&app, content).await);
    }
    world.blob(&other, b"shared").await;
    world.blob(&theirs, b"theirs").await;
    let kept = world.put(&app, &image(&blobs[0], &[&blobs[1], &blobs[2]], "kept"), &["v1", "v2"]).await;
    world.put(&app, &index(&[&kept]), &["all"]).await;
    let gone = world.put(&app, &image(&blobs[0], &[&blobs[3]], "gone"), &["old"]).await;
    world.delete_manifest(&app, &gone).await;
    // Its trash alone names it, and the trash of another repository names another one.
    world.delete_blob(&app, &blobs[3]).await;
    world.blob(&other, b"deleted too").await;
    let named = world.put(&other, &image(&blobs[5], &[], ""), &[]).await;
    world.delete_manifest(&other, &named).await;
    world.delete_blob(&other, &blobs[5]).await;
    world.open_up(&app, true).await;
    adds_up(&world).await;
    let in_it = used(&world, Scope::Repository(app.id)).await;
    let before = (
        used(&world, Scope::Account(world.alice.account_id)).await,
        used(&world, Scope::Account(bob.account_id)).await,
    );
    let links = world.count("SELECT COUNT(*) FROM candidates WHERE kind IN ('link', 'manifest')").await;

    let done = hand_over(&world, &app, "bob/app").await.unwrap();
    adds_up(&world).await;
    let moved = found(&world, "bob/app").await.unwrap();
    assert_eq!((moved.id, moved.account_id, moved.public), (app.id, bob.account_id, true));
    assert_eq!((moved.account_name.as_deref(), moved.owner), (Some("bob"), Some(bob.id)));
    assert_eq!(found(&world, "alice/app").await, None);
    assert_eq!(used(&world, Scope::Repository(app.id)).await, in_it);
    let shared = |contents: &[&[u8]]| contents.iter().map(|content| content.len() as i64).sum::<i64>();
    assert_eq!(done.charged, in_it - shared(&[b"theirs"]));
    assert_eq!(used(&world, Scope::Account(bob.account_id)).await, before.1 + done.charged);
    let left = before.0 - in_it + shared(&[b"shared", b"deleted too"]);
    assert_eq!(used(&world, Scope::Account(world.alice.account_id)).await, left);
    assert_eq!(held(&world, bob.account_id, ALL).await, ["own", "shared", "theirs", "deleted", "loose", "deleted too"]);
    assert_eq!(held(&world, world.alice.account_id, ALL).await, ["shared", "deleted too"]);
    assert_eq!(world.count("SELECT COUNT(*) FROM candidates WHERE kind IN ('link', 'manifest')").await, links);

    // Tags with their history, and what waits in the trash.
    assert_eq!(tagged(&world, &moved, "v1").await, Some(kept.clone()));
    let history = world.metadata.tag_history(moved.id, &"old".parse().unwrap(), i64::MAX, 10).await.unwrap();
    assert_eq!(history.len(), 2);
    assert!(matches!(undelete(&world, &moved, &gone).await, Undeleted::Back(_, tags) if tags.len() == 1));
    adds_up(&world).await;
    world.delete_manifest(&moved, &gone).await;

    // Whatever nothing needs any more goes from where it is now.
    collect(&world, LATER, true).await;
    adds_up(&world).await;
    assert_eq!(held(&world, bob.account_id, ALL).await, ["own", "shared", "theirs"]);
    // Nobody needed this one but by a link that is long unused.
    assert_eq!(held(&world, world.alice.account_id, ALL).await, [""; 0]);
    assert_eq!(world.count("SELECT COUNT(*) FROM blobs").await, 3);
    assert_eq!(tagged(&world, &moved, "v2").await, Some(kept));
}

async fn what_the_account_before_has_given_stays_behind(world: World) {
    let (bob, cleo) = (world.user("bob").await, world.user("cleo").await);
    let acme = world.organization("acme", &world.alice).await;
    world.organization("beta", &bob).await;
    let app = world.named("acme/app").await;
    let site = world.named("acme/site").await;
    let team = world.team(&acme, "dev").await;
    let (bound, free) = (world.robot("acme", Some(&app), "ci").await, world.robot("acme", None, "all").await);
    for holder in [bound.id, free.id, team.id, cleo.id] {
        world.give(on_repository(&app, holder), "write").await;
    }
    world.give(on_repository(&site, cleo.id), "read").await;
    let blob = world.blob(&app, b"layer").await;
    let digest = world.put(&app, &image(&blob, &[], ""), &["v1"]).await;
    let rule = |check: Option<&'static str>| {
        world.change((app.id, cleo.id, check), |tx, (repository, holder, check)| {
            Box::pin(tx.add_sign_rule(*repository, (*holder, "user:cleo"), *check, (NOW, 3)))
        })
    };
    let rules = [rule(None).await.unwrap().id, rule(Some("tests")).await.unwrap().id];
    world
        .change((app.id, digest.clone(), cleo.id), |tx, (repository, digest, by)| {
            Box::pin(tx.report_check(*repository, digest, ("tests", *by), NOW))
        })
        .await;
    world
        .change(Scope::Repository(app.id), |tx, scope| {
            Box::pin(async move {
                tx.hold_quota(*scope).await?;
                tx.set_quota(*scope, Quota { soft: None, hard: Some(1 << 20) }).await
            })
        })
        .await;
    for (id, dialect, gun) in [(901, "notary1", "here/acme/app"), (902, "tuf1", "")] {
        let id = format!("{id}, {}, '{dialect}', '{gun}', 1, 0, 0", app.id);
        world.meddle(&format!("INSERT INTO trust_collections (id, repository_id, dialect, gun, head, renew_at, expires_at) VALUES ({id})")).await;
    }
    let file = "INSERT INTO trust_metadata (collection_id, role, version, sha256, sha512, published_at, body) VALUES (901, 'root', 1, $, $, 0, $)";
    world.meddle(&world.with_bytes(file, "ab")).await;
    world.meddle("INSERT INTO trust_current (collection_id, role, version) VALUES (901, 'root', 1)").await;
    assert!(world.change(app.id, |tx, id| Box::pin(tx.give_signing_key(*id, "0a", NOW))).await);
    let weight = world.change(app.id, |tx, id| Box::pin(tx.weigh(*id))).await;
    // A link, a manifest, a check and a file; a robot, four grants and two rules.
    assert_eq!(weight, Weight { rows: 4, left_behind: 7 });

    let mut done = hand_over(&world, &app, "beta/app").await.unwrap();
    done.holders.sort();
    done.rules.sort_unstable();
    let of_acme = |name: &str| ("acme".to_owned(), name.to_owned());
    let ((team, dev), (robots, all)) = (of_acme("dev"), of_acme("all"));
    assert_eq!(done.robots, ["acme+ci"]);
    assert_eq!(done.holders, [Holder::User("cleo".into()), Holder::Team(team, dev), Holder::Robot(robots, all)]);
    let mut expected = rules.to_vec();
    expected.sort_unstable();
    assert_eq!(done.rules, expected);
    assert_eq!((done.checks, done.had_quota), (1, true));
    assert_eq!(done.collections, [("here/acme/app".to_owned(), Some(vec![0xab]))]);
    for table in ["sign_rules", "checks", "quotas", "trust_collections", "trust_metadata"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(world.metadata.signing_keys(app.id).await.unwrap(), [""; 0]);
    assert_eq!(world.metadata.signing_keys_among(["0a", "0b"].into_iter()).await.unwrap(), ["0a"], "it is known on");
    let grants = world.look("SELECT repository_id FROM repository_grants").await;
    assert_eq!(grants, [site.id.to_string()], "what was granted elsewhere stays");
    assert_eq!(world.metadata.robot(acme.id, "ci").await.unwrap(), None);
    assert!(world.metadata.robot(acme.id, "all").await.unwrap().is_some());
    let rests = world.look("SELECT name, account_id, repository_id FROM resting_names WHERE kind = 'repository'").await;
    assert_eq!(rests, [format!("acme/app {} {}", acme.id, app.id)]);
    adds_up(&world).await;
}

async fn a_repository_goes_to_the_system_and_back(world: World) {
    let app = world.repository("alice/app").await;
    let blob = world.blob(&app, b"layer").await;
    world.put(&app, &image(&blob, &[], ""), &["v1"]).await;
    hand_over(&world, &app, "library").await.unwrap();
    let library = found(&world, "library").await.unwrap();
    assert_eq!((library.account_id, library.account_name.clone()), (AccountId::SYSTEM, None));
    assert_eq!(used(&world, Scope::Account(world.alice.account_id)).await, 0);
    adds_up(&world).await;
    hand_over(&world, &library, "alice/app").await.unwrap();
    assert_eq!(found(&world, "alice/app").await.unwrap(), app);
    assert_eq!(used(&world, Scope::Account(AccountId::SYSTEM)).await, 0);
    adds_up(&world).await;
}

async fn a_name_that_is_taken_stays_its_repository_s(world: World) {
    world.user("bob").await;
    let (app, taken) = (world.repository("alice/app").await, world.named("bob/app").await);
    world.robot("alice", Some(&app), "ci").await;
    assert_eq!(hand_over(&world, &app, "bob/app").await, None);
    assert_eq!((found(&world, "alice/app").await, found(&world, "bob/app").await), (Some(app), Some(taken)));
    assert_eq!(world.count("SELECT COUNT(*) FROM robots").await, 1);
    adds_up(&world).await;
}

async fn open_uploads_end(world: World) {
    world.user("bob").await;
    let app = world.repository("alice/app").await;
    let upload = world.upload(&app, 7).await;
    let input = (upload.0.clone(), app.clone());
    let reserved = world
        .change(input, |tx, (upload, app)| {
            Box::pin(async move {
                tx.reserve((upload, 1), (app.id, app.account_id), Room { account: 50, repository: 50 }).await
            })
        })
        .await;
    assert!(reserved);
    assert_eq!(hand_over(&world, &app, "bob/app").await.unwrap().uploads, 1);
    let moved = found(&world, "bob/app").await.unwrap();
    assert_eq!(world.finish(&moved, upload, b"late").await.unwrap(), None);
    assert_eq!(world.count("SELECT COUNT(*) FROM usage_entries WHERE upload_id IS NOT NULL").await, 0);
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions").await, 1);
    adds_up(&world).await;
}

async fn what_is_too_much_is_weighed_no_further(world: World) {
    let app = world.repository("alice/app").await;
    let weigh = || world.change(app.id, |tx, id| Box::pin(tx.weigh(*id)));
    assert_eq!(weigh().await, Weight { rows: 0, left_behind: 0 });
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $)";
    let reports = |count: i64, first: i64| {
        let (numbers, id, alice) = (numbers.replace('$', &count.to_string()), app.id, world.alice.id);
        format!(
            "{numbers} INSERT INTO checks (repository_id, digest, name, reporter_id, at) SELECT {id}, 'sha256:' || ({first} + i), 'tests', {alice}, 0 FROM n"
        )
    };
    world.meddle(&reports(MOST_HANDED_OVER, 0)).await;
    assert_eq!(weigh().await.rows, MOST_HANDED_OVER);
    assert!(weigh().await.is_bearable());
    world.meddle(&reports(500, 100_000)).await;
    assert_eq!(weigh().await.rows, MOST_HANDED_OVER + 1);
    assert!(!weigh().await.is_bearable());
    let rules = numbers.replace('$', &(MOST_LEFT_BEHIND + 5).to_string());
    let (id, alice) = (app.id, world.alice.id);
    let rules = format!(
        "{rules} INSERT INTO sign_rules (id, repository_id, holder_id, holder, made_at) SELECT 5000000 + i, {id}, {alice}, 'user:alice', 0 FROM n"
    );
    world.meddle(&rules).await;
    world.meddle("DELETE FROM checks").await;
    assert_eq!(weigh().await, Weight { rows: 0, left_behind: MOST_LEFT_BEHIND + 1 });
    assert!(!weigh().await.is_bearable());
}

/// On SQLite the keys between a repository and its links are looked at late for two statements, and for no more.
async fn foreign_keys_hold_again_when_it_is_done(world: World) {
    world.user("bob").await;
    let app = world.repository("alice/app").await;
    world.blob(&app, b"layer").await;
    let refused = Arc::new(AtomicBool::new(false));
    let done: Result<(), Error> = world
        .metadata
        .write((app.clone(), Arc::clone(&refused)), |tx, (app, refused)| {
            Box::pin(async move {
                let account = tx.account("bob").await?;
                tx.hand_over(app, (account.as_ref(), &"bob/app".parse().unwrap()), NOW).await?;
                let nobody = Grant { account: "bob", target: Target::Repository(app.id), holder: PrincipalId(-7) };
                let put = tx.put_grant(&nobody, Rights::ADMIN, app.owner.unwrap_or(PrincipalId::SYSTEM), NOW).await;
                refused.store(put.is_err(), Ordering::Relaxed);
                put.map(drop)
            })
        })
        .await;
    assert!(done.is_err() && refused.load(Ordering::Relaxed), "at once, and not when all is committed");
    assert_eq!(found(&world, "alice/app").await, Some(app));
    adds_up(&world).await;
}

async fn the_limit_of_the_other_account_is_told_with_what_it_is_charged(world: World) {
    let bob = world.user("bob").await;
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    for repository in [&app, &other] {
        world.blob(repository, b"12345").await;
    }
    let limit = |account: AccountId, hard: u64| {
        world.change((account, hard), |tx, (account, hard)| {
            Box::pin(async move {
                tx.hold_quota(Scope::Account(*account)).await?;
                tx.set_quota(Scope::Account(*account), Quota { soft: None, hard: Some(*hard) }).await
            })
        })
    };
    limit(bob.account_id, 7).await;
    let done = hand_over(&world, &app, "bob/app").await.unwrap();
    assert_eq!((done.charged, done.hard), (5, Some(7)));
    let done = hand_over(&world, &other, "bob/other").await.unwrap();
    assert_eq!((done.charged, done.hard), (0, Some(7)), "what the account has already is counted once");
    let app = found(&world, "bob/app").await.unwrap();
    assert_eq!(hand_over(&world, &app, "alice/app").await.unwrap().hard, None);
    adds_up(&world).await;
}

async fn both<A: Send + 'static, B: Send + 'static>(
    one: impl Future<Output = A> + Send + 'static,
    other: impl Future<Output = B> + Send + 'static,
) -> (A, B) {
    let (one, other) = (tokio::spawn(one), tokio::spawn(other));
    (one.await.unwrap(), other.await.unwrap())
}

/// Two accounts between which a repository goes to and fro.
async fn between(world: &World) -> (Principal, [&'static str; 2]) {
    (world.user("bob").await, ["alice/app", "bob/app"])
}

async fn pushes_that_come_meanwhile_are_whole_or_nowhere(world: World) {
    let (_, names) = between(&world).await;
    world.repository(names[0]).await;
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let (from, to) = (names[round as usize % 2], names[(round as usize + 1) % 2]);
        let repository = found(&world, from).await.unwrap();
        let first = world.blob(&repository, &round.to_be_bytes()).await;
        let (pusher, mover) = (Arc::clone(&world), Arc::clone(&world));
        let target = repository.clone();
        let upload = world.upload(&repository, u128::from(round)).await;
        let push = async move {
            let finished = pusher.finish(&target, upload, &[1, round as u8]).await.unwrap();
            let body = image(&first, &[], &round.to_string());
            let put = pusher.try_put(&target, Algorithm::Sha256, &body, &["t"]).await;
            (finished.is_some(), put.is_ok().then(|| Digest::of(Algorithm::Sha256, body.as_bytes())))
        };
        let ((finished, put), done) = both(push, async move { hand_over(&mover, &repository, to).await }).await;
        assert_eq!(done.unwrap().uploads, u64::from(!finished));
        let moved = found(&world, to).await.unwrap();
        if let Some(digest) = put {
            assert_eq!(tagged(&world, &moved, "t").await, Some(digest));
        }
        adds_up(&world).await;
    }
}

async fn the_collector_judges_nothing_in_between(world: World) {
    let (_, names) = between(&world).await;
    world.repository(names[0]).await;
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let (from, to) = (names[round as usize % 2], names[(round as usize + 1) % 2]);
        let repository = found(&world, from).await.unwrap();
        let kept = world.blob(&repository, &[0, round as u8]).await;
        world.blob(&repository, &[1, round as u8]).await;
        let trashed = world.blob(&repository, &[2, round as u8]).await;
        world.put(&repository, &image(&kept, &[], ""), &["t"]).await;
        let gone = world.put(&repository, &image(&trashed, &[], "gone"), &[]).await;
        world.delete_manifest(&repository, &gone).await;
        let (collector, mover) = (Arc::clone(&world), Arc::clone(&world));
        let ((), done) = both(async move { collect(&collector, LATER, true).await }, async move {
            hand_over(&mover, &repository, to).await
        })
        .await;
        assert!(done.is_some());
        adds_up(&world).await;
        collect(&world, LATER, true).await;
        adds_up(&world).await;
        let moved = found(&world, to).await.unwrap();
        let kept = Digest::of(Algorithm::Sha256, &[0, round as u8]);
        assert!(world.metadata.blob(moved.id, &kept).await.unwrap().is_some());
        assert_eq!(world.count("SELECT COUNT(*) FROM trash").await, 0);
    }
    // What each round kept is named no more once the tag has moved on; the manifests that nobody tags stay.
    assert_eq!(world.count("SELECT COUNT(*) FROM account_blobs").await, i64::from(ROUNDS));
}

async fn repositories_that_cross_arrive(world: World) {
    world.user("bob").await;
    let mut here = [world.repository("alice/0").await, world.named("bob/0").await];
    for content in 0..20_u8 {
        for repository in &here {
            world.blob(repository, &[content]).await;
        }
    }
    let world = Arc::new(world);
    for round in 1..=ROUNDS {
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let (a, b) = (here[0].clone(), here[1].clone());
        let (first, second) = both(async move { hand_over(&one, &a, &format!("bob/{round}")).await }, async move {
            hand_over(&two, &b, &format!("alice/{round}")).await
        })
        .await;
        assert!(first.is_some() && second.is_some());
        here = [
            found(&world, &format!("alice/{round}")).await.unwrap(),
            found(&world, &format!("bob/{round}")).await.unwrap(),
        ];
        adds_up(&world).await;
    }
}

async fn two_that_want_the_same_repository_give_it_to_one(world: World) {
    let (_, names) = between(&world).await;
    world.user("cleo").await;
    let world = Arc::new(world);
    for round in 0..ROUNDS {
        let repository = world.named(&format!("{}{round}", names[0])).await;
        world.blob(&repository, b"layer").await;
        let (one, two) = (Arc::clone(&world), Arc::clone(&world));
        let (a, b) = (repository.clone(), repository);
        let (first, second) = both(async move { hand_over(&one, &a, &format!("bob/{round}")).await }, async move {
            hand_over(&two, &b, &format!("cleo/{round}")).await
        })
        .await;
        assert_ne!(first.is_some(), second.is_some());
        adds_up(&world).await;
    }
}

#[test]
fn nine_thousand_links_are_handed_over_in_one_change() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        run(engine, |world: World| async move {
            world.user("bob").await;
            let app = world.repository("alice/app").await;
            let (id, alice) = (app.id, world.alice.account_id);
            let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)";
            for statement in [
                format!(
                    "{numbers} INSERT INTO blobs (id, digest, size, storage_key, scrubbed_at, created_at)
                     SELECT 1000000 + i, 'sha256:' || i, 1, 'key ' || i, 0, 0 FROM n"
                ),
                format!("{numbers} INSERT INTO account_blobs (account_id, blob_id) SELECT {alice}, 1000000 + i FROM n"),
                format!(
                    "{numbers} INSERT INTO repository_blobs (repository_id, blob_id, account_id, touched_at)
                     SELECT {id}, 1000000 + i, {alice}, 0 FROM n"
                ),
            ] {
                world.meddle(&statement).await;
            }
            let done = hand_over(&world, &app, "bob/app").await.unwrap();
            assert_eq!(done.charged, 9_000);
            let left = format!("SELECT COUNT(*) FROM account_blobs WHERE account_id = {alice}");
            assert_eq!(world.count(&left).await, 0);
        });
    }
}
