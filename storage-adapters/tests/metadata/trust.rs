//! Collections of content trust: a publish that is whole or absent, what is read of it, and its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use hallmark_oci::TrustRole;
use hallmark_storage::metadata::{AccountId, RepositoryId};
use hallmark_storage::metadata::{
    ChangesFrom, Collection, CollectionKey, Engine, Error, Event, Freshness, NewTrustFile, Published, Repository,
    TrustDialect, TrustFileKey, TrustRoot, TrustState,
};
use ring::digest::{SHA256, SHA512, digest};

use crate::harness::{NOW, WINDOW, World, family};

family! {
    keys_by_which_the_registry_signs_are_a_repository_s_own,
    a_publish_is_read_as_it_was_stored,
    a_file_is_found_by_its_own_name_only,
    states_and_bytes_are_of_the_files_that_hold,
    a_publish_that_rests_on_something_else_is_overtaken,
    a_version_that_is_not_newer_leaves_nothing,
    a_role_that_begins_anew_is_counted_from_there_and_its_files_are_found_by_their_sums,
    a_role_is_remembered_for_how_long_what_was_published_for_it_was_to_hold,
    of_two_publishes_at_once_one_is_stored,
    collections_are_due_in_their_order,
    what_is_put_off_waits_unless_it_was_published_to,
    all_are_renewed_at_once_and_publishes_under_way_are_overtaken,
    what_holds_is_never_forgotten,
    a_file_that_is_kept_is_never_older_than_what_was_acknowledged,
    changes_are_told_in_order_from_both_ends,
    changes_of_one_collection_are_its_own,
    a_deleted_collection_is_gone_and_may_begin_anew,
    a_collection_goes_with_its_repository,
}

const GUN: &str = "registry.example/alice/app";
const FRESH: Freshness = Freshness { renew_at: NOW + 100, expires_at: NOW + 200 };
/// Rounds of a race.
const ROUNDS: i64 = 25;

/// Files of a publish: role, version, content.
type Files = &'static [(&'static str, i64, &'static str)];

const FIRST: Files =
    &[("root", 1, "root one"), ("targets", 1, "targets one"), ("snapshot", 1, "s 1"), ("timestamp", 1, "t 1")];

/// What a change that must not be kept ends with.
#[derive(Debug)]
enum Lost {
    Overtaken,
    Failed(Error),
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn role(name: &str) -> TrustRole {
    name.parse().unwrap()
}

fn key_of(repository: &Repository) -> CollectionKey {
    CollectionKey { repository: repository.id, dialect: TrustDialect::Notary, gun: GUN.to_owned() }
}

fn state(role_name: &str, version: i64, body: &str) -> TrustState {
    let of = |algorithm| digest(algorithm, body.as_bytes()).as_ref().to_vec();
    TrustState {
        role: role(role_name),
        version,
        sha256: of(&SHA256),
        sha512: of(&SHA512),
        length: i64::try_from(body.len()).unwrap(),
        latest_expiry: 1_000 * version,
        begun_after: 0,
        lives: 0,
    }
}

fn file((role, version, body): &(&str, i64, &str)) -> NewTrustFile {
    NewTrustFile { state: state(role, *version, body), body: body.as_bytes().to_vec(), begins_anew: false }
}

/// Publishes as whoever holds the repository does, and gives the change up when it is overtaken.
async fn publish(world: &World, key: &CollectionKey, seen: Option<Collection>, files: Files, fresh: i64) -> Published {
    try_publish(world, key, seen, files.iter().map(file).collect(), fresh).await
}

async fn try_publish(
    world: &World,
    key: &CollectionKey,
    seen: Option<Collection>,
    files: Vec<NewTrustFile>,
    fresh: i64,
) -> Published {
    let fresh = Freshness { renew_at: FRESH.renew_at + fresh, expires_at: FRESH.expires_at + fresh };
    let input = (key.clone(), seen, files, fresh);
    let done = world.metadata.write(input, |tx, (key, seen, files, fresh)| {
        Box::pin(async move {
            tx.repository(&"alice/app".parse().unwrap()).await?;
            match tx.publish_trust(key, *seen, files, *fresh, NOW + fresh.renew_at - FRESH.renew_at).await? {
                Published::Stored => Ok(Published::Stored),
                Published::Overtaken => Err(Lost::Overtaken),
            }
        })
    });
    match done.await {
        Ok(published) => published,
        Err(Lost::Overtaken) => Published::Overtaken,
        Err(Lost::Failed(error)) => panic!("{error:?}"),
    }
}

/// The repository `alice/app` and its collection after the first publish.
async fn first(world: &World) -> (CollectionKey, Collection) {
    let key = key_of(&world.repository("alice/app").await);
    assert_eq!(publish(world, &key, None, FIRST, 0).await, Published::Stored);
    let seen = world.metadata.trust_collection(&key).await.unwrap().unwrap();
    (key, seen)
}

async fn read(world: &World, key: &CollectionKey, name: &str, which: TrustFileKey<'_>) -> Option<String> {
    let file = world.metadata.trust_file(key, &role(name), which).await.unwrap();
    file.map(|file| String::from_utf8(file.body.to_vec()).unwrap())
}

async fn current(world: &World, key: &CollectionKey, name: &str) -> Option<String> {
    read(world, key, name, TrustFileKey::Current).await
}

async fn keys_by_which_the_registry_signs_are_a_repository_s_own(world: World) {
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let give = async |repository: &Repository, id: &str| {
        let input = (repository.id, id.to_owned());
        world.change(input, |tx, (repository, id)| Box::pin(tx.give_signing_key(*repository, id, NOW))).await
    };
    for number in 1..=64 {
        assert!(give(&app, &format!("{number:02}")).await, "{number}");
    }
    assert!(!give(&app, "65").await, "one more than there may be");
    assert!(give(&app, "64").await, "which was given before");
    assert!(!give(&other, "01").await, "another repository's");
    assert!(give(&other, "71").await);
    let keys = world.metadata.signing_keys(app.id).await.unwrap();
    assert_eq!((keys.len(), keys[0].as_str(), keys[63].as_str()), (64, "01", "64"));
    assert_eq!(world.metadata.signing_keys(other.id).await.unwrap(), ["71"]);
    let mut among = world.metadata.signing_keys_among(["01", "71", "72"].into_iter()).await.unwrap();
    among.sort();
    assert_eq!(among, ["01", "71"]);
    // The names of its collections, of this dialect alone.
    let key = key_of(&app);
    publish(&world, &key, None, FIRST, 0).await;
    let guns = async |dialect, limit| world.metadata.trust_collections_of(app.id, dialect, limit).await.unwrap();
    assert_eq!(guns(TrustDialect::Notary, 9).await, [GUN]);
    assert_eq!(guns(TrustDialect::Notary, 0).await, [""; 0]);
    assert_eq!(guns(TrustDialect::Tuf, 9).await, [""; 0]);
    assert_eq!(world.metadata.trust_collections_of(other.id, TrustDialect::Notary, 9).await.unwrap(), [""; 0]);
}

async fn a_publish_is_read_as_it_was_stored(world: World) {
    let key = key_of(&world.repository("alice/app").await);
    assert_eq!(world.metadata.trust_collection(&key).await.unwrap(), None);
    let (key, seen) = {
        assert_eq!(publish(&world, &key, None, FIRST, 0).await, Published::Stored);
        let seen = world.metadata.trust_collection(&key).await.unwrap().unwrap();
        (key, seen)
    };
    assert_eq!(seen.head, 1);
    for (name, version, body) in FIRST {
        let state = state(name, *version, body);
        let ways = [
            TrustFileKey::Current,
            TrustFileKey::Version(1),
            TrustFileKey::Sha256(&state.sha256),
            TrustFileKey::Sha512(&state.sha512),
        ];
        for which in ways {
            let file = world.metadata.trust_file(&key, &state.role, which).await.unwrap().unwrap();
            assert_eq!((file.version, &file.sha256, file.published_at), (1, &state.sha256, NOW), "{which:?}");
            assert_eq!((file.body.as_ref(), file.expires_at), (body.as_bytes(), FRESH.expires_at), "{which:?}");
        }
    }
    assert_eq!(publish(&world, &key, Some(seen), &[("timestamp", 2, "t 2")], 5).await, Published::Stored);
    assert_eq!(world.metadata.trust_collection(&key).await.unwrap(), Some(Collection { head: 2, ..seen }));
    assert_eq!(current(&world, &key, "timestamp").await.as_deref(), Some("t 2"));
    assert_eq!(read(&world, &key, "timestamp", TrustFileKey::Version(1)).await.as_deref(), Some("t 1"));
    let old = world.metadata.trust_file(&key, &role("root"), TrustFileKey::Current).await.unwrap().unwrap();
    assert_eq!((old.published_at, old.expires_at), (NOW, FRESH.expires_at + 5), "freshness is the collection's");
}

async fn a_file_is_found_by_its_own_name_only(world: World) {
    let (key, _) = first(&world).await;
    let other = world.repository("alice/other").await;
    let strangers = [
        CollectionKey { repository: other.id, ..key.clone() },
        CollectionKey { dialect: TrustDialect::Tuf, ..key.clone() },
        CollectionKey { gun: "registry.example:443/alice/app".into(), ..key.clone() },
        CollectionKey { gun: GUN.to_uppercase(), ..key.clone() },
    ];
    let root = state("root", 1, "root one");
    for stranger in &strangers {
        assert_eq!(world.metadata.trust_collection(stranger).await.unwrap(), None);
        let ways = [
            TrustFileKey::Current,
            TrustFileKey::Version(1),
            TrustFileKey::Sha256(&root.sha256),
            TrustFileKey::Sha512(&root.sha512),
        ];
        for which in ways {
            assert_eq!(read(&world, stranger, "root", which).await, None, "{which:?}");
        }
    }
    for which in [
        TrustFileKey::Version(0),
        TrustFileKey::Version(2),
        TrustFileKey::Version(i64::MAX),
        TrustFileKey::Sha256(&root.sha512),
        TrustFileKey::Sha512(&root.sha256),
        TrustFileKey::Sha256(&[]),
    ] {
        assert_eq!(read(&world, &key, "root", which).await, None, "{which:?}");
    }
    assert_eq!(read(&world, &key, "targets", TrustFileKey::Sha256(&root.sha256)).await, None, "another role's");
    assert_eq!(current(&world, &key, "targets/releases").await, None);
}

async fn states_and_bytes_are_of_the_files_that_hold(world: World) {
    let (key, seen) = first(&world).await;
    let more: Files = &[("targets/releases", 7, "ä delegation"), ("targets", 2, "targets two")];
    assert_eq!(publish(&world, &key, Some(seen), more, 0).await, Published::Stored);
    let states = world.metadata.trust_states(seen).await.unwrap();
    let expected = [
        state("root", 1, "root one"),
        state("snapshot", 1, "s 1"),
        state("targets", 2, "targets two"),
        state("targets/releases", 7, "ä delegation"),
        state("timestamp", 1, "t 1"),
    ];
    assert_eq!(states, expected);
    let wanted = [role("targets"), role("root"), role("targets/unknown")];
    let bodies: BTreeMap<_, _> = world.metadata.trust_bodies(seen, wanted.iter()).await.unwrap().into_iter().collect();
    assert_eq!(bodies, [(role("root"), b"root one".to_vec()), (role("targets"), b"targets two".to_vec())].into());
    assert_eq!(world.metadata.trust_bodies(seen, [].iter()).await.unwrap(), []);
}

async fn a_publish_that_rests_on_something_else_is_overtaken(world: World) {
    let (key, seen) = first(&world).await;
    let targets: Files = &[("targets", 2, "targets two")];
    let strangers = [
        None,
        Some(Collection { head: 0, ..seen }),
        Some(Collection { head: 2, ..seen }),
        Some(Collection { id: 1, head: 1 }),
    ];
    for stranger in strangers {
        assert_eq!(publish(&world, &key, stranger, targets, 9).await, Published::Overtaken, "{stranger:?}");
    }
    assert_eq!(world.metadata.trust_collection(&key).await.unwrap(), Some(seen));
    assert_eq!(world.count("SELECT COUNT(*) FROM trust_metadata").await, 4);
    assert_eq!(publish(&world, &key, Some(seen), targets, 0).await, Published::Stored);
    assert_eq!(publish(&world, &key, Some(seen), targets, 0).await, Published::Overtaken, "a head serves once");
}

async fn a_version_that_is_not_newer_leaves_nothing(world: World) {
    let (key, seen) = first(&world).await;
    let next: Files = &[("targets", 3, "targets three"), ("snapshot", 2, "s 2"), ("timestamp", 2, "t 2")];
    assert_eq!(publish(&world, &key, Some(seen), next, 0).await, Published::Stored);
    let seen = world.metadata.trust_collection(&key).await.unwrap().unwrap();
    let refused: [Files; 4] = [
        &[("root", 2, "root two"), ("targets", 3, "again")],
        &[("root", 2, "root two"), ("targets", 3, "targets three")],
        &[("root", 2, "root two"), ("targets", 2, "between")],
        &[("root", 2, "root two"), ("timestamp", 3, "t 3"), ("timestamp", 3, "twice")],
    ];
    for files in refused {
        assert_eq!(publish(&world, &key, Some(seen), files, 9).await, Published::Overtaken, "{files:?}");
        assert_eq!(world.metadata.trust_collection(&key).await.unwrap(), Some(seen), "{files:?}");
        assert_eq!(current(&world, &key, "root").await.as_deref(), Some("root one"), "{files:?}");
        assert_eq!(read(&world, &key, "root", TrustFileKey::Version(2)).await, None, "{files:?}");
        assert_eq!(current(&world, &key, "targets").await.as_deref(), Some("targets three"), "{files:?}");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM trust_metadata").await, 7);
    assert_eq!(world.count("SELECT COUNT(*) FROM trust_current").await, 4);
}

/// Three lives of a role, each with files of the same versions.
async fn a_role_that_begins_anew_is_counted_from_there_and_its_files_are_found_by_their_sums(world: World) {
    const ROLE: &str = "targets/releases";
    let (key, mut seen) = first(&world).await;
    let anew = |(version, body): (i64, &'static str), begins_anew| NewTrustFile {
        begins_anew,
        ..file(&(ROLE, version, body))
    };
    let lives = [["one 1", "one 2"], ["two 1", "two 2"], ["three 1", "three 2"]];
    for (life, bodies) in lives.iter().enumerate() {
        for (version, body) in (1..).zip(bodies) {
            let files = vec![anew((version, body), life > 0 && version == 1)];
            assert_eq!(try_publish(&world, &key, Some(seen), files, 0).await, Published::Stored, "{body}");
            seen = world.metadata.trust_collection(&key).await.unwrap().unwrap();
            assert_eq!(current(&world, &key, ROLE).await.as_deref(), Some(*body));
            assert_eq!(read(&world, &key, ROLE, TrustFileKey::Version(version)).await.as_deref(), Some(*body));
        }
    }
    for body in lives.as_flattened() {
        let sum = digest(&SHA256, body.as_bytes());
        assert_eq!(read(&world, &key, ROLE, TrustFileKey::Sha256(sum.as_ref())).await.as_deref(), Some(*body));
    }
    assert_eq!(read(&world, &key, ROLE, TrustFileKey::Version(3)).await, None);
    let states = world.metadata.trust_states(seen).await.unwrap();
    assert_eq!(states.len(), FIRST.len() + 1);
    assert_eq!(states.iter().find(|state| state.role == role(ROLE)).unwrap().version, 2);
    let older = vec![anew((2, "three 2 again"), false)];
    assert_eq!(try_publish(&world, &key, Some(seen), older, 0).await, Published::Overtaken);
    // Set aside and replaced alike, they go after the same while.
    let forgotten = world.change(seen, |tx, seen| Box::pin(tx.forget_trust(*seen, i64::MAX))).await;
    assert_eq!(forgotten, 5);
    assert_eq!(current(&world, &key, ROLE).await.as_deref(), Some("three 2"));
}

async fn a_role_is_remembered_for_how_long_what_was_published_for_it_was_to_hold(world: World) {
    let (key, mut seen) = first(&world).await;
    let of = |version, latest_expiry, begun_after, lives, begins_anew| {
        let NewTrustFile { state, body, .. } = file(&("targets/releases", version, "body"));
        NewTrustFile { state: TrustState { latest_expiry, begun_after, lives, ..state }, body, begins_anew }
    };
    for (version, latest, after, lives) in [(1, 50, 0, 0), (2, 70, 0, 0), (1, 80, 70, 1), (2, 90, 70, 1)] {
        let files = vec![of(version, latest, after, lives, version == 1 && lives > 0)];
        assert_eq!(try_publish(&world, &key, Some(seen), files, 0).await, Published::Stored);
        seen = world.metadata.trust_collection(&key).await.unwrap().unwrap();
        let states = world.metadata.trust_states(seen).await.unwrap();
        let told = states.iter().find(|state| state.role == role("targets/releases")).unwrap();
        assert_eq!((told.version, told.latest_expiry, told.begun_after, told.lives), (version, latest, after, lives));
    }
    // A release that knows nothing of it leaves the end of all numbers: its role never begins anew.
    world.meddle("INSERT INTO trust_metadata (collection_id, role, version, sha256, sha512, published_at, body)
                  SELECT collection_id, 'targets/old', 1, sha256, sha512, 1, body FROM trust_metadata WHERE role = 'root'").await;
    world
        .meddle(
            "INSERT INTO trust_current (collection_id, role, version)
                  SELECT collection_id, 'targets/old', 1 FROM trust_current WHERE role = 'root'",
        )
        .await;
    let states = world.metadata.trust_states(seen).await.unwrap();
    let told = states.iter().find(|state| state.role == role("targets/old")).unwrap();
    assert_eq!((told.latest_expiry, told.begun_after), (i64::MAX, 0));
}

async fn of_two_publishes_at_once_one_is_stored(world: World) {
    let key = key_of(&world.repository("alice/app").await);
    let world = Arc::new(world);
    for round in 1..=ROUNDS {
        let seen = world.metadata.trust_collection(&key).await.unwrap();
        let tasks: Vec<_> = ["one", "other"]
            .map(|who| {
                let (world, key) = (Arc::clone(&world), key.clone());
                tokio::spawn(async move {
                    let files = ["targets", "timestamp"].map(|role| file(&(role, round, &format!("{who} {round}"))));
                    (who, try_publish(&world, &key, seen, files.to_vec(), 0).await)
                })
            })
            .into();
        let mut stored = Vec::new();
        for task in tasks {
            let (who, published) = task.await.unwrap();
            stored.extend((published == Published::Stored).then_some(who));
        }
        let [who] = stored[..] else { panic!("{stored:?} in round {round}") };
        for role in ["targets", "timestamp"] {
            assert_eq!(current(&world, &key, role).await, Some(format!("{who} {round}")));
        }
        assert_eq!(world.metadata.trust_collection(&key).await.unwrap().unwrap().head, round);
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM trust_metadata").await, 2 * ROUNDS);
}

async fn collections_are_due_in_their_order(world: World) {
    let repository = world.repository("alice/app").await;
    let guns = ["c.example/alice/app", "a.example/alice/app", "b.example/alice/app"];
    for (gun, fresh) in guns.into_iter().zip([2, 0, 1]) {
        let key = CollectionKey { gun: gun.to_owned(), ..key_of(&repository) };
        assert_eq!(publish(&world, &key, None, FIRST, fresh).await, Published::Stored);
    }
    let tuf = CollectionKey { dialect: TrustDialect::Tuf, ..key_of(&repository) };
    assert_eq!(publish(&world, &tuf, None, FIRST, 0).await, Published::Stored);
    let due = async |dialect, now, limit| -> Vec<String> {
        let due = world.metadata.trust_due(dialect, now, limit).await.unwrap();
        due.into_iter().map(|due| due.key.gun).collect()
    };
    assert_eq!(due(TrustDialect::Notary, FRESH.renew_at - 1, 9).await, [""; 0]);
    assert_eq!(due(TrustDialect::Notary, FRESH.renew_at, 9).await, [guns[1]]);
    assert_eq!(due(TrustDialect::Notary, FRESH.renew_at + 2, 9).await, [guns[1], guns[2], guns[0]]);
    assert_eq!(due(TrustDialect::Notary, i64::MAX, 2).await, [guns[1], guns[2]]);
    assert_eq!(due(TrustDialect::Tuf, i64::MAX, 9).await, [GUN]);
    let first = &world.metadata.trust_due(TrustDialect::Notary, i64::MAX, 1).await.unwrap()[0];
    assert_eq!(first.key, CollectionKey { gun: guns[1].into(), ..key_of(&repository) });
    assert_eq!(Some(first.collection), world.metadata.trust_collection(&first.key).await.unwrap());
}

async fn what_is_put_off_waits_unless_it_was_published_to(world: World) {
    let (key, seen) = first(&world).await;
    let put_off = async |seen: Collection, until: i64| {
        world.change((seen, until), |tx, (seen, until)| Box::pin(tx.put_trust_off(*seen, *until))).await
    };
    assert!(put_off(seen, FRESH.renew_at + 50).await);
    assert_eq!(world.metadata.trust_due(TrustDialect::Notary, FRESH.renew_at + 49, 9).await.unwrap(), []);
    assert_eq!(world.metadata.trust_due(TrustDialect::Notary, FRESH.renew_at + 50, 9).await.unwrap().len(), 1);
    assert_eq!(publish(&world, &key, Some(seen), &[("timestamp", 2, "t 2")], 1).await, Published::Stored);
    assert!(!put_off(seen, i64::MAX).await);
    assert_eq!(world.metadata.trust_due(TrustDialect::Notary, FRESH.renew_at + 1, 9).await.unwrap().len(), 1);
}

async fn all_are_renewed_at_once_and_publishes_under_way_are_overtaken(world: World) {
    let (key, seen) = first(&world).await;
    let due = async || world.metadata.trust_due(TrustDialect::Notary, 0, 9).await.unwrap();
    assert_eq!(due().await, []);
    let of =
        async |ids: Vec<RepositoryId>| world.metadata.trust_due_of(TrustDialect::Notary, 0, ids).await.unwrap().len();
    let renew = async |dialect| world.change(dialect, |tx, dialect| Box::pin(tx.renew_all_trust(*dialect, None))).await;
    assert_eq!((renew(TrustDialect::Tuf).await, renew(TrustDialect::Notary).await), (0, 1));
    assert_eq!(publish(&world, &key, Some(seen), &[("timestamp", 2, "t 2")], 1).await, Published::Overtaken);
    let of_account = async |account: i64| {
        world
            .change(account, |tx, account| {
                Box::pin(tx.renew_all_trust(TrustDialect::Notary, Some(AccountId(*account))))
            })
            .await
    };
    let own = world.look("SELECT account_id FROM repositories").await[0].parse().unwrap();
    assert_eq!((of_account(-1).await, of_account(own).await), (0, 1));
    let domain = format!("tuf1/organization/{own}");
    let root = TrustRoot { domain, version: 1, body: b"own".to_vec() };
    assert!(world.change(root, |tx, root| Box::pin(tx.add_trust_root(root, 1))).await);
    assert_eq!(renew(TrustDialect::Notary).await, 0, "it stands under a root of its own by now");
    let one = due().await.remove(0);
    assert_eq!((one.collection.head, one.key.clone()), (seen.head + 2, key.clone()));
    assert_eq!((of(vec![key.repository]).await, of(vec![RepositoryId(-1)]).await, of(vec![]).await), (1, 0, 0));
    let file = world.metadata.trust_file(&key, &role("timestamp"), TrustFileKey::Current).await.unwrap().unwrap();
    assert_eq!((file.expires_at, file.renew_at), (0, 0));
    assert_eq!(publish(&world, &key, Some(one.collection), &[("timestamp", 2, "t 2")], 1).await, Published::Stored);
    assert_eq!(due().await, []);
}

async fn a_file_that_is_kept_is_never_older_than_what_was_acknowledged(world: World) {
    let (key, mut seen) = first(&world).await;
    let tuf = CollectionKey { dialect: TrustDialect::Tuf, ..key.clone() };
    assert_eq!(publish(&world, &tuf, None, FIRST, 0).await, Published::Stored);
    // Asked twice: the second time it is kept, where anything is.
    let asked = async |key: &CollectionKey| {
        let timestamp = role("timestamp");
        let first = world.metadata.trust_file(key, &timestamp, TrustFileKey::Current).await.unwrap();
        let reads = world.metadata.statistics().reads;
        assert_eq!(world.metadata.trust_file(key, &timestamp, TrustFileKey::Current).await.unwrap(), first);
        let keeps = world.metadata.engine() == Engine::Sqlite && first.is_some();
        assert_eq!(world.metadata.statistics().reads - reads, u64::from(!keeps));
        first.map(|file| (file.version, file.expires_at, file.renew_at))
    };
    let (renew_at, expires_at) = (FRESH.renew_at, FRESH.expires_at);
    assert_eq!(asked(&key).await, Some((1, expires_at, renew_at)));
    assert_eq!(publish(&world, &key, Some(seen), &[("timestamp", 2, "t 2")], 5).await, Published::Stored);
    assert_eq!(asked(&key).await, Some((2, expires_at + 5, renew_at + 5)));
    seen.head += 1;
    assert!(world.change(seen, |tx, seen| Box::pin(tx.put_trust_off(*seen, NOW + 900))).await);
    assert_eq!(asked(&key).await, Some((2, expires_at + 5, NOW + 900)));
    world.change((), |tx, ()| Box::pin(tx.renew_all_trust(TrustDialect::Notary, None))).await;
    assert_eq!(asked(&key).await, Some((2, 0, 0)));
    assert!(world.change(key.clone(), |tx, key| Box::pin(tx.delete_trust(key))).await);
    assert_eq!(asked(&key).await, None);
    assert_eq!(asked(&tuf).await, Some((1, expires_at, renew_at)), "the other dialect's is its own");
    world.change((), |tx, ()| Box::pin(tx.forget_trust_roots())).await;
    assert_eq!(asked(&tuf).await, None);
}

async fn what_holds_is_never_forgotten(world: World) {
    let (key, mut seen) = first(&world).await;
    let next: [Files; 3] = [
        &[("targets", 2, "targets two"), ("snapshot", 2, "s 2"), ("timestamp", 2, "t 2")],
        &[("timestamp", 3, "t 3")],
        &[("timestamp", 4, "t 4")],
    ];
    for (files, at) in next.into_iter().zip([10, 20, 30]) {
        assert_eq!(publish(&world, &key, Some(seen), files, at).await, Published::Stored);
        seen.head += 1;
    }
    let forget = async |before: i64| {
        world.change((seen, before), |tx, (seen, before)| Box::pin(tx.forget_trust(*seen, *before))).await
    };
    let kept = async || world.look("SELECT role, version FROM trust_metadata ORDER BY role, version").await;
    assert_eq!(forget(NOW + 10).await, 0);
    assert_eq!(forget(NOW + 11).await, 3, "what the first publish replaced");
    assert_eq!(forget(NOW + 21).await, 1);
    assert_eq!(forget(i64::MAX).await, 1);
    assert_eq!(forget(i64::MAX).await, 0);
    assert_eq!(kept().await, ["root 1", "snapshot 2", "targets 2", "timestamp 4"]);
    assert_eq!(current(&world, &key, "timestamp").await.as_deref(), Some("t 4"));
}

/// Records changes of a collection, and some that are none of content trust; numbers them.
async fn record(world: &World, repository: &Repository, gun: &str, kinds: &[&'static str]) {
    for kind in kinds {
        world
            .change((repository.id, gun.to_owned(), *kind), |tx, (repository, gun, kind)| {
                Box::pin(async move {
                    let payload = r#"{"version":1}"#;
                    let event = Event::of_system(kind, gun, NOW);
                    tx.record(&Event { repository: Some(*repository), payload, ..event }).await
                })
            })
            .await;
        while world.change((), |tx, ()| Box::pin(tx.number_events(100))).await > 0 {}
    }
}

type Of<'a> = Option<(RepositoryId, &'a str)>;

/// The places of the changes that are told.
async fn changes(world: &World, of: Of<'_>, from: ChangesFrom, limit: u32) -> Vec<i64> {
    let changes = world.metadata.trust_changes(of, from, limit).await.unwrap();
    changes.into_iter().map(|change| change.seq).collect()
}

async fn changes_are_told_in_order_from_both_ends(world: World) {
    let repository = world.repository("alice/app").await;
    assert_eq!(changes(&world, None, ChangesFrom::After(0), 9).await, [0_i64; 0]);
    record(&world, &repository, GUN, &["trust_published", "tag_moved", "trust_renewed", "trust_deleted"]).await;
    assert_eq!(changes(&world, None, ChangesFrom::After(0), 9).await, [1, 3, 4]);
    assert_eq!(changes(&world, None, ChangesFrom::After(0), 2).await, [1, 3]);
    assert_eq!(changes(&world, None, ChangesFrom::After(1), 9).await, [3, 4]);
    assert_eq!(changes(&world, None, ChangesFrom::After(4), 9).await, [0_i64; 0]);
    assert_eq!(changes(&world, None, ChangesFrom::Before(i64::MAX), 9).await, [1, 3, 4]);
    assert_eq!(changes(&world, None, ChangesFrom::Before(i64::MAX), 2).await, [3, 4], "the newest, the oldest first");
    assert_eq!(changes(&world, None, ChangesFrom::Before(4), 1).await, [3]);
    assert_eq!(changes(&world, None, ChangesFrom::Before(1), 9).await, [0_i64; 0]);
    let told = &world.metadata.trust_changes(None, ChangesFrom::After(3), 9).await.unwrap()[0];
    assert_eq!((told.at, told.kind.as_str(), told.gun.as_str()), (NOW, "trust_deleted", GUN));
    assert_eq!(told.payload, r#"{"version":1}"#);
}

async fn changes_of_one_collection_are_its_own(world: World) {
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let second = "other.example/alice/app";
    for (repository, gun) in [(&app, GUN), (&app, second), (&other, GUN), (&app, GUN)] {
        record(&world, repository, gun, &["trust_published", "tag_moved"]).await;
    }
    let of = |repository: &Repository, gun: &'static str| Some((repository.id, gun));
    assert_eq!(changes(&world, None, ChangesFrom::After(0), 9).await, [1, 3, 5, 7]);
    assert_eq!(changes(&world, of(&app, GUN), ChangesFrom::After(0), 9).await, [1, 7]);
    assert_eq!(changes(&world, of(&app, GUN), ChangesFrom::After(1), 9).await, [7]);
    assert_eq!(changes(&world, of(&app, GUN), ChangesFrom::After(0), 1).await, [1]);
    assert_eq!(changes(&world, of(&app, GUN), ChangesFrom::Before(i64::MAX), 1).await, [7]);
    assert_eq!(changes(&world, of(&app, GUN), ChangesFrom::Before(7), 9).await, [1]);
    assert_eq!(changes(&world, of(&app, second), ChangesFrom::Before(i64::MAX), 9).await, [3]);
    assert_eq!(changes(&world, of(&other, GUN), ChangesFrom::After(0), 9).await, [5]);
    assert_eq!(changes(&world, of(&other, second), ChangesFrom::After(0), 9).await, [0_i64; 0]);
}

async fn a_deleted_collection_is_gone_and_may_begin_anew(world: World) {
    let (key, seen) = first(&world).await;
    let second = CollectionKey { gun: "other.example/alice/app".into(), ..key.clone() };
    assert_eq!(publish(&world, &second, None, FIRST, 0).await, Published::Stored);
    let delete = async |key: &CollectionKey| world.change(key.clone(), |tx, key| Box::pin(tx.delete_trust(key))).await;
    assert!(delete(&key).await);
    assert!(!delete(&key).await);
    assert_eq!(world.metadata.trust_collection(&key).await.unwrap(), None);
    assert_eq!(current(&world, &key, "root").await, None);
    assert_eq!(world.metadata.trust_states(seen).await.unwrap(), []);
    assert_eq!(publish(&world, &key, Some(seen), &[("targets", 2, "late")], 0).await, Published::Overtaken);
    assert_eq!(current(&world, &second, "root").await.as_deref(), Some("root one"), "another collection stays");
    assert_eq!(publish(&world, &key, None, FIRST, 0).await, Published::Stored);
    let again = world.metadata.trust_collection(&key).await.unwrap().unwrap();
    assert_ne!(again.id, seen.id, "what rests on the old one is overtaken");
    assert_eq!(publish(&world, &key, Some(seen), &[("targets", 2, "late")], 0).await, Published::Overtaken);
}

async fn a_collection_goes_with_its_repository(world: World) {
    let repository = world.repository("alice/app").await;
    let keys = [GUN, "other.example/alice/app"].map(|gun| CollectionKey { gun: gun.into(), ..key_of(&repository) });
    for key in &keys {
        assert_eq!(publish(&world, key, None, FIRST, 0).await, Published::Stored);
    }
    let stays = CollectionKey { repository: world.repository("alice/other").await.id, ..key_of(&repository) };
    assert_eq!(publish(&world, &stays, None, FIRST, 0).await, Published::Stored);
    let due = async || world.metadata.trust_due(TrustDialect::Notary, i64::MAX, 9).await.unwrap().len();
    assert_eq!(due().await, 3);
    assert!(world.delete_repository(&repository).await);
    assert_eq!(due().await, 1, "what will be emptied is renewed no more");
    while world.change((), |tx, ()| Box::pin(tx.empty_deleted_repository(NOW + WINDOW, 2))).await {}
    for key in &keys {
        assert_eq!(world.metadata.trust_collection(key).await.unwrap(), None);
    }
    let left = [("trust_collections", 1), ("trust_metadata", 4), ("trust_current", 4)];
    for (table, rows) in left {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, rows, "{table}");
    }
    assert_eq!(current(&world, &stays, "timestamp").await.as_deref(), Some("t 1"));
}
