//! Credentials that have a name: personal access tokens and robots' secrets.

use hallmark_storage::metadata::{Credential, NewCredential, PrincipalId};

use crate::harness::{NOW, World, family};

family! {
    named_credentials_are_listed_oldest_first,
    a_credential_is_found_by_its_id,
    credentials_of_one_kind_are_shortened,
    another_s_credential_is_not_revoked,
    those_given_before_a_time_are_revoked,
    a_use_is_never_noted_back_in_time,
    those_that_stand_are_counted,
    a_refresh_token_forgets_no_personal_token,
    ended_personal_tokens_leave_no_heap,
}

/// Keeps a credential of this kind; its id.
async fn keep(world: &World, of: PrincipalId, kind: &'static str, selector: &str, (at, expires_at): (i64, i64)) -> i64 {
    let input = (of, kind, selector.to_owned(), at, expires_at);
    world
        .change(input, |tx, (principal, kind, selector, at, expires_at)| {
            Box::pin(async move {
                let new = NewCredential {
                    principal: *principal,
                    kind,
                    selector,
                    secret_hash: b"hash",
                    service: "",
                    scopes: "read",
                    epoch: 0,
                    expires_at: *expires_at,
                    name: selector,
                    rolls: *kind == "refresh",
                };
                tx.insert_credential(&new, *at).await
            })
        })
        .await
}

async fn names(world: &World, of: PrincipalId, kind: &str) -> Vec<String> {
    let listed: Vec<Credential> = world.metadata.credentials(of, kind).await.unwrap();
    listed.into_iter().map(|credential| credential.name).collect()
}

async fn named_credentials_are_listed_oldest_first(world: World) {
    let bob = world.user("bob").await;
    keep(&world, world.alice.id, "personal", "b", (NOW, NOW + 5)).await;
    keep(&world, world.alice.id, "personal", "a", (NOW + 1, NOW + 2)).await;
    keep(&world, world.alice.id, "robot", "c", (NOW, NOW + 5)).await;
    keep(&world, bob.id, "personal", "d", (NOW, NOW + 5)).await;
    assert_eq!(names(&world, world.alice.id, "personal").await, ["b", "a"]);
    assert_eq!(names(&world, bob.id, "robot").await, [""; 0]);
}

async fn a_credential_is_found_by_its_id(world: World) {
    let id = keep(&world, world.alice.id, "personal", "a", (NOW, NOW + 5)).await;
    let found = world.metadata.credential_of_id(id).await.unwrap().unwrap();
    assert_eq!((found.id, found.name.as_str(), found.last_used_at), (id, "a", None));
    assert_eq!(world.metadata.credential("a").await.unwrap(), Some(found));
    assert_eq!(world.metadata.credential_of_id(id + 1).await.unwrap(), None);
}

async fn credentials_of_one_kind_are_shortened(world: World) {
    for (selector, expires_at) in [("long", NOW + 90), ("short", NOW + 3)] {
        keep(&world, world.alice.id, "personal", selector, (NOW, expires_at)).await;
    }
    keep(&world, world.alice.id, "refresh", "other", (NOW, NOW + 90)).await;
    world.change(world.alice.id, |tx, of| Box::pin(tx.shorten_credentials(*of, "personal", NOW + 10))).await;
    let ends = world.look("SELECT selector, expires_at FROM credentials ORDER BY selector").await;
    assert_eq!(
        ends,
        [format!("long {}", NOW + 10), format!("other {}", NOW + 90), format!("short {}", NOW + 3)],
        "none is made longer"
    );
}

async fn another_s_credential_is_not_revoked(world: World) {
    let (bob, id) = (world.user("bob").await.id, keep(&world, world.alice.id, "personal", "a", (NOW, NOW + 5)).await);
    let revoke = async |of: PrincipalId| {
        world.change((id, of), |tx, (id, of)| Box::pin(tx.revoke_credential_of(*id, *of, NOW + 1))).await
    };
    assert!(!revoke(bob).await);
    assert_eq!(world.metadata.credential("a").await.unwrap().unwrap().revoked_at, None);
    assert!(revoke(world.alice.id).await);
    assert!(!revoke(world.alice.id).await);
    assert_eq!(world.metadata.credential("a").await.unwrap().unwrap().revoked_at, Some(NOW + 1));
}

async fn those_given_before_a_time_are_revoked(world: World) {
    let alice = world.alice.id;
    for (kind, selector, at) in [("refresh", "old", NOW), ("refresh", "new", NOW + 5), ("personal", "other", NOW)] {
        keep(&world, alice, kind, selector, (at, NOW + 50)).await;
    }
    let revoke = async |before| {
        let input = (alice, before);
        world
            .change(input, |tx, (alice, before)| {
                Box::pin(tx.revoke_older_credentials(*alice, "refresh", *before, NOW + 9))
            })
            .await
    };
    assert_eq!((revoke(NOW + 5).await, revoke(NOW + 5).await), (1, 0));
    let revoked = world.look("SELECT selector FROM credentials WHERE revoked_at IS NOT NULL").await;
    assert_eq!(revoked, ["old"]);
}

async fn a_use_is_never_noted_back_in_time(world: World) {
    let id = keep(&world, world.alice.id, "personal", "a", (NOW, NOW + 5)).await;
    for (at, noted) in [(NOW, NOW), (NOW + 2, NOW + 2), (NOW + 1, NOW + 2)] {
        world.change((id, at), |tx, (id, at)| Box::pin(tx.note_use(*id, *at))).await;
        assert_eq!(world.metadata.credential("a").await.unwrap().unwrap().last_used_at, Some(noted));
    }
}

async fn those_that_stand_are_counted(world: World) {
    let bob = world.user("bob").await;
    let revoked = keep(&world, world.alice.id, "personal", "revoked", (NOW, NOW + 50)).await;
    for (of, kind, selector, expires_at) in [
        (world.alice.id, "personal", "a", NOW + 50),
        (world.alice.id, "personal", "b", NOW + 11),
        (world.alice.id, "personal", "ended", NOW + 10),
        (world.alice.id, "robot", "c", NOW + 50),
        (bob.id, "personal", "d", NOW + 50),
    ] {
        keep(&world, of, kind, selector, (NOW, expires_at)).await;
    }
    let counted = world
        .change((world.alice.id, revoked), |tx, (alice, revoked)| {
            Box::pin(async move {
                let before = tx.standing_credentials(*alice, "personal", NOW + 10).await?;
                tx.revoke_credential_of(*revoked, *alice, NOW).await?;
                Ok((before, tx.standing_credentials(*alice, "personal", NOW + 10).await?))
            })
        })
        .await;
    assert_eq!(counted, (3, 2));
    // What is void since the credentials changed stands no more, and is forgotten with what ended.
    let void = world
        .change(world.alice.clone(), |tx, alice| {
            Box::pin(async move {
                tx.void_tokens(alice).await?;
                tx.standing_credentials(alice.id, "personal", NOW + 10).await
            })
        })
        .await;
    assert_eq!(void, 0);
    for number in 0..101 {
        keep(&world, bob.id, "personal", &format!("void {number}"), (NOW + number, NOW + 10_000)).await;
    }
    assert_eq!(names(&world, bob.id, "personal").await.len(), 102, "what stands is never forgotten");
    world.change(bob.clone(), |tx, bob| Box::pin(tx.void_tokens(bob))).await;
    keep(&world, bob.id, "personal", "new", (NOW + 200, NOW + 10_000)).await;
    assert_eq!(names(&world, bob.id, "personal").await.len(), 101, "a hundred of what is void are kept");
}

async fn a_refresh_token_forgets_no_personal_token(world: World) {
    keep(&world, world.alice.id, "personal", "ended", (NOW, NOW + 1)).await;
    keep(&world, world.alice.id, "refresh", "over", (NOW, NOW + 1)).await;
    keep(&world, world.alice.id, "refresh", "new", (NOW + 5, NOW + 9)).await;
    keep(&world, world.alice.id, "personal", "next", (NOW + 5, NOW + 9)).await;
    assert_eq!(names(&world, world.alice.id, "personal").await, ["ended", "next"]);
    assert_eq!(names(&world, world.alice.id, "refresh").await, ["new"]);
}

/// Otherwise a list of the oldest thousand would show no new one.
async fn ended_personal_tokens_leave_no_heap(world: World) {
    for number in 0..110 {
        keep(&world, world.alice.id, "personal", &format!("{number:03}"), (NOW + number, NOW + number + 1)).await;
    }
    keep(&world, world.alice.id, "personal", "stands", (NOW, NOW + 10_000)).await;
    keep(&world, world.alice.id, "personal", "last", (NOW + 500, NOW + 10_000)).await;
    let left = names(&world, world.alice.id, "personal").await;
    assert_eq!(left.len(), 102, "{left:?}");
    assert!(!left.contains(&"009".to_owned()) && left.contains(&"010".to_owned()));
    assert!(left.contains(&"stands".to_owned()), "what stands is never forgotten");
}
