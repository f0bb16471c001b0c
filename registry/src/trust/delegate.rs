//! The registry as one of the signers of a collection: what is vouched for in the repository stands in the delegations for which the
//! owner of the collection has named a key that the registry gave them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use hallmark_oci::{Gun, ServerRole, TrustRole};
use hallmark_signer::notary::delegate::{Concerned, Meant, RELEASES, StandingFile, Stands, TAGS, Vouched};
use hallmark_signer::notary::publish::{Held, Refused, Upload, can_sign};
use hallmark_signer::notary::{KeyDocument, MetadataInvalid, Root, Signed};
use hallmark_signer::wire::Unserved;
use hallmark_signer::{DelegationChange, SignRefused};
use hallmark_storage::metadata::{Collection, CollectionKey, RepositoryId, TrustDialect, Vouch};

use super::publish::{Before, By, Prepared, PublishError, prepare, store};
use super::{Failure, PUBLISHER, collection, holder_name, signer_name, tuf};
use crate::app::App;
use crate::distribution::Occasion;
use crate::telemetry::chain;

/// How often a publish starts over because another one, or a renewal, was faster.
const TURNS: usize = 5;
/// The most collections of a repository: one for each name of the registry, and those of names that it had before.
const COLLECTIONS: u32 = 1_000;
/// The most bytes that are read of a collection to sign in it: with what is vouched for they are one request to the signer.
const MOST: i64 = 16 << 20;
/// How long what cannot be published is left alone, in milliseconds.
const PUT_OFF: i64 = 60 * 60 * 1_000;
/// How many bytes of a collection may be published a minute, a minute's worth at once, and the longest that is waited for that, in
/// milliseconds. Each of its files is whole: ten thousand tags that are signed one by one would fill the database.
const BYTES_A_MINUTE: i64 = 1 << 20;
const LONGEST_PACE: i64 = 10 * MINUTE;
const MINUTE: i64 = 60 * 1_000;

/// The public half of the key by which the registry signs for a repository, of whose keys these were given; with `next` one that never
/// signed.
///
/// # Errors
/// [`SignRefused`]
pub(crate) async fn key(
    app: &App,
    repository: RepositoryId,
    (given, next): (Vec<String>, bool),
    now: i64,
) -> Result<KeyDocument, SignRefused> {
    app.signer.delegation_key(holder_name(repository), given, next, now).await
}

/// Publishes what is vouched for in a repository to those of its collections that name a key of the registry's; nothing where they say
/// it already. `Some` is when it is to be looked at again, in milliseconds since 1970: a collection that was published a moment ago
/// waits, and what does not follow from what clients have published is told in the log.
///
/// # Errors
/// What may pass soon.
pub(super) async fn delegate(app: &App, repository: RepositoryId) -> Result<Option<i64>, PublishError> {
    let keys: BTreeSet<String> = app.metadata.signing_keys(repository).await?.into_iter().collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let Some(name) = app.metadata.repository_name(repository).await? else { return Ok(None) };
    let guns = app.metadata.trust_collections_of(repository, TrustDialect::Notary, COLLECTIONS).await?;
    let (mut waits, mut passing) = (None::<i64>, None);
    for gun in guns.iter().filter_map(|gun| gun.parse::<Gun>().ok()).filter(|gun| *gun.repository() == name) {
        let until = match Signing::of(app, repository, &gun, &keys).publish().await {
            Ok(until) => until,
            Err(error) if is_away(&error) => return Err(error),
            Err(error) if is_passing(&error) => {
                passing = Some(error);
                None
            }
            Err(error) => {
                app.metrics.blame(&error);
                let (gun, error) = (gun.as_str(), chain(&error));
                tracing::error!(gun, error, "what is vouched for is not published there; it is tried again in an hour");
                Some(app.clock.now() + PUT_OFF)
            }
        };
        waits = waits.into_iter().chain(until).min();
    }
    passing.map_or(Ok(waits), Err)
}

/// Whether the signer does not answer.
pub(super) fn is_away(error: &PublishError) -> bool {
    matches!(error, PublishError::Failed(Failure::Signer(SignRefused::Unserved(unserved))) if unserved.is_away())
}

fn is_passing(error: &PublishError) -> bool {
    match error {
        PublishError::Overtaken | PublishError::Failed(Failure::Metadata(_)) => true,
        PublishError::Failed(Failure::Signer(refused)) => {
            matches!(refused, SignRefused::Metadata(_) | SignRefused::Unserved(Unserved::Busy { .. })) || is_away(error)
        }
        PublishError::Refused(_) | PublishError::Gone | PublishError::Failed(Failure::Stored(_) | Failure::Damaged) => {
            false
        }
    }
}

/// One collection, and the keys that its owner was given.
struct Signing<'s> {
    app: &'s App,
    repository: RepositoryId,
    gun: &'s Gun,
    key: CollectionKey,
    keys: &'s BTreeSet<String>,
}

impl<'s> Signing<'s> {
    fn of(app: &'s App, repository: RepositoryId, gun: &'s Gun, keys: &'s BTreeSet<String>) -> Self {
        Self { app, repository, gun, key: collection(repository, gun), keys }
    }

    /// Publishes what is vouched for; when that is to be looked at again.
    async fn publish(&self) -> Result<Option<i64>, PublishError> {
        // Whether what others have released is left as it is.
        let mut leaves = false;
        for _ in 0..TURNS {
            let now = self.app.clock.now();
            // The head first: a word that is taken back after it was read leads to a publish that moves the head on.
            let Some(seen) = self.app.metadata.trust_collection(&self.key).await? else { return Ok(None) };
            if let Some(until) = self.app.renewals.pace.waits(seen, now) {
                return Ok(Some(until));
            }
            let needed = self.needed(seen, leaves).await?;
            if needed.is_empty() {
                return Ok(None);
            }
            let before = Before::read(self.app, &self.key, |_| needed).await?;
            let (Some(stands), true) = (stands(&before), before.seen == Some(seen)) else { continue };
            let held = self.app.signer.held(&signer_name(&self.key)).await.map_err(Failure::from)?;
            if !makes_snapshots(&stands.root, &held).map_err(Failure::from)? {
                let gun = self.gun.as_str();
                tracing::warn!(
                    gun,
                    "what is vouched for is not published there: clients hold the key of its snapshots"
                );
                return Ok(None);
            }
            match self.publish_upon(before, stands, held, now).await {
                Err(PublishError::Overtaken) => {}
                // Whoever has the name now is published to by themselves.
                Err(PublishError::Gone) => return Ok(None),
                // What others have written there must not keep the registry from withdrawing what is its own.
                Err(PublishError::Refused(refused)) if !leaves => {
                    tracing::warn!(gun = self.gun.as_str(), error = chain(&refused), "{RELEASES} is left as it is");
                    leaves = true;
                }
                Ok(bytes) => {
                    self.app.renewals.pace.published(seen, now, bytes);
                    return Ok(leaves.then_some(now + PUT_OFF));
                }
                Err(error) => return Err(error),
            }
        }
        Err(PublishError::Overtaken)
    }

    /// The files that say who signs, and what those have signed, as far as there is room; none where no key of ours is named.
    async fn needed(&self, seen: Collection, leaves: bool) -> Result<BTreeSet<TrustRole>, PublishError> {
        let targets = self.app.metadata.trust_bodies(seen, [TrustRole::targets()].iter()).await?.pop();
        let Some((_, targets)) = targets else { return Ok(BTreeSet::new()) };
        let Concerned { own, released, beside } = Concerned::of(&targets, self.keys).map_err(Failure::from)?;
        if own.is_empty() {
            return Ok(own);
        }
        let rows = self.app.metadata.trust_states(seen).await?;
        let lengths: BTreeMap<&TrustRole, i64> = rows.iter().map(|row| (&row.role, row.length)).collect();
        let length = |role: &TrustRole| lengths.get(role).copied().unwrap_or(0);
        let mut needed: BTreeSet<TrustRole> =
            own.into_iter().chain([TrustRole::targets(), TrustRole::root()]).collect();
        let mut room = MOST - needed.iter().map(length).sum::<i64>();
        if room < 0 {
            let message =
                format!("its files have more than {MOST} bytes together; what is so much is not signed again");
            return Err(Refused::Targets(message).into());
        }
        // What there is no room for is left as it is, and keeps nothing from being withdrawn.
        for role in released.into_iter().filter(|_| !leaves).chain(beside) {
            if length(&role) <= room {
                room -= length(&role);
                needed.insert(role);
            } else {
                let (gun, role, bytes) = (self.gun.as_str(), role.as_str(), length(&role));
                tracing::warn!(gun, role, bytes, "{role} is too large to be read beside what is vouched for");
            }
        }
        needed.insert(ServerRole::Snapshot.role());
        Ok(needed)
    }

    /// Has the next files signed and stores them; how many bytes that are.
    async fn publish_upon(&self, before: Before, stands: Stands, held: Held, now: i64) -> Result<i64, PublishError> {
        let occasion = Occasion { now, request_id: String::new() };
        let change = DelegationChange {
            collection: signer_name(&self.key),
            holder: holder_name(self.repository),
            keys: self.keys.iter().cloned().collect(),
            caller: PUBLISHER.to_owned(),
            stands,
            vouched: self.vouched().await?,
        };
        let signing = async {
            // It takes memory: few at a time.
            let _turn = self.app.trust_checks.acquire().await;
            self.app.signer.delegate(change, now).await
        };
        let files = match signing.await {
            // What was read is older than what another publish rested on since: read again.
            Err(SignRefused::Falling { .. }) => return Err(PublishError::Overtaken),
            files => files.map_err(Failure::from)?,
        };
        if files.is_empty() {
            return Ok(0);
        }
        let bytes = files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        let uploads = files.into_iter().map(|(role, bytes)| Upload { role, bytes }).collect();
        let upon = Prepared { before, uploads, held, registry: BTreeSet::new() };
        let change = prepare(self.app, (self.gun, &self.key), upon, (By::Registry, &occasion)).await?;
        self.app.metadata.write(change, |tx, change| Box::pin(store(tx, change))).await?;
        Ok(i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    /// What holds of what was vouched for: of more than a file may name, what was said first.
    async fn vouched(&self) -> Result<Vouched, PublishError> {
        let mut vouches = tuf::all_vouches(self.app, self.repository).await?;
        vouches.retain(Vouch::holds);
        if vouches.len() > TAGS {
            let (gun, tags) = (self.gun.as_str(), vouches.len());
            tracing::error!(gun, tags, "more tags are vouched for than are published there: {TAGS}");
            vouches.sort_by(|one, other| (one.at, &one.tag).cmp(&(other.at, &other.tag)));
            vouches.truncate(TAGS);
        }
        let meant = |vouch: &Vouch| {
            let target = tuf::target(vouch)?;
            let meant = Meant { length: target.length, sha256: target.sha256, signed_at: vouch.at };
            Some((vouch.tag.to_string(), meant))
        };
        Ok(vouches.iter().filter_map(meant).collect())
    }
}

/// The files that hold; `None` where nothing holds.
fn stands(before: &Before) -> Option<Stands> {
    let published = &before.published;
    let below = published.states.keys().filter(|role| role.parent() == Some(TrustRole::targets()));
    let file = |role: &TrustRole| {
        let life = published.lives.get(role)?;
        let bytes = published.targets.get(role).cloned();
        Some(StandingFile { role: role.clone(), lives: life.lives, before: life.before, bytes })
    };
    Some(Stands {
        root: published.root.clone()?,
        targets: published.targets.get(&TrustRole::targets())?.clone(),
        delegations: below.filter_map(file).collect(),
    })
}

/// Whether the registry signs the snapshots of a collection. Where clients do, only they publish.
fn makes_snapshots(root: &[u8], held: &Held) -> Result<bool, MetadataInvalid> {
    let root = Signed::<Root>::parse(root)?.content;
    Ok(root.roles.get(ServerRole::Snapshot.as_str()).is_some_and(|keys| can_sign(keys, &held.snapshot)))
}

/// Which collections were published lately, and when as much may be published of each as if they were not. Of replicas the one that
/// publishes knows.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<BTreeMap<i64, i64>>);

impl Pace {
    /// Until when a collection waits, if it does.
    fn waits(&self, collection: Collection, now: i64) -> Option<i64> {
        let paced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = paced.get(&collection.id)? - MINUTE;
        // A clock that was set back keeps nobody waiting for longer.
        (now + 1..=now + LONGEST_PACE).contains(&until).then_some(until)
    }

    fn published(&self, collection: Collection, now: i64, bytes: i64) {
        let takes = bytes.saturating_mul(MINUTE) / BYTES_A_MINUTE;
        let mut paced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paced.retain(|_, until| *until > now);
        let until = paced.get(&collection.id).map_or(now, |until| (*until).min(now + LONGEST_PACE));
        paced.insert(collection.id, until.saturating_add(takes).min(now + MINUTE + LONGEST_PACE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn a_collection_waits_for_as_long_as_its_bytes_take() {
        let (pace, one, other) = (Pace::default(), Collection { id: 1, head: 4 }, Collection { id: 2, head: 1 });
        pace.published(one, NOW, BYTES_A_MINUTE);
        let later = Collection { id: 1, head: 9 };
        assert_eq!(pace.waits(later, NOW), None, "a minute's worth is taken at once");
        pace.published(later, NOW, BYTES_A_MINUTE / 2);
        assert_eq!(pace.waits(later, NOW), Some(NOW + MINUTE / 2));
        assert_eq!(pace.waits(later, NOW + MINUTE / 2 - 1), Some(NOW + MINUTE / 2));
        assert_eq!(pace.waits(later, NOW + MINUTE / 2), None);
        assert_eq!(pace.waits(other, NOW), None);
        assert_eq!(pace.waits(later, NOW - 2 * LONGEST_PACE), None, "a clock that was set back");
        for _ in 0..3 {
            pace.published(other, NOW, i64::MAX);
            assert_eq!(pace.waits(other, NOW), Some(NOW + LONGEST_PACE), "however much it is");
        }
        pace.published(other, NOW + 2 * LONGEST_PACE, 0);
        assert_eq!(pace.waits(other, NOW + 2 * LONGEST_PACE), None);
        assert_eq!(pace.0.lock().unwrap().len(), 1, "what waits no more is forgotten");
    }

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let signer = |refused| PublishError::Failed(Failure::Signer(SignRefused::Unserved(refused)));
        for (error, away, passing) in [
            (signer(Unserved::Away(String::new())), true, true),
            (signer(Unserved::Unavailable), true, true),
            (signer(Unserved::Busy { wait_ms: 1 }), false, true),
            (signer(Unserved::NotAllowed(String::new())), false, false),
            (signer(Unserved::Failed(String::new())), false, false),
            (PublishError::Overtaken, false, true),
            (PublishError::Gone, false, false),
            (PublishError::Failed(Failure::Damaged), false, false),
            (PublishError::Refused(Refused::Targets(String::new())), false, false),
        ] {
            assert_eq!((is_away(&error), is_passing(&error)), (away, passing), "{error:?}");
        }
    }
}
