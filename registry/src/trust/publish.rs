//! A publish: checked as a whole, signed as far as the server signs, stored in one transaction or not at all.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::{Gun, PublishTrust, ServerRole, TrustRole};
use hallmark_signer::notary::FileState;
use hallmark_signer::notary::publish::{self, Held, Life, NewFile, Published, Upload};
use hallmark_signer::{NotaryChange, SignRefused, SnapshotOf};
use hallmark_storage::metadata::{
    self, Collection, CollectionKey, Freshness, NewTrustFile, PrincipalId, Published as Outcome, Repository, Rights,
    TrustState, Tx,
};
use serde_json::json;

use super::{Failure, PUBLISHER, collection, life, row, signed_files, signer_name, state, timestamp, told, tuf};
use crate::access::{Granted, Ground};
use crate::app::App;
use crate::distribution::{Nowhere, Occasion};
use crate::telemetry::chain;

/// How often a publish starts over because another one, or a renewal, was faster. Then the newer versions decide.
const TURNS: usize = 5;

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// It does not follow from what is published.
    #[error(transparent)]
    Refused(#[from] publish::Refused),
    /// Others kept being faster.
    #[error("others publish to this collection; try again")]
    Overtaken,
    /// The repository is gone, or another's by now.
    #[error("the repository is gone")]
    Gone,
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<metadata::Error> for PublishError {
    fn from(error: metadata::Error) -> Self {
        Self::Failed(Failure::Metadata(error))
    }
}

/// Publishes `uploads`.
pub(super) async fn publish(
    app: &App,
    granted: &Granted<PublishTrust>,
    (actor, uploads): (PrincipalId, Vec<Upload>),
    occasion: &Occasion,
) -> Result<(), PublishError> {
    let gun = &granted.operation().gun;
    for _ in 0..TURNS {
        let Some(repository) = granted.repository() else {
            // Without a repository no key was ever asked for: the check says so in its own words.
            let nobody = (&Held::default(), &BTreeSet::new());
            publish::check(gun, uploads, &Published::default(), nobody, occasion.now)?;
            return Err(PublishError::Gone);
        };
        let key = collection(repository.id, gun);
        let before = Before::read(app, &key, |_| needed(&uploads)).await?;
        let held = app.signer.held(&signer_name(&key)).await.map_err(Failure::from)?;
        let signers = publish::signers(&uploads);
        let registry = match signers.is_empty() {
            true => BTreeSet::new(),
            false => app.metadata.signing_keys_among(signers.iter().map(String::as_str)).await?.into_iter().collect(),
        };
        let upon = Prepared { before, uploads: uploads.clone(), held, registry };
        let by = By::Person(actor, granted.ground());
        let change = prepare(app, (gun, &key), upon, (by, occasion)).await?;
        match app.metadata.write(change, |tx, change| Box::pin(store(tx, change))).await {
            Err(PublishError::Overtaken) => {}
            done => return done,
        }
    }
    Err(PublishError::Overtaken)
}

/// What holds when a publish begins. The head is read first: whatever changes after that is noticed at the end.
#[derive(Default)]
pub(super) struct Before {
    pub(super) seen: Option<Collection>,
    pub(super) published: Published,
    /// The files that hold, as the signer is told of them.
    told: Vec<FileState>,
}

impl Before {
    /// What holds of a collection, with the bytes of the files that are `needed`, of those that there are.
    pub(super) async fn read(
        app: &App,
        key: &CollectionKey,
        needed: impl FnOnce(&[TrustState]) -> BTreeSet<TrustRole>,
    ) -> Result<Self, Failure> {
        let seen = app.metadata.trust_collection(key).await?;
        let Some(collection) = seen else { return Ok(Self::default()) };
        let rows = app.metadata.trust_states(collection).await?;
        let states: Option<BTreeMap<_, _>> = rows.iter().map(|row| Some((row.role.clone(), state(row)?))).collect();
        let lives: Option<BTreeMap<_, _>> = rows.iter().map(|row| Some((row.role.clone(), life(row)?))).collect();
        let told = told(&rows).ok_or(Failure::Damaged)?;
        let mut bodies: BTreeMap<_, _> =
            app.metadata.trust_bodies(collection, needed(&rows).iter()).await?.into_iter().collect();
        let root = bodies.remove(&TrustRole::root());
        let snapshot = bodies.remove(&ServerRole::Snapshot.role());
        let (states, lives) = (states.ok_or(Failure::Damaged)?, lives.ok_or(Failure::Damaged)?);
        let published = Published { root, snapshot, targets: bodies, states, lives };
        Ok(Self { seen, published, told })
    }
}

/// The files that a check may have to read: the root, the snapshot, `targets`, every uploaded delegation as it stands, and every
/// role above it.
fn needed(uploads: &[Upload]) -> BTreeSet<TrustRole> {
    let mut needed = BTreeSet::from([TrustRole::root(), ServerRole::Snapshot.role(), TrustRole::targets()]);
    for upload in uploads {
        let mut above = Some(&upload.role).filter(|role| role.names_targets()).cloned();
        while let Some(role) = above {
            above = role.parent();
            needed.insert(role);
        }
    }
    needed
}

/// What a publish rests on, and what is published.
pub(super) struct Prepared {
    pub(super) before: Before,
    pub(super) uploads: Vec<Upload>,
    /// The keys that the signer has for the collection.
    pub(super) held: Held,
    /// Those by which only the registry publishes.
    pub(super) registry: BTreeSet<String>,
}

/// Who publishes.
#[derive(Clone)]
pub(super) enum By {
    /// Somebody who may sign, by the rights that they had.
    Person(PrincipalId, Ground),
    /// The registry, which vouches for tags.
    Registry,
}

/// Everything the transaction needs; it may run more than once.
pub(super) struct Change {
    key: CollectionKey,
    gun: Gun,
    seen: Option<Collection>,
    files: Vec<NewTrustFile>,
    fresh: Freshness,
    by: By,
    occasion: Occasion,
}

/// Checks, and has signed what is the server's to sign.
pub(super) async fn prepare(
    app: &App,
    (gun, key): (&Gun, &CollectionKey),
    upon: Prepared,
    (by, occasion): (By, &Occasion),
) -> Result<Change, PublishError> {
    let (checking, now) = (gun.clone(), occasion.now);
    let Prepared { before: Before { seen, published, told: base }, uploads, held, registry } = upon;
    // Reading megabytes of metadata and verifying it is work for a thread that may be busy, and takes memory: few at a time.
    let _turn = app.trust_checks.acquire().await;
    let checked =
        tokio::task::spawn_blocking(move || publish::check(&checking, uploads, &published, (&held, &registry), now));
    let plan = checked.await.map_err(|_| PublishError::Failed(Failure::Damaged))??;
    let mut files: BTreeMap<_, _> = base.iter().map(|state| (state.role.clone(), state.clone())).collect();
    files.extend(plan.files.iter().map(|file| (file.state.role.clone(), file.life.counted(&file.state))));
    let snapshot = if plan.makes_snapshot {
        let in_snapshot = |role: &TrustRole| role.as_str() == "root" || role.names_targets();
        SnapshotOf::Files(files.into_values().filter(|state| in_snapshot(&state.role)).collect())
    } else {
        let given = plan.files.iter().find(|file| file.state.role.as_str() == "snapshot");
        SnapshotOf::Client(given.map(|file| file.bytes.clone()).unwrap_or_default())
    };
    let change = NotaryChange {
        collection: signer_name(key),
        caller: match &by {
            By::Person(actor, _) => format!("{actor} {}", occasion.request_id),
            By::Registry => PUBLISHER.to_owned(),
        },
        root: plan.root,
        base,
        snapshot,
    };
    let signed = app.signer.sign(change, now).await.map_err(|refused| match refused {
        // What was read is older than what another publish or a renewal rested on since: read again. A database that was set
        // back ends here too, after some turns.
        SignRefused::Falling { .. } => {
            tracing::warn!(gun = key.gun, error = chain(&refused), "a publish rests on what was overtaken");
            PublishError::Overtaken
        }
        refused => PublishError::Failed(Failure::Signer(refused)),
    })?;
    let (made, fresh) = signed_files(signed);
    let given = plan.files.into_iter().map(given);
    Ok(Change {
        key: key.clone(),
        gun: gun.clone(),
        seen,
        files: given.chain(made).collect(),
        fresh,
        by,
        occasion: occasion.clone(),
    })
}

/// A file that a client made, as it is stored.
fn given(file: NewFile) -> NewTrustFile {
    let NewFile { state, bytes, life, begins_anew } = file;
    let Life { latest, before, lives } = life;
    let state = TrustState { latest_expiry: latest, begun_after: before, lives: lives.into(), ..row(&state) };
    NewTrustFile { state, body: bytes, begins_anew }
}

pub(super) async fn store(tx: &mut Tx, change: &Change) -> Result<(), PublishError> {
    let Change { key, gun, seen, files, fresh, by, occasion } = change;
    let (repository, actor) = match by {
        By::Person(actor, ground) => {
            let made = occasion.repository_for(tx, gun.repository(), (*actor, Rights::SIGN), ground).await;
            let repository = made.map_err(|nowhere| match nowhere {
                Nowhere::Failed(error) => error.into(),
                Nowhere::AccountUnknown(_) | Nowhere::Foreign | Nowhere::MayNotCreate(_) | Nowhere::NameRests(_) => {
                    PublishError::Gone
                }
            })?;
            (repository, *actor)
        }
        By::Registry => (tx.repository(gun.repository()).await?.ok_or(PublishError::Gone)?, PrincipalId::SYSTEM),
    };
    if repository.id != key.repository {
        return Err(PublishError::Gone);
    }
    match tx.publish_trust(key, *seen, files, *fresh, occasion.now).await? {
        Outcome::Overtaken => return Err(PublishError::Overtaken),
        Outcome::Stored => {}
    }
    if let (By::Registry, Some(seen)) = (by, seen) {
        // It publishes more often than people do.
        tx.forget_trust(*seen, occasion.now - tuf::KEPT).await?;
    }
    Ok(record(tx, (&repository, key), files, ("trust_published", actor), occasion).await?)
}

/// What the changefeed and the audit log tell of a new timestamp.
pub(super) async fn record(
    tx: &mut Tx,
    (repository, key): (&Repository, &CollectionKey),
    files: &[NewTrustFile],
    (kind, actor): (&str, PrincipalId),
    occasion: &Occasion,
) -> Result<(), metadata::Error> {
    let newest = files.iter().map(|file| &file.state).find(|state| state.role == timestamp());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let roles: Vec<_> = files.iter().map(|file| file.state.role.as_str()).collect();
    let payload = json!({
        "version": newest.map(|state| state.version),
        "sha256": newest.map(|state| hex(&state.sha256)),
        "roles": roles,
    });
    tx.record(&occasion.event(kind, actor, repository, &key.gun, &payload.to_string())).await
}
