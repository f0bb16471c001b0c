//! What is kept in memory on SQLite is never older than what was acknowledged.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hallmark_oci::{Algorithm, Digest, Reference, RepositoryName};
use hallmark_storage::metadata::{
    Engine, Error, Metadata, NewCredential, Organization, Principal, PrincipalId, Repository, Robot, SystemRole,
};
use proptest::prelude::*;

use crate::harness::images::{image, index, named};
use crate::harness::people::{on_prefix, on_repository};
use crate::harness::{NOW, World, run};

/// A change to a small world, so that changes meet.
#[derive(Clone, Debug)]
enum Op {
    Put { note: u8, tag: Option<u8> },
    PutIndex { note: u8 },
    DeleteManifest { note: u8 },
    DeleteTag { tag: u8 },
    Push { blob: u8 },
    DeleteBlob { blob: u8 },
    Open { public: bool },
    DeleteRepository,
    Password,
    Disable { on: bool },
    RemoveUser,
}

fn ops() -> impl Strategy<Value = Vec<(bool, Op)>> {
    let op = prop_oneof![
        4 => (0..3_u8, proptest::option::of(0..3_u8)).prop_map(|(note, tag)| Op::Put { note, tag }),
        1 => (0..3_u8).prop_map(|note| Op::PutIndex { note }),
        2 => (0..3_u8).prop_map(|note| Op::DeleteManifest { note }),
        2 => (0..3_u8).prop_map(|tag| Op::DeleteTag { tag }),
        2 => (0..2_u8).prop_map(|blob| Op::Push { blob }),
        2 => (0..2_u8).prop_map(|blob| Op::DeleteBlob { blob }),
        1 => any::<bool>().prop_map(|public| Op::Open { public }),
        1 => Just(Op::DeleteRepository),
        1 => Just(Op::Password),
        1 => any::<bool>().prop_map(|on| Op::Disable { on }),
        1 => Just(Op::RemoveUser),
    ];
    proptest::collection::vec((any::<bool>(), op), 1..40)
}

const CONFIG: &[u8] = b"config";

fn body(note: u8) -> String {
    image(&named(Algorithm::Sha256, CONFIG), &[], &note.to_string())
}

fn digest(note: u8) -> Digest {
    named(Algorithm::Sha256, body(note).as_bytes())
}

async fn apply(world: &World, repository: &Repository, op: &Op) {
    match *op {
        Op::Put { note, tag } => {
            let tag = tag.map(|tag| tag.to_string());
            let tags: Vec<&str> = tag.iter().map(String::as_str).collect();
            drop(world.try_put(repository, Algorithm::Sha256, &body(note), &tags).await);
        }
        Op::PutIndex { note } => {
            drop(world.try_put(repository, Algorithm::Sha256, &index(&[&digest(note)]), &["0"]).await);
        }
        Op::DeleteManifest { note } => drop(world.delete_manifest(repository, &digest(note)).await),
        Op::DeleteTag { tag } => drop(world.delete_tag(repository, &tag.to_string()).await),
        Op::Push { blob } => {
            let content = if blob == 0 { CONFIG } else { b"other" };
            let current = world.repository(repository.name.as_str()).await;
            world.blob(&current, content).await;
        }
        Op::DeleteBlob { blob } => {
            let content = if blob == 0 { CONFIG } else { b"other" };
            world.delete_blob(repository, &Digest::of(Algorithm::Sha256, content)).await;
        }
        Op::Open { public } => {
            let set: Result<bool, Error> = world
                .metadata
                .write((repository.clone(), public), |tx, (at, public)| Box::pin(tx.set_public(at, *public)))
                .await;
            set.unwrap();
        }
        Op::DeleteRepository => {
            let deleted: Result<bool, Error> =
                world.metadata.write(repository.clone(), |tx, gone| Box::pin(tx.delete_repository(gone, NOW))).await;
            deleted.unwrap();
        }
        Op::Password => {
            let changed: Result<bool, Error> = world
                .metadata
                .write(world.alice.clone(), |tx, alice| Box::pin(tx.set_password(alice, Some("new"))))
                .await;
            changed.unwrap();
        }
        Op::Disable { on } => {
            let set: Result<bool, Error> = world
                .metadata
                .write((world.alice.clone(), on.then_some(NOW)), |tx, (alice, at)| {
                    Box::pin(tx.set_disabled(alice, *at))
                })
                .await;
            set.unwrap();
        }
        Op::RemoveUser => {
            world.user_if_free("bob").await;
            let removed: Result<_, Error> =
                world.metadata.write((), |tx, ()| Box::pin(tx.remove_user("bob", NOW))).await;
            removed.unwrap();
        }
    }
}

/// Every kept kind of answer, asked twice of the memory and once of the database.
async fn agrees(world: &World, repositories: &[Repository]) {
    let (kept, asked) = (&world.metadata, world.metadata.without_cache());
    for _ in 0..2 {
        for name in ["alice", "bob"] {
            assert_eq!(kept.user(name).await.unwrap(), asked.user(name).await.unwrap());
        }
        let alice = world.alice.id;
        assert_eq!(kept.principal(alice).await.unwrap(), asked.principal(alice).await.unwrap());
        for repository in repositories {
            let (id, name) = (repository.id, &repository.name);
            assert_eq!(kept.repository(name).await.unwrap(), asked.repository(name).await.unwrap());
            for number in 0..3_u8 {
                for reference in [number.to_string().parse().unwrap(), Reference::Digest(digest(number))] {
                    let (kept, asked) = (kept.manifest(id, &reference).await, asked.manifest(id, &reference).await);
                    assert_eq!(kept.unwrap(), asked.unwrap());
                }
            }
            for content in [CONFIG, b"other"] {
                let digest = Digest::of(Algorithm::Sha256, content);
                assert_eq!(kept.blob(id, &digest).await.unwrap(), asked.blob(id, &digest).await.unwrap());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_kept_answer_is_the_databases(ops in ops()) {
        run(Engine::Sqlite, async |world: World| {
            let repositories = [world.repository("alice/a").await, world.repository("alice/b").await];
            for (which, op) in &ops {
                apply(&world, &repositories[usize::from(*which)], op).await;
                agrees(&world, &repositories).await;
            }
            assert!(world.metadata.statistics().cache_hits > 0);
        });
    }
}

#[test]
fn an_acknowledged_change_is_seen_by_every_later_read() {
    run(Engine::Sqlite, async |world: World| {
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (metadata, stop, alice) = (world.metadata.clone(), Arc::clone(&stop), world.alice.id);
                tokio::spawn(async move {
                    let mut epoch = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let seen = metadata.principal(alice).await.unwrap().unwrap().credential_epoch;
                        assert!(seen >= epoch, "time runs backwards");
                        epoch = seen;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for told in 1..=200 {
            let changed: Result<bool, Error> = world
                .metadata
                .write(world.alice.clone(), |tx, alice| Box::pin(tx.set_password(alice, Some("new"))))
                .await;
            changed.unwrap();
            let seen = world.metadata.principal(world.alice.id).await.unwrap().unwrap().credential_epoch;
            assert_eq!(seen, told);
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.await.unwrap();
        }
    });
}

#[test]
fn a_manifest_read_again_asks_nobody() {
    run(Engine::Sqlite, async |world: World| {
        let repository = world.repository("alice/a").await;
        world.blob(&repository, CONFIG).await;
        world.put(&repository, &body(0), &["t"]).await;
        let reference: Reference = "t".parse().unwrap();
        for _ in 0..3 {
            world.metadata.manifest(repository.id, &reference).await.unwrap().unwrap();
        }
        let statistics = world.metadata.statistics();
        assert_eq!((statistics.cache_hits, statistics.cache_misses), (2, 1));
    });
}

#[test]
fn i12_replicas_keep_nothing_in_memory() {
    run(Engine::Postgres, async |world: World| {
        let repository = world.repository("alice/a").await;
        for _ in 0..3 {
            world.metadata.repository(&repository.name).await.unwrap().unwrap();
        }
        assert_eq!(world.metadata.statistics().cache_hits, 0, "I12");
    });
}

/// Bob, a robot and nobody look at repositories of an organization, and bob's token is looked at.
struct Watch {
    bob: Principal,
    robot: Robot,
    names: [RepositoryName; 2],
    token: i64,
}

impl Watch {
    async fn begin(world: &World) -> (Self, Organization, Repository) {
        let acme = world.organization("acme", &world.alice).await;
        let bob = world.user("bob").await;
        let repository = world.named("acme/app").await;
        let robot = world.robot("acme", None, "ci").await;
        let token = keep_token(world, bob.id, "personal", "token").await;
        let names = ["acme/app", "acme/web"].map(|name| name.parse().unwrap());
        (Self { bob, robot, names, token }, acme, repository)
    }

    /// Every answer, and how many of them are kept: what is absent never is.
    async fn look(&self, metadata: &Metadata) -> (String, u64) {
        let (mut seen, mut kept) = (String::new(), 0);
        for name in &self.names {
            for who in [Some(self.bob.id), Some(self.robot.id), None] {
                let (facts, _) = metadata.facts(who, name).await.unwrap();
                kept += u64::from(facts.repository.is_some());
                writeln!(seen, "{who:?} {name} {facts:?}").unwrap();
            }
            let repository = metadata.repository(name).await.unwrap();
            kept += u64::from(repository.is_some());
            writeln!(seen, "{repository:?}").unwrap();
        }
        for id in [self.bob.id, self.robot.id] {
            let principal = metadata.principal(id).await.unwrap();
            kept += u64::from(principal.is_some());
            writeln!(seen, "{principal:?}").unwrap();
        }
        let (user, token) = (metadata.user("bob").await.unwrap(), metadata.credential_of_id(self.token).await.unwrap());
        kept += u64::from(user.is_some()) + u64::from(token.is_some());
        writeln!(seen, "{user:?} {:?} {token:?}", user.as_ref().map(|user| &user.source)).unwrap();
        (seen, kept)
    }

    /// The very next look sees what is there, and the one after it asks nobody for what is kept.
    async fn agrees(&self, world: &World) -> String {
        let (seen, _) = self.look(&world.metadata).await;
        let (asked, _) = self.look(&world.metadata.without_cache()).await;
        assert_eq!(seen, asked);
        let before = world.metadata.statistics();
        let (again, kept) = self.look(&world.metadata).await;
        let after = world.metadata.statistics();
        assert_eq!(again, asked);
        assert_eq!((after.cache_hits - before.cache_hits, after.reads - before.reads), (kept, 12 - kept), "{asked}");
        asked
    }
}

async fn keep_token(world: &World, of: PrincipalId, kind: &'static str, selector: &'static str) -> i64 {
    world
        .change((of, kind, selector), |tx, (principal, kind, selector)| {
            Box::pin(async move {
                let new = NewCredential {
                    principal: *principal,
                    kind,
                    selector,
                    secret_hash: b"hash",
                    service: "",
                    scopes: "",
                    epoch: 0,
                    expires_at: NOW + 1_000,
                    name: "token",
                    rolls: *kind == "refresh",
                };
                tx.insert_credential(&new, NOW).await
            })
        })
        .await
}

/// Says that the step before changed something, and that the next look saw it.
async fn changed(watch: &Watch, world: &World, seen: &mut String, step: &str) {
    let now = watch.agrees(world).await;
    assert_ne!(now, *seen, "{step} changes nothing that is looked at");
    *seen = now;
}

#[test]
fn what_changes_rights_is_seen_by_the_next_read() {
    run(Engine::Sqlite, async |world: World| {
        let (watch, acme, repository) = Watch::begin(&world).await;
        let (bob, team) = (&watch.bob, world.team(&acme, "web").await);
        let seen = &mut watch.agrees(&world).await;
        for holding in [on_repository(&repository, bob.id), on_prefix(&acme, "acme/", watch.robot.id)] {
            world.give(holding.clone(), "read").await;
            changed(&watch, &world, seen, "a grant").await;
            world.give(holding.clone(), "write").await;
            changed(&watch, &world, seen, "another grant").await;
            world.take(holding).await;
            changed(&watch, &world, seen, "a grant taken").await;
        }
        world.member(&acme, bob, false).await;
        changed(&watch, &world, seen, "membership").await;
        world.give(on_repository(&repository, team.id), "read").await;
        world.give(on_prefix(&acme, "acme/a", team.id), "read").await;
        world.join(&team, bob).await;
        changed(&watch, &world, seen, "a team joined").await;
        world.leave(&team, bob, "").await;
        changed(&watch, &world, seen, "a team left").await;
        world.join(&team, bob).await;
        changed(&watch, &world, seen, "a team joined again").await;
        world.remove_team(&acme, &team).await;
        changed(&watch, &world, seen, "a team removed").await;
        world.member(&acme, bob, true).await;
        changed(&watch, &world, seen, "an owner").await;
        world.remove_member(&acme, bob).await;
        changed(&watch, &world, seen, "a member removed").await;
        let creates = Organization { create_on_push: true, ..acme.clone() };
        for (settings, what) in [
            (Organization { writers_sign: false, ..creates.clone() }, "writers do not sign"),
            (creates, "they do"),
            (acme, "no push makes anything"),
        ] {
            world.change(settings, |tx, settings| Box::pin(tx.set_organization(settings))).await;
            changed(&watch, &world, seen, what).await;
        }
    });
}

#[test]
fn what_changes_repositories_and_principals_is_seen_by_the_next_read() {
    run(Engine::Sqlite, async |world: World| {
        let (watch, _, repository) = Watch::begin(&world).await;
        let seen = &mut watch.agrees(&world).await;
        world.give(on_repository(&repository, watch.bob.id), "read").await;
        changed(&watch, &world, seen, "a grant").await;
        world.open_up(&repository, true).await;
        changed(&watch, &world, seen, "a public repository").await;
        // What the caller holds is older than the repository's name from here on.
        world.rename(&repository, "acme/web").await;
        changed(&watch, &world, seen, "another name").await;
        world.open_up(&repository, false).await;
        changed(&watch, &world, seen, "a private repository").await;
        let other = world.named("acme/app").await;
        changed(&watch, &world, seen, "another repository").await;
        world.delete_repository(&repository).await;
        changed(&watch, &world, seen, "a deleted repository").await;
        world.rename(&other, "acme/web").await;
        changed(&watch, &world, seen, "a name taken again").await;
        let bob = watch.bob.clone();
        world.change(bob.clone(), |tx, bob| Box::pin(tx.set_role(bob, SystemRole::Auditor))).await;
        changed(&watch, &world, seen, "a role").await;
        world.change(bob.clone(), |tx, bob| Box::pin(tx.set_source(bob, Some(("ldap", "7")), NOW))).await;
        changed(&watch, &world, seen, "a source").await;
        let robot = world.metadata.principal(watch.robot.id).await.unwrap().unwrap();
        world.change(robot, |tx, robot| Box::pin(tx.set_disabled(robot, Some(NOW)))).await;
        changed(&watch, &world, seen, "a robot disabled").await;
        world.remove_robot(&watch.robot).await;
        changed(&watch, &world, seen, "a robot removed").await;
        world.change((), |tx, ()| Box::pin(tx.remove_user("bob", NOW))).await;
        changed(&watch, &world, seen, "a user removed").await;
        world.user("bob").await;
        changed(&watch, &world, seen, "a name given again").await;
    });
}

#[test]
fn what_changes_credentials_is_seen_by_the_next_read() {
    run(Engine::Sqlite, async |world: World| {
        let (mut watch, ..) = Watch::begin(&world).await;
        let (seen, bob) = (&mut watch.agrees(&world).await, watch.bob.id);
        world.change(bob, |tx, bob| Box::pin(tx.shorten_credentials(*bob, "personal", NOW + 500))).await;
        changed(&watch, &world, seen, "a shorter life").await;
        world.change(watch.token, |tx, token| Box::pin(tx.note_use(*token, NOW))).await;
        changed(&watch, &world, seen, "a use").await;
        world.change((watch.token, bob), |tx, (id, bob)| Box::pin(tx.revoke_credential_of(*id, *bob, NOW))).await;
        changed(&watch, &world, seen, "a revocation").await;
        watch.token = keep_token(&world, bob, "refresh", "by its selector").await;
        *seen = watch.agrees(&world).await;
        world.change((), |tx, ()| Box::pin(tx.revoke_credential("by its selector", NOW))).await;
        changed(&watch, &world, seen, "a revocation by selector").await;
        world.change(bob, |tx, bob| Box::pin(tx.shorten_credentials(*bob, "refresh", NOW))).await;
        changed(&watch, &world, seen, "an end").await;
        keep_token(&world, bob, "refresh", "the next").await;
        changed(&watch, &world, seen, "one that rolls over it").await;
    });
}

/// A small change to who may do what, told by two numbers.
async fn shuffle(world: &World, watch: &Watch, (kind, which): (u8, u8)) {
    let acme = world.metadata.organization("acme").await.unwrap().unwrap();
    let team = match world.metadata.team(acme.id, "web").await.unwrap() {
        Some(team) => team,
        None => world.team(&acme, "web").await,
    };
    let holder = [watch.bob.id, team.id, watch.robot.id][usize::from(which % 3)];
    let name = &watch.names[usize::from(which % 2)];
    let repository = world.metadata.repository(name).await.unwrap();
    let prefix = ["acme/", "acme/a", "acme/web"][usize::from(which / 3 % 3)];
    match (kind, repository) {
        (0, Some(repository)) => drop(world.give(on_repository(&repository, holder), "read").await),
        (1, Some(repository)) => drop(world.take(on_repository(&repository, holder)).await),
        (2, _) => drop(world.give(on_prefix(&acme, prefix, holder), "write").await),
        (3, _) => drop(world.take(on_prefix(&acme, prefix, holder)).await),
        (4, _) => drop(world.member(&acme, &watch.bob, which % 2 == 0).await),
        (5, _) => drop(world.remove_member(&acme, &watch.bob).await),
        (6, _) => drop(world.try_join(&team, &watch.bob, ["", "ldap"][usize::from(which % 2)]).await),
        (7, _) => drop(world.leave(&team, &watch.bob, ["", "ldap"][usize::from(which % 2)]).await),
        (8, _) => world.remove_team(&acme, &team).await,
        (9, Some(repository)) => drop(world.open_up(&repository, which % 3 == 0).await),
        (10, Some(repository)) => {
            world.rename(&repository, watch.names[usize::from(which / 2 % 2)].as_str()).await;
        }
        (11, Some(repository)) => drop(world.delete_repository(&repository).await),
        (_, Some(_)) => {
            let settings = Organization { create_on_push: which % 2 == 0, writers_sign: which % 3 == 0, ..acme };
            world.change(settings, |tx, settings| Box::pin(tx.set_organization(settings))).await
        }
        (_, None) => drop(world.named(name.as_str()).await),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn kept_facts_are_the_databases(steps in proptest::collection::vec((0..13_u8, any::<u8>()), 1..40)) {
        run(Engine::Sqlite, async |world: World| {
            let (watch, ..) = Watch::begin(&world).await;
            for step in steps {
                shuffle(&world, &watch, step).await;
                watch.agrees(&world).await;
            }
        });
    }
}
