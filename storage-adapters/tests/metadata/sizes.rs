//! What is counted in pages, against the same counted in one look.

use hallmark_storage::metadata::{Error, Scope, Sizes};

use crate::harness::{World, suite};
use crate::usage::is_counted;

suite! {
    what_fills_several_pages_is_counted_once,
}

/// Rows of numbers, in words of both engines.
const NUMBERS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2300)";
/// Blobs of as many bytes as their number says. One repository links those up to 2,000, and a manifest names half of them; another
/// links even ones. The trash of the one names those up to 2,200 and one that is linked, some twice; that of the other, all of these
/// and a hundred more.
const LINKED: u64 = 2_000;
const NAMED: u64 = 1_000;
const IN_TRASH: u64 = 2_200;
const ALL: u64 = 2_300;
const OTHERS: u64 = 1_500;
/// Manifests, and manifests in the trash of the one and of the other.
const MANIFESTS: (u64, u64, u64) = (1_200, 250, 1);

/// Whether the other repository has it.
fn is_elsewhere(blob: u64) -> bool {
    blob > LINKED || blob.is_multiple_of(2) && blob <= OTHERS
}

fn sum(blobs: impl Fn(u64) -> bool) -> u64 {
    (1..=ALL).filter(|blob| blobs(*blob)).sum()
}

async fn fill(world: &World, (one, two): (i64, i64)) {
    let account = world.alice.account_id.0;
    let manifest = "(id, repository_id, digest, media_type, size, touched_at, pushed_by, body)";
    let trash = "(id, repository_id, digest, media_type, size, body, tags, deleted_at, deleted_by, purge_at)";
    for statement in [
        format!(
            "{NUMBERS} INSERT INTO blobs (id, digest, size, storage_key, scrubbed_at, created_at)
             SELECT 1000000 + i, 'sha256:' || i, i, 'key ' || i, 0, 0 FROM n"
        ),
        format!("{NUMBERS} INSERT INTO account_blobs (account_id, blob_id) SELECT {account}, 1000000 + i FROM n"),
        format!(
            "{NUMBERS} INSERT INTO repository_blobs (repository_id, blob_id, account_id, touched_at)
             SELECT {one}, 1000000 + i, {account}, 0 FROM n WHERE i <= {LINKED}
             UNION ALL SELECT {two}, 1000000 + i, {account}, 0 FROM n WHERE i % 2 = 0 AND i <= {OTHERS}"
        ),
        format!(
            "{NUMBERS} INSERT INTO manifests {manifest}
             SELECT 2000000 + i, {one}, 'sha256:' || i, 'm', 3, 0, 0, $ FROM n WHERE i <= {}",
            MANIFESTS.0
        ),
        format!(
            "{NUMBERS} INSERT INTO manifest_blobs (repository_id, manifest_id, blob_id)
             SELECT {one}, 2000001, 1000000 + i FROM n WHERE i <= {NAMED}"
        ),
        format!(
            "{NUMBERS} INSERT INTO trash {trash}
             SELECT 3000000 + i, {one}, 'sha256:t' || i, 'm', 10, $, '[]', 0, 0, 0 FROM n WHERE i <= {}",
            MANIFESTS.1
        ),
        format!("INSERT INTO trash {trash} VALUES (4000000, {two}, 'sha256:t', 'm', 10, $, '[]', 0, 0, 0)"),
        format!(
            "{NUMBERS} INSERT INTO trash_blobs (trash_id, account_id, blob_id, repository_id)
             SELECT 3000000 + i, {account}, 1002001 + i % 200, {one} FROM n WHERE i <= {0}
             UNION ALL SELECT 3000000 + i, {account}, 1000007, {one} FROM n WHERE i <= {0}
             UNION ALL SELECT 4000000, {account}, 1000000 + i, {two} FROM n WHERE i > {LINKED}",
            MANIFESTS.1
        ),
    ] {
        world.meddle(&world.with_bytes(&statement, "00")).await;
    }
}

async fn what_fills_several_pages_is_counted_once(world: World) {
    let (one, two) = (world.repository("alice/one").await, world.repository("alice/two").await);
    fill(&world, (one.id.0, two.id.0)).await;
    for scope in [Scope::Account(one.account_id), Scope::Repository(one.id), Scope::Repository(two.id)] {
        let put: Result<i64, Error> =
            world.metadata.write(scope, |tx, scope| Box::pin(async move { tx.put_usage_right(*scope).await })).await;
        assert!(put.unwrap() > 0);
    }
    is_counted(&world, &[&one, &two]).await;
    let of_one = world.metadata.sizes_of_repository(one.id, one.account_id).await.unwrap();
    let (staying, going) = (3 * MANIFESTS.0, 10 * MANIFESTS.1);
    let held = |blob: u64| blob <= IN_TRASH;
    let expected = Sizes {
        logical: sum(held) + staying + going,
        unique: sum(|blob| held(blob) && !is_elsewhere(blob)) + staying + going,
        shared: sum(|blob| held(blob) && is_elsewhere(blob)),
        reclaimable: sum(|blob| held(blob) && blob > NAMED && !is_elsewhere(blob)) + going,
        unneeded: sum(|blob| held(blob) && blob > NAMED) + going,
    };
    assert_eq!(of_one, expected);
    let shared = |blob: u64| is_elsewhere(blob) && blob <= IN_TRASH;
    let manifests = staying + going + 10 * MANIFESTS.2;
    let reclaimable = sum(|blob| blob > NAMED) + going + 10 * MANIFESTS.2;
    let expected = Sizes {
        logical: sum(|_| true) + manifests,
        unique: sum(|blob| !shared(blob)) + manifests,
        shared: sum(shared),
        reclaimable,
        unneeded: reclaimable,
    };
    assert_eq!(world.metadata.sizes_of_account(one.account_id).await.unwrap(), expected);
}
