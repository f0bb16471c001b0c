//! Every request that the distribution protocol knows, as one enum that routing, permission, audit and metrics match on.
//! Neither bodies nor headers are read here, and nothing is looked up.
//! Start at [`Operation::parse`]; the way back, from an operation to its path, is `Display`.

mod error;
mod parse;
mod percent;
mod query;
mod render;
mod trust;
mod tuf;

pub use self::error::OperationInvalid;
pub use self::trust::{DeleteTrust, ListTrustChanges, PublishTrust, ReadTrust, TrustKey, TrustVersion};
pub use self::tuf::{ReadTuf, TufFile};
use crate::{Action, Algorithm, Digest, Gun, Reference, RepositoryName, Scope, Tag, UploadId};

/// `GET` or `HEAD` of a manifest (distribution-spec, end-3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullManifest {
    /// Where from.
    pub repository: RepositoryName,
    /// Which one.
    pub reference: Reference,
    /// Whether only the head is asked for.
    pub head: bool,
}

/// `GET` or `HEAD` of a blob (end-2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullBlob {
    /// Where from.
    pub repository: RepositoryName,
    /// Which one.
    pub digest: Digest,
    /// Whether only the head is asked for.
    pub head: bool,
}

/// `PUT` of a manifest (end-7a), or of a manifest by digest together with tags (end-7b).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutManifest {
    /// Where to.
    pub repository: RepositoryName,
    /// The tag to set, or the digest that the body must have.
    pub reference: Reference,
    /// Tags to set besides, each once; empty unless the reference is a digest. The request's order.
    pub tags: Vec<Tag>,
}

/// `DELETE` of a tag, or of a manifest with all its tags (end-9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteManifest {
    /// Where from.
    pub repository: RepositoryName,
    /// A tag: only that goes. A digest: the manifest goes.
    pub reference: Reference,
}

/// `DELETE` of a blob (end-10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteBlob {
    /// Where from.
    pub repository: RepositoryName,
    /// Which one.
    pub digest: Digest,
}

/// `POST` that opens an upload (end-4a), pushes a blob at once (end-4b) or mounts one (end-11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginUpload {
    /// Where to.
    pub repository: RepositoryName,
    /// The blob to take from another repository. When that cannot be done, whatever the reason, an upload is opened.
    pub mount: Option<Mount>,
    /// The digest of the body, when the whole blob is in it.
    pub digest: Option<Digest>,
    /// The algorithm of the digest to come (end-4c).
    pub algorithm: Option<Algorithm>,
}

/// What a mount asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The blob.
    pub digest: Digest,
    /// Where to take it from; anywhere that the caller may pull from, when absent.
    pub from: Option<RepositoryName>,
}

/// `GET` of an upload's progress (end-13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadStatus {
    /// Where the upload was opened.
    pub repository: RepositoryName,
    /// Which one.
    pub upload: UploadId,
}

/// `PATCH` with more bytes for an upload (end-5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendUpload {
    /// Where the upload was opened.
    pub repository: RepositoryName,
    /// Which one.
    pub upload: UploadId,
}

/// `PUT` that ends an upload, perhaps with its last bytes (end-6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishUpload {
    /// Where the upload was opened.
    pub repository: RepositoryName,
    /// Which one.
    pub upload: UploadId,
    /// The digest that the whole must have.
    pub digest: Digest,
}

/// `DELETE` that gives an upload up (end-14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelUpload {
    /// Where the upload was opened.
    pub repository: RepositoryName,
    /// Which one.
    pub upload: UploadId,
}

/// `GET` of a repository's tags (end-8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTags {
    /// Whose tags.
    pub repository: RepositoryName,
    /// Which part of the list.
    pub page: Page,
}

/// `GET` of the catalog of repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRepositories {
    /// Which part of the list.
    pub page: Page,
}

/// `GET` of the manifests whose subject is a given one (end-12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListReferrers {
    /// Where.
    pub repository: RepositoryName,
    /// The manifest that they are about, present or not.
    pub subject: Digest,
    /// Only those of this type.
    pub artifact_type: Option<String>,
    /// Which part of the list.
    pub page: Page,
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// At most this many entries, as asked for; the server has its own bound. 0 asks for none.
    pub limit: Option<u64>,
    /// Only entries after this one, which need not exist. At most [`crate::limits::CURSOR_BYTES`] bytes, no control
    /// characters.
    pub after: Option<String>,
}

/// A request of the distribution protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `GET /v2/`: is this a registry, and am I known to it (end-1)?
    Ping,
    /// Read a manifest.
    PullManifest(PullManifest),
    /// Read a blob.
    PullBlob(PullBlob),
    /// Write a manifest.
    PutManifest(PutManifest),
    /// Delete a tag or a manifest.
    DeleteManifest(DeleteManifest),
    /// Delete a blob.
    DeleteBlob(DeleteBlob),
    /// Open an upload.
    BeginUpload(BeginUpload),
    /// Ask how far an upload is.
    UploadStatus(UploadStatus),
    /// Add to an upload.
    AppendUpload(AppendUpload),
    /// End an upload.
    FinishUpload(FinishUpload),
    /// Give an upload up.
    CancelUpload(CancelUpload),
    /// List tags.
    ListTags(ListTags),
    /// List repositories.
    ListRepositories(ListRepositories),
    /// List referrers.
    ListReferrers(ListReferrers),
    /// Read a role's metadata.
    ReadTrust(ReadTrust),
    /// Publish metadata.
    PublishTrust(PublishTrust),
    /// Ask for a key that the server holds.
    TrustKey(TrustKey),
    /// Delete a trust collection.
    DeleteTrust(DeleteTrust),
    /// List what was published.
    ListTrustChanges(ListTrustChanges),
    /// Read a file of TUF 1.0.
    ReadTuf(ReadTuf),
}

impl Operation {
    /// Reads a request line.
    ///
    /// `path` is the path as it was sent, percent-encoded; it is decoded exactly once, here, and an encoded slash or NUL
    /// is refused, so that the name that is authorized is the name that is touched. `query` is the text after `?`, if any;
    /// keys that an operation does not know are ignored.
    ///
    /// # Errors
    /// [`OperationInvalid`], each variant as it says; [`OperationInvalid::code`] is the answer.
    pub fn parse(method: &str, path: &str, query: Option<&str>) -> Result<Self, OperationInvalid> {
        parse::operation(method, path, query)
    }

    /// The repository that the operation reads or changes.
    ///
    /// A mount's source is another one; see [`Mount::from`].
    #[must_use]
    pub fn repository(&self) -> Option<&RepositoryName> {
        if let Some(gun) = self.gun() {
            return Some(gun.repository());
        }
        match self {
            Self::Ping
            | Self::ListRepositories(_)
            | Self::ReadTrust(_)
            | Self::PublishTrust(_)
            | Self::TrustKey(_)
            | Self::DeleteTrust(_)
            | Self::ListTrustChanges(_) => None,
            Self::PullManifest(PullManifest { repository, .. })
            | Self::PullBlob(PullBlob { repository, .. })
            | Self::PutManifest(PutManifest { repository, .. })
            | Self::DeleteManifest(DeleteManifest { repository, .. })
            | Self::DeleteBlob(DeleteBlob { repository, .. })
            | Self::BeginUpload(BeginUpload { repository, .. })
            | Self::UploadStatus(UploadStatus { repository, .. })
            | Self::AppendUpload(AppendUpload { repository, .. })
            | Self::FinishUpload(FinishUpload { repository, .. })
            | Self::CancelUpload(CancelUpload { repository, .. })
            | Self::ListTags(ListTags { repository, .. })
            | Self::ListReferrers(ListReferrers { repository, .. })
            | Self::ReadTuf(ReadTuf { repository, .. }) => Some(repository),
        }
    }

    /// The trust collection that the operation reads or changes.
    #[must_use]
    pub fn gun(&self) -> Option<&Gun> {
        match self {
            Self::ReadTrust(ReadTrust { gun, .. })
            | Self::PublishTrust(PublishTrust { gun })
            | Self::TrustKey(TrustKey { gun, .. })
            | Self::DeleteTrust(DeleteTrust { gun })
            | Self::ListTrustChanges(ListTrustChanges { gun: Some(gun), .. }) => Some(gun),
            _ => None,
        }
    }

    /// Whether the operation may change something. Asking for a trust key makes it, where there is none.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Self::Ping
            | Self::PullManifest(_)
            | Self::PullBlob(_)
            | Self::UploadStatus(_)
            | Self::ListTags(_)
            | Self::ListRepositories(_)
            | Self::ListReferrers(_)
            | Self::ReadTrust(_)
            | Self::ListTrustChanges(_)
            | Self::ReadTuf(_) => false,
            Self::PutManifest(_)
            | Self::DeleteManifest(_)
            | Self::DeleteBlob(_)
            | Self::BeginUpload(_)
            | Self::AppendUpload(_)
            | Self::FinishUpload(_)
            | Self::CancelUpload(_)
            | Self::PublishTrust(_)
            | Self::TrustKey(_)
            | Self::DeleteTrust(_) => true,
        }
    }

    /// The operation's name in metrics, logs and events.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::PullManifest(_) => "pull_manifest",
            Self::PullBlob(_) => "pull_blob",
            Self::PutManifest(_) => "put_manifest",
            Self::DeleteManifest(_) => "delete_manifest",
            Self::DeleteBlob(_) => "delete_blob",
            Self::BeginUpload(_) => "begin_upload",
            Self::UploadStatus(_) => "upload_status",
            Self::AppendUpload(_) => "append_upload",
            Self::FinishUpload(_) => "finish_upload",
            Self::CancelUpload(_) => "cancel_upload",
            Self::ListTags(_) => "list_tags",
            Self::ListRepositories(_) => "list_repositories",
            Self::ListReferrers(_) => "list_referrers",
            Self::ReadTrust(_) => "read_trust",
            Self::PublishTrust(_) => "publish_trust",
            Self::TrustKey(_) => "trust_key",
            Self::DeleteTrust(_) => "delete_trust",
            Self::ListTrustChanges(_) => "list_trust_changes",
            Self::ReadTuf(_) => "read_tuf",
        }
    }

    /// The actions that the caller must be allowed, in the order in which a challenge lists them.
    ///
    /// Writing needs `pull` too, as clients ask for both. Giving an upload up needs what opening it needed, not
    /// `delete`, which no client asks for before a push. A mount asks for `pull` on its source besides, but its absence
    /// opens a plain upload.
    #[must_use]
    pub fn actions(&self) -> &'static [Action] {
        match self {
            Self::Ping => &[],
            Self::PullManifest(_)
            | Self::PullBlob(_)
            | Self::ListTags(_)
            | Self::ListReferrers(_)
            | Self::ReadTrust(_)
            | Self::ReadTuf(_)
            | Self::ListTrustChanges(ListTrustChanges { gun: Some(_), .. }) => &[Action::Pull],
            Self::PutManifest(_)
            | Self::PublishTrust(_)
            | Self::TrustKey(TrustKey { rotate: false, .. })
            | Self::BeginUpload(_)
            | Self::UploadStatus(_)
            | Self::AppendUpload(_)
            | Self::FinishUpload(_)
            | Self::CancelUpload(_) => &[Action::Pull, Action::Push],
            Self::DeleteManifest(_) | Self::DeleteBlob(_) => &[Action::Delete],
            Self::ListRepositories(_)
            | Self::TrustKey(_)
            | Self::DeleteTrust(_)
            | Self::ListTrustChanges(ListTrustChanges { gun: None, .. }) => &[Action::All],
        }
    }

    /// What a scope calls the repository that the operation is about: content trust puts the host in front.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.gun().map(Gun::as_str).or_else(|| self.repository().map(RepositoryName::as_str))
    }

    /// The scope that a challenge for this operation names; none for a ping.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        let actions = self.actions().iter().copied();
        match (self.gun(), self.repository()) {
            (Some(gun), _) => Some(Scope::collection(gun, actions)),
            (None, Some(repository)) => Some(Scope::repository(repository, actions)),
            (None, None) if actions.len() == 0 => None,
            (None, None) => Some(Scope::catalog()),
        }
    }

    /// The upstream that a pull-through client names by `ns`, to be echoed in `OCI-Namespace`.
    ///
    /// Only a host with an optional port is one; anything else is no namespace, and no header can be made of it.
    #[must_use]
    pub fn namespace(query: Option<&str>) -> Option<String> {
        query::namespace(query)
    }
}
