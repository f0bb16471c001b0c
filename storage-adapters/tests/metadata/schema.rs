//! The tables, read from the catalogs of both engines.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_storage::metadata::{DatabaseConfig, Engine};

use crate::harness::{World, run};

/// What a table is, in words that both engines share.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// Name, type, and whether it may be absent.
    columns: BTreeMap<String, (String, bool)>,
    primary: Vec<String>,
    /// Columns, parent, parent's columns, what happens on delete.
    foreign: BTreeSet<(Vec<String>, String, Vec<String>, String)>,
    /// Columns, and whether they are unique; the primary key is among them.
    indexes: BTreeSet<(Vec<String>, bool)>,
}

type Schema = BTreeMap<String, Table>;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

async fn sqlite(world: &World) -> Schema {
    let mut schema = Schema::new();
    for name in world.look("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").await {
        let mut table = Table::default();
        let mut primary = BTreeMap::new();
        for line in world.look(&format!("SELECT name, type, \"notnull\", pk FROM pragma_table_info('{name}')")).await {
            let [column, kind, required, key] = &words(&line)[..] else { panic!("{line}") };
            if key != "0" {
                primary.insert(key.clone(), column.clone());
            }
            table.columns.insert(column.clone(), (kind.replace("INTEGER", "BIGINT"), required == "0" && key == "0"));
        }
        table.primary = primary.into_values().collect();
        table.indexes.insert((table.primary.clone(), true));
        let foreign = "SELECT id, group_concat(\"from\"), \"table\", group_concat(\"to\"), on_delete FROM
             (SELECT * FROM pragma_foreign_key_list('NAME') ORDER BY id, seq) GROUP BY id, \"table\", on_delete";
        for line in world.look(&foreign.replace("NAME", &name)).await {
            let [_, from, parent, to, delete] = &words(&line)[..] else { panic!("{line}") };
            table.foreign.insert((list(from), parent.clone(), list(to), delete.clone()));
        }
        let indexes = "SELECT i.name, i.\"unique\", group_concat(c.name) FROM pragma_index_list('NAME') i,
             pragma_index_info(i.name) c GROUP BY i.name, i.\"unique\"";
        for line in world.look(&indexes.replace("NAME", &name)).await {
            let [_, unique, columns] = &words(&line)[..] else { panic!("{line}") };
            table.indexes.insert((list(columns), unique == "1"));
        }
        schema.insert(name, table);
    }
    schema
}

async fn postgres(world: &World) -> Schema {
    let mut schema = Schema::new();
    let columns = "SELECT CAST(c.relname AS TEXT), CAST(a.attname AS TEXT), upper(format_type(a.atttypid, -1)),
            CAST(a.attnotnull AS TEXT)
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0";
    for line in world.look(columns).await {
        let [table, column, kind, required] = &words(&line)[..] else { panic!("{line}") };
        let kind = kind.replace("BYTEA", "BLOB");
        schema.entry(table.clone()).or_default().columns.insert(column.clone(), (kind, required == "false"));
    }
    let names =
        "(SELECT string_agg(a.attname, ',' ORDER BY k.place) FROM unnest(KEY) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = TABLE AND a.attnum = k.number)";
    let name = |key: &str, table: &str| names.replace("KEY", key).replace("TABLE", table);
    let foreign = format!(
        "SELECT CAST(c.conrelid::regclass AS TEXT), {}, CAST(c.confrelid::regclass AS TEXT), {},
            CASE c.confdeltype WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' ELSE 'OTHER' END
         FROM pg_constraint c WHERE c.contype = 'f'",
        name("c.conkey", "c.conrelid"),
        name("c.confkey", "c.confrelid")
    );
    for line in world.look(&foreign).await {
        let [table, from, parent, to, delete] = &words(&line)[..] else { panic!("{line}") };
        let key = (list(from), parent.clone(), list(to), delete.clone());
        schema.get_mut(table).unwrap().foreign.insert(key);
    }
    let indexes = format!(
        "SELECT CAST(i.indrelid::regclass AS TEXT), {}, CAST(i.indisunique AS TEXT), CAST(i.indisprimary AS TEXT)
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'",
        name("CAST(i.indkey AS smallint[])", "i.indrelid")
    );
    for line in world.look(&indexes).await {
        let [table, columns, unique, primary] = &words(&line)[..] else { panic!("{line}") };
        let table = schema.get_mut(table).unwrap();
        table.indexes.insert((list(columns), unique == "true"));
        if primary == "true" {
            table.primary = list(columns);
        }
    }
    schema
}

async fn read(world: &World) -> Schema {
    match world.config {
        DatabaseConfig::Sqlite { .. } => sqlite(world).await,
        DatabaseConfig::Postgres { .. } => postgres(world).await,
    }
}

fn schema_of(engine: Engine) -> Schema {
    let (sender, receiver) = std::sync::mpsc::channel();
    run(engine, async move |world: World| sender.send(read(&world).await).unwrap());
    receiver.recv().unwrap()
}

#[test]
fn both_folders_of_migrations_give_the_same_tables() {
    let (sqlite, postgres) = (schema_of(Engine::Sqlite), schema_of(Engine::Postgres));
    assert_eq!(sqlite.keys().collect::<Vec<_>>(), postgres.keys().collect::<Vec<_>>());
    for (name, table) in &sqlite {
        assert_eq!(table, &postgres[name], "{name}");
    }
    assert!(sqlite.len() > 20);
}

#[test]
fn every_foreign_key_has_an_index() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let schema = schema_of(engine);
        for (name, table) in &schema {
            for (columns, parent, parent_columns, _) in &table.foreign {
                // An index helps that begins with the key, or with the one column of it that already names one parent.
                let whole = |index: &[String]| index.starts_with(columns);
                let naming = |index: &[String]| {
                    let place = columns.iter().position(|column| *column == index[0]);
                    place.is_some_and(|place| schema[parent].primary == [parent_columns[place].clone()])
                };
                let helped = table.indexes.iter().any(|(index, _)| whole(index) || naming(index));
                assert!(helped, "{engine:?}: {name} {columns:?} → {parent}");
            }
        }
    }
}

#[test]
fn no_key_that_guards_an_image_cascades() {
    let schema = schema_of(Engine::Postgres);
    for (name, table) in &schema {
        for (columns, parent, _, delete) in &table.foreign {
            let owned = matches!(
                (name.as_str(), parent.as_str(), columns.last().map(String::as_str)),
                ("manifest_blobs", "manifests", _)
                    | ("manifest_children", "manifests", Some("parent_id"))
                    | ("last_pulls", "manifests", _)
                    | ("upload_parts" | "usage_entries", "uploads", _)
                    | ("tag_history", "repositories", _)
                    | ("credentials", "principals", _)
                    | ("small_blobs", "blobs", _)
                    | ("members", "accounts" | "users", _)
                    | ("team_members", "teams" | "members", _)
                    | ("repository_grants", "repositories" | "principals", _)
                    | ("prefix_grants", "accounts" | "principals", _)
                    | ("workload_rules" | "certificate_rules", "principals", _)
                    | ("sessions" | "device_requests", "principals", _)
                    | ("trust_collections" | "vouches" | "withdrawals", "repositories", _)
                    | ("sign_rules" | "checks", "repositories" | "principals", _)
                    | ("trash_blobs" | "trash_children", "trash", _)
                    | ("trust_metadata", "trust_collections", _)
                    | ("trust_current", "trust_metadata", _)
            );
            assert_eq!(delete == "CASCADE", owned, "{name} {columns:?} → {parent}: {delete}");
        }
    }
}

#[test]
fn every_text_is_ordered_by_bytes_in_a_database_that_is_not() {
    run(Engine::Postgres, async |world: World| {
        let order = world.look("SELECT t FROM (VALUES ('a'), ('B'), ('_')) AS v(t) ORDER BY t").await;
        assert_ne!(order, ["B", "_", "a"], "this cluster would not show a slip");
        let slips = "SELECT CAST(c.relname AS TEXT), CAST(a.attname AS TEXT) FROM pg_attribute a
               JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation l ON l.oid = a.attcollation
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND l.collname <> 'C'";
        assert_eq!(world.look(slips).await, ["migrations name"], "nobody orders or compares that one");
    });
}
