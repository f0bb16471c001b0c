//! What lists, uploads and the collector read of a server that has much of everything: I11 by the rows that were touched, not by what
//! a plan promises.

use std::time::Duration;

use hallmark_oci::{Algorithm, Digest, UploadId};
use hallmark_storage::metadata::{
    AccountId, Engine, Error, Followers, ManifestId, Metadata, NameRange, PrincipalId, RepositoryId, Viewer,
};
use tokio::time::timeout;

use crate::facts::ended;
use crate::harness::{NOW, World, run};

/// How many there are of each.
const MANY: usize = 20_000;
/// How often each is asked, beyond the fifth time, from which on plans do not know the values.
const TURNS: i64 = 40;
/// How long what reads each row a few times takes at most: what reads all of them for each takes longer by far.
const PATIENCE: Duration = Duration::from_secs(20);
/// The entries of a page.
const PAGE: u32 = 10;
/// The rows that all of these may touch together, each once: four pages, what stands behind the entries of three of them, and
/// a row or two of each of the others.
const TOUCHED: i64 = 150;

fn digest(number: i64) -> Digest {
    format!("sha256:{number:064x}").parse().unwrap()
}

/// The digest of each number of a series.
const HEX: &str = "'sha256:' || lpad(to_hex(n), 64, '0')";

/// A blob for each number of a series, linked in a repository.
async fn fill_with_blobs(world: &World, (repository, account): (i64, i64), series: &str) {
    for statement in [
        format!(
            "INSERT INTO blobs (id, digest, size, storage_key, scrubbed_at, created_at)
             SELECT 1000000 + n, {HEX}, 1, lpad(to_hex(n), 32, '0'), 0, 0 FROM {series}"
        ),
        format!("INSERT INTO account_blobs (account_id, blob_id) SELECT {account}, 1000000 + n FROM {series}"),
        format!(
            "INSERT INTO repository_blobs (repository_id, blob_id, account_id, touched_at)
             SELECT {repository}, 1000000 + n, {account}, 0 FROM {series}"
        ),
    ] {
        world.meddle(&statement).await;
    }
}

/// Of bob are the uploads, for nobody may open so many.
async fn fill(world: &World, bob: PrincipalId) {
    let repository = world.repository("alice/big").await;
    let (id, account, alice) = (repository.id.0, repository.account_id.0, world.alice.id.0);
    let series = format!("generate_series(1, {MANY}) n");
    fill_with_blobs(world, (id, account), &series).await;
    for statement in [
        format!(
            "INSERT INTO manifests (id, repository_id, digest, media_type, subject_digest, referrer, size, touched_at, pushed_by, body)
             SELECT 2000000 + n, {id}, {HEX}, 'm', '{}', '{{}}', 2, 0, {alice}, '{{}}' FROM {series}",
            digest(1)
        ),
        format!(
            "INSERT INTO tags (repository_id, name, manifest_id, version, moved_at)
             SELECT {id}, 't' || lpad(n::TEXT, 6, '0'), 2000000 + n, 1, 0 FROM {series}"
        ),
        format!(
            "INSERT INTO repositories (id, account_id, name, created_at)
             SELECT 3000000 + n, {account}, 'alice/r' || lpad(n::TEXT, 6, '0'), 0 FROM {series}"
        ),
        format!(
            "INSERT INTO uploads (id, repository_id, principal_id, storage_key, hash_state, expires_at)
             SELECT lpad(to_hex(n), 32, '0'), {id}, {bob}, 'e' || lpad(to_hex(n), 31, '0'), '', {} FROM {series}",
            NOW + 1_000_000
        ),
        format!(
            "INSERT INTO candidates (kind, owner_id, item_id, due_at, generation)
             SELECT 'link', {id}, 1000000 + n, n, 1 FROM {series}"
        ),
        format!("INSERT INTO key_deletions (storage_key, due_at, passes) SELECT 'd' || lpad(to_hex(n), 31, '0'), n, 1 FROM {series}"),
        "ANALYZE".to_owned(),
    ] {
        world.meddle(&statement).await;
    }
}

#[test]
fn i11_on_postgres_lists_and_uploads_touch_what_they_tell() {
    run(Engine::Postgres, async |world: World| {
        let bob = world.user("bob").await.id;
        fill(&world, bob).await;
        let big = world.metadata.repository(&"alice/big".parse().unwrap()).await.unwrap().unwrap();
        let sight = Viewer::Principal(world.metadata.sight(world.alice.id).await.unwrap());
        let read = async |but: &str| {
            ended(&world, but).await;
            let rows =
                "SELECT SUM(COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0))::BIGINT FROM pg_stat_user_tables";
            world.count(rows).await
        };
        let before = read("hallmark").await;
        let metadata = world.metadata.without_cache();
        for turn in 0..TURNS {
            let number = turn * 401 + 1;
            let (tag, name) = (format!("t{number:06}"), format!("alice/r{number:06}"));
            assert_eq!(metadata.tags(big.id, Some(&tag), PAGE).await.unwrap().len(), PAGE as usize);
            for viewer in [&Viewer::All, &sight] {
                assert_eq!(
                    metadata.catalog(viewer, &NameRange::after(Some(&name)), None, PAGE).await.unwrap().len(),
                    PAGE as usize
                );
            }
            let after = Some(ManifestId(2_000_000 + number));
            let page = metadata.referrers(big.id, &digest(1), None, after, PAGE).await.unwrap();
            assert_eq!(page.len(), PAGE as usize);
            assert_eq!(metadata.describe(big.id, &page).await.unwrap().len(), PAGE as usize);
            assert!(metadata.blob(big.id, &digest(number)).await.unwrap().is_some());
            let upload = UploadId::from_bytes((number as u128).to_be_bytes());
            assert!(metadata.upload(&upload, big.id, bob).await.unwrap().is_some());
            assert_eq!(metadata.due_candidates(NOW, PAGE).await.unwrap().len(), PAGE as usize);
            assert_eq!(metadata.open_uploads(PAGE).await.unwrap(), u64::from(PAGE));
        }
        let claimed: Result<_, Error> = metadata
            .write((), |tx, ()| {
                Box::pin(async move {
                    let candidates = tx.claim_candidates(NOW, PAGE).await?;
                    Ok((candidates.len(), tx.claim_keys(NOW, PAGE).await?.len()))
                })
            })
            .await;
        assert_eq!(claimed.unwrap(), (PAGE as usize, PAGE as usize));
        let content = b"something new";
        world.blob(&big, content).await;
        assert!(metadata.blob(big.id, &Digest::of(Algorithm::Sha256, content)).await.unwrap().is_some());
        drop(metadata);
        world.metadata.close().await;
        let each = (read("").await - before) / TURNS;
        let tables = "SELECT relname, seq_tup_read, COALESCE(idx_tup_fetch, 0) FROM pg_stat_user_tables
                       WHERE seq_tup_read + COALESCE(idx_tup_fetch, 0) > 0 ORDER BY 2 DESC, 3 DESC";
        assert!(each <= TOUCHED, "{each} rows were touched in each of {TURNS} turns: {:#?}", world.look(tables).await);
    });
}

/// Somebody in a hundred teams, each with ten repositories below a prefix, grants on ten single ones, and sixty-three prefixes that
/// reach nothing. In each statement stand the organization and the member.
const MEMBER_OF_MANY: [&str; 9] = [
    "INSERT INTO members (account_id, user_id) VALUES ({acme}, {bob})",
    "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
     INSERT INTO principals (id, kind) SELECT 4000000 + i, 'team' FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
     INSERT INTO teams (principal_id, account_id, name) SELECT 4000000 + i, {acme}, 't' || i FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
     INSERT INTO team_members (team_id, account_id, user_id) SELECT 4000000 + i, {acme}, {bob} FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1999)
     INSERT INTO repositories (id, account_id, name, created_at)
     SELECT 5000000 + i, {acme}, 'acme/p' || (i / 10) || '-' || i, 0 FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1999)
     INSERT INTO repositories (id, account_id, name, created_at) SELECT 6000000 + i, {acme}, 'acme/s' || i, 0 FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1999)
     INSERT INTO repository_grants (repository_id, principal_id, rights, granted_by, granted_at)
     SELECT 6000000 + i, 4000000 + i / 10, 1, {bob}, 0 FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
     INSERT INTO prefix_grants (account_id, prefix, principal_id, rights, granted_by, granted_at)
     SELECT {acme}, 'acme/p' || i || '-', 4000000 + i, 1, {bob}, 0 FROM n",
    "WITH RECURSIVE n(i) AS (SELECT 10000 UNION ALL SELECT i + 1 FROM n WHERE i < 16299)
     INSERT INTO prefix_grants (account_id, prefix, principal_id, rights, granted_by, granted_at)
     SELECT {acme}, 'acme/o' || i || '-', 4000100 + i % 100, 1, {bob}, 0 FROM n",
];
/// Repositories of others up to a number, between all of the member's.
const OF_OTHERS: &str = "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to})
     INSERT INTO repositories (id, account_id, name, created_at)
     SELECT 7000000 + i, {acme}, CASE i % 3 WHEN 0 THEN 'acme/p' || (100 + i % 100) || 'x' || i
                                            WHEN 1 THEN 'acme/s' || (1000 + i % 1000) || 'x' || i
                                            ELSE 'acme/o' || (10000 + i % 6300) || 'x' || i END, 0 FROM n";
/// The entries of a page of the member's, and how many pages there are: two thousand repositories, and an empty one.
const SHOWN: (u32, u64) = (100, 21);
/// What the member holds: memberships, grants on single repositories, and prefixes.
const HELD: i64 = 100 + 1_000 + 6_400;

/// Walks the catalog as a member; the statements and, on PostgreSQL, the rows that this took.
async fn walk(world: &World, bob: PrincipalId) -> (u64, i64) {
    let read = async || match world.metadata.engine() {
        Engine::Sqlite => 0,
        Engine::Postgres => rows_read(world, "").await,
    };
    let before = read().await;
    let metadata = Metadata::open(&world.config, NOW).await.unwrap();
    let (mut seen, mut after, mut pages) = (0, None::<String>, 0);
    let begin = metadata.statistics().reads;
    loop {
        // As a request does, which remembers nothing of the one before.
        let sight = Viewer::Principal(metadata.sight(bob).await.unwrap());
        let page = metadata.catalog(&sight, &NameRange::after(after.as_deref()), None, SHOWN.0).await.unwrap();
        pages += 1;
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        seen += page.len();
    }
    assert_eq!((seen, pages), (2_000, SHOWN.1));
    let asked = metadata.statistics().reads - begin;
    metadata.close().await;
    (asked, read().await - before)
}

async fn a_member_of_many_teams_reads_pages_that_cost_the_same(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await.id.0, world.user("bob").await.id);
    world.metadata.close().await;
    let fill = async |statement: &str, (from, to): (u64, u64)| {
        let statement = statement
            .replace("{acme}", &acme.to_string())
            .replace("{bob}", &bob.0.to_string())
            .replace("{from}", &from.to_string())
            .replace("{to}", &to.to_string());
        world.meddle(&statement).await;
    };
    for statement in MEMBER_OF_MANY {
        fill(statement, (0, 0)).await;
    }
    let mut walks = Vec::new();
    for (from, to) in [(1, 2_000), (2_001, 20_000)] {
        fill(OF_OTHERS, (from, to)).await;
        if world.metadata.engine() == Engine::Postgres {
            world.meddle("ANALYZE").await;
        }
        walks.push(walk(&world, bob).await);
    }
    let [(few, touched), (asked, of_many)] = walks[..] else { unreachable!("two walks") };
    // A page asks what they see, what was granted on single ones, what is public, the first ranges and eleven looks into others; for
    // ten entries below one prefix there is one more statement.
    assert!(asked <= SHOWN.1 * (3 + 4 + 11 + 12), "{asked} statements for {} pages", SHOWN.1);
    assert_eq!(few, asked, "however many repositories others have");
    // A server may find what was granted on single repositories by going through names in order where it takes that for less than to
    // look at each grant, which differs from run to run and came to 43,000 rows. To read with each page what others have would be
    // 378,000 more.
    assert!(
        of_many <= touched + touched / 2,
        "{of_many} rows among 20,000 repositories of others, {touched} among 2,000"
    );
    // What they hold is read to know what they see, and of each grant the repository; a prefix that is passed is one row.
    assert!(of_many <= SHOWN.1.cast_signed() * 4 * HELD, "{} rows for a page", of_many / SHOWN.1.cast_signed());
}

#[test]
fn a_member_of_many_teams_reads_pages_that_cost_the_same_on_sqlite() {
    run(Engine::Sqlite, a_member_of_many_teams_reads_pages_that_cost_the_same);
}

#[test]
fn a_member_of_many_teams_reads_pages_that_cost_the_same_on_postgres() {
    run(Engine::Postgres, a_member_of_many_teams_reads_pages_that_cost_the_same);
}

/// The rows that were read, behind an index or without one, by all but connections of this name.
async fn rows_read(world: &World, but: &str) -> i64 {
    ended(world, but).await;
    let rows = "SELECT (SELECT SUM(COALESCE(seq_tup_read, 0)) FROM pg_stat_user_tables)::BIGINT
                     + (SELECT SUM(COALESCE(idx_tup_read, 0)) FROM pg_stat_user_indexes)::BIGINT";
    world.count(rows).await
}

/// What these reads cost: the rows that all of them read.
async fn cost(world: World, reads: impl AsyncFn(&Metadata)) -> i64 {
    let before = rows_read(&world, "hallmark").await;
    let metadata = world.metadata.without_cache();
    reads(&metadata).await;
    drop(metadata);
    world.metadata.close().await;
    rows_read(&world, "").await - before
}

/// As many images in a repository as there are of everything, each with a layer of its own and all with one more; the layer that they
/// share, and theirs, are linked there.
async fn fill_with_layers(world: &World) -> (RepositoryId, AccountId) {
    let repository = world.repository("alice/layers").await;
    let (id, account, alice) = (repository.id.0, repository.account_id.0, world.alice.id.0);
    let series = format!("generate_series(0, {MANY}) n");
    fill_with_blobs(world, (id, account), &series).await;
    for statement in [
        format!(
            "INSERT INTO manifests (id, repository_id, digest, media_type, size, touched_at, pushed_by, body)
             SELECT 2000000 + n, {id}, {HEX}, 'm', 2, 0, {alice}, '{{}}' FROM {series} WHERE n > 0"
        ),
        format!(
            "INSERT INTO manifest_blobs (repository_id, manifest_id, blob_id)
             SELECT {id}, 2000000 + n, 1000000 + own.is_it * n FROM {series}, (VALUES (0), (1)) AS own (is_it) WHERE n > 0"
        ),
        format!(
            "INSERT INTO tags (repository_id, name, manifest_id, version, moved_at)
             SELECT {id}, 't' || lpad(n::TEXT, 6, '0'), 2000000 + n, 1, 0 FROM {series} WHERE n > 0"
        ),
    ] {
        world.meddle(&statement).await;
    }
    (repository.id, repository.account_id)
}

fn images(count: i64) -> impl Iterator<Item = ManifestId> {
    (1..=count).map(|number| ManifestId(2_000_000 + number))
}

#[test]
fn on_postgres_what_some_images_free_costs_what_they_name() {
    run(Engine::Postgres, async |world: World| {
        let place = fill_with_layers(&world).await;
        world.meddle("ANALYZE").await;
        let read = cost(world, async |metadata| {
            for _ in 0..TURNS {
                assert_eq!(metadata.freed_by(place, images(10)).await.unwrap(), 10);
                assert_eq!(metadata.followers(place.0, images(10)).await.unwrap(), Followers::default());
            }
        });
        let each = read.await / TURNS;
        // Ten edges to layers of their own and ten to the shared one, the layers, and who else names each.
        assert!(each <= TOUCHED, "{each} rows");
    });
}

/// The layer that all of them share is asked of once, and whether each who names it goes is looked up and not searched for.
#[test]
fn on_postgres_what_all_images_free_costs_what_they_name() {
    run(Engine::Postgres, async |world: World| {
        let place = fill_with_layers(&world).await;
        world.meddle("ANALYZE").await;
        let many = MANY as i64;
        let read = cost(world, async |metadata| {
            let freed = metadata.freed_by(place, images(many));
            assert_eq!(timeout(PATIENCE, freed).await.expect("it ends").unwrap(), MANY as u64 + 1);
            let followers = metadata.followers(place.0, images(many));
            assert_eq!(timeout(PATIENCE, followers).await.expect("it ends").unwrap(), Followers::default());
        });
        let read = read.await;
        assert!(read <= 12 * many, "{read} rows");
    });
}

/// A layer that very many name in the trash is looked up from each of them, and not looked for among all of them.
#[test]
fn on_postgres_sizes_cost_what_is_held_though_very_many_in_the_trash_name_the_same() {
    run(Engine::Postgres, async |world: World| {
        let (repository, account) = fill_with_layers(&world).await;
        for statement in [
            format!(
                "INSERT INTO trash (id, repository_id, digest, media_type, size, body, tags, deleted_at, deleted_by, purge_at)
                 SELECT id, repository_id, digest, media_type, size, body, '[]', 0, pushed_by, {} FROM manifests
                  WHERE repository_id = {}",
                NOW + 1_000_000,
                repository.0
            ),
            format!(
                "INSERT INTO trash_blobs (trash_id, account_id, blob_id, repository_id)
                 SELECT manifest_id, {}, blob_id, repository_id FROM manifest_blobs WHERE repository_id = {}",
                account.0, repository.0
            ),
            "DELETE FROM tags".to_owned(),
            "DELETE FROM manifests".to_owned(),
            "DELETE FROM repository_blobs".to_owned(),
            "ANALYZE".to_owned(),
        ] {
            world.meddle(&statement).await;
        }
        let (many, bytes) = (MANY as i64, 3 * MANY as u64 + 1);
        let read = cost(world, async |metadata| {
            let of_repository = timeout(PATIENCE, metadata.sizes_of_repository(repository, account)).await;
            assert_eq!(of_repository.expect("it ends").unwrap().logical, bytes);
            let of_account = timeout(PATIENCE, metadata.sizes_of_account(account)).await;
            assert_eq!(of_account.expect("it ends").unwrap().logical, bytes);
        });
        let read = read.await;
        assert!(read <= 60 * many, "{read} rows");
    });
}
