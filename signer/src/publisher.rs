//! Publishing a repository's tags as TUF 1.0: a typed change in, signed files out.

use std::collections::BTreeMap;

use hallmark_storage::metadata::{self, LoggedSignature, SignerKey};
use serde::{Deserialize, Serialize};
use tough::schema::{RoleType, Root, Signed};

use crate::custody::CustodyError;
use crate::signer::Signer;
use crate::tuf::{self, Authors, BuildError, Change, Differences, Files, Held, Previous, TAGS, Target, Versions};
use crate::wire::{self, Unserved};

/// The roles for which a trust domain has a key online, with the word for each in the signer's rows.
const ROLES: [(&str, RoleType); 4] = [
    ("root", RoleType::Root),
    ("targets", RoleType::Targets),
    ("snapshot", RoleType::Snapshot),
    ("timestamp", RoleType::Timestamp),
];

/// Where the signer remembers on which snapshot the last change rested.
const BASE: &str = "base";

/// A change of what a repository's tags mean.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TufChange {
    /// The trust domain whose root vouches for it.
    pub domain: String,
    /// Which repository: an id that no other ever has.
    pub collection: String,
    /// Its name, which the paths of its targets begin with.
    pub repository: String,
    /// Who asked for it, for the log.
    pub caller: String,
    /// The root that holds.
    #[serde(with = "wire::base64_bytes")]
    pub root: Vec<u8>,
    /// The files of `targets`, `tags` and `snapshot` that hold.
    #[serde(with = "wire::maybe_bytes")]
    pub targets: Option<Vec<u8>>,
    /// See `targets`.
    #[serde(with = "wire::maybe_bytes")]
    pub tags: Option<Vec<u8>>,
    /// See `targets`.
    #[serde(with = "wire::maybe_bytes")]
    pub snapshot: Option<Vec<u8>>,
    /// What changes: what a tag means from now on; `None` takes it out.
    pub changes: BTreeMap<String, Option<Target>>,
    /// Whether snapshot and timestamp are made anew although nothing changes.
    pub renews: bool,
}

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
pub enum TufRefused {
    /// A key cannot be used.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The database failed.
    #[error("the signer's database failed")]
    Metadata(#[from] metadata::Error),
    /// The files cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The root cannot be read.
    #[error("the root cannot be read")]
    Root(#[source] serde_json::Error),
    /// What the change rests on is older than what one before it rested on: a registry that was set back, or taken over, gets
    /// no fresh timestamp for old files.
    #[error("the change rests on snapshot {to}, and one before it rested on {from}")]
    Falling {
        /// What was there.
        from: i64,
        /// What the change rests on.
        to: i64,
    },
    /// The domain has no key for a role.
    #[error("the signer has no key for {0} of this trust domain")]
    NoKey(&'static str),
    /// It was not looked at.
    #[error(transparent)]
    Unserved(#[from] Unserved),
}

impl Signer {
    /// The first root of a trust domain, all of whose keys the signer holds: for those who start small.
    ///
    /// # Errors
    /// [`TufRefused`]
    pub async fn first_root(&self, domain: &str, now: i64) -> Result<Vec<u8>, TufRefused> {
        let mut keys = Vec::new();
        for (word, role) in ROLES {
            keys.push((role, self.custody.open_ed25519(&self.domain_key(domain, word, now).await?)?));
        }
        self.domain_key(domain, TAGS, now).await?;
        Ok(tuf::first_root(&keys, now).await?)
    }

    /// The key of a role of a domain, made where there is none.
    async fn domain_key(&self, domain: &str, role: &'static str, now: i64) -> Result<SignerKey, TufRefused> {
        if let Some(key) = self.metadata.signer_keys(domain, role).await?.pop() {
            return Ok(key);
        }
        let made = self.custody.make_ed25519(domain, role, now)?;
        // Two who ask at once are given one key.
        let kept: Result<SignerKey, metadata::Error> = self
            .metadata
            .write(made, |tx, made| {
                Box::pin(async move {
                    tx.lift_signer_floor(&made.collection, &made.role, 0).await?;
                    tx.signer_floor(&made.collection, &made.role).await?;
                    if let Some(key) = tx.signer_keys(&made.collection, &made.role).await?.pop() {
                        return Ok(key);
                    }
                    tx.add_signer_key(made).await?;
                    Ok(made.clone())
                })
            })
            .await;
        Ok(kept?)
    }

    /// The files that a change makes new; `None` when it changes nothing. Versions are given, and what is signed is written
    /// down, before anything leaves.
    ///
    /// # Errors
    /// [`TufRefused`]; nothing is published then.
    pub async fn publish(&self, change: TufChange, now: i64) -> Result<Option<Files>, TufRefused> {
        self.bounds.count(&change.collection, "", &change.caller, now)?;
        self.publish_counted(change, now).await
    }

    /// The same for what was counted already.
    pub(crate) async fn publish_counted(&self, change: TufChange, now: i64) -> Result<Option<Files>, TufRefused> {
        let root: Signed<Root> = serde_json::from_slice(&change.root).map_err(TufRefused::Root)?;
        let (authors, ids) = self.authors(&change.domain, root.signed).await?;
        let previous = Previous { targets: change.targets, tags: change.tags, snapshot: change.snapshot };
        let wanted = Change { repository: change.repository, tags: change.changes };
        let differences = wanted.compare(&authors, &previous, now)?;
        if !differences.tags && !differences.targets && !change.renews {
            return Ok(None);
        }
        let versions = self.versions(&change.collection, &differences, now).await?;
        let files = differences.build(&authors, versions, now).await?;
        let lines = files.files.iter().map(|(role, version, bytes)| {
            let sha256 = ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec();
            let key_id = ids.get(role.as_str()).cloned().unwrap_or_default();
            let (version, caller) = (i64::try_from(*version).unwrap_or(i64::MAX), change.caller.clone());
            LoggedSignature { at: now, caller, role: role.as_str().to_owned(), version, sha256, key_id }
        });
        self.log(change.collection, lines.collect()).await?;
        Ok(Some(files))
    }

    async fn authors(&self, domain: &str, root: Root) -> Result<(Authors, BTreeMap<&'static str, String>), TufRefused> {
        let mut keys: Vec<Held> = Vec::new();
        let mut ids = BTreeMap::new();
        let mut tags = None;
        for role in ["targets", "snapshot", "timestamp", TAGS] {
            let key = self.metadata.signer_keys(domain, role).await?.pop().ok_or(TufRefused::NoKey(role))?;
            keys.push(self.custody.open_ed25519(&key)?);
            if role == TAGS {
                tags = Some(tuf::document(&key.public));
            }
            ids.insert(role, key.id);
        }
        let tags = tags.ok_or(TufRefused::NoKey(TAGS))?;
        Ok((Authors { root, tags, keys }, ids))
    }

    /// Versions begin with the seconds since 1970: a repository that is made anew under a name, or whose database was set back,
    /// goes on above whatever clients have seen of it.
    async fn versions(&self, collection: &str, differences: &Differences, now: i64) -> Result<Versions, TufRefused> {
        let Differences { targets, tags, base, .. } = differences;
        let base = i64::try_from(*base).unwrap_or(i64::MAX);
        self.metadata
            .write(
                (collection.to_owned(), *targets, *tags, (base, now)),
                |tx, (collection, targets, tags, (base, now))| {
                    Box::pin(async move {
                        let from = tx.signer_floor(collection, BASE).await?;
                        if from > *base {
                            return Err(TufRefused::Falling { from, to: *base });
                        }
                        tx.lift_signer_floor(collection, BASE, *base).await?;
                        let mut next = async |role: &str| -> Result<u64, metadata::Error> {
                            let version = tx.raise_signer_floor(collection, role, now.div_euclid(1_000)).await?;
                            Ok(u64::try_from(version).unwrap_or(u64::MAX))
                        };
                        Ok(Versions {
                            targets: if *targets { Some(next("targets").await?) } else { None },
                            tags: if *tags { Some(next(TAGS).await?) } else { None },
                            snapshot: next("snapshot").await?,
                            timestamp: next("timestamp").await?,
                        })
                    })
                },
            )
            .await
    }
}
