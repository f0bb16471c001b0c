//! What `write` promises: one change, whole or not at all, whatever becomes of its caller.

use std::sync::Arc;

use hallmark_storage::metadata::{Engine, Error, ErrorKind, NewCredential, Tx};
use tokio::sync::Notify;

use crate::harness::{NOW, World, run, suite};

suite! {
    an_error_rolls_its_change_back,
    a_panic_rolls_its_change_back_and_the_next_goes_on,
    a_change_whose_statement_failed_is_never_committed,
    a_caller_that_goes_away_does_not_stop_a_change_that_began,
    a_body_that_hangs_is_ended,
    a_closed_database_takes_no_change,
    changes_at_once_are_all_made,
}

/// A refusal of the caller's own.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("mine")]
    Mine,
    #[error(transparent)]
    Database(#[from] Error),
}

async fn set(tx: &mut Tx, name: &str) -> Result<(), Error> {
    tx.set_setting(name, Some("set")).await
}

async fn an_error_rolls_its_change_back(world: World) {
    let refused: Result<(), Refused> = world
        .metadata
        .write((), |tx, ()| {
            Box::pin(async move {
                set(tx, "a").await?;
                Err(Refused::Mine)
            })
        })
        .await;
    assert!(matches!(refused, Err(Refused::Mine)));
    assert_eq!(world.metadata.setting("a").await.unwrap(), None);
}

async fn a_panic_rolls_its_change_back_and_the_next_goes_on(world: World) {
    let panicked: Result<(), Error> = world
        .metadata
        .write((), |tx, ()| {
            Box::pin(async move {
                set(tx, "a").await?;
                panic!("as this test wants it")
            })
        })
        .await;
    assert_eq!(panicked.unwrap_err().kind(), ErrorKind::Panicked);
    let next: Result<(), Error> = world.metadata.write((), |tx, ()| Box::pin(set(tx, "b"))).await;
    next.unwrap();
    assert_eq!(world.look("SELECT name FROM settings").await, ["b"]);
}

async fn a_change_whose_statement_failed_is_never_committed(world: World) {
    let overlooked: Result<(), Error> = world
        .metadata
        .write(world.alice.id, |tx, alice| {
            Box::pin(async move {
                set(tx, "a").await?;
                let new = NewCredential {
                    principal: *alice,
                    kind: "refresh",
                    selector: "taken",
                    secret_hash: b"",
                    service: "",
                    scopes: "",
                    epoch: 0,
                    expires_at: NOW + 1,
                    name: "",
                    rolls: true,
                };
                tx.insert_credential(&new, NOW).await?;
                drop(tx.insert_credential(&new, NOW).await);
                Ok(())
            })
        })
        .await;
    assert!(overlooked.is_err());
    assert_eq!(world.look("SELECT name FROM settings").await, [""; 0]);
}

async fn a_caller_that_goes_away_does_not_stop_a_change_that_began(world: World) {
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (metadata, input) = (world.metadata.clone(), (Arc::clone(&began), Arc::clone(&go)));
    let caller = tokio::spawn(async move {
        let made: Result<(), Error> = metadata
            .write(input, |tx, (began, go)| {
                Box::pin(async move {
                    began.notify_one();
                    go.notified().await;
                    set(tx, "a").await
                })
            })
            .await;
        made
    });
    began.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    go.notify_one();
    world.metadata.close().await;
    assert_eq!(world.look("SELECT name FROM settings").await, ["a"]);
}

async fn a_body_that_hangs_is_ended(world: World) {
    let hung: Result<(), Error> = world
        .metadata
        .write((), |tx, ()| {
            Box::pin(async move {
                set(tx, "a").await?;
                std::future::pending().await
            })
        })
        .await;
    assert_eq!(hung.unwrap_err().kind(), ErrorKind::TimedOut);
    let next: Result<(), Error> = world.metadata.write((), |tx, ()| Box::pin(set(tx, "b"))).await;
    next.unwrap();
    assert_eq!(world.look("SELECT name FROM settings").await, ["b"]);
}

async fn a_closed_database_takes_no_change(world: World) {
    world.metadata.close().await;
    let late: Result<(), Error> = world.metadata.write((), |tx, ()| Box::pin(set(tx, "a"))).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
}

async fn changes_at_once_are_all_made(world: World) {
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let metadata = world.metadata.clone();
            tokio::spawn(async move {
                let made: Result<(), Refused> = metadata
                    .write(number, |tx, number| {
                        Box::pin(async move {
                            set(tx, &format!("{number}")).await?;
                            if *number % 10 == 0 { Err(Refused::Mine) } else { Ok(()) }
                        })
                    })
                    .await;
                made.is_ok()
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += u32::from(task.await.unwrap());
    }
    assert_eq!(made, 180);
    assert_eq!(world.count("SELECT COUNT(*) FROM settings").await, 180);
}

#[test]
fn a_commit_whose_answer_never_comes_is_told_as_unknown() {
    run(Engine::Postgres, async |world: World| {
        let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (metadata, input) = (world.metadata.clone(), (Arc::clone(&began), Arc::clone(&go)));
        let caller = tokio::spawn(async move {
            let made: Result<(), Error> = metadata
                .write(input, |tx, (began, go)| {
                    Box::pin(async move {
                        set(tx, "a").await?;
                        began.notify_one();
                        go.notified().await;
                        Ok(())
                    })
                })
                .await;
            made
        });
        began.notified().await;
        world
            .meddle(
                "SELECT CAST(pg_terminate_backend(pid, 5000) AS TEXT) FROM pg_stat_activity
                  WHERE datname = current_database() AND state = 'idle in transaction'",
            )
            .await;
        go.notify_one();
        let unknown = caller.await.unwrap().unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::CommitUnknown);
        assert!(unknown.is_unavailable());
        let next: Result<(), Error> = world.metadata.write((), |tx, ()| Box::pin(set(tx, "b"))).await;
        next.unwrap();
        assert_eq!(world.look("SELECT name FROM settings").await, ["b"]);
    });
}

#[test]
fn a_database_that_was_restarted_answers_again() {
    run(Engine::Postgres, async |world: World| {
        world.metadata.ping().await.unwrap();
        world
            .meddle(
                "SELECT CAST(pg_terminate_backend(pid, 5000) AS TEXT) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
        let next: Result<(), Error> = world.metadata.write((), |tx, ()| Box::pin(set(tx, "b"))).await;
        next.unwrap();
        world.metadata.ping().await.unwrap();
    });
}
