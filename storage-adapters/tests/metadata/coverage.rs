//! Every statement runs on both engines: what a clause forgets would otherwise be found by a user of the other one.

use hallmark_storage::metadata::{Engine, StatementUsage, statement_usage};

use crate::harness::run;
use crate::{accounts, blobs, manifests, mounts, reclaim, referrers, repositories, small, tags, uploads};

/// Runs where one process holds the folder, and so knows that every lease it finds is a dead one's.
const EMBEDDED_ONLY: &str = "uploads::END_LEASES";

#[test]
fn every_statement_runs_on_both_engines() {
    let families = [
        accounts::CLAUSES,
        blobs::CLAUSES,
        manifests::CLAUSES,
        mounts::CLAUSES,
        reclaim::CLAUSES,
        referrers::CLAUSES,
        repositories::CLAUSES,
        small::CLAUSES,
        tags::CLAUSES,
        uploads::CLAUSES,
    ];
    for clause in families.into_iter().flatten() {
        run(Engine::Sqlite, clause);
        run(Engine::Postgres, clause);
    }
    let idle: Vec<StatementUsage> = statement_usage()
        .filter(|usage| usage.sqlite == 0 || usage.postgres == 0 && !usage.name.ends_with(EMBEDDED_ONLY))
        .collect();
    assert!(idle.is_empty(), "{idle:#?}");
    assert!(statement_usage().count() > 90);
}
