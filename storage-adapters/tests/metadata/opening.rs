//! Opening: who may, what is refused, and what a process finds again.

use hallmark_storage::metadata::{
    AccountId, DatabaseConfig, Engine, Error, EventFilter, Metadata, NameRange, OpenError, PrincipalId, Schema,
    SystemRole,
};

use crate::harness::{NOW, World, run, suite};

suite! {
    a_newer_schema_is_refused,
    a_database_is_found_as_it_was_left,
    an_id_is_never_given_twice,
    a_look_changes_nothing,
    two_that_open_a_new_database_at_once_migrate_it_once,
    users_and_events_of_schema_two_are_found_in_the_next,
    members_of_schema_ten_have_their_names_in_the_next,
}

/// Migrations as the releases before this one ran them: of SQLite, and of PostgreSQL.
macro_rules! migrations {
    ($($name:literal),+) => {
        &[$((
            include_str!(concat!("../../migrations/sqlite/", $name)),
            include_str!(concat!("../../migrations/postgres/", $name)),
        )),+]
    };
}
const BEFORE: &[(&str, &str)] = migrations![
    "0001_images.sql",
    "0002_small_blobs.sql",
    "0003_people.sql",
    "0004_people_again.sql",
    "0005_trust.sql",
    "0006_trash.sql",
    "0007_retention.sql",
    "0008_quotas.sql",
    "0009_writers_sign.sql",
    "0010_signer_log.sql"
];

/// An organization whose owner is in a team of it, and a member by their hand and by a directory.
const LEFT_MEMBERS: &str = "
INSERT INTO accounts (id, name, kind, created_at)
  VALUES (901, 'root', 'user', 5), (902, 'carol', 'user', 6), (903, 'acme', 'organization', 7);
INSERT INTO principals (id, kind) VALUES (904, 'user'), (905, 'user'), (906, 'team');
INSERT INTO users (principal_id, name, account_id) VALUES (904, 'root', 901), (905, 'carol', 902);
INSERT INTO members (account_id, user_id, owner) VALUES (903, 904, 1), (903, 905, 0);
INSERT INTO teams (principal_id, account_id, name) VALUES (906, 903, 'web');
INSERT INTO team_members (team_id, account_id, user_id, source) VALUES (906, 903, 905, ''), (906, 903, 905, 'ldap');
UPDATE id_blocks SET next = 1001;";

/// What a release before this one left behind: two users of different roles, a repository, a credential and two events.
const LEFT: &str = "
INSERT INTO accounts (id, name, kind, created_at) VALUES (901, 'root', 'user', 5), (902, 'carol', 'user', 6);
INSERT INTO principals (id, kind, credential_epoch, disabled_at) VALUES (903, 'user', 2, NULL), (904, 'user', 0, 7);
INSERT INTO users (principal_id, name, account_id, password, system_role)
  VALUES (903, 'root', 901, 'hash', 'administrator'), (904, 'carol', 902, NULL, '');
INSERT INTO repositories (id, account_id, name, public, created_at) VALUES (905, 902, 'carol/app', 1, 8);
INSERT INTO events (id, seq, at, actor_id, kind, account_id, repository_id, subject, payload, request_id)
  VALUES (906, NULL, 9, 903, 'second', NULL, NULL, '', '{}', ''), (907, NULL, 8, 903, 'first', NULL, NULL, '', '{}', '');
UPDATE id_blocks SET next = 1001;";

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
    let look = Schema::look(&world.config).await.unwrap();
    assert_eq!((look.found, look.known), (known, known));
    assert_eq!(look.clock.is_some(), world.metadata.engine() == Engine::Postgres);
    for (change, found) in [("DELETE FROM migrations", 0), ("DROP TABLE migrations", 0)] {
        world.meddle(change).await;
        let look = Schema::look(&world.config).await.unwrap();
        assert_eq!((look.found, look.known), (found, known), "{change}");
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
    assert_eq!(world.count("SELECT MAX(version) FROM migrations").await, opened[0].schema_version());
    for metadata in opened {
        metadata.close().await;
    }
}

/// What a database of this world's server says of itself, as it is refused for: the setting and its value.
async fn refused_for(config: &DatabaseConfig) -> (&'static str, String) {
    match Metadata::open(config, NOW).await {
        Err(OpenError::Setting { setting, found, .. }) => (setting, found),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_setting_that_would_break_a_promise_is_refused() {
    for (setting, value) in [
        ("synchronous_commit", "off"),
        ("synchronous_commit", "local"),
        ("default_transaction_isolation", "repeatable read"),
        ("default_transaction_isolation", "serializable"),
    ] {
        run(Engine::Postgres, async |world: World| {
            let name = world.look("SELECT CAST(current_database() AS TEXT)").await.remove(0);
            world.meddle(&format!("ALTER DATABASE {name} SET {setting} = '{value}'")).await;
            assert_eq!(refused_for(&world.config).await, (setting, value.to_owned()));
        });
    }
}

#[test]
fn a_database_of_another_encoding_is_refused() {
    run(Engine::Postgres, async |world: World| {
        let name = world.look("SELECT CAST(current_database() AS TEXT)").await.remove(0);
        let other = format!("{name}_latin");
        let made = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
        world.meddle(&format!("CREATE DATABASE {other} {made}")).await;
        let DatabaseConfig::Postgres { url, max_connections } = &world.config else { panic!("SQLite") };
        let url = url.replace(&format!("/{name}?"), &format!("/{other}?"));
        let config = DatabaseConfig::Postgres { url, max_connections: *max_connections };
        assert_eq!(refused_for(&config).await, ("server_encoding", "LATIN1".to_owned()));
    });
}

/// The server cannot be an older one, so that what it says of itself is looked up in a function of the test's own.
#[test]
fn a_server_older_than_the_suite_runs_on_is_refused() {
    run(Engine::Postgres, async |world: World| {
        let name = world.look("SELECT CAST(current_database() AS TEXT)").await.remove(0);
        world.meddle("CREATE SCHEMA older").await;
        let says = "CREATE FUNCTION older.current_setting(asked TEXT) RETURNS TEXT LANGUAGE sql AS
            $$ SELECT CASE asked WHEN 'server_version_num' THEN '140013' ELSE pg_catalog.current_setting(asked) END $$";
        world.meddle(says).await;
        world.meddle(&format!("ALTER DATABASE {name} SET search_path = older, pg_catalog, public")).await;
        assert_eq!(refused_for(&world.config).await, ("server_version_num", "140013".to_owned()));
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

async fn users_and_events_of_schema_two_are_found_in_the_next(world: World) {
    world.metadata.close().await;
    let config = world.of_schema(&BEFORE[..2], LEFT).await;
    let metadata = Metadata::open(&config, NOW).await.unwrap();
    assert!(metadata.schema_version() >= 3);
    let root = metadata.user("root").await.unwrap().unwrap();
    assert_eq!((root.principal.id, root.principal.account_id), (PrincipalId(903), AccountId(901)));
    assert_eq!((root.principal.role, root.principal.credential_epoch), (SystemRole::Administrator, 2));
    assert_eq!((root.password.as_deref(), root.source), (Some("hash"), None));
    let carol = metadata.principal(PrincipalId(904)).await.unwrap().unwrap();
    assert_eq!((carol.role, carol.disabled, carol.account_id), (SystemRole::None, true, AccountId(902)));
    let repository = metadata.repository(&"carol/app".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((repository.owner, repository.public), (Some(carol.id), true));
    assert_eq!(metadata.facts(Some(carol.id), &repository.name).await.unwrap().0.repository, Some(repository));
    let made: Result<_, Error> =
        metadata.write((), |tx, ()| Box::pin(tx.create_organization("acme", PrincipalId(903), NOW))).await;
    assert!(made.unwrap().unwrap().id.0 > 1000, "ids go on");
    let auditor: Result<(), Error> =
        metadata.write(carol.clone(), |tx, carol| Box::pin(tx.set_role(carol, SystemRole::Auditor))).await;
    auditor.unwrap();
    let numbered: Result<u64, Error> = metadata.write((), |tx, ()| Box::pin(tx.number_events(9))).await;
    assert_eq!(numbered.unwrap(), if metadata.engine() == Engine::Postgres { 2 } else { 0 });
    let events = metadata.events(&EventFilter::default(), 0, 9).await.unwrap().events;
    let kinds: Vec<_> = events.iter().map(|event| (event.seq, event.kind.as_str())).collect();
    assert_eq!(kinds, [(1, "first"), (2, "second")]);
    metadata.close().await;
}

/// Schema ten knows of no names in a membership.
async fn members_of_schema_ten_have_their_names_in_the_next(world: World) {
    world.metadata.close().await;
    let config = world.of_schema(BEFORE, LEFT_MEMBERS).await;
    let metadata = Metadata::open(&config, NOW).await.unwrap();
    let (acme, team, all) = (AccountId(903), PrincipalId(906), NameRange::after(None));
    let members = metadata.members(acme, &all, None, 9).await.unwrap();
    let named: Vec<_> = members.iter().map(|member| (member.name.as_str(), member.owner)).collect();
    assert_eq!(named, [("carol", false), ("root", true)]);
    let team_members = metadata.team_members(team, "c", None, 9).await.unwrap();
    let named: Vec<_> = team_members.iter().map(|member| (member.name.as_str(), member.source.as_str())).collect();
    assert_eq!(named, [("carol", ""), ("carol", "ldap")]);
    metadata.close().await;
}
