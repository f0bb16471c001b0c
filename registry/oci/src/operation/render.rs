//! From an operation back to its request line: for `Location` and `Link` headers, clients and tests.
//! Always relative to the host: behind proxies nothing else is right.
//! Start at [`Operation::method`] and the `Display` of each operation.

use std::fmt::{self, Display, Formatter, Write as _};

use super::{
    AppendUpload, BeginUpload, CancelUpload, DeleteBlob, DeleteManifest, DeleteTrust, FinishUpload, ListReferrers,
    ListRepositories, ListTags, Operation, Page, PublishTrust, PullBlob, PullManifest, PutManifest, TrustKey,
    UploadStatus, percent,
};
use crate::{RepositoryName, UploadId};

impl Operation {
    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::PullManifest(PullManifest { head: true, .. }) | Self::PullBlob(PullBlob { head: true, .. }) => "HEAD",
            Self::Ping
            | Self::PullManifest(_)
            | Self::PullBlob(_)
            | Self::UploadStatus(_)
            | Self::ListTags(_)
            | Self::ListRepositories(_)
            | Self::ListReferrers(_)
            | Self::ReadTrust(_)
            | Self::TrustKey(TrustKey { rotate: false, .. })
            | Self::ListTrustChanges(_)
            | Self::ReadTuf(_) => "GET",
            Self::PutManifest(_) | Self::FinishUpload(_) => "PUT",
            Self::DeleteManifest(_) | Self::DeleteBlob(_) | Self::CancelUpload(_) | Self::DeleteTrust(_) => "DELETE",
            Self::BeginUpload(_) | Self::PublishTrust(_) | Self::TrustKey(_) => "POST",
            Self::AppendUpload(_) => "PATCH",
        }
    }
}

/// The path and query that [`Operation::parse`] reads as this very operation.
impl Display for Operation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping => f.write_str("/v2/"),
            Self::PullManifest(operation) => operation.fmt(f),
            Self::PullBlob(operation) => operation.fmt(f),
            Self::PutManifest(operation) => operation.fmt(f),
            Self::DeleteManifest(operation) => operation.fmt(f),
            Self::DeleteBlob(operation) => operation.fmt(f),
            Self::BeginUpload(operation) => operation.fmt(f),
            Self::UploadStatus(operation) => operation.fmt(f),
            Self::AppendUpload(operation) => operation.fmt(f),
            Self::FinishUpload(operation) => operation.fmt(f),
            Self::CancelUpload(operation) => operation.fmt(f),
            Self::ListTags(operation) => operation.fmt(f),
            Self::ListRepositories(operation) => operation.fmt(f),
            Self::ListReferrers(operation) => operation.fmt(f),
            Self::ReadTrust(operation) => operation.fmt(f),
            Self::TrustKey(operation) => operation.fmt(f),
            Self::ListTrustChanges(operation) => operation.fmt(f),
            Self::ReadTuf(operation) => operation.fmt(f),
            Self::PublishTrust(PublishTrust { gun }) | Self::DeleteTrust(DeleteTrust { gun }) => {
                write!(f, "/v2/{gun}/_trust/tuf/")
            }
        }
    }
}

impl Display for PullManifest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/{}/manifests/{}", self.repository, self.reference)
    }
}

impl Display for PullBlob {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/{}/blobs/{}", self.repository, self.digest)
    }
}

impl Display for PutManifest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/{}/manifests/{}", self.repository, self.reference)?;
        let mut parameters = Parameters::new();
        self.tags.iter().try_for_each(|tag| parameters.add("tag", tag.as_str(), f))
    }
}

impl Display for DeleteManifest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/{}/manifests/{}", self.repository, self.reference)
    }
}

impl Display for DeleteBlob {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/{}/blobs/{}", self.repository, self.digest)
    }
}

impl Display for BeginUpload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/{}/blobs/uploads/", self.repository)?;
        let mut parameters = Parameters::new();
        if let Some(mount) = &self.mount {
            parameters.add("mount", mount.digest.as_str(), f)?;
            if let Some(from) = &mount.from {
                parameters.add("from", from.as_str(), f)?;
            }
        }
        if let Some(digest) = &self.digest {
            parameters.add("digest", digest.as_str(), f)?;
        }
        if let Some(algorithm) = self.algorithm {
            parameters.add("digest-algorithm", algorithm.as_str(), f)?;
        }
        Ok(())
    }
}

impl Display for UploadStatus {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_session(&self.repository, &self.upload, f)
    }
}

impl Display for AppendUpload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_session(&self.repository, &self.upload, f)
    }
}

impl Display for FinishUpload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_session(&self.repository, &self.upload, f)?;
        Parameters::new().add("digest", self.digest.as_str(), f)
    }
}

impl Display for CancelUpload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_session(&self.repository, &self.upload, f)
    }
}

impl Display for ListTags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/{}/tags/list", self.repository)?;
        write_page(&self.page, Parameters::new(), f)
    }
}

impl Display for ListRepositories {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("/v2/_catalog")?;
        write_page(&self.page, Parameters::new(), f)
    }
}

impl Display for ListReferrers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/{}/referrers/{}", self.repository, self.subject)?;
        let mut parameters = Parameters::new();
        if let Some(artifact_type) = &self.artifact_type {
            parameters.add("artifactType", artifact_type, f)?;
        }
        write_page(&self.page, parameters, f)
    }
}

/// The one place of an upload, for its whole life: progress is the server's to know.
fn write_session(repository: &RepositoryName, upload: &UploadId, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "/v2/{repository}/blobs/uploads/{upload}")
}

fn write_page(page: &Page, mut parameters: Parameters, f: &mut Formatter<'_>) -> fmt::Result {
    if let Some(limit) = page.limit {
        parameters.add("n", &limit.to_string(), f)?;
    }
    match &page.after {
        Some(after) => parameters.add("last", after, f),
        None => Ok(()),
    }
}

/// Puts `?` before the first parameter and `&` before the others.
struct Parameters {
    separator: char,
}

impl Parameters {
    fn new() -> Self {
        Self { separator: '?' }
    }

    fn add(&mut self, key: &str, value: &str, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char(self.separator)?;
        self.separator = '&';
        write!(f, "{key}=")?;
        percent::encode(value, f)
    }
}
