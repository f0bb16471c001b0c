//! What the collector takes and what it leaves, each clause on SQLite and on PostgreSQL, with real bytes in a folder.
//! Nothing here reaches behind the public doors of the crates, except to look at tables and files afterwards.
//! Start with `harness`; then one file a family of clauses.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod bytes;
mod harness;
mod images;
mod storm;
mod usage;
