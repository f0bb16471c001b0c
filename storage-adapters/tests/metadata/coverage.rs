//! Every statement runs on both engines: what a clause forgets would otherwise be found by a user of the other one.

use hallmark_storage::metadata::{Engine, StatementUsage, statement_usage};

use crate::harness::run;
use crate::{
    accounts, blobs, collect, credentials, custody, events, facts, grants, holds, manifests, mounts, names,
    organizations, reclaim, referrers, repositories, retention, robots, scrub, sign_ins, sign_rules, signing, small,
    tags, teams, transfer, trust, trust_files, undelete, uploads, usage, users, vouches, workloads,
};

/// Run on SQLite alone: where one process holds the folder, and so knows that every lease it finds is a dead one's, and where a server
/// changes both by one statement.
const EMBEDDED_ONLY: [&str; 2] = ["uploads::END_LEASES", "transfer::MOVE_LINKS"];
/// Take locks alone, where others change the same rows at once.
const SERVER_ONLY: [&str; 5] = [
    "blobs::HOLD_IN_ACCOUNT",
    "collect::HOLD_AROUND_LINK",
    "collect::HOLD_BEHIND_LINK",
    "transfer::HOLD_ENTERED",
    "usage::HOLD_HELD",
];

#[test]
fn every_statement_runs_on_both_engines() {
    let families = [
        accounts::CLAUSES,
        blobs::CLAUSES,
        collect::CLAUSES,
        credentials::CLAUSES,
        custody::CLAUSES,
        events::CLAUSES,
        facts::CLAUSES,
        grants::CLAUSES,
        holds::CLAUSES,
        manifests::CLAUSES,
        mounts::CLAUSES,
        names::CLAUSES,
        organizations::CLAUSES,
        reclaim::CLAUSES,
        referrers::CLAUSES,
        repositories::CLAUSES,
        retention::CLAUSES,
        robots::CLAUSES,
        scrub::CLAUSES,
        sign_ins::CLAUSES,
        sign_rules::CLAUSES,
        signing::CLAUSES,
        small::CLAUSES,
        tags::CLAUSES,
        teams::CLAUSES,
        transfer::CLAUSES,
        trust::CLAUSES,
        trust_files::CLAUSES,
        undelete::CLAUSES,
        uploads::CLAUSES,
        usage::CLAUSES,
        users::CLAUSES,
        vouches::CLAUSES,
        workloads::CLAUSES,
    ];
    for clause in families.into_iter().flatten() {
        run(Engine::Sqlite, clause);
        run(Engine::Postgres, clause);
    }
    let is_server_only = |usage: &StatementUsage| SERVER_ONLY.iter().any(|name| usage.name.ends_with(name));
    let is_embedded_only = |usage: &StatementUsage| EMBEDDED_ONLY.iter().any(|name| usage.name.ends_with(name));
    let idle: Vec<StatementUsage> = statement_usage()
        .filter(|usage| {
            (usage.sqlite == 0) != is_server_only(usage) || (usage.postgres == 0) != is_embedded_only(usage)
        })
        .collect();
    assert!(idle.is_empty(), "{idle:#?}");
    assert!(statement_usage().count() > 200, "{}", statement_usage().count());
}
