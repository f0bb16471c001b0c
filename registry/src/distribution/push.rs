//! A manifest on its way in.

use std::sync::Arc;

use bytes::Bytes;
use hallmark_oci::{Algorithm, Digest, Manifest, ManifestInvalid, PutManifest, Reference, RepositoryName, Tag};
use hallmark_storage::metadata::{self, ErrorKind, OPEN_UPLOADS, PrincipalId, PutRefused, Tx};
use serde_json::json;

use super::Occasion;
use super::occasion::Nowhere;
use super::quota::{self, Exceeded, NoPassage, Passage, Place, Short, Tried, Unmade};
use crate::access::Granted;
use crate::app::App;
use crate::keeping::{self, Fixed};

/// A manifest longer than this is parsed on a thread of its own, in bytes.
const LARGE: usize = 128 * 1024;

/// Why a manifest is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    /// No account owns the first component of the name.
    #[error("there is no account {0:?} to hold this repository; the first part of its name must be an account's name")]
    AccountUnknown(String),
    /// There is no such repository, and a push may not make it.
    #[error(
        "there is no repository {0}, and in this organization a push makes none; ask an owner to create it, or to switch \
         create-on-push on"
    )]
    MayNotCreate(RepositoryName),
    /// The name was released lately, and it is not the pusher's to take again.
    #[error(
        "there was a repository {0} until lately, and its name is kept from others for a while; whoever administers it may \
         make it again"
    )]
    NameRests(RepositoryName),
    /// The name became somebody else's after the push was granted.
    #[error("the repository is another's by now")]
    Foreign,
    /// The body is not a manifest that the registry takes.
    #[error("{0}")]
    Invalid(#[from] ManifestInvalid),
    /// The body is not what the digest in the path says.
    #[error("the body has the digest {actual}, not the one in the path")]
    DigestDiffers {
        /// What was received.
        actual: Digest,
    },
    /// Blobs or manifests that it names are not in the repository.
    #[error("the manifest names content that is not in this repository; push it first")]
    NamesUnknown(Vec<Digest>),
    /// A descriptor states another size than the content has.
    #[error("the manifest states a size for {0} that differs from the content's own")]
    SizeDiffers(Digest),
    /// Rules keep a tag where it points, and it points to another manifest.
    #[error("{0}")]
    Immutable(Fixed),
    /// A hard limit leaves no room.
    #[error(transparent)]
    Exceeded(Box<Exceeded>),
    /// It would charge more than was reserved for it.
    #[error("more room is needed than was reserved")]
    Short(Short),
    /// The user has as many uploads open as one may have.
    #[error("you have {OPEN_UPLOADS} uploads open; finish or cancel some, or wait until they expire")]
    TooMany,
    /// What it needs room for kept changing.
    #[error("what this needs room for kept changing; try again")]
    Unsettled,
    /// The thread that reads a large manifest ended without an answer.
    #[error("the manifest could not be read")]
    Unread(#[from] tokio::task::JoinError),
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// What was put.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) digest: Digest,
    pub(super) subject: Option<Digest>,
    pub(super) tags: Vec<Tag>,
}

/// Everything the transaction needs; it may run more than once.
struct Change {
    granted: Granted<PutManifest>,
    actor: PrincipalId,
    manifest: Manifest,
    digest: Digest,
    body: Bytes,
    tags: Vec<Tag>,
    occasion: Occasion,
}

/// Takes a manifest: whole or not at all, with its tags and its place among the referrers, in one transaction (I1, I5).
pub(super) async fn put_manifest(
    app: &App,
    granted: Granted<PutManifest>,
    actor: PrincipalId,
    content_type: Option<&str>,
    body: Bytes,
    occasion: Occasion,
) -> Result<Put, PushError> {
    let asked = granted.operation();
    let algorithm = match &asked.reference {
        Reference::Digest(digest) => digest.algorithm(),
        Reference::Tag(_) => Algorithm::Sha256,
    };
    let limit = app.config.limits.manifest_bytes;
    let (manifest, digest) = examine(body.clone(), content_type.map(str::to_owned), limit, algorithm).await?;
    let tags = match &asked.reference {
        Reference::Digest(named) if *named != digest => return Err(PushError::DigestDiffers { actual: digest }),
        Reference::Digest(_) => asked.tags.clone(),
        Reference::Tag(tag) => vec![tag.clone()],
    };
    let subject = manifest.subject().map(|subject| subject.digest.clone());
    let put = Put { digest: digest.clone(), subject, tags: tags.clone() };
    let name = asked.repository.clone();
    let place = Place { name: name.clone(), actor, ground: granted.ground(), occasion: occasion.clone() };
    let change = Arc::new(Change { granted, actor, manifest, digest, body, tags, occasion });
    let written = quota::with_room(app, &place, |passage| {
        let change = (Arc::clone(&change), passage);
        async move {
            match app.metadata.write(change, |tx, change| Box::pin(apply(tx, change))).await {
                Ok(()) => Ok(Tried::Made(())),
                Err(PushError::Short(short)) => Ok(Tried::Short(short)),
                Err(refused) => Err(refused),
            }
        }
    });
    match written.await {
        Err(PushError::Metadata(error))
            if error.kind() == ErrorKind::CommitUnknown && stands(app, &name, &put).await =>
        {
            Ok(put)
        }
        written => written.map(|()| put),
    }
}

/// Whether a manifest whose COMMIT was never answered is there all the same, with every tag that was to point to it.
async fn stands(app: &App, name: &RepositoryName, put: &Put) -> bool {
    let read = async {
        let Some(repository) = app.metadata.repository(name).await? else { return Ok(false) };
        let tags = put.tags.iter().cloned().map(Reference::Tag);
        for reference in tags.chain([Reference::Digest(put.digest.clone())]) {
            let found = app.metadata.manifest(repository.id, &reference).await?;
            if found.is_none_or(|found| found.digest != put.digest) {
                return Ok(false);
            }
        }
        Ok::<_, metadata::Error>(true)
    };
    read.await.unwrap_or_else(|error| {
        tracing::warn!(%error, manifest = put.digest.as_str(), "a commit of unknown outcome cannot be read back");
        false
    })
}

/// Parses and hashes a body; a large one on a thread where it holds up nobody else.
async fn examine(
    body: Bytes,
    content_type: Option<String>,
    limit: usize,
    algorithm: Algorithm,
) -> Result<(Manifest, Digest), PushError> {
    let large = body.len() > LARGE;
    let work = move || {
        let manifest = Manifest::parse(&body, content_type.as_deref(), limit)?;
        Ok((manifest, Digest::of(algorithm, &body)))
    };
    if !large {
        return work();
    }
    tokio::task::spawn_blocking(work).await?
}

async fn apply(tx: &mut Tx, (change, passage): &(Arc<Change>, Option<Passage>)) -> Result<(), PushError> {
    let Change { actor, occasion, .. } = &**change;
    let name = &change.granted.operation().repository;
    let repository = occasion.repository(tx, name, *actor, &change.granted.ground()).await?;
    let put = metadata::PutManifest {
        repository: &repository,
        digest: &change.digest,
        manifest: &change.manifest,
        body: &change.body,
        tags: &change.tags,
        pushed_by: *actor,
        now: occasion.now,
    };
    let put = tx.put_manifest(&put).await?;
    // Asked last, when it is held and known where the tags pointed: a refusal takes everything back.
    if let Some(fixed) = keeping::fixed(tx, repository.id, put.overwritten.iter().map(Tag::as_str)).await? {
        return Err(PushError::Immutable(fixed));
    }
    let payload = json!({"media_type": change.manifest.media_type().as_str(), "tags": change.tags}).to_string();
    tx.record(&occasion.event("manifest_pushed", *actor, &repository, change.digest.as_str(), &payload)).await?;
    Ok(quota::settle(tx, repository.id, passage.as_ref()).await?)
}

impl From<Unmade> for PushError {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::Short(short) => Self::Short(short),
            Unmade::Nowhere(nowhere) => nowhere.into(),
        }
    }
}

impl From<NoPassage> for PushError {
    fn from(barred: NoPassage) -> Self {
        match barred {
            NoPassage::Exceeded(exceeded) => Self::Exceeded(exceeded),
            NoPassage::TooMany => Self::TooMany,
            NoPassage::Unsettled => Self::Unsettled,
            NoPassage::Nowhere(nowhere) => nowhere.into(),
        }
    }
}

impl From<Nowhere> for PushError {
    fn from(nowhere: Nowhere) -> Self {
        match nowhere {
            Nowhere::AccountUnknown(name) => Self::AccountUnknown(name),
            Nowhere::MayNotCreate(name) => Self::MayNotCreate(name),
            Nowhere::NameRests(name) => Self::NameRests(name),
            Nowhere::Foreign => Self::Foreign,
            Nowhere::Failed(error) => Self::Metadata(error),
        }
    }
}

impl From<PutRefused> for PushError {
    fn from(refused: PutRefused) -> Self {
        match refused {
            PutRefused::UnknownBlobs(digests) | PutRefused::UnknownChildren(digests) => Self::NamesUnknown(digests),
            PutRefused::SizeDiffers(digest) => Self::SizeDiffers(digest),
            PutRefused::Failed(error) => Self::Metadata(error),
        }
    }
}
