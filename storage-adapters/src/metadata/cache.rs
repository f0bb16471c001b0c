//! What is kept in memory on SQLite, and how much of it. `generations` says when a kept answer still holds.

use std::hash::Hash;
use std::sync::Arc;

use hallmark_oci::{Digest, RepositoryName};
use quick_cache::sync::{Cache as Memory, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter, Weighter};

use super::blobs::{Blob, Body};
use super::credentials::Credential;
use super::facts::Facts;
use super::generations::Generations;
use super::manifests::StoredManifest;
use super::repositories::Repository;
use super::rows::{PrincipalId, RepositoryId};
use super::trust::{CollectionKey, TrustFile};
use super::users::{Principal, User};

/// Bytes of manifests kept, with what they weigh beside their bodies.
const MANIFEST_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes of small blobs kept, with what they and all other blobs weigh beside them.
const BLOB_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of files of trust kept, with what they weigh beside their bodies: timestamps, which everybody asks for.
const TRUST_BYTES: u64 = 2 * 1024 * 1024;
/// Answers of each other kind kept; each weighs some hundred bytes.
const ANSWERS: usize = 4_096;
/// What an entry weighs beside the manifest's body: digest, media type, key and bookkeeping.
const ENTRY: u64 = 512;

/// Parts of a cache that are locked apart. Each holds its part of the bytes, so there are few: the largest manifest must fit
/// into one, whatever the number of cores.
const SHARDS: usize = 2;

/// Answers of one kind, each with the stamp it was read under.
pub(super) type Kept<K, V, W = UnitWeighter> = Memory<K, (u64, V), W>;

/// The answers that every pull needs.
pub(super) struct Cache {
    pub(super) generations: Arc<Generations>,
    pub(super) principals: Kept<PrincipalId, Principal>,
    pub(super) users: Kept<String, User>,
    pub(super) repositories: Kept<RepositoryName, Repository>,
    pub(super) facts: Kept<(PrincipalId, RepositoryName), Arc<Facts>>,
    pub(super) credentials: Kept<i64, Credential>,
    pub(super) manifests: Kept<(RepositoryId, String), Arc<StoredManifest>, Bytes>,
    pub(super) blobs: Kept<(RepositoryId, Digest), Blob, Bytes>,
    pub(super) trust: Kept<(CollectionKey, String), Arc<TrustFile>, Bytes>,
}

/// Weighs what has a body.
#[derive(Clone)]
pub(super) struct Bytes;

impl<K> Weighter<K, (u64, Arc<StoredManifest>)> for Bytes {
    fn weight(&self, _: &K, (_, manifest): &(u64, Arc<StoredManifest>)) -> u64 {
        manifest.body.len() as u64 + ENTRY
    }
}

impl<K> Weighter<K, (u64, Arc<TrustFile>)> for Bytes {
    fn weight(&self, _: &K, (_, file): &(u64, Arc<TrustFile>)) -> u64 {
        file.body.len() as u64 + ENTRY
    }
}

impl<K> Weighter<K, (u64, Blob)> for Bytes {
    fn weight(&self, _: &K, (_, blob): &(u64, Blob)) -> u64 {
        let body = match &blob.body {
            Some(Body::Whole(bytes)) => bytes.len(),
            Some(Body::Damaged) | None => 0,
        };
        body as u64 + ENTRY
    }
}

impl Cache {
    pub(super) fn new(generations: Arc<Generations>) -> Self {
        Self {
            generations,
            principals: few(),
            users: few(),
            repositories: few(),
            facts: few(),
            credentials: few(),
            manifests: weighed(MANIFEST_BYTES),
            blobs: weighed(BLOB_BYTES),
            trust: weighed(TRUST_BYTES),
        }
    }
}

fn few<K: Hash + Eq, V: Clone>() -> Kept<K, V> {
    Memory::new(ANSWERS)
}

fn weighed<K: Hash + Eq, V: Clone>(bytes: u64) -> Kept<K, V, Bytes>
where
    Bytes: Weighter<K, (u64, V)>,
{
    let entries = usize::try_from(bytes / (4 * ENTRY)).unwrap_or(usize::MAX);
    let mut options = OptionsBuilder::new();
    options.shards(SHARDS).weight_capacity(bytes).estimated_items_capacity(entries);
    let options = options.build().expect("both capacities are set");
    Memory::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default())
}
