//! A copy of the signer's keys in a file that a passphrase opens, and back.
//!
//! The file is two lines of text and an envelope: `hallmark signer backup 1`, then the salt and costs of argon2id as JSON, then
//! what `keys/master.rs` calls an envelope under the derived key, whose purpose is the two lines. Inside is one JSON object: the data
//! keys, each sealed once more under the derived key; the private keys as they are sealed under those; the last version of each
//! role; and the newest root of each trust domain, by version and hash. The log stays where it is.
//!
//! Restoring never lowers a version, puts no key in the place of another, and lets none sign again that nothing names any more. Versions come back before keys do, and what was cut
//! short is ended by doing it again.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_storage::metadata::{self, Metadata, SignerFloor, SignerKey, SignerRoot, Tx, WrappedDataKey};
use serde::{Deserialize, Serialize};

use crate::custody::{self, CustodyError, fill, random, wrapping};
use crate::keys::{Costs, MasterKey, MasterRefused, Masters, OpenRefused, PASSPHRASE_BYTES, derive};
use crate::tuf::TAGS;
use crate::wire::TUF;

/// The first line.
const HEAD: &str = "hallmark signer backup 1";
/// The longest second line, in bytes.
const LINE_BYTES: usize = 1_024;
/// How many rows are read or written at once.
const PAGE: u32 = 500;

/// Why nothing is copied or brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupRefused {
    /// The database failed.
    #[error("the signer's database failed")]
    Metadata(#[from] metadata::Error),
    /// A key cannot be used.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The passphrase cannot be used.
    #[error(transparent)]
    Passphrase(#[from] MasterRefused),
    /// It is no backup, or one of a newer version.
    #[error("this is no backup of a signer that this version reads")]
    Foreign,
    /// The passphrase is another one, or the file was changed.
    #[error("the passphrase does not open this file, or the file was changed")]
    Closed,
    /// There is another key for a role.
    #[error("{collection} has another key for {role} here than in the backup: a key is put in nobody's place")]
    OtherKey {
        /// Whose.
        collection: String,
        /// For which role.
        role: String,
    },
    /// There is another data key of this id.
    #[error("data key {0} is another one here than in the backup")]
    OtherDataKey(String),
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Keys that were not here.
    pub keys: usize,
    /// Keys that were.
    pub known: usize,
    /// Versions that the backup tells; where the one here was higher, it stayed.
    pub versions: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    #[serde(with = "crate::forms::base64_bytes")]
    salt: [u8; 16],
    costs: Costs,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    made_at: i64,
    data_keys: Vec<DataKey>,
    keys: Vec<Key>,
    versions: Vec<(String, String, i64)>,
    roots: Vec<Root>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    domain: String,
    version: i64,
    #[serde(with = "crate::forms::base64_bytes")]
    sha256: Vec<u8>,
    #[serde(with = "crate::forms::base64_bytes")]
    body: Vec<u8>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DataKey {
    id: String,
    #[serde(with = "crate::forms::base64_bytes")]
    wrapped: Vec<u8>,
    made_at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    id: String,
    collection: String,
    role: String,
    algorithm: String,
    #[serde(with = "crate::forms::base64_bytes")]
    public: Vec<u8>,
    #[serde(with = "crate::forms::base64_bytes")]
    sealed: Vec<u8>,
    data_key: String,
    made_at: i64,
    used_at: Option<i64>,
}

/// A backup of the signer's keys and versions, which `words` open. Takes a moment, and memory for the whole of it.
///
/// # Errors
/// [`BackupRefused`]
pub async fn backup(metadata: &Metadata, masters: &Masters, words: &str, now: i64) -> Result<Vec<u8>, BackupRefused> {
    if words.len() < PASSPHRASE_BYTES {
        return Err(MasterRefused::Short.into());
    }
    let opening = Opening { salt: fill(&random())?, costs: Costs::default() };
    let key = MasterKey::new(&*derive(words, &opening.salt, opening.costs)?);
    let mut data_keys = Vec::new();
    for stored in metadata.signer_data_keys().await? {
        let purpose = wrapping(&stored.id);
        let plain = masters.open(&purpose, &stored.wrapped);
        let plain = plain.map_err(|source| CustodyError::Wrapped { id: stored.id.clone(), source })?;
        let wrapped = key.seal(&purpose, fill(&random())?, &plain);
        data_keys.push(DataKey { id: stored.id, wrapped, made_at: stored.made_at });
    }
    // The versions last: none is below what a key that is copied here has signed.
    let keys = keys(metadata).await?;
    let (versions, roots) = (versions(metadata).await?, roots(metadata).await?);
    let content = Content { made_at: now, data_keys, keys, versions, roots };
    let line = serde_json::to_string(&opening).map_err(|_| BackupRefused::Foreign)?;
    let text = serde_json::to_vec(&content).map_err(|_| BackupRefused::Foreign)?;
    let head = format!("{HEAD}\n{line}\n");
    let envelope = key.seal(&head, fill(&random())?, &text);
    Ok([head.as_bytes(), &envelope].concat())
}

async fn keys(metadata: &Metadata) -> Result<Vec<Key>, metadata::Error> {
    let mut keys: Vec<Key> = Vec::new();
    loop {
        let after = keys.last().map(|key| key.id.clone()).unwrap_or_default();
        let page = metadata.signer_key_page(&after, PAGE).await?;
        let is_full = page.len() == PAGE as usize;
        keys.extend(page.into_iter().map(Key::from));
        if !is_full {
            return Ok(keys);
        }
    }
}

async fn versions(metadata: &Metadata) -> Result<Vec<(String, String, i64)>, metadata::Error> {
    let mut versions: Vec<(String, String, i64)> = Vec::new();
    loop {
        let (collection, role) = versions.last().map_or(("", ""), |(collection, role, _)| (collection, role));
        let page = metadata.signer_floor_page((collection, role), PAGE).await?;
        let is_full = page.len() == PAGE as usize;
        let version = |SignerFloor { collection, role, version }| (collection, role, version);
        versions.extend(page.into_iter().map(version));
        if !is_full {
            return Ok(versions);
        }
    }
}

async fn roots(metadata: &Metadata) -> Result<Vec<Root>, metadata::Error> {
    let mut roots: Vec<Root> = Vec::new();
    loop {
        let after = roots.last().map(|root| root.domain.clone()).unwrap_or_default();
        let page = metadata.signer_root_page(&after, PAGE).await?;
        let is_full = page.len() == PAGE as usize;
        roots.extend(page.into_iter().map(|SignerRoot { domain, version, sha256, body }| Root {
            domain,
            version,
            sha256,
            body,
        }));
        if !is_full {
            return Ok(roots);
        }
    }
}

/// Brings back what [`backup`] copied. A signer that runs on this database does not see it before its next start.
///
/// # Errors
/// [`BackupRefused`]. A refusal comes before anything is written; a database that fails may leave a part, which doing it again
/// completes.
pub async fn restore(
    metadata: &Metadata,
    masters: &Masters,
    words: &str,
    file: &[u8],
) -> Result<Restored, BackupRefused> {
    let (key, mut content) = open(words, file)?;
    content.keys.retain(|key| !is_of_tags(key));
    check(metadata, &content).await?;
    let data_keys = data_keys(metadata, masters, (&key, &content.data_keys)).await?;
    let added: Result<(), BackupRefused> =
        metadata.write(data_keys, |tx, keys| Box::pin(add_data_keys(tx, keys))).await;
    added?;
    let restored = content.versions.len();
    for page in content.versions.chunks(PAGE as usize) {
        let lifted: Result<(), metadata::Error> =
            metadata.write(page.to_vec(), |tx, page| Box::pin(lift(tx, page))).await;
        lifted?;
    }
    for page in content.roots.chunks(PAGE as usize) {
        let lifted: Result<(), metadata::Error> =
            metadata.write(page.to_vec(), |tx, page| Box::pin(lift_roots(tx, page))).await;
        lifted?;
    }
    let all = content.keys.len();
    let mut keys: Vec<SignerKey> = content.keys.into_iter().map(SignerKey::from).collect();
    let mut added = 0;
    while !keys.is_empty() {
        let rest = keys.split_off(keys.len().min(PAGE as usize));
        let page = std::mem::replace(&mut keys, rest);
        let done: Result<usize, BackupRefused> = metadata.write(page, |tx, page| Box::pin(add_keys(tx, page))).await;
        added += done?;
    }
    Ok(Restored { keys: added, known: all - added, versions: restored })
}

fn open(words: &str, file: &[u8]) -> Result<(MasterKey, Content), BackupRefused> {
    let rest = file.strip_prefix(HEAD.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
    let rest = rest.ok_or(BackupRefused::Foreign)?;
    let end = rest.iter().take(LINE_BYTES).position(|byte| *byte == b'\n').ok_or(BackupRefused::Foreign)?;
    let opening: Opening = serde_json::from_slice(&rest[..end]).map_err(|_| BackupRefused::Foreign)?;
    let (head, envelope) = file.split_at(file.len() - rest.len() + end + 1);
    let head = std::str::from_utf8(head).map_err(|_| BackupRefused::Foreign)?;
    let key = MasterKey::new(&*derive(words, &opening.salt, opening.costs)?);
    let text = key.open(head, envelope).map_err(|_: OpenRefused| BackupRefused::Closed)?;
    let content = serde_json::from_slice(&text).map_err(|_| BackupRefused::Foreign)?;
    Ok((key, content))
}

/// Whether it is the key of a domain's tags. No root names it, so that nothing tells one that holds from one that was replaced since:
/// it does not come back, and the signer makes another, which the targets of each repository name from its next publish on.
fn is_of_tags(key: &Key) -> bool {
    key.collection.starts_with(TUF) && key.role == TAGS
}

/// That no key of the backup stands against one that is here.
async fn check(metadata: &Metadata, content: &Content) -> Result<(), BackupRefused> {
    let mut named: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for key in &content.keys {
        named.entry((&key.collection, &key.role)).or_default().insert(&key.id);
    }
    for ((collection, role), ids) in named {
        let here = metadata.signer_keys(collection, role).await?;
        if here.iter().any(|key| !ids.contains(key.id.as_str())) {
            return Err(BackupRefused::OtherKey { collection: collection.to_owned(), role: role.to_owned() });
        }
    }
    Ok(())
}

/// The data keys of the backup that are not here, wrapped under the master key that holds here.
async fn data_keys(
    metadata: &Metadata,
    masters: &Masters,
    (key, copied): (&MasterKey, &[DataKey]),
) -> Result<Vec<WrappedDataKey>, BackupRefused> {
    let here = metadata.signer_data_keys().await?;
    let mut missing = Vec::new();
    for copy in copied {
        let purpose = wrapping(&copy.id);
        let plain = key.open(&purpose, &copy.wrapped).map_err(|_| BackupRefused::Closed)?;
        match here.iter().find(|known| known.id == copy.id) {
            None => {
                let wrapped = masters.current().seal(&purpose, fill(&random())?, &plain);
                missing.push(WrappedDataKey { id: copy.id.clone(), wrapped, made_at: copy.made_at });
            }
            Some(known) => {
                let own = masters.open(&purpose, &known.wrapped);
                let own = own.map_err(|source| CustodyError::Wrapped { id: copy.id.clone(), source })?;
                if own != plain {
                    return Err(BackupRefused::OtherDataKey(copy.id.clone()));
                }
            }
        }
    }
    Ok(missing)
}

async fn add_data_keys(tx: &mut Tx, missing: &[WrappedDataKey]) -> Result<(), BackupRefused> {
    custody::one_at_a_time(tx).await?;
    for key in missing {
        tx.add_signer_data_key(key).await?;
    }
    Ok(())
}

async fn lift(tx: &mut Tx, page: &[(String, String, i64)]) -> Result<(), metadata::Error> {
    for (collection, role, version) in page {
        tx.lift_signer_floor(collection, role, *version).await?;
    }
    Ok(())
}

async fn lift_roots(tx: &mut Tx, page: &[Root]) -> Result<(), metadata::Error> {
    for Root { domain, version, sha256, body } in page.iter().cloned() {
        tx.lift_signer_root(&SignerRoot { domain, version, sha256, body }).await?;
    }
    Ok(())
}

/// Adds the keys that are not here; how many those were.
async fn add_keys(tx: &mut Tx, page: &[SignerKey]) -> Result<usize, BackupRefused> {
    let mut added = 0;
    for key in page {
        match tx.signer_key(&key.id).await? {
            None => {
                tx.add_signer_key(key).await?;
                // One that waited when the backup was made may have been named and replaced since: it waits no more.
                tx.use_signer_key(&key.id, key.used_at.unwrap_or(key.made_at)).await?;
                added += 1;
            }
            Some(here) if (&here.collection, &here.role, &here.public) == (&key.collection, &key.role, &key.public) => {
            }
            Some(here) => return Err(BackupRefused::OtherKey { collection: here.collection, role: here.role }),
        }
    }
    Ok(added)
}

impl From<SignerKey> for Key {
    fn from(key: SignerKey) -> Self {
        let SignerKey { id, collection, role, algorithm, public, sealed, data_key, made_at, used_at } = key;
        Self { id, collection, role, algorithm, public, sealed, data_key, made_at, used_at }
    }
}

impl From<Key> for SignerKey {
    fn from(key: Key) -> Self {
        let Key { id, collection, role, algorithm, public, sealed, data_key, made_at, used_at } = key;
        Self { id, collection, role, algorithm, public, sealed, data_key, made_at, used_at }
    }
}
