//! What the signer keeps for itself: sealed keys, the last version of each role, and its log.

use std::sync::Arc;

use hallmark_storage::metadata::{DatabaseConfig, Error, LoggedSignature, SignerKey, SignerRoot, WrappedDataKey};

use crate::harness::{NOW, World, family};

family! {
    data_keys_are_told_the_oldest_first,
    a_data_key_is_wrapped_anew_once,
    keys_belong_to_one_role_of_one_collection,
    a_key_needs_its_data_key,
    a_change_sees_the_keys_that_it_made,
    whoever_holds_the_floor_finds_what_was_made_before,
    a_version_is_given_once,
    versions_given_at_once_differ,
    a_floor_is_lifted_and_never_lowered,
    the_newest_root_of_a_domain_is_remembered,
    of_a_version_one_root_is_endorsed,
    the_log_tells_the_newest_first,
    the_log_is_only_added_to,
    destroyed_keys_leave_versions_and_log,
    what_is_sealed_is_not_printed,
}

const COLLECTION: &str = "notary1/7/registry.example/alice/app";

fn data_key(id: &str, made_at: i64) -> WrappedDataKey {
    WrappedDataKey { id: id.to_owned(), wrapped: format!("wrapped {id}").into_bytes(), made_at }
}

fn key(id: &str, role: &str, made_at: i64) -> SignerKey {
    SignerKey {
        id: id.to_owned(),
        collection: COLLECTION.to_owned(),
        role: role.to_owned(),
        algorithm: "ecdsa".to_owned(),
        public: format!("public {id}").into_bytes(),
        sealed: format!("sealed {id}").into_bytes(),
        data_key: "d".to_owned(),
        made_at,
        used_at: None,
    }
}

async fn add_data_key(world: &World, key: WrappedDataKey) {
    world.change(key, |tx, key| Box::pin(tx.add_signer_data_key(key))).await;
}

async fn add(world: &World, key: SignerKey) {
    world.change(key, |tx, key| Box::pin(tx.add_signer_key(key))).await;
}

async fn ids(world: &World, collection: &str, role: &str) -> Vec<String> {
    world.metadata.signer_keys(collection, role).await.unwrap().into_iter().map(|key| key.id).collect()
}

async fn raise(world: &World, role: &'static str, wanted: i64) -> i64 {
    let input = (role, wanted);
    world.change(input, |tx, (role, wanted)| Box::pin(tx.raise_signer_floor(COLLECTION, role, *wanted))).await
}

async fn lift(world: &World, role: &'static str, version: i64) {
    let input = (role, version);
    world.change(input, |tx, (role, version)| Box::pin(tx.lift_signer_floor(COLLECTION, role, *version))).await;
}

async fn floor(world: &World, role: &'static str) -> i64 {
    world.change(role, |tx, role| Box::pin(tx.signer_floor(COLLECTION, role))).await
}

async fn data_keys_are_told_the_oldest_first(world: World) {
    assert_eq!(world.metadata.signer_data_keys().await.unwrap(), []);
    for (id, made_at) in [("b", 5), ("c", 4), ("a", 5)] {
        add_data_key(&world, data_key(id, made_at)).await;
    }
    let expected = [data_key("c", 4), data_key("a", 5), data_key("b", 5)];
    assert_eq!(world.metadata.signer_data_keys().await.unwrap(), expected);
    let again: Result<(), Error> =
        world.metadata.write(data_key("a", 6), |tx, key| Box::pin(tx.add_signer_data_key(key))).await;
    assert!(again.is_err(), "an id is taken once");
}

async fn a_data_key_is_wrapped_anew_once(world: World) {
    add_data_key(&world, data_key("a", 1)).await;
    let rewrap = async |read: WrappedDataKey, wrapped: &'static [u8]| {
        world.change((read, wrapped), |tx, (read, wrapped)| Box::pin(tx.rewrap_signer_data_key(read, wrapped))).await
    };
    assert!(rewrap(data_key("a", 1), b"anew").await);
    assert!(!rewrap(data_key("a", 1), b"late").await, "it was read before that");
    assert!(!rewrap(data_key("b", 1), b"anew").await);
    let expected = WrappedDataKey { wrapped: b"anew".to_vec(), ..data_key("a", 1) };
    assert_eq!(world.metadata.signer_data_keys().await.unwrap(), [expected]);
}

async fn keys_belong_to_one_role_of_one_collection(world: World) {
    add_data_key(&world, data_key("d", 1)).await;
    let other = SignerKey { collection: "notary1/8/registry.example/alice/app".into(), ..key("o", "snapshot", 1) };
    for key in [key("b", "snapshot", 2), key("a", "snapshot", 2), key("c", "snapshot", 1), key("t", "timestamp", 1)] {
        add(&world, key).await;
    }
    add(&world, other.clone()).await;
    let stored = world.metadata.signer_keys(COLLECTION, "snapshot").await.unwrap();
    assert!(stored == [key("c", "snapshot", 1), key("a", "snapshot", 2), key("b", "snapshot", 2)]);
    assert_eq!(ids(&world, COLLECTION, "timestamp").await, ["t"]);
    assert_eq!(ids(&world, &other.collection, "snapshot").await, ["o"]);
    assert_eq!(ids(&world, &other.collection, "timestamp").await, [""; 0]);
    let of_all_roles = world.metadata.signer_keys_of(COLLECTION).await.unwrap();
    let of_all_roles: Vec<_> = of_all_roles.iter().map(|key| (key.id.as_str(), key.role.as_str())).collect();
    let (snapshot, timestamp) = ("snapshot", "timestamp");
    assert_eq!(of_all_roles, [("c", snapshot), ("t", timestamp), ("a", snapshot), ("b", snapshot)]);
    world.change((), |tx, ()| Box::pin(tx.use_signer_key("a", NOW))).await;
    let used: Vec<_> =
        world.metadata.signer_keys(COLLECTION, "snapshot").await.unwrap().iter().map(|key| key.used_at).collect();
    assert_eq!(used, [None, Some(NOW), None]);
}

async fn a_key_needs_its_data_key(world: World) {
    let added: Result<(), Error> =
        world.metadata.write(key("a", "snapshot", 1), |tx, key| Box::pin(tx.add_signer_key(key))).await;
    assert!(added.is_err());
    assert_eq!(ids(&world, COLLECTION, "snapshot").await, [""; 0]);
}

async fn a_change_sees_the_keys_that_it_made(world: World) {
    add_data_key(&world, data_key("d", 1)).await;
    let seen = world
        .change(key("a", "snapshot", 1), |tx, key| {
            Box::pin(async move {
                tx.add_signer_key(key).await?;
                tx.signer_keys(&key.collection, &key.role).await
            })
        })
        .await;
    assert!(seen == [key("a", "snapshot", 1)]);
}

/// How the signer makes one key, and its first data key, where several are asked for at once.
async fn whoever_holds_the_floor_finds_what_was_made_before(world: World) {
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                world
                    .change(number, |tx, number| {
                        Box::pin(async move {
                            tx.lift_signer_floor(COLLECTION, "snapshot", 0).await?;
                            tx.signer_floor(COLLECTION, "snapshot").await?;
                            if tx.signer_data_keys().await?.is_empty() {
                                tx.add_signer_data_key(&data_key("d", *number)).await?;
                            }
                            if tx.signer_keys(COLLECTION, "snapshot").await?.is_empty() {
                                tx.add_signer_key(&key(&number.to_string(), "snapshot", *number)).await?;
                            }
                            Ok(())
                        })
                    })
                    .await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(world.metadata.signer_data_keys().await.unwrap().len(), 1);
    assert_eq!(ids(&world, COLLECTION, "snapshot").await.len(), 1);
    assert_eq!(floor(&world, "snapshot").await, 0);
}

async fn a_version_is_given_once(world: World) {
    assert_eq!(floor(&world, "timestamp").await, 0);
    for (wanted, given) in [(1, 1), (1, 2), (2, 3), (9, 9), (4, 10), (0, 11), (-5, 12), (13, 13)] {
        assert_eq!(raise(&world, "timestamp", wanted).await, given, "{wanted}");
        assert_eq!(floor(&world, "timestamp").await, given);
    }
    assert_eq!(floor(&world, "snapshot").await, 0, "each role has its own");
    assert_eq!(raise(&world, "snapshot", 1).await, 1);
}

async fn versions_given_at_once_differ(world: World) {
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let mut given = Vec::new();
                for _ in 0..10 {
                    given.push(raise(&world, "timestamp", 1).await);
                }
                assert!(given.is_sorted(), "{given:?}");
                given
            })
        })
        .collect();
    let mut given = Vec::new();
    for task in tasks {
        given.extend(task.await.unwrap());
    }
    given.sort_unstable();
    assert_eq!(given, (1..=80).collect::<Vec<_>>());
}

async fn a_floor_is_lifted_and_never_lowered(world: World) {
    for (version, expected) in [(0, 0), (3, 3), (2, 3), (3, 3), (5, 5)] {
        lift(&world, "targets", version).await;
        assert_eq!(floor(&world, "targets").await, expected, "{version}");
    }
}

async fn the_newest_root_of_a_domain_is_remembered(world: World) {
    let root =
        |version: i64, sum: u8| SignerRoot { domain: "d".into(), version, sha256: vec![sum; 32], body: vec![sum] };
    let lift = async |root: SignerRoot| world.change(root, |tx, root| Box::pin(tx.lift_signer_root(root))).await;
    let table = [((1, 1), (1, 1)), ((1, 2), (1, 1)), ((3, 3), (3, 3)), ((2, 2), (3, 3)), ((3, 4), (3, 3))];
    for ((version, sum), (known, of)) in table {
        assert_eq!(lift(root(version, sum)).await, root(known, of), "{version} {sum}");
    }
    let other = SignerRoot { domain: "e".into(), ..root(1, 9) };
    assert_eq!(lift(other.clone()).await, other);
    let page = async |after: &str, limit: u32| world.metadata.signer_root_page(after, limit).await.unwrap();
    assert_eq!((page("", 1).await, page("d", 9).await), (vec![root(3, 3)], vec![other]));
    let known = async |domain: &'static str| world.change(domain, |tx, domain| Box::pin(tx.signer_root(domain))).await;
    assert_eq!((known("d").await, known("none").await), (Some(root(3, 3)), None));
}

async fn of_a_version_one_root_is_endorsed(world: World) {
    let root = SignerRoot { domain: "d".into(), version: 1, sha256: vec![1; 32], body: vec![1] };
    let endorse = async |domain: &'static str, version: i64, sum: u8| {
        let input = (domain, version, vec![sum; 32]);
        world.change(input, |tx, (domain, version, sum)| Box::pin(tx.endorse_signer_root(domain, *version, sum))).await
    };
    assert!(!endorse("d", 2, 1).await, "there is no root that it follows");
    world.change(root.clone(), |tx, root| Box::pin(tx.lift_signer_root(root))).await;
    for (version, sum, expected) in [(2, 1, true), (2, 2, false), (2, 1, true), (3, 2, true), (3, 1, false)] {
        assert_eq!(endorse("d", version, sum).await, expected, "{version} {sum}");
    }
    let next = SignerRoot { version: 2, ..root };
    world.change(next, |tx, root| Box::pin(tx.lift_signer_root(root))).await;
    assert!(!endorse("d", 3, 1).await, "another root that holds changes nothing of it");
}

async fn the_log_tells_the_newest_first(world: World) {
    let line = |version: i64, key_id: &str| LoggedSignature {
        at: NOW + version,
        caller: "alice".into(),
        role: "timestamp".into(),
        version,
        sha256: vec![version.to_le_bytes()[0]; 32],
        key_id: key_id.into(),
    };
    let lines = [line(1, "a"), line(2, "a"), line(2, "b"), line(3, "a")];
    for line in lines.clone() {
        world.change(line, |tx, line| Box::pin(tx.log_signature(COLLECTION, line))).await;
    }
    let other = LoggedSignature { role: "snapshot".into(), ..line(9, "a") };
    world.change(other, |tx, line| Box::pin(tx.log_signature(COLLECTION, line))).await;
    let log = world.metadata.signer_log(COLLECTION, "timestamp", 9).await.unwrap();
    assert_eq!([&log[0], &log[3]], [&lines[3], &lines[0]]);
    assert_eq!(log.len(), 4);
    assert!(log[1..3].contains(&lines[1]) && log[1..3].contains(&lines[2]));
    assert_eq!(world.metadata.signer_log(COLLECTION, "timestamp", 1).await.unwrap(), [lines[3].clone()]);
    assert_eq!(world.metadata.signer_log("notary1/8", "timestamp", 9).await.unwrap(), []);
}

async fn the_log_is_only_added_to(world: World) {
    let line = LoggedSignature {
        at: NOW,
        caller: "alice".into(),
        role: "timestamp".into(),
        version: 1,
        sha256: vec![1; 32],
        key_id: "a".into(),
    };
    world.change(line.clone(), |tx, line| Box::pin(tx.log_signature(COLLECTION, line))).await;
    let mut statements =
        vec!["UPDATE signer_log SET caller = 'bob'", "UPDATE signer_log SET id = id + 1", "DELETE FROM signer_log"];
    if matches!(world.config, DatabaseConfig::Postgres { .. }) {
        statements.push("TRUNCATE signer_log");
    }
    for statement in statements {
        let refusal = world.refusal(statement).await;
        assert!(refusal.contains("the log of signatures is only added to"), "{statement}: {refusal}");
    }
    assert_eq!(world.metadata.signer_log(COLLECTION, "timestamp", 9).await.unwrap(), [line]);
}

async fn destroyed_keys_leave_versions_and_log(world: World) {
    add_data_key(&world, data_key("d", 1)).await;
    for key in [key("a", "snapshot", 1), key("t", "timestamp", 1)] {
        add(&world, key).await;
    }
    add(&world, SignerKey { collection: "notary1/8".into(), ..key("o", "snapshot", 1) }).await;
    for role in ["root", "targets", "targets/releases", "snapshot", "timestamp"] {
        lift(&world, role, 7).await;
    }
    let line = LoggedSignature {
        at: NOW,
        caller: String::new(),
        role: "timestamp".into(),
        version: 7,
        sha256: Vec::new(),
        key_id: "t".into(),
    };
    world.change(line, |tx, line| Box::pin(tx.log_signature(COLLECTION, line))).await;
    world.change((), |tx, ()| Box::pin(tx.destroy_signer_key("absent"))).await;
    assert_eq!(world.change((), |tx, ()| Box::pin(tx.destroy_signer_keys(COLLECTION))).await, 2);
    assert_eq!(world.change((), |tx, ()| Box::pin(tx.destroy_signer_keys(COLLECTION))).await, 0);
    assert_eq!(ids(&world, "notary1/8", "snapshot").await, ["o"]);
    for (role, expected) in [("root", 0), ("targets", 0), ("targets/releases", 0), ("snapshot", 7), ("timestamp", 7)] {
        assert_eq!(floor(&world, role).await, expected, "{role}");
    }
    assert_eq!(world.metadata.signer_log(COLLECTION, "timestamp", 9).await.unwrap().len(), 1);
}

async fn what_is_sealed_is_not_printed(world: World) {
    add_data_key(&world, data_key("d", 1)).await;
    add(&world, key("a", "snapshot", 1)).await;
    let printed = format!(
        "{:?} {:?}",
        world.metadata.signer_data_keys().await.unwrap(),
        world.metadata.signer_keys(COLLECTION, "snapshot").await.unwrap()
    );
    assert!(printed.contains(COLLECTION) && !printed.contains("sealed") && !printed.contains("wrapped"), "{printed}");
}
