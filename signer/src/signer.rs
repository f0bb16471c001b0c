//! What is asked of the keys: a typed change in, signed metadata out; never bytes to sign (I10).

use std::collections::BTreeMap;

use hallmark_oci::{ServerRole, TrustRole};
use hallmark_storage::metadata::{self, LoggedSignature, Metadata, SignerKey, Tx};
use serde::{Deserialize, Serialize};

use crate::bounds::{Bounds, Rates};
use crate::custody::{Custody, CustodyError, document};
use crate::keys::MasterKey;
use crate::notary::{
    self, Draft, FileState, Held, KeyDocument, MetadataInvalid, RoleKeys, Root, Signature, Signed, Snapshot, verify,
};
use crate::wire::Unserved;
use crate::written::log_signatures;

/// For how long a timestamp holds, in milliseconds: 14 days, as the first Notary had it.
const TIMESTAMP_LIFE: i64 = 14 * DAY;
/// For how long a snapshot holds: three years.
const SNAPSHOT_LIFE: i64 = 3 * 365 * DAY;
const DAY: i64 = 24 * 60 * 60 * 1_000;

/// Who holds the private keys, remembers the last version of each role, and writes down what they signed.
pub struct Signer {
    pub(crate) metadata: Metadata,
    pub(crate) custody: Custody,
    pub(crate) bounds: Bounds,
}

/// A change of a Notary v1 collection.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotaryChange {
    /// Which one: an id of the repository that no other ever has, and the name.
    pub collection: String,
    /// Who asked for it, for the log.
    pub caller: String,
    /// The root that holds with this change.
    #[serde(with = "crate::forms::base64_bytes")]
    pub root: Vec<u8>,
    /// The files that hold before it; their versions may not fall from one change to the next. Those of a delegation that began
    /// anew lie above all that it had before (`notary::publish::Life::counted`).
    pub base: Vec<FileState>,
    /// The snapshot.
    pub snapshot: SnapshotOf,
}

/// Where the snapshot comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotOf {
    /// It is made of these files: root, targets and delegations.
    Files(Vec<FileState>),
    /// The client signed it; its bytes.
    Client(#[serde(with = "crate::forms::base64_bytes")] Vec<u8>),
    /// The one that holds; only the timestamp is new.
    Standing(FileState),
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotaryFiles {
    /// The snapshot, when the server made it.
    #[serde(with = "crate::forms::maybe_file")]
    pub snapshot: Option<(FileState, Vec<u8>)>,
    /// The timestamp.
    #[serde(with = "crate::forms::file")]
    pub timestamp: (FileState, Vec<u8>),
    /// When the first of the files that the server signed expires, in milliseconds since 1970.
    pub expires: i64,
}

/// Why the signer refuses.
#[derive(Debug, thiserror::Error)]
pub enum SignRefused {
    /// A key cannot be used.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The database failed.
    #[error("the signer's database failed")]
    Metadata(#[from] metadata::Error),
    /// The root, or the client's snapshot, cannot be read.
    #[error("what the change rests on cannot be read: {0}")]
    Invalid(#[from] MetadataInvalid),
    /// The client's snapshot, or `targets`, is not signed by the keys that the root names.
    #[error("what the change rests on is not signed as the root says")]
    Unsigned,
    /// The root names no keys of this signer, or too few.
    #[error("the root names too few keys of the signer for {0}")]
    NoKey(ServerRole),
    /// A file is older than one that was there before.
    #[error("{role} would fall from version {from} to {to}")]
    Falling {
        /// The role.
        role: String,
        /// What was there.
        from: i64,
        /// What the change rests on.
        to: i64,
    },
    /// It was not looked at.
    #[error(transparent)]
    Unserved(#[from] Unserved),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Opens the signer on its tables; `master` wraps its data keys.
    ///
    /// # Errors
    /// [`CustodyError`] when the database fails or a data key does not open.
    pub async fn open(metadata: Metadata, master: &MasterKey, now: i64) -> Result<Self, CustodyError> {
        let custody = Custody::open(&metadata, master, now).await?;
        Ok(Self { metadata, custody, bounds: Bounds::of(Rates::default()) })
    }

    /// The same with other bounds on how often a signature may be asked for.
    #[must_use]
    pub fn bounded(self, rates: Rates) -> Self {
        Self { bounds: Bounds::of(rates), ..self }
    }

    /// The public half of a key for `role`: one of those that `named` (ids in the root that holds) lists, else the one that
    /// waits to be named, else a new one.
    ///
    /// # Errors
    /// [`SignRefused::Custody`], [`SignRefused::Metadata`].
    pub async fn public_key(
        &self,
        collection: &str,
        role: ServerRole,
        named: &[String],
        now: i64,
    ) -> Result<KeyDocument, SignRefused> {
        self.key(collection, role, named.to_vec(), Wanted::Any, now).await
    }

    /// The public half of a key for `role` that the root does not name yet: the same until one does.
    ///
    /// # Errors
    /// [`SignRefused::Custody`], [`SignRefused::Metadata`].
    pub async fn next_key(
        &self,
        collection: &str,
        role: ServerRole,
        named: &[String],
        now: i64,
    ) -> Result<KeyDocument, SignRefused> {
        self.key(collection, role, named.to_vec(), Wanted::Unnamed, now).await
    }

    async fn key(
        &self,
        collection: &str,
        role: ServerRole,
        named: Vec<String>,
        wanted: Wanted,
        now: i64,
    ) -> Result<KeyDocument, SignRefused> {
        let known = self.metadata.signer_keys(collection, role.as_str()).await?;
        if let Some(key) = wanted.pick(&known, &named) {
            return Ok(document(key));
        }
        let made = self.custody.make(collection, role.as_str(), now)?;
        // Two who ask at once are given one key: whoever comes second finds it.
        let picked: SignerKey = self
            .metadata
            .write((made, named, wanted), |tx, (made, named, wanted)| {
                Box::pin(async move {
                    tx.lift_signer_floor(&made.collection, &made.role, 0).await?;
                    tx.signer_floor(&made.collection, &made.role).await?;
                    let known = tx.signer_keys(&made.collection, &made.role).await?;
                    if let Some(key) = wanted.pick(&known, named) {
                        return Ok(key.clone());
                    }
                    tx.add_signer_key(made).await?;
                    Ok::<_, metadata::Error>(made.clone())
                })
            })
            .await?;
        Ok(document(&picked))
    }

    /// The ids of all keys that the signer has for a collection.
    ///
    /// # Errors
    /// The database's.
    pub async fn held(&self, collection: &str) -> Result<Held, metadata::Error> {
        let keys = self.metadata.signer_keys_of(collection).await?;
        let ids = |role: &str| keys.iter().filter(|key| key.role == role).map(|key| key.id.clone()).collect();
        Ok(Held { snapshot: ids(ServerRole::Snapshot.as_str()), timestamp: ids(ServerRole::Timestamp.as_str()) })
    }

    /// Destroys the keys of a collection. The versions of what it signed stay remembered; clients begin anew.
    ///
    /// # Errors
    /// The database's.
    pub async fn destroy(&self, collection: String) -> Result<u64, metadata::Error> {
        self.metadata.write(collection, |tx, collection| Box::pin(tx.destroy_signer_keys(collection))).await
    }

    /// Signs what a change of a collection asks of the server: the timestamp, and the snapshot where the client signed none.
    /// The versions are given and every signature is written down before one of them leaves.
    ///
    /// # Errors
    /// [`SignRefused`]; nothing is signed then.
    pub async fn sign(&self, change: NotaryChange, now: i64) -> Result<NotaryFiles, SignRefused> {
        self.bounds.count(&change.collection, "", &change.caller, now)?;
        self.sign_counted(change, now).await
    }

    /// The same for what was counted already.
    pub(crate) async fn sign_counted(&self, change: NotaryChange, now: i64) -> Result<NotaryFiles, SignRefused> {
        let root = Signed::<Root>::parse(&change.root)?.content;
        let able = async |role: ServerRole| -> Result<Vec<SignerKey>, SignRefused> {
            let keys = self.metadata.signer_keys(&change.collection, role.as_str()).await?;
            let wanted = root.roles.get(role.as_str()).ok_or(SignRefused::NoKey(role))?;
            let able: Vec<_> = keys.into_iter().filter(|key| wanted.keyids.contains(&key.id)).collect();
            if i64::try_from(able.len()).is_ok_and(|able| able >= wanted.threshold.max(1)) {
                Ok(able)
            } else {
                Err(SignRefused::NoKey(role))
            }
        };
        let timestamp_keys = able(ServerRole::Timestamp).await?;
        let source = match &change.snapshot {
            SnapshotOf::Files(files) => Source::Made { files: files.clone(), keys: able(ServerRole::Snapshot).await? },
            SnapshotOf::Client(bytes) => Source::Given(of_client(&root, bytes)?),
            SnapshotOf::Standing(state) => Source::Given(state.clone()),
        };
        let base = versions(&change.base);
        let plan = Plan { collection: change.collection, caller: change.caller, base, source, now };
        let given = self.reserve(&plan).await?;
        let snapshot = match &plan.source {
            Source::Given(_) => None,
            Source::Made { files, keys } => {
                let draft = notary::snapshot(files, unsigned(given.snapshot), now + SNAPSHOT_LIFE);
                Some(self.seal(&plan, ServerRole::Snapshot, given.snapshot, draft, keys).await?)
            }
        };
        let standing = match (&snapshot, &plan.source) {
            (Some((state, _)), _) | (None, Source::Given(state)) => state,
            (None, Source::Made { .. }) => return Err(SignRefused::NoKey(ServerRole::Snapshot)),
        };
        let draft = notary::timestamp(standing, unsigned(given.timestamp), now + TIMESTAMP_LIFE);
        let timestamp = self.seal(&plan, ServerRole::Timestamp, given.timestamp, draft, &timestamp_keys).await?;
        Ok(NotaryFiles { snapshot, timestamp, expires: now + TIMESTAMP_LIFE })
    }

    /// Writes signatures down.
    pub(crate) async fn log(&self, collection: String, lines: Vec<LoggedSignature>) -> Result<(), metadata::Error> {
        self.metadata
            .write((collection, lines), |tx, (collection, lines)| Box::pin(log_signatures(tx, collection, lines)))
            .await
    }

    /// Gives the versions, each once, after a look at whether what the change rests on has fallen.
    async fn reserve(&self, plan: &Plan) -> Result<Versions, SignRefused> {
        let named = match &plan.source {
            Source::Made { files, .. } => Some(versions(files)),
            Source::Given(_) => None,
        };
        let input = (plan.collection.clone(), plan.base.clone(), named);
        self.metadata
            .write(input, |tx, (collection, base, named)| {
                Box::pin(async move {
                    check_base(tx, collection, base).await?;
                    for (role, to) in named.iter().flatten() {
                        check_floor(tx, collection, role, *to).await?;
                    }
                    let after = |role: ServerRole| base.get(role.as_str()).copied().unwrap_or(0) + 1;
                    let snapshot = if named.is_some() {
                        tx.raise_signer_floor(collection, "snapshot", after(ServerRole::Snapshot)).await?
                    } else {
                        0
                    };
                    let timestamp =
                        tx.raise_signer_floor(collection, "timestamp", after(ServerRole::Timestamp)).await?;
                    Ok::<_, SignRefused>(Versions { snapshot, timestamp })
                })
            })
            .await
    }

    /// Signs a draft with all of these keys, and writes that down before the file is given away.
    async fn seal(
        &self,
        plan: &Plan,
        role: ServerRole,
        version: i64,
        draft: Draft,
        keys: &[SignerKey],
    ) -> Result<(FileState, Vec<u8>), SignRefused> {
        let sign = |key| self.custody.sign(key, draft.message());
        let signatures: Vec<Signature> = keys.iter().map(sign).collect::<Result<_, _>>()?;
        let sha256 = ring::digest::digest(&ring::digest::SHA256, draft.message()).as_ref().to_vec();
        let lines: Vec<_> = keys
            .iter()
            .map(|key| LoggedSignature {
                at: plan.now,
                caller: plan.caller.clone(),
                role: role.as_str().to_owned(),
                version,
                sha256: sha256.clone(),
                key_id: key.id.clone(),
            })
            .collect();
        self.log(plan.collection.clone(), lines).await?;
        let bytes = draft.sealed(&signatures);
        Ok((FileState::of(role.role(), unsigned(version), &bytes), bytes))
    }
}

/// A change as it is carried out.
struct Plan {
    collection: String,
    caller: String,
    base: BTreeMap<String, i64>,
    source: Source,
    now: i64,
}

enum Source {
    Made { files: Vec<FileState>, keys: Vec<SignerKey> },
    Given(FileState),
}

struct Versions {
    snapshot: i64,
    timestamp: i64,
}

/// Which of the keys of a role is asked for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Any,
    Unnamed,
}

impl Wanted {
    fn pick<'k>(self, known: &'k [SignerKey], named: &[String]) -> Option<&'k SignerKey> {
        let is_named = |key: &&SignerKey| named.contains(&key.id);
        let waits = || known.iter().find(|key| key.used_at.is_none() && !is_named(key));
        match self {
            Self::Any => known.iter().find(is_named).or_else(waits),
            Self::Unnamed => waits(),
        }
    }
}

/// A snapshot that the client signed, by the keys of the root.
fn of_client(root: &Root, bytes: &[u8]) -> Result<FileState, SignRefused> {
    let file = Signed::<Snapshot>::parse(bytes)?;
    let none = RoleKeys { keyids: Vec::new(), threshold: 1 };
    let keys = root.roles.get("snapshot").unwrap_or(&none);
    let file = verify(file, keys, &root.keys).map_err(|_| SignRefused::Unsigned)?;
    Ok(FileState::of(ServerRole::Snapshot.role(), file.get().version, bytes))
}

/// What the registry says is published may not lie below what it said before: a registry that was taken over, or set back,
/// gets no fresh timestamp for old files.
pub(crate) async fn check_base(tx: &mut Tx, collection: &str, base: &BTreeMap<String, i64>) -> Result<(), SignRefused> {
    for (role, to) in base.iter().filter(|(role, _)| is_clients(role)) {
        if check_floor(tx, collection, role, *to).await? < *to {
            tx.lift_signer_floor(collection, role, *to).await?;
        }
    }
    Ok(())
}

/// The last version of a role, above which `to` lies or at it. A new snapshot names nothing older; what it names is not
/// published yet, and so lifts nothing.
async fn check_floor(tx: &mut Tx, collection: &str, role: &str, to: i64) -> Result<i64, SignRefused> {
    let from = tx.signer_floor(collection, role).await?;
    if from > to { Err(SignRefused::Falling { role: role.to_owned(), from, to }) } else { Ok(from) }
}

fn versions(files: &[FileState]) -> BTreeMap<String, i64> {
    files.iter().map(|file| (file.role.as_str().to_owned(), version(file.version))).collect()
}

fn is_clients(role: &str) -> bool {
    role.parse::<TrustRole>().is_ok_and(|role| role.as_str() == "root" || role.names_targets())
}

/// As rows hold it.
fn version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn unsigned(version: i64) -> u64 {
    u64::try_from(version).unwrap_or(0)
}
