//! Credentials, settings, token keys and events.

use hallmark_storage::metadata::{Engine, Error, Event, NewCredential, PrincipalId, TokenKey};

use crate::harness::{NOW, World, family};

family! {
    a_credential_is_read_back_and_revoked_once,
    credentials_that_ended_are_forgotten,
    the_newest_hundred_credentials_are_kept,
    a_setting_is_set_changed_and_unset,
    a_token_key_retires_and_is_forgotten,
    an_event_has_its_number_or_waits_for_it,
    a_database_that_answers_is_pinged,
}

async fn give(world: &World, selector: &'static str, expires_at: i64) -> Result<(), Error> {
    world
        .metadata
        .write((world.alice.id, selector, expires_at), |tx, (principal, selector, expires_at)| {
            Box::pin(async move {
                let new = NewCredential {
                    principal: *principal,
                    kind: "refresh",
                    selector,
                    secret_hash: &[0, 1, 255],
                    service: "registry",
                    scopes: "repository:alice/app:pull",
                    epoch: 3,
                    expires_at: *expires_at,
                    name: "",
                    rolls: true,
                };
                tx.insert_credential(&new, NOW).await.map(drop)
            })
        })
        .await
}

async fn a_credential_is_read_back_and_revoked_once(world: World) {
    give(&world, "one", NOW + 5).await.unwrap();
    let credential = world.metadata.credential("one").await.unwrap().unwrap();
    assert_eq!((credential.principal, credential.epoch), (world.alice.id, 3));
    assert_eq!((credential.secret_hash.as_slice(), credential.revoked_at), ([0, 1, 255].as_slice(), None));
    assert_eq!((credential.created_at, credential.expires_at), (NOW, NOW + 5));
    for stood in [true, false] {
        let revoked: Result<bool, Error> =
            world.metadata.write((), |tx, ()| Box::pin(tx.revoke_credential("one", NOW + 1))).await;
        assert_eq!(revoked.unwrap(), stood);
    }
    assert_eq!(world.metadata.credential("one").await.unwrap().unwrap().revoked_at, Some(NOW + 1));
    assert_eq!(world.metadata.credential("two").await.unwrap(), None);
}

async fn credentials_that_ended_are_forgotten(world: World) {
    give(&world, "ended", NOW).await.unwrap();
    give(&world, "next", NOW + 5).await.unwrap();
    assert_eq!(world.look("SELECT selector FROM credentials").await, ["next"]);
}

/// Threat 14: every login makes a refresh token, and nothing gives one back.
async fn the_newest_hundred_credentials_are_kept(world: World) {
    let selectors: &'static [String] = Vec::leak((0..103).map(|number| format!("s{number:03}")).collect());
    for selector in selectors {
        give(&world, selector, NOW + 5).await.unwrap();
    }
    let kept = world.look("SELECT selector FROM credentials ORDER BY selector").await;
    assert_eq!(kept, selectors[3..]);
}

async fn a_setting_is_set_changed_and_unset(world: World) {
    for value in [Some("on"), Some("off"), None] {
        let set: Result<(), Error> =
            world.metadata.write(value, |tx, value| Box::pin(tx.set_setting("readonly", *value))).await;
        set.unwrap();
        assert_eq!(world.metadata.setting("readonly").await.unwrap().as_deref(), value);
    }
}

async fn a_token_key_retires_and_is_forgotten(world: World) {
    let key = |kid: &str, created_at| TokenKey {
        kid: kid.into(),
        sealed: vec![1, 2],
        public: vec![3],
        created_at,
        retires_at: None,
    };
    for (key, new) in [(key("b", 1), true), (key("a", 2), true), (key("a", 3), false)] {
        let kept: Result<bool, Error> = world.metadata.write(key, |tx, key| Box::pin(tx.insert_token_key(key))).await;
        assert_eq!(kept.unwrap(), new);
    }
    assert_eq!(world.metadata.token_keys().await.unwrap(), [key("b", 1), key("a", 2)]);
    let forgotten: Result<_, Error> = world
        .metadata
        .write((), |tx, ()| {
            Box::pin(async move {
                let retired = (tx.retire_token_key("b", 10).await?, tx.retire_token_key("c", 10).await?);
                Ok((retired, tx.forget_retired_token_keys(9).await?, tx.forget_retired_token_keys(10).await?))
            })
        })
        .await;
    assert_eq!(forgotten.unwrap(), ((true, false), 0, 1));
    assert_eq!(world.metadata.token_keys().await.unwrap(), [key("a", 2)]);
}

async fn an_event_has_its_number_or_waits_for_it(world: World) {
    let recorded: Result<(), Error> = world
        .metadata
        .write((), |tx, ()| {
            Box::pin(async move {
                let event = Event {
                    actor: PrincipalId(7),
                    kind: "user_created",
                    account: None,
                    repository: None,
                    subject: "alice",
                    payload: "{}",
                    request_id: "r-1",
                    at: NOW,
                };
                tx.record(&event).await
            })
        })
        .await;
    recorded.unwrap();
    let events = world.look("SELECT seq, actor_id, kind, subject, request_id FROM events").await;
    // The embedded database has one writer, so the order of events is known at once.
    let number = if world.metadata.engine() == Engine::Sqlite { "1" } else { "-" };
    assert_eq!(events, [format!("{number} 7 user_created alice r-1")]);
}

async fn a_database_that_answers_is_pinged(world: World) {
    world.metadata.ping().await.unwrap();
    assert_eq!(world.metadata.schema_version(), world.count("SELECT MAX(version) FROM migrations").await);
    world.metadata.close().await;
    assert!(world.metadata.ping().await.unwrap_err().is_unavailable());
}
