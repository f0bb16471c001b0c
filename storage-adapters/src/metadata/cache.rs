//! What is kept in memory on SQLite, and how much of it. `generations` says when a kept answer still holds.

use std::hash::Hash;
use std::sync::Arc;

use hallmark_oci::{Digest, RepositoryName};
use moka::sync::Cache as Memory;

use super::blobs::{Blob, Body};
use super::credentials::Credential;
use super::facts::Facts;
use super::generations::Generations;
use super::manifests::StoredManifest;
use super::repositories::Repository;
use super::rows::{PrincipalId, RepositoryId};
use super::users::{Principal, User};

/// Bytes of manifests kept, with what they weigh beside their bodies.
const MANIFEST_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of small blobs kept, with what they and all other blobs weigh beside them.
const BLOB_BYTES: u64 = 4 * 1024 * 1024;
/// Answers of each other kind kept; each weighs some hundred bytes.
const ANSWERS: u64 = 4_096;
/// What an entry weighs beside the manifest's body: digest, media type, key and bookkeeping.
const ENTRY: u32 = 512;

/// Answers of one kind, each with the stamp it was read under.
pub(super) type Kept<K, V> = Memory<K, (u64, V)>;

/// The answers that every pull needs.
pub(super) struct Cache {
    pub(super) generations: Arc<Generations>,
    pub(super) principals: Kept<PrincipalId, Principal>,
    pub(super) users: Kept<String, User>,
    pub(super) repositories: Kept<RepositoryName, Repository>,
    pub(super) facts: Kept<(PrincipalId, RepositoryName), Arc<Facts>>,
    pub(super) credentials: Kept<i64, Credential>,
    pub(super) manifests: Kept<(RepositoryId, String), Arc<StoredManifest>>,
    pub(super) blobs: Kept<(RepositoryId, Digest), Blob>,
}

impl Cache {
    pub(super) fn new(generations: Arc<Generations>) -> Self {
        let manifests = Memory::builder()
            .max_capacity(MANIFEST_BYTES)
            .weigher(|_, (_, manifest): &(u64, Arc<StoredManifest>)| {
                u32::try_from(manifest.body.len()).unwrap_or(u32::MAX).saturating_add(ENTRY)
            })
            .build();
        let blobs = Memory::builder()
            .max_capacity(BLOB_BYTES)
            .weigher(|_, (_, blob): &(u64, Blob)| {
                let body = match &blob.body {
                    Some(Body::Whole(bytes)) => bytes.len(),
                    Some(Body::Damaged) | None => 0,
                };
                u32::try_from(body).unwrap_or(u32::MAX).saturating_add(ENTRY)
            })
            .build();
        Self {
            generations,
            principals: few(),
            users: few(),
            repositories: few(),
            facts: few(),
            credentials: few(),
            manifests,
            blobs,
        }
    }
}

fn few<K, V>() -> Kept<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Memory::new(ANSWERS)
}
