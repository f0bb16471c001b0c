//! Lives here: the image API, one file for each thing that a path names or a rule that holds on all of them.
//! Never here: how a token is got and forged (`token`).
//! Start reading at `ping.rs`.

mod blobs;
mod catalog;
mod challenges;
mod deletes;
mod grammar;
mod lapsed;
mod manifests;
mod manifests_refused;
mod mounts;
mod ping;
mod ranges;
mod readonly;
mod referrers;
mod secrecy;
mod tags;
mod uploads;
mod uploads_chunked;
mod uploads_fenced;
mod uploads_model;
