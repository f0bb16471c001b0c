//! What the operator of the signer asks for: pages, and what is sealed under the master key sealed anew.

use hallmark_storage::metadata::{
    CollectionKey, Freshness, LoggedSignature, NewTrustFile, SignerFloor, SignerKey, SignerRoot, TokenKey,
    TrustDialect, TrustRoot, TrustState, WrappedDataKey,
};

use crate::harness::{NOW, World, family};

family! {
    keys_are_told_page_by_page,
    a_key_is_found_by_its_id,
    floors_are_told_page_by_page,
    the_log_is_told_backwards_page_by_page,
    a_setting_is_seen_by_the_change_that_sets_it,
    a_token_key_is_sealed_anew_once,
    abandoned_keys_leave_versions_and_log,
    forgotten_roots_leave_notary_s_collections,
}

fn key(id: &str, collection: &str) -> SignerKey {
    SignerKey {
        id: id.to_owned(),
        collection: collection.to_owned(),
        role: "timestamp".to_owned(),
        algorithm: "ecdsa".to_owned(),
        public: b"public".to_vec(),
        sealed: b"sealed".to_vec(),
        data_key: "d".to_owned(),
        made_at: NOW,
        used_at: None,
    }
}

async fn with_keys(world: &World, keys: &[SignerKey]) {
    let data_key = WrappedDataKey { id: "d".to_owned(), wrapped: b"wrapped".to_vec(), made_at: NOW };
    world.change(data_key, |tx, key| Box::pin(tx.add_signer_data_key(key))).await;
    for key in keys {
        world.change(key.clone(), |tx, key| Box::pin(tx.add_signer_key(key))).await;
    }
}

async fn keys_are_told_page_by_page(world: World) {
    let keys = [key("a", "c2"), key("b", "c1"), key("c", "c3")];
    with_keys(&world, &keys).await;
    let page = async |after: &str, limit: u32| world.metadata.signer_key_page(after, limit).await.unwrap();
    assert_eq!(page("", 2).await, keys[..2]);
    assert_eq!(page("b", 2).await, keys[2..]);
    assert_eq!(page("c", 2).await, []);
}

async fn a_key_is_found_by_its_id(world: World) {
    with_keys(&world, &[key("a", "c")]).await;
    let found = async |id: &'static str| world.change(id, |tx, id| Box::pin(tx.signer_key(id))).await;
    assert_eq!(found("a").await, Some(key("a", "c")));
    assert_eq!(found("b").await, None);
}

async fn floors_are_told_page_by_page(world: World) {
    let floors = [("a", "snapshot", 4), ("a", "timestamp", 2), ("b", "root", 7)];
    for floor in floors {
        world
            .change(floor, |tx, (collection, role, version)| Box::pin(tx.lift_signer_floor(collection, role, *version)))
            .await;
    }
    let expected = floors.map(|(collection, role, version)| SignerFloor {
        collection: collection.to_owned(),
        role: role.to_owned(),
        version,
    });
    let page = async |after, limit| world.metadata.signer_floor_page(after, limit).await.unwrap();
    assert_eq!(page(("", ""), 2).await, expected[..2]);
    assert_eq!(page(("a", "snapshot"), 2).await, expected[1..]);
    assert_eq!(page(("b", "root"), 2).await, []);
}

async fn the_log_is_told_backwards_page_by_page(world: World) {
    for version in 1..=3 {
        let line = LoggedSignature {
            at: NOW + version,
            caller: "CN=registry for 7 r".to_owned(),
            role: "timestamp".to_owned(),
            version,
            sha256: vec![7; 32],
            key_id: "k".to_owned(),
        };
        world.change(line, |tx, line| Box::pin(tx.log_signature("c", line))).await;
    }
    let newest = world.metadata.signer_log_page(i64::MAX, 2).await.unwrap();
    assert_eq!(newest.iter().map(|line| line.version).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(
        (newest[0].caller.as_str(), newest[0].collection.as_str(), newest[0].at),
        ("CN=registry for 7 r", "c", NOW + 3)
    );
    let rest = world.metadata.signer_log_page(newest[1].id, 2).await.unwrap();
    assert_eq!(rest.iter().map(|line| line.version).collect::<Vec<_>>(), [1]);
}

async fn a_setting_is_seen_by_the_change_that_sets_it(world: World) {
    let seen = world
        .change((), |tx, ()| {
            Box::pin(async move {
                let before = tx.setting("master").await?;
                tx.set_setting("master", Some("one")).await?;
                Ok((before, tx.setting("master").await?))
            })
        })
        .await;
    assert_eq!(seen, (None, Some("one".to_owned())));
}

async fn a_token_key_is_sealed_anew_once(world: World) {
    let key = TokenKey {
        kid: "k".to_owned(),
        sealed: b"old".to_vec(),
        public: b"public".to_vec(),
        created_at: NOW,
        retires_at: None,
    };
    assert!(world.change(key.clone(), |tx, key| Box::pin(tx.insert_token_key(key))).await);
    let reseal = async || world.change(key.clone(), |tx, key| Box::pin(tx.reseal_token_key(key, b"new"))).await;
    assert!(reseal().await);
    assert!(!reseal().await, "it is not what was read any more");
    let keys = world.change((), |tx, ()| Box::pin(tx.token_keys())).await;
    assert_eq!(keys, [TokenKey { sealed: b"new".to_vec(), ..key }]);
}

async fn lift(world: &World, collection: &'static str, role: &'static str) {
    world
        .change((collection, role), |tx, (collection, role)| Box::pin(tx.lift_signer_floor(collection, role, 7)))
        .await;
}

async fn abandoned_keys_leave_versions_and_log(world: World) {
    with_keys(&world, &[key("a", "c1"), key("b", "c2")]).await;
    let token = TokenKey {
        kid: "k".to_owned(),
        sealed: b"s".to_vec(),
        public: b"p".to_vec(),
        created_at: NOW,
        retires_at: None,
    };
    assert!(world.change(token, |tx, key| Box::pin(tx.insert_token_key(key))).await);
    lift(&world, "c1", "timestamp").await;
    assert_eq!(world.change((), |tx, ()| Box::pin(tx.abandon_sealed_keys())).await, 2);
    for table in ["signer_keys", "signer_data_keys", "token_keys"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(world.metadata.signer_floor_page(("", ""), 9).await.unwrap().len(), 1);
}

async fn forgotten_roots_leave_notary_s_collections(world: World) {
    let root = TrustRoot { domain: "tuf1/registry".into(), version: 1, body: b"root".to_vec() };
    assert!(world.change(root, |tx, root| Box::pin(tx.add_trust_root(root, NOW))).await);
    let repository = world.repository("ann/web").await;
    for (dialect, role) in [(TrustDialect::Notary, "timestamp"), (TrustDialect::Tuf, "timestamp")] {
        let key = CollectionKey { repository: repository.id, dialect, gun: String::new() };
        let file = NewTrustFile {
            state: TrustState {
                role: role.parse().unwrap(),
                version: 1,
                sha256: vec![1; 32],
                sha512: vec![1; 64],
                length: 1,
                latest_expiry: NOW,
                begun_after: 0,
                lives: 0,
            },
            body: b"x".to_vec(),
            begins_anew: false,
        };
        let fresh = Freshness { renew_at: NOW, expires_at: NOW };
        world
            .change((key, [file], fresh), |tx, (key, files, fresh)| {
                Box::pin(tx.publish_trust(key, None, files, *fresh, NOW))
            })
            .await;
    }
    for (collection, role) in
        [("tuf1/repository/1", "base"), ("tuf1/repository/1", "timestamp"), ("notary1/1/x", "root")]
    {
        lift(&world, collection, role).await;
    }
    let known = SignerRoot { domain: "tuf1/registry".into(), version: 1, sha256: vec![1; 32], body: vec![1] };
    world.change(known, |tx, known| Box::pin(tx.lift_signer_root(known))).await;
    world.change((), |tx, ()| Box::pin(tx.forget_trust_roots())).await;
    assert_eq!(world.metadata.signer_root_page("", 9).await.unwrap(), [], "the chain may begin anew");
    assert_eq!(world.metadata.trust_root("tuf1/registry", None).await.unwrap(), None);
    assert_eq!(world.count("SELECT COUNT(*) FROM trust_collections").await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM trust_metadata").await, 1);
    assert_eq!(world.metadata.signer_floor_page(("", ""), 9).await.unwrap().len(), 2, "what was given stays given");
}
