//! The proof that somebody was asked: an operation that may be done.

use std::sync::Arc;

use hallmark_oci::{
    AppendUpload, BeginUpload, CancelUpload, DeleteBlob, DeleteManifest, DeleteTrust, FinishUpload, ListReferrers,
    ListRepositories, ListTags, ListTrustChanges, Operation, PublishTrust, PullBlob, PullManifest, PutManifest,
    ReadTrust, ReadTuf, RepositoryName, TrustKey, UploadStatus,
};
use hallmark_storage::metadata::{AccountId, Facts, Principal, PrincipalId, Repository, RepositoryId};

use crate::auth::Identity;

/// An operation that [`super::authorize`] allowed. It has one maker, so a rule about images that asks for it cannot be
/// called by anyone who was not asked.
#[derive(Debug)]
pub struct Granted<O> {
    operation: O,
    grant: Grant,
}

/// Who may do it, and where.
#[derive(Debug)]
pub struct Grant {
    identity: Identity,
    target: Option<Target>,
}

/// The repository that an operation is about.
#[derive(Debug)]
pub struct Target {
    /// Its name, as it was authorized.
    pub name: RepositoryName,
    /// What is known of it.
    pub facts: Arc<Facts>,
    /// Whether there is one that the caller has no right in, so that it is answered as if there were none.
    pub hidden: bool,
}

impl<O> Granted<O> {
    pub(super) fn make(operation: O, grant: Grant) -> Self {
        Self { operation, grant }
    }

    /// What may be done.
    pub fn operation(&self) -> &O {
        &self.operation
    }

    /// Who asked.
    pub fn identity(&self) -> &Identity {
        &self.grant.identity
    }

    /// The principal that acts, when it is somebody.
    pub fn actor(&self) -> Option<PrincipalId> {
        self.grant.identity.principal().map(|principal| principal.id)
    }

    /// The repository's row as it stood when the operation was granted; `None` when there is no such repository.
    pub fn repository(&self) -> Option<&Repository> {
        self.grant.target.as_ref().and_then(|target| target.facts.repository.as_ref())
    }

    /// Whether the answer hides a repository that is there.
    pub fn hides(&self) -> bool {
        self.grant.target.as_ref().is_some_and(|target| target.hidden)
    }

    /// The account that the operation's name lies in, when there is one.
    pub fn account(&self) -> Option<AccountId> {
        self.grant.target.as_ref().and_then(|target| target.facts.account.as_ref()).map(|account| account.id)
    }

    /// What the grant was decided on.
    pub fn ground(&self) -> Ground {
        Ground {
            repository: self.repository().map(|repository| repository.id),
            principal: self.grant.identity.principal().cloned(),
        }
    }
}

/// What a grant was decided on, for the transaction that acts on it: a name may have become somebody else's since.
#[derive(Debug, Clone)]
pub struct Ground {
    repository: Option<RepositoryId>,
    principal: Option<Principal>,
}

impl Ground {
    /// Whether this is the repository that the grant was decided on.
    #[must_use]
    pub fn is(&self, repository: &Repository) -> bool {
        self.repository == Some(repository.id)
    }

    /// Who was granted it, to be decided anew on a repository that was not there.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }
}

impl Grant {
    pub(super) fn of(identity: &Identity, target: Option<Target>) -> Self {
        Self { identity: identity.clone(), target }
    }
}

/// A granted operation, sorted by what it is: each kind keeps its proof.
#[derive(Debug)]
#[expect(missing_docs, reason = "each variant is the operation of its name")]
pub enum Work {
    Ping,
    PullManifest(Granted<PullManifest>),
    PullBlob(Granted<PullBlob>),
    PutManifest(Granted<PutManifest>),
    DeleteManifest(Granted<DeleteManifest>),
    DeleteBlob(Granted<DeleteBlob>),
    BeginUpload(Granted<BeginUpload>),
    UploadStatus(Granted<UploadStatus>),
    AppendUpload(Granted<AppendUpload>),
    FinishUpload(Granted<FinishUpload>),
    CancelUpload(Granted<CancelUpload>),
    ListTags(Granted<ListTags>),
    ListRepositories(Granted<ListRepositories>),
    ListReferrers(Granted<ListReferrers>),
    Trust(TrustWork),
}

/// A granted operation of content trust.
#[derive(Debug)]
#[expect(missing_docs, reason = "each variant is the operation of its name")]
pub enum TrustWork {
    Read(Granted<ReadTrust>),
    Publish(Granted<PublishTrust>),
    Key(Granted<TrustKey>),
    Delete(Granted<DeleteTrust>),
    Changes(Granted<ListTrustChanges>),
    Tuf(Granted<ReadTuf>),
}

impl Granted<Operation> {
    /// Sorts the operation by its kind.
    #[must_use]
    pub fn sort(self) -> Work {
        let Self { operation, grant } = self;
        match operation {
            Operation::Ping => Work::Ping,
            Operation::PullManifest(operation) => Work::PullManifest(Granted { operation, grant }),
            Operation::PullBlob(operation) => Work::PullBlob(Granted { operation, grant }),
            Operation::PutManifest(operation) => Work::PutManifest(Granted { operation, grant }),
            Operation::DeleteManifest(operation) => Work::DeleteManifest(Granted { operation, grant }),
            Operation::DeleteBlob(operation) => Work::DeleteBlob(Granted { operation, grant }),
            Operation::BeginUpload(operation) => Work::BeginUpload(Granted { operation, grant }),
            Operation::UploadStatus(operation) => Work::UploadStatus(Granted { operation, grant }),
            Operation::AppendUpload(operation) => Work::AppendUpload(Granted { operation, grant }),
            Operation::FinishUpload(operation) => Work::FinishUpload(Granted { operation, grant }),
            Operation::CancelUpload(operation) => Work::CancelUpload(Granted { operation, grant }),
            Operation::ListTags(operation) => Work::ListTags(Granted { operation, grant }),
            Operation::ListRepositories(operation) => Work::ListRepositories(Granted { operation, grant }),
            Operation::ListReferrers(operation) => Work::ListReferrers(Granted { operation, grant }),
            Operation::ReadTrust(operation) => Work::Trust(TrustWork::Read(Granted { operation, grant })),
            Operation::PublishTrust(operation) => Work::Trust(TrustWork::Publish(Granted { operation, grant })),
            Operation::TrustKey(operation) => Work::Trust(TrustWork::Key(Granted { operation, grant })),
            Operation::DeleteTrust(operation) => Work::Trust(TrustWork::Delete(Granted { operation, grant })),
            Operation::ReadTuf(operation) => Work::Trust(TrustWork::Tuf(Granted { operation, grant })),
            Operation::ListTrustChanges(operation) => Work::Trust(TrustWork::Changes(Granted { operation, grant })),
        }
    }
}
