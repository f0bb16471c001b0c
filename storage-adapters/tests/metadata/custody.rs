//! What the operator of the signer asks for: pages, and what is sealed under the master key sealed anew.

use hallmark_storage::metadata::{LoggedSignature, SignerFloor, SignerKey, TokenKey, WrappedDataKey};

use crate::harness::{NOW, World, family};

family! {
    keys_are_told_page_by_page,
    a_key_is_found_by_its_id,
    floors_are_told_page_by_page,
    the_log_is_told_backwards_page_by_page,
    a_setting_is_seen_by_the_change_that_sets_it,
    a_token_key_is_sealed_anew_once,
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
