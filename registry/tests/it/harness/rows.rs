//! What really stands in the database and in the folder, seen by a connection that the server knows nothing of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hallmark_oci::Digest;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

/// What a query finds, each row as its columns' texts joined by spaces; an absent one is `-`.
pub(crate) async fn look(database: &Path, query: &str) -> Vec<String> {
    find(&Connection::open(database).unwrap(), query)
}

/// Runs statements that find nothing.
pub(crate) fn change(database: &Path, statements: &str) {
    Connection::open(database).unwrap().execute_batch(statements).unwrap();
}

fn find(connection: &Connection, query: &str) -> Vec<String> {
    let mut statement = connection.prepare(query).unwrap();
    let columns = statement.column_count();
    let text = |row: &Row<'_>, column: usize| match row.get_ref(column).unwrap() {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        text => text.as_str().unwrap().to_owned(),
    };
    let rows =
        statement.query_map([], |row| Ok((0..columns).map(|column| text(row, column)).collect::<Vec<_>>().join(" ")));
    rows.unwrap().map(Result::unwrap).collect()
}

/// Every row of every table, in an order of its own, each as SQL would write it. Ids that a process lays ready are no change
/// of anything.
pub(crate) async fn all(database: &Path) -> BTreeMap<String, Vec<String>> {
    let (mut rows, connection) = (BTreeMap::new(), Connection::open(database).unwrap());
    let tables = "SELECT name FROM sqlite_master
        WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'id_blocks'";
    for table in find(&connection, tables) {
        let columns = find(&connection, &format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"));
        let query = format!("SELECT {} FROM {table} ORDER BY 1", columns.join(" || ' ' || "));
        rows.insert(table, find(&connection, &query));
    }
    rows
}

/// The names of the files that hold bytes: storage keys.
pub(crate) fn files(data: &Path) -> BTreeSet<String> {
    let folders = fs::read_dir(data.join("blobs/blobs")).unwrap().map(|folder| folder.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| fs::read_dir(folder).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// The file of a storage key.
pub(crate) fn path(data: &Path, key: &str) -> PathBuf {
    data.join("blobs/blobs").join(&key[..2]).join(key)
}

/// Fails unless the world is as every test must leave it: no upload is leased, every file has an owner (I3), every blob's
/// file is there and re-hashes (I1, I2), and no row points to nothing.
pub(crate) async fn is_sound(data: &Path, folder: bool, now: i64) {
    let database = data.join("hallmark.db");
    let leased = format!("SELECT id FROM uploads WHERE leased_until > {now}");
    assert_eq!(look(&database, &leased).await, [""; 0], "an upload is still leased");
    assert_eq!(look(&database, "PRAGMA foreign_key_check").await, [""; 0], "a row that points to nothing");
    if !folder {
        return;
    }
    let owned = "SELECT storage_key FROM blobs UNION ALL SELECT storage_key FROM uploads
        UNION ALL SELECT tail_key FROM uploads WHERE tail_key IS NOT NULL UNION ALL SELECT storage_key FROM key_deletions";
    let owned = look(&database, owned).await;
    let distinct: BTreeSet<String> = owned.iter().cloned().collect();
    assert_eq!(owned.len(), distinct.len(), "a key with two owners");
    let astray: Vec<_> = files(data).difference(&distinct).cloned().collect();
    assert_eq!(astray, [""; 0], "a file without an owner");
    // What is quarantined counts as absent, bytes and all.
    let blobs = "SELECT digest, size, storage_key, hex(body) FROM blobs LEFT JOIN small_blobs ON blob_id = id
        WHERE quarantined_at IS NULL";
    for blob in look(&database, blobs).await {
        let [digest, size, key, body] = blob.split(' ').collect::<Vec<_>>()[..] else { panic!("{blob}") };
        let content = match body.as_bytes().as_chunks::<2>() {
            ([], _) => fs::read(path(data, key)).expect("a blob has its bytes"),
            (pairs, _) => {
                let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
                pairs.iter().map(byte).collect()
            }
        };
        let digest: Digest = digest.parse().unwrap();
        assert_eq!((Digest::of(digest.algorithm(), &content), content.len().to_string()), (digest, size.to_owned()));
    }
}
