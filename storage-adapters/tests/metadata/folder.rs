//! The embedded database's own: the lock on its folder, its rights, its one writer.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use hallmark_storage::metadata::{DatabaseConfig, Engine, Error, Metadata, OpenError};
use tokio::sync::Notify;

use crate::harness::{NOW, World, run};

fn path(world: &World) -> &std::path::Path {
    match &world.config {
        DatabaseConfig::Sqlite { path } => path,
        DatabaseConfig::Postgres { .. } => panic!("not embedded"),
    }
}

#[test]
fn a_folder_belongs_to_one_server() {
    run(Engine::Sqlite, async |world: World| {
        let Err(error) = Metadata::open(&world.config, NOW).await else { panic!("opened twice") };
        assert!(matches!(error, OpenError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("another server is running"), "{error}");
        world.metadata.close().await;
        Metadata::open(&world.config, NOW).await.unwrap().close().await;
    });
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = DatabaseConfig::Sqlite { path: "/nowhere/at/all/hallmark.db".into() };
    let Err(error) = runtime.block_on(Metadata::open(&config, NOW)) else { panic!("opened") };
    assert!(error.to_string().starts_with("/nowhere/at/all/lock cannot be used"), "{error}");
}

#[test]
fn the_database_is_its_owners_alone() {
    run(Engine::Sqlite, async |world: World| {
        world.repository("alice/app").await;
        for file in std::fs::read_dir(path(&world).parent().unwrap()).unwrap() {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?} {mode:o}", file.path());
        }
    });
}

#[test]
fn every_commit_is_synced_to_a_write_ahead_log() {
    run(Engine::Sqlite, async |world: World| {
        assert_eq!(world.look("PRAGMA journal_mode").await, ["wal"]);
        assert!(path(&world).with_extension("db-wal").exists());
    });
}

/// Holds the writer with one change, hands `more` in behind it, and lets go: they share the next COMMIT.
async fn behind_one<T: Send + 'static>(world: &World, more: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (metadata, input) = (world.metadata.clone(), (Arc::clone(&began), Arc::clone(&go)));
    let first = tokio::spawn(async move {
        let held: Result<(), Error> = metadata
            .write(input, |_, (began, go)| {
                Box::pin(async move {
                    began.notify_one();
                    go.notified().await;
                    Ok(())
                })
            })
            .await;
        held
    });
    began.notified().await;
    let tasks: Vec<_> = more.into_iter().map(tokio::spawn).collect();
    // Each task has handed its change in once it waits for the answer.
    while tokio::runtime::Handle::current().metrics().global_queue_depth() > 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    first.await.unwrap().unwrap();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[test]
fn changes_that_wait_share_a_commit_and_one_that_fails_rolls_back_alone() {
    run(Engine::Sqlite, async |world: World| {
        let before = world.metadata.statistics().commits;
        let more = (0..40).map(|number| {
            let metadata = world.metadata.clone();
            async move {
                let made: Result<(), Error> = metadata
                    .write(number, |tx, number| {
                        Box::pin(async move {
                            tx.set_setting(&format!("{number}"), Some("set")).await?;
                            assert_ne!(*number, 17, "as this test wants it");
                            Ok(())
                        })
                    })
                    .await;
                made.is_ok()
            }
        });
        let made = behind_one(&world, more.collect()).await;
        assert_eq!(made.iter().filter(|made| **made).count(), 39);
        assert_eq!(world.count("SELECT COUNT(*) FROM settings").await, 39);
        assert_eq!(world.count("SELECT COUNT(*) FROM settings WHERE name = '17'").await, 0);
        let commits = world.metadata.statistics().commits - before;
        assert!(commits <= 4, "{commits}");
    });
}
