//! Lives here: content trust. Collections of a repository as Notary v1's clients know them: read, publish, keys, renewal.
//! Never here: how metadata is verified and signed (`signer`), who may (`access`), SQL.
//! Start reading at `publish.rs`, then `renew.rs`.

mod delegate;
mod delete;
pub(crate) mod http;
mod key;
mod publish;
mod read;
pub(crate) mod renew;
pub mod tuf;
mod upload;

pub(crate) use delegate::key as delegation_key;
pub(crate) use delete::destroy_keys;

use hallmark_oci::{Gun, ServerRole, TrustRole};
use hallmark_signer::notary::publish::Life;
use hallmark_signer::notary::{FileState, MetadataInvalid, Root, Signed};
use hallmark_signer::{NotaryFiles, SignRefused};
use hallmark_storage::metadata::{
    self, CollectionKey, Freshness, NewTrustFile, RepositoryId, TrustDialect, TrustState,
};

/// How long before its expiry what the server signed is signed again, in milliseconds: half of a timestamp's life, so that
/// an outage of days is nobody's concern.
const RENEW_BEFORE: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Who asks for what the registry publishes by itself, as the signer is told.
const PUBLISHER: &str = "publisher";

/// The collection of a repository under this name.
fn collection(repository: RepositoryId, gun: &Gun) -> CollectionKey {
    CollectionKey { repository, dialect: TrustDialect::Notary, gun: gun.as_str().to_owned() }
}

/// What the signer calls a collection: with the repository's id, which no other repository ever has.
fn signer_name(key: &CollectionKey) -> String {
    format!("notary1/{}/{}", key.repository, key.gun)
}

/// What the signer calls those whose keys sign for delegations of a repository's collections, in the name of the registry.
fn holder_name(repository: RepositoryId) -> String {
    format!("notary1/{repository}")
}

/// The ids of the keys that a root names for a role of the server's.
fn named(root: Option<&[u8]>, role: ServerRole) -> Result<Vec<String>, MetadataInvalid> {
    let Some(root) = root else { return Ok(Vec::new()) };
    let root = Signed::<Root>::parse(root)?;
    Ok(root.content.roles.get(role.as_str()).map(|keys| keys.keyids.clone()).unwrap_or_default())
}

/// The role that says which snapshot is the newest.
fn timestamp() -> TrustRole {
    ServerRole::Timestamp.role()
}

/// As rows hold it: of a role that never begins anew, unless more is said of it.
fn row(state: &FileState) -> TrustState {
    TrustState {
        role: state.role.clone(),
        version: i64::try_from(state.version).unwrap_or(i64::MAX),
        sha256: state.sha256.to_vec(),
        sha512: state.sha512.to_vec(),
        length: i64::try_from(state.length).unwrap_or(i64::MAX),
        latest_expiry: i64::MAX,
        begun_after: 0,
        lives: 0,
    }
}

/// From a row; `None` for one that is damaged.
fn state(row: &TrustState) -> Option<FileState> {
    Some(FileState {
        role: row.role.clone(),
        version: u64::try_from(row.version).ok()?,
        length: u64::try_from(row.length).ok()?,
        sha256: row.sha256.as_slice().try_into().ok()?,
        sha512: row.sha512.as_slice().try_into().ok()?,
    })
}

/// A file that the signer made.
fn of_server(state: &FileState, body: Vec<u8>) -> NewTrustFile {
    NewTrustFile { state: row(state), body, begins_anew: false }
}

/// How long what was published for a role was to hold; `None` for a row that is damaged.
fn life(row: &TrustState) -> Option<Life> {
    Some(Life { latest: row.latest_expiry, before: row.begun_after, lives: u32::try_from(row.lives).ok()? })
}

/// The files that hold as the signer is told of them; `None` when a row is damaged.
fn told(rows: &[TrustState]) -> Option<Vec<FileState>> {
    rows.iter().map(|row| Some(life(row)?.counted(&state(row)?))).collect()
}

/// What the signer made, as it is stored: the snapshot before the timestamp that names it.
fn signed_files(signed: NotaryFiles) -> (Vec<NewTrustFile>, Freshness) {
    let fresh = Freshness { renew_at: signed.expires - RENEW_BEFORE, expires_at: signed.expires };
    let files = signed.snapshot.into_iter().chain([signed.timestamp]);
    (files.map(|(state, body)| of_server(&state, body)).collect(), fresh)
}

/// What every operation of content trust may fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The database failed.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
    /// The signer refuses or fails.
    #[error("the signer did not sign")]
    Signer(#[from] SignRefused),
    /// What is stored cannot be read any more.
    #[error("published trust data cannot be read")]
    Stored(#[from] MetadataInvalid),
    /// A row is not what it was written as.
    #[error("a row of trust data is damaged")]
    Damaged,
}
