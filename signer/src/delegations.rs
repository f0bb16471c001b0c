//! The registry as one of the signers of Notary v1 collections: it vouches for tags there with a key of each repository, wherever
//! the owner has named that key.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::TrustRole;
use hallmark_storage::metadata::{self, LoggedSignature, SignerKey, Tx};
use serde::{Deserialize, Serialize};

use crate::custody::document;
use crate::notary::delegate::{self, Next, Stands, Unreadable, Vouched};
use crate::notary::publish::uncounted;
use crate::notary::{KeyDocument, Signature};
use crate::signer::{SignRefused, Signer, check_base};
use crate::written::logged;

/// What a key is for that signs in the name of the registry.
pub(crate) const DELEGATION: &str = "delegation";

/// What is vouched for in a repository, for one of its collections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationChange {
    /// Which one, as of [`crate::NotaryChange`].
    pub collection: String,
    /// Whose keys sign: the repository, without a name.
    pub holder: String,
    /// Who asked for it, for the log.
    pub caller: String,
    /// The files that hold.
    pub stands: Stands,
    /// All that is vouched for.
    pub vouched: Vouched,
}

impl Signer {
    /// The public half of the newest key that signs for `holder`, made where there is none; with `next` one that never signed.
    ///
    /// # Errors
    /// [`SignRefused::Custody`], [`SignRefused::Metadata`].
    pub async fn delegation_key(&self, holder: &str, next: bool, now: i64) -> Result<KeyDocument, SignRefused> {
        let known = self.metadata.signer_keys(holder, DELEGATION).await?;
        if let Some(key) = newest(&known, next) {
            return Ok(document(key));
        }
        let made = self.custody.make(holder, DELEGATION, now)?;
        // Two who ask at once are given one key.
        let kept: Result<SignerKey, metadata::Error> =
            self.metadata.write((made, next), |tx, (made, next)| Box::pin(keep(tx, made, *next))).await;
        Ok(document(&kept?))
    }

    /// The next files of the delegations that name keys of the holder; none where what stands says what is vouched for. Each
    /// version is given once, and every signature is written down before one of them leaves.
    ///
    /// # Errors
    /// [`SignRefused`]; nothing is signed then.
    pub async fn delegate(&self, change: DelegationChange, now: i64) -> Result<Vec<(TrustRole, Vec<u8>)>, SignRefused> {
        self.bounds.count(&change.collection, "", &change.caller, now)?;
        self.delegate_counted(change, now).await
    }

    /// The same for what was counted already.
    pub(crate) async fn delegate_counted(
        &self,
        change: DelegationChange,
        now: i64,
    ) -> Result<Vec<(TrustRole, Vec<u8>)>, SignRefused> {
        let DelegationChange { collection, holder, caller, stands, vouched } = change;
        let keys = self.metadata.signer_keys(&holder, DELEGATION).await?;
        let held: BTreeSet<String> = keys.iter().map(|key| key.id.clone()).collect();
        let next = delegate::next(&stands, &vouched, &held, now)?;
        if next.is_empty() {
            return Ok(Vec::new());
        }
        let versions = self.versions(&collection, &stands, &next).await?;
        let mut files = Vec::new();
        for (next, given) in next.into_iter().zip(versions) {
            let version = uncounted(u64::try_from(given).unwrap_or(0), next.lives);
            let signing: Vec<_> = keys.iter().filter(|key| next.keys.contains(&key.id)).collect();
            let role = next.role.clone();
            let draft = next.draft(version);
            let signatures = signing.iter().map(|key| self.custody.sign(key, draft.message()));
            let signatures: Vec<Signature> = signatures.collect::<Result<_, _>>()?;
            let line =
                |key: &&SignerKey| logged((&caller, role.as_str(), version, draft.message()), key.id.clone(), now);
            let lines: Vec<LoggedSignature> = signing.iter().map(line).collect();
            self.log(collection.clone(), lines).await?;
            files.push((role, draft.sealed(&signatures)));
        }
        Ok(files)
    }

    /// Gives a version for each, after a look at whether what the change rests on has fallen. They are given under a name of their
    /// own: what is not published must not keep others from publishing.
    async fn versions(&self, collection: &str, stands: &Stands, next: &[Next]) -> Result<Vec<i64>, SignRefused> {
        let signed = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
        let files = [&stands.root, &stands.targets].into_iter().chain(&stands.delegations);
        let base: BTreeMap<String, i64> =
            files.map(|file| (file.role.as_str().to_owned(), signed(file.counted()))).collect();
        let after = next.iter().map(|next| (format!("next {}", next.role), signed(next.after.saturating_add(1))));
        let asked = (collection.to_owned(), base, after.collect::<Vec<_>>());
        self.metadata
            .write(asked, |tx, (collection, base, after)| {
                Box::pin(async move {
                    check_base(tx, collection, base).await?;
                    let mut given = Vec::new();
                    for (name, version) in after {
                        given.push(tx.raise_signer_floor(collection, name, *version).await?);
                    }
                    Ok::<_, SignRefused>(given)
                })
            })
            .await
    }
}

impl From<Unreadable> for SignRefused {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Invalid(invalid) => Self::Invalid(invalid),
            Unreadable::Unsigned => Self::Unsigned,
        }
    }
}

/// The newest of these keys; with `next` only if it never signed.
fn newest(known: &[SignerKey], next: bool) -> Option<&SignerKey> {
    known.last().filter(|key| !next || key.used_at.is_none())
}

async fn keep(tx: &mut Tx, made: &SignerKey, next: bool) -> Result<SignerKey, metadata::Error> {
    tx.lift_signer_floor(&made.collection, &made.role, 0).await?;
    tx.signer_floor(&made.collection, &made.role).await?;
    let known = tx.signer_keys(&made.collection, &made.role).await?;
    if let Some(key) = newest(&known, next) {
        return Ok(key.clone());
    }
    let after = known.last().map_or(made.made_at, |last| last.made_at.saturating_add(1));
    let made = SignerKey { made_at: made.made_at.max(after), ..made.clone() };
    tx.add_signer_key(&made).await?;
    Ok(made)
}
