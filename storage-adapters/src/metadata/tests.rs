//! Clauses that need a hand on the writer's own connection.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::statement::{Statement, statements};
use super::value::values;
use super::{DatabaseConfig, Error, ErrorKind, Metadata, OpenError};

statements! {
    FOREIGN_KEYS = ["PRAGMA foreign_keys"];
    TABLES = ["SELECT COUNT(*) FROM sqlite_schema"];
    DANGLING = ["INSERT INTO account_blobs (account_id, blob_id) VALUES ($1, $2)"];
}

async fn embedded() -> (Metadata, TempDir) {
    assert_eq!(ALL.len(), 3);
    let folder = TempDir::new().unwrap();
    let config = DatabaseConfig::Sqlite { path: folder.path().join("hallmark.db") };
    (Metadata::open(&config, 0).await.unwrap(), folder)
}

async fn set(metadata: &Metadata, name: &str, bytes: usize) -> Result<(), Error> {
    let input = (name.to_owned(), "x".repeat(bytes));
    metadata.write(input, |tx, (name, value)| Box::pin(tx.set_setting(name, Some(value)))).await
}

async fn pragma(metadata: &Metadata, text: &'static str) {
    let done: Result<(), Error> = metadata.write(text, |tx, text| Box::pin(tx.frame(text))).await;
    done.unwrap();
}

#[tokio::test]
async fn every_connection_enforces_foreign_keys() {
    let (metadata, _folder) = embedded().await;
    let writer: Result<i64, Error> =
        metadata.write((), |tx, ()| Box::pin(async { tx.row(&FOREIGN_KEYS, &[]).await?.unwrap().integer(0) })).await;
    assert_eq!(writer.unwrap(), 1);
    let readers = join_all((0..16).map(|_| metadata.row(&FOREIGN_KEYS, &[]))).await;
    for reader in readers {
        assert_eq!(reader.unwrap().unwrap().integer(0).unwrap(), 1);
    }
    let dangling: Result<u64, Error> =
        metadata.write((), |tx, ()| Box::pin(async { tx.execute(&DANGLING, values![998_i64, 999_i64]).await })).await;
    assert!(dangling.is_err());
}

/// What may be read whole: it holds a handful of rows, or is the list in a parameter.
const SHORT: [&str; 8] = [
    "SCAN token_keys",
    "SCAN migrations",
    "SCAN json_each",
    "SCAN list",
    "SCAN CONSTANT ROW",
    "SCAN u USING COVERING INDEX users_administrators",
    // Which of the administrators come from nowhere else: the few that there are.
    "SCAN u USING INDEX users_administrators",
    "SCAN signer_data_keys",
];
/// Of these a repository has a few at most: 32 rules, 64 keys; or one is enough, as for who asks whether there is any.
const FEW: [&str; 3] =
    ["INDEX sign_rules_of", "INDEX signing_keys_of", " EXISTS USING COVERING INDEX robots_of_repository"];
/// The name that a statement gives to a repository's rows where it takes one page of them.
const PAGE: &str = "SEARCH page ";
/// Runs when nothing is left in a repository: what its foreign keys look for is not there.
const AT_END: &str = "empty::REMOVE";
/// Runs once, while a database opens and nobody waits.
const AT_START: &str = "uploads::END_LEASES";
/// Run when a trust domain has other keys, or all keys are given up: all that is published or held is what changes.
const ALL_CHANGES: [&str; 4] =
    ["trust::RENEW_ALL", "custody::ABANDON_KEYS", "custody::FORGET_TUF", "custody::FORGET_BASES"];
/// Count all that an account or a repository holds, for people who ask.
const COUNTS_ALL: &str = "::sizes::";
/// Hand over all that a repository holds, which is counted first and no more than a bound.
const HANDS_OVER: &str = "::transfer::";
/// Names that a statement gives to what it has already cut down to a page, or to one repository.
const PAGES: [&str; 8] = [
    "SCAN held",
    "SCAN last",
    "SCAN page",
    "SCAN numbered",
    "SCAN (subquery",
    "SCAN prefixes",
    "SCAN holders",
    "SCAN known",
];

#[tokio::test]
async fn no_statement_walks_a_table_or_a_whole_repository() {
    let (metadata, _folder) = embedded().await;
    let walks: Result<Vec<String>, Error> = metadata
        .write((), |tx, ()| {
            Box::pin(async {
                let mut walks = Vec::new();
                let statements: Vec<&'static Statement> = super::STATEMENTS.concat();
                for statement in statements {
                    for step in tx.plan(statement).await {
                        let short = SHORT.iter().chain(&PAGES).any(|short| step.starts_with(short));
                        let whole = (step.contains("(repository_id=?)") || step.contains("(repository_id=? AND id>?)"))
                            && !step.starts_with(PAGE)
                            && !FEW.iter().any(|few| step.contains(few));
                        let may_walk =
                            [AT_START, AT_END].iter().chain(&ALL_CHANGES).any(|name| statement.name().ends_with(name))
                                || statement.name().contains(COUNTS_ALL);
                        let whole = whole && !statement.name().contains(HANDS_OVER);
                        if (step.starts_with("SCAN") && !short || whole) && !may_walk {
                            walks.push(format!("{}: {step}", statement.name()));
                        }
                    }
                }
                Ok(walks)
            })
        })
        .await;
    assert_eq!(walks.unwrap(), [""; 0], "I11");
}

/// A push under a limit sums what was not folded yet, and nothing else of the account.
#[tokio::test]
async fn what_is_in_use_is_read_by_key() {
    let (metadata, _folder) = embedded().await;
    let steps: Result<Vec<String>, Error> =
        metadata.write((), |tx, ()| Box::pin(async { Ok(tx.plan(&super::usage::USED).await) })).await;
    let steps = steps.unwrap();
    let keyed =
        |step: &&String| step.starts_with("SEARCH") && step.ends_with("USING PRIMARY KEY (scope=? AND scope_id=?)");
    assert_eq!(steps.iter().filter(keyed).count(), 3, "{steps:#?}");
    let next: Result<Vec<String>, Error> =
        metadata.write((), |tx, ()| Box::pin(async { Ok(tx.plan(&super::usage::NEXT).await) })).await;
    assert_eq!(next.unwrap(), ["SEARCH e USING PRIMARY KEY ((scope,scope_id)>(?,?))"]);
}

/// What is asked for by a part of the names, a role or a visibility is a range of an index that holds nothing else.
#[tokio::test]
async fn every_list_of_names_is_a_range_of_its_index() {
    let (metadata, _folder) = embedded().await;
    let expected = [
        (&super::users::PAGE, "SEARCH u USING INDEX sqlite_autoindex_users_1 (name>? AND name<?)"),
        (&super::organizations::PAGE, "SEARCH accounts USING INDEX accounts_organizations (name>? AND name<?)"),
        (
            &super::organizations::MEMBERS,
            "SEARCH members USING INDEX members_named (account_id=? AND user_name>? AND user_name<?)",
        ),
        (
            &super::organizations::MEMBERS_OF_ROLE,
            "SEARCH members USING INDEX members_of_role (account_id=? AND owner=? AND user_name>? AND user_name<?)",
        ),
        (&super::teams::PAGE, "SEARCH teams USING INDEX sqlite_autoindex_teams_1 (account_id=? AND name>? AND name<?)"),
        (
            &super::teams::MEMBERS,
            "SEARCH team_members USING COVERING INDEX team_members_named (team_id=? AND (user_name,source)>(?,?) AND user_name<?)",
        ),
        (&super::robots::PAGE, "SEARCH b USING INDEX sqlite_autoindex_robots_1 (account_id=? AND name>? AND name<?)"),
        (
            &super::catalog::RANGE,
            "SEARCH repositories USING COVERING INDEX sqlite_autoindex_repositories_1 (name>? AND name<?)",
        ),
        (&super::catalog::PUBLIC, "SEARCH repositories USING COVERING INDEX repositories_public (name>? AND name<?)"),
        (&super::catalog::PRIVATE, "SEARCH repositories USING COVERING INDEX repositories_private (name>? AND name<?)"),
    ];
    let mut found = Vec::new();
    for (statement, _) in expected {
        let plan: Result<Vec<String>, Error> =
            metadata.write(statement, |tx, statement| Box::pin(async move { Ok(tx.plan(statement).await) })).await;
        let plan = plan.unwrap();
        found.push(plan[0].clone());
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{}: {plan:#?}", statement.name());
    }
    assert_eq!(found, expected.map(|(_, range)| range));
}

/// Whether a prefix reaches anything is told by the least name from it on, of an index that holds nothing else.
#[tokio::test]
async fn a_prefix_that_reaches_nothing_is_passed_by_one_name() {
    let (metadata, _folder) = embedded().await;
    for (statement, index) in [
        (&super::catalog::NEXT, "sqlite_autoindex_repositories_1"),
        (&super::catalog::NEXT_PRIVATE, "repositories_private"),
    ] {
        let plan: Result<Vec<String>, Error> =
            metadata.write(statement, |tx, statement| Box::pin(async move { Ok(tx.plan(statement).await) })).await;
        let plan = plan.unwrap();
        let search = format!("SEARCH r USING COVERING INDEX {index} (name>?)");
        assert!(plan.contains(&search), "{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:#?}");
    }
}

/// Of the accounts between which a repository is handed over, nothing is read but what it holds.
#[tokio::test]
async fn what_is_handed_over_is_looked_up_in_an_account_by_its_key() {
    let (metadata, _folder) = embedded().await;
    let steps: Result<Vec<String>, Error> = metadata
        .write((), |tx, ()| {
            Box::pin(async {
                let mut steps = Vec::new();
                for statement in super::transfer::ALL {
                    steps.extend(tx.plan(statement).await);
                }
                Ok(steps)
            })
        })
        .await;
    let of_account: Vec<_> = steps.unwrap().into_iter().filter(|step| step.contains("account_id=?")).collect();
    let is_whole = |step: &&String| !step.contains("blob_id");
    assert_eq!(of_account.iter().find(is_whole), None, "{of_account:#?}");
    assert!(of_account.len() >= 3, "{of_account:#?}");
}

/// Whoever is in a hundred teams with many prefixes each reads those that reach the name, and none of the others.
#[tokio::test]
async fn the_prefixes_of_a_name_are_looked_up_by_equality() {
    let (metadata, _folder) = embedded().await;
    let steps: Result<Vec<String>, Error> =
        metadata.write((), |tx, ()| Box::pin(async { Ok(tx.plan(&super::facts::SEEN).await) })).await;
    let steps = steps.unwrap();
    // `e` and `g` are the names that the statement gives to them.
    let of_grants: Vec<_> =
        steps.iter().filter(|step| step.starts_with("SEARCH e ") || step.starts_with("SEARCH g ")).collect();
    assert!(of_grants.iter().any(|step| step.starts_with("SEARCH e ")), "{steps:#?}");
    assert!(of_grants.iter().any(|step| step.contains("principal_id=? AND account_id=? AND prefix=?")), "{steps:#?}");
    let whole = |step: &&&String| {
        let on_repository = step.contains("repository_id=?");
        !on_repository && !step.contains("account_id=? AND prefix=?")
    };
    assert_eq!(of_grants.iter().find(whole), None, "{steps:#?}");
}

/// How many bytes the calling thread has written, to whatever file.
fn written() -> u64 {
    let counts = fs::read_to_string("/proc/thread-self/io").unwrap();
    let written = counts.lines().find_map(|line| line.strip_prefix("wchar: "));
    written.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_change_that_could_go_back_writes_no_file() {
    let (metadata, _folder) = embedded().await;
    pragma(&metadata, "CREATE TABLE pages (id INTEGER PRIMARY KEY, body BLOB NOT NULL)").await;
    pragma(
        &metadata,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO pages SELECT i, randomblob(3000) FROM n",
    )
    .await;
    // That something is written where SQLite may choose shows that the look at nothing can fail.
    for (place, nothing) in [("MEMORY", true), ("FILE", false)] {
        let change: Result<u64, Error> = metadata
            .write(place, |tx, place| {
                Box::pin(async move {
                    if *place == "FILE" {
                        tx.frame("COMMIT").await?;
                        tx.frame("PRAGMA temp_store = FILE").await?;
                        tx.frame("BEGIN IMMEDIATE").await?;
                    }
                    let before = written();
                    tx.frame("SAVEPOINT several").await?;
                    tx.frame("UPDATE pages SET body = randomblob(3000)").await?;
                    let change = written() - before;
                    tx.frame("RELEASE several").await?;
                    Ok(change)
                })
            })
            .await;
        let change = change.unwrap();
        assert_eq!(change == 0, nothing, "{place}: {change} bytes");
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let (metadata, _folder) = embedded().await;
    set(&metadata, "before", 10).await.unwrap();
    // SQLite takes the present size when it is larger.
    pragma(&metadata, "PRAGMA max_page_count = 1").await;
    let full = set(&metadata, "full", 1 << 20).await.unwrap_err();
    assert!(full.is_full(), "{full:?}");
    for refused in join_all((0..8).map(|_| set(&metadata, "full", 1 << 20))).await {
        assert!(refused.as_ref().is_err_and(Error::is_full), "{refused:?}");
    }
    assert!(metadata.setting("before").await.unwrap().is_some());
    assert_eq!(metadata.setting("full").await.unwrap(), None);
    pragma(&metadata, "PRAGMA max_page_count = 1000000").await;
    set(&metadata, "after", 1 << 20).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_fails_fails_every_member() {
    let (metadata, _folder) = embedded().await;
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let holder = {
        let (metadata, input) = (metadata.clone(), (Arc::clone(&began), Arc::clone(&go)));
        tokio::spawn(async move {
            let held: Result<(), Error> = metadata
                .write(input, |_, (began, go)| {
                    Box::pin(async move {
                        began.notify_one();
                        go.notified().await;
                        Ok(())
                    })
                })
                .await;
            held.unwrap();
        })
    };
    began.notified().await;
    let dangling = metadata.write((), |tx, ()| {
        Box::pin(async {
            tx.frame("PRAGMA defer_foreign_keys = ON").await?;
            tx.execute(&DANGLING, values![998_i64, 999_i64]).await
        })
    });
    let release = async { go.notify_one() };
    // On one thread each hands its change in before the next is polled, and the holder is let go last.
    let (one, dangling, other, ()) =
        futures_util::join!(set(&metadata, "one", 1), dangling, set(&metadata, "other", 1), release);
    assert!(one.is_err() && dangling.is_err() && other.is_err());
    holder.await.unwrap();
    assert_eq!(metadata.setting("one").await.unwrap(), None);
    set(&metadata, "next", 1).await.unwrap();
}

/// Files are read on the runtime's pool, and a store that hangs keeps every thread of it.
#[test]
fn facts_are_read_and_changed_while_the_runtime_s_pool_is_full() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (go, hangs) = mpsc::channel::<()>();
        let (began, has_begun) = tokio::sync::oneshot::channel();
        let file = tokio::task::spawn_blocking(move || {
            began.send(()).unwrap();
            hangs.recv().unwrap_err();
        });
        has_begun.await.unwrap();
        let (metadata, _folder) = embedded().await;
        set(&metadata, "name", 3).await.unwrap();
        assert_eq!(metadata.setting("name").await.unwrap().as_deref(), Some("xxx"));
        metadata.close().await;
        drop(go);
        file.await.unwrap();
    });
}

#[tokio::test]
async fn a_read_that_waits_is_answered_before_the_database_closes() {
    let (metadata, _folder) = embedded().await;
    set(&metadata, "name", 3).await.unwrap();
    let reads = join_all((0..32).map(|_| metadata.setting("name")));
    let (read, ()) = futures_util::join!(reads, metadata.close());
    assert!(read.into_iter().all(|value| value.unwrap().as_deref() == Some("xxx")));
    assert_eq!(metadata.setting("name").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_begin_that_fails_fails_all_that_wait() {
    let (metadata, folder) = embedded().await;
    pragma(&metadata, "PRAGMA busy_timeout = 1000").await;
    let mut outside = super::sql::sqlite_writer(&folder.path().join("hallmark.db")).unwrap();
    outside.frame("BEGIN IMMEDIATE").await.unwrap();
    // The lock goes with the first answer: whoever began anew by then would get it.
    let mut refused = 0;
    let mut changes: FuturesUnordered<_> = (0..8).map(|_| set(&metadata, "name", 3)).collect();
    while let Some(change) = changes.next().await {
        assert_eq!(change.unwrap_err().kind(), ErrorKind::Unavailable);
        if refused == 0 {
            outside.frame("ROLLBACK").await.unwrap();
        }
        refused += 1;
    }
    assert_eq!(refused, 8);
    set(&metadata, "name", 3).await.unwrap();
}

/// A long read makes the log grow as long as it lasts; after it the file is cut when the log begins anew.
#[tokio::test]
async fn the_write_ahead_log_shrinks_again() {
    const LIMIT: u64 = 64 * 1024 * 1024;
    let (metadata, folder) = embedded().await;
    let mut outside = super::sql::sqlite_writer(&folder.path().join("hallmark.db")).unwrap();
    outside.frame("BEGIN").await.unwrap();
    outside.rows(&TABLES, &[]).await.unwrap();
    for name in 0..9 {
        set(&metadata, &name.to_string(), 8 << 20).await.unwrap();
    }
    assert!(metadata.log_bytes().unwrap() > LIMIT);
    outside.frame("ROLLBACK").await.unwrap();
    // One COMMIT moves the whole log into the database, and the next one writes at its beginning.
    for name in ["one", "two"] {
        set(&metadata, name, 3).await.unwrap();
    }
    assert!(metadata.log_bytes().unwrap() <= LIMIT);
}

/// A full disk makes SQLite roll back by itself, and then there is nothing to roll back.
#[tokio::test]
async fn a_migration_that_fails_tells_why() {
    let folder = TempDir::new().unwrap();
    let mut connection = super::sql::sqlite_writer(&folder.path().join("hallmark.db")).unwrap();
    connection.frame("PRAGMA max_page_count = 8").await.unwrap();
    let failed = super::migrate::migrate(&mut connection, 0).await.unwrap_err();
    assert!(matches!(&failed, OpenError::Migration { version: 1, source } if source.is_full()), "{failed:?}");
}
