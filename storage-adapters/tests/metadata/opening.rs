//! Opening: who may, what is refused, and what a process finds again.

use hallmark_storage::metadata::{DatabaseConfig, Engine, Metadata, OpenError, Schema};

use crate::harness::{NOW, World, run, suite};

suite! {
    a_newer_schema_is_refused,
    a_database_is_found_as_it_was_left,
    an_id_is_never_given_twice,
    a_look_changes_nothing,
    two_that_open_a_new_database_at_once_migrate_it_once,
}

async fn a_newer_schema_is_refused(world: World) {
    world.metadata.close().await;
    world.meddle("INSERT INTO migrations (version, name, applied_at) VALUES (999, 'later', 0)").await;
    match Metadata::open(&world.config, NOW).await {
        Err(error @ OpenError::NewerSchema { found: 999, .. }) => {
            assert!(error.to_string().contains("start the release that wrote it"), "{error}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

async fn a_database_is_found_as_it_was_left(world: World) {
    let repository = world.repository("alice/app").await;
    world.metadata.close().await;
    let again = Metadata::open(&world.config, NOW).await.unwrap();
    assert_eq!(again.repository(&repository.name).await.unwrap(), Some(repository));
    again.close().await;
}

async fn a_look_changes_nothing(world: World) {
    let known = world.metadata.schema_version();
    if matches!(world.config, DatabaseConfig::Sqlite { .. }) {
        assert!(matches!(Schema::look(&world.config).await, Err(OpenError::Locked { .. })));
    }
    world.metadata.close().await;
    assert_eq!(Schema::look(&world.config).await.unwrap(), Schema { found: known, known });
    for (change, found) in [("DELETE FROM migrations", 0), ("DROP TABLE migrations", 0)] {
        world.meddle(change).await;
        assert_eq!(Schema::look(&world.config).await.unwrap(), Schema { found, known }, "{change}");
    }
    world.meddle("CREATE TABLE migrations (version BIGINT)").await;
    world.meddle("INSERT INTO migrations (version) VALUES (999)").await;
    assert!(matches!(Schema::look(&world.config).await, Err(OpenError::NewerSchema { found: 999, .. })));
}

async fn an_id_is_never_given_twice(mut world: World) {
    let mut highest = 0;
    for round in 0..3 {
        let id = world.repository(&format!("alice/app-{round}")).await.id.0;
        assert!(id > highest);
        highest = world.count("SELECT next FROM id_blocks").await - 1;
        // Nothing tells the database which ids of its block this process had left.
        world.metadata.close().await;
        world.metadata = Metadata::open(&world.config, NOW).await.unwrap();
    }
    world.metadata.close().await;
}

async fn two_that_open_a_new_database_at_once_migrate_it_once(world: World) {
    world.metadata.close().await;
    let (one, other) = (Metadata::open(&world.config, NOW), Metadata::open(&world.config, NOW));
    let (one, other) = futures_util::future::join(one, other).await;
    let opened = [one, other].into_iter().filter_map(Result::ok).collect::<Vec<_>>();
    assert!(!opened.is_empty());
    assert_eq!(world.count("SELECT COUNT(*) FROM migrations").await, opened[0].schema_version());
    for metadata in opened {
        metadata.close().await;
    }
}

#[test]
fn a_setting_that_would_lose_acknowledged_pushes_is_refused() {
    run(Engine::Postgres, async |world: World| {
        let name = world.look("SELECT CAST(current_database() AS TEXT)").await.remove(0);
        world.meddle(&format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
        match Metadata::open(&world.config, NOW).await {
            Err(OpenError::Setting { setting: "synchronous_commit", found, .. }) => assert_eq!(found, "off"),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened"),
        }
    });
}

#[test]
fn a_url_that_cannot_be_read_is_refused_without_its_password() {
    let config = DatabaseConfig::Postgres { url: "postgres://hallmark:s3cret@[bad/db".into(), max_connections: 2 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Err(error) = runtime.block_on(Metadata::open(&config, NOW)) else { panic!("opened") };
    assert!(matches!(error, OpenError::Url { .. }), "{error}");
    assert!(!error.to_string().contains("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
}
