//! The clauses of the facts, each proven on SQLite and on PostgreSQL.
//! Nothing here reaches behind the public door of the crate, except to look at the tables afterwards.
//! Start with `harness`; then one file a family of clauses.

#![expect(clippy::unwrap_used, reason = "a clause that cannot be set up has failed")]

mod accounts;
mod blobs;
mod cache;
mod changes;
mod collect;
mod coverage;
mod credentials;
mod crowds;
mod custody;
mod events;
mod facts;
mod folder;
mod grants;
mod harness;
mod holds;
mod manifests;
mod mounts;
mod names;
mod opening;
mod organizations;
mod plans;
mod races;
mod reclaim;
mod referrers;
mod repositories;
mod reservations;
mod retention;
mod robots;
mod schema;
mod scrub;
mod sign_ins;
mod sign_rules;
mod signing;
mod sizes;
mod small;
mod tags;
mod teams;
mod transfer;
mod trust;
mod trust_files;
mod undelete;
mod uploads;
mod usage;
mod users;
mod vouches;
mod waiting;
mod workloads;
