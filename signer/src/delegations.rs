//! The registry as one of the signers of Notary v1 collections: it vouches for tags there with a key of each repository, wherever
//! the owner has named that key.

use std::collections::BTreeMap;

use hallmark_oci::{ServerRole, TrustRole};
use hallmark_storage::metadata::{self, SignerKey};
use serde::{Deserialize, Serialize};

use crate::custody::document;
use crate::notary::delegate::{self, Plan, Stands, Unreadable, Vouched};
use crate::notary::publish::uncounted;
use crate::notary::{KeyDocument, Signature};
use crate::publisher::{Pick, keep_key};
use crate::signer::{SignRefused, Signer, check_base};
use crate::wire::Unserved;
use crate::written::logged;

/// What a key is for that signs in the name of the registry.
pub(crate) const DELEGATION: &str = "delegation";

/// What is vouched for in a repository, for one of its collections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationChange {
    /// Which one, as of [`crate::NotaryChange`]: its name begins with the holder's.
    pub collection: String,
    /// Whose keys sign: the repository, without a name.
    pub holder: String,
    /// Which of them sign: those that were given to the owner.
    pub keys: Vec<String>,
    /// Who asked for it, for the log.
    pub caller: String,
    /// The files that hold.
    pub stands: Stands,
    /// All that is vouched for.
    pub vouched: Vouched,
}

impl Signer {
    /// The public half of the newest key that signs for `holder`: one of those that were `given`, else one that never signed, which is
    /// made where there is none. With `next` one that never signed.
    ///
    /// # Errors
    /// [`SignRefused::Custody`], [`SignRefused::Metadata`].
    pub async fn delegation_key(
        &self,
        holder: &str,
        given: &[String],
        next: bool,
        now: i64,
    ) -> Result<KeyDocument, SignRefused> {
        let pick = Pick::Given(if next { Vec::new() } else { given.to_vec() });
        let known = self.metadata.signer_keys(holder, DELEGATION).await?;
        if let Some(key) = pick.of(&known) {
            return Ok(document(&key));
        }
        let made = self.custody.make(holder, DELEGATION, now)?;
        // Two who ask at once are given one key.
        let kept: Result<SignerKey, metadata::Error> =
            self.metadata.write((made, pick), |tx, (made, pick)| Box::pin(keep_key(tx, made, pick))).await;
        Ok(document(&kept?))
    }

    /// The next files of the delegations that name keys of the holder; none where what stands says what is vouched for. Each
    /// version is given once, and every signature is written down before one of them leaves.
    ///
    /// # Errors
    /// [`SignRefused`]; nothing is signed then.
    pub async fn delegate(&self, change: DelegationChange, now: i64) -> Result<Vec<(TrustRole, Vec<u8>)>, SignRefused> {
        self.bounds.count(&change.holder, "", &change.caller, now)?;
        self.delegate_counted(change, now).await
    }

    /// The same for what was counted already.
    pub(crate) async fn delegate_counted(
        &self,
        change: DelegationChange,
        now: i64,
    ) -> Result<Vec<(TrustRole, Vec<u8>)>, SignRefused> {
        let DelegationChange { collection, holder, keys: given, caller, stands, vouched } = change;
        if !collection.strip_prefix(&*holder).is_some_and(|name| name.starts_with('/')) {
            let message = "the keys of one repository sign for no other".to_owned();
            return Err(Unserved::NotAllowed(message).into());
        }
        let mut keys = self.metadata.signer_keys(&holder, DELEGATION).await?;
        keys.retain(|key| given.contains(&key.id));
        let ours = keys.iter().map(|key| (key.id.clone(), document(key))).collect();
        // Reading megabytes of metadata and verifying them is work for a thread that may be busy.
        let planned = tokio::task::spawn_blocking(move || delegate::plan(&stands, &vouched, &ours, now)).await;
        let plan = planned.map_err(|error| Unserved::Failed(error.to_string()))??;
        if plan.next.is_empty() {
            return Ok(Vec::new());
        }
        let versions = self.versions(&collection, &plan).await?;
        let mut files = Vec::new();
        for (next, given) in plan.next.into_iter().zip(versions) {
            let version = uncounted(u64::try_from(given).unwrap_or(0), next.lives);
            let signing: Vec<_> = keys.iter().filter(|key| next.keys.contains(&key.id)).collect();
            let role = next.role.clone();
            let draft = next.draft(version);
            let signatures = signing.iter().map(|key| self.custody.sign(key, draft.message()));
            let signatures: Vec<Signature> = signatures.collect::<Result<_, _>>()?;
            let what = (caller.as_str(), role.as_str(), version, draft.message());
            let lines: Vec<_> = signing.iter().map(|key| logged(what, key.id.clone(), now)).collect();
            self.log(collection.clone(), lines).await?;
            files.push((role, draft.sealed(&signatures)));
        }
        Ok(files)
    }

    /// Gives a version for each, after a look at whether what the change rests on has fallen, or is gone with its keys. They are
    /// given under a name of their own: what is not published must not keep others from publishing.
    async fn versions(&self, collection: &str, plan: &Plan) -> Result<Vec<i64>, SignRefused> {
        let signed = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
        let base: BTreeMap<String, i64> =
            plan.base.iter().map(|(role, version)| (role.clone(), signed(*version))).collect();
        let after = plan.next.iter().map(|next| (format!("next {}", next.role), signed(next.after.saturating_add(1))));
        let named = plan.root.roles.get(ServerRole::Timestamp.as_str()).map(|keys| keys.keyids.clone());
        let asked = (collection.to_owned(), base, after.collect::<Vec<_>>(), named.unwrap_or_default());
        self.metadata
            .write(asked, |tx, (collection, base, after, named)| {
                Box::pin(async move {
                    let role = ServerRole::Timestamp;
                    // A collection that was deleted has no versions; to remember some would keep the next from beginning.
                    if !tx.signer_keys(collection, role.as_str()).await?.iter().any(|key| named.contains(&key.id)) {
                        return Err(SignRefused::NoKey(role));
                    }
                    check_base(tx, collection, base).await?;
                    let mut given = Vec::new();
                    for (name, version) in after {
                        given.push(tx.raise_signer_floor(collection, name, *version).await?);
                    }
                    Ok(given)
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
