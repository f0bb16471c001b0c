//! Lives here: the image API, one file for each thing that a path names or a rule that holds on all of them.
//! Never here: how a token is got and forged (`token`).
//! Start reading at `ping.rs`.

mod blobs;
mod catalog;
mod challenges;
mod damaged;
mod deletes;
mod grammar;
mod lapsed;
mod manifests;
mod manifests_refused;
mod mounts;
mod ping;
mod quotas;
mod ranges;
mod readonly;
mod referrers;
mod refusals;
mod secrecy;
mod tags;
mod unknown_commits;
mod uploads;
mod uploads_chunked;
mod uploads_fenced;
mod uploads_model;
mod uploads_retried;
mod wire;
