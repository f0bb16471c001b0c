//! From a request line to an operation.
//! Parameters are read in `query.rs`; the grammars are in the files of their types.
//! Start at [`operation`].

use super::query::Query;
use super::{
    AppendUpload, BeginUpload, CancelUpload, DeleteBlob, DeleteManifest, FinishUpload, ListReferrers, ListRepositories,
    ListTags, Operation, OperationInvalid, PullBlob, PullManifest, PutManifest, UploadStatus, percent, trust, tuf,
};
use crate::{Digest, Reference, ReferenceInvalid, UploadId};

/// What a path names, before it is known whether its parts are well formed.
enum Route<'p> {
    Ping,
    Catalog,
    Manifest { name: &'p str, reference: &'p str },
    Blob { name: &'p str, digest: &'p str },
    Uploads { name: &'p str },
    Upload { name: &'p str, id: &'p str },
    Tags { name: &'p str },
    Referrers { name: &'p str, subject: &'p str },
    Trust { name: Option<&'p str>, tail: &'p str },
}

/// The parsing behind [`Operation::parse`].
pub(super) fn operation(method: &str, path: &str, query: Option<&str>) -> Result<Operation, OperationInvalid> {
    if !is_under_v2(path) && !path.starts_with(TUF) {
        return Err(OperationInvalid::Route);
    }
    if has_forbidden_escape(path) {
        return Err(OperationInvalid::Path);
    }
    let path = percent::decode(path).ok_or(OperationInvalid::Path)?;
    if let Some(rest) = path.strip_prefix(TUF) {
        return tuf::operation(method, rest);
    }
    let query = Query::new(query);
    match route(&path)? {
        Route::Ping => match method {
            "GET" | "HEAD" => Ok(Operation::Ping),
            _ => Err(READ_ONLY),
        },
        Route::Catalog => match method {
            "GET" | "HEAD" => Ok(Operation::ListRepositories(ListRepositories { page: query.page()? })),
            _ => Err(READ_ONLY),
        },
        Route::Manifest { name, reference } => manifest(method, name, reference, query),
        Route::Blob { name, digest } => blob(method, name, digest),
        Route::Uploads { name } => begin_upload(method, name, query),
        Route::Upload { name, id } => upload(method, name, id, query),
        Route::Tags { name } => match method {
            "GET" | "HEAD" => Ok(Operation::ListTags(ListTags { repository: name.parse()?, page: query.page()? })),
            _ => Err(READ_ONLY),
        },
        Route::Trust { name, tail } => trust::operation(method, (name, tail), query),
        Route::Referrers { name, subject } => match method {
            "GET" | "HEAD" => Ok(Operation::ListReferrers(ListReferrers {
                repository: name.parse()?,
                subject: subject.parse()?,
                artifact_type: query.artifact_type(),
                page: query.page()?,
            })),
            _ => Err(READ_ONLY),
        },
    }
}

/// Where TUF 1.0 stands, beside the API of images.
const TUF: &str = "/tuf/";

pub(super) const READ_ONLY: OperationInvalid = OperationInvalid::Method { allowed: "GET, HEAD" };

fn is_under_v2(path: &str) -> bool {
    path.strip_prefix("/v2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An encoded slash would make two components of one after somebody else's decoding, and NUL ends text in C.
fn has_forbidden_escape(path: &str) -> bool {
    path.match_indices('%').any(|(at, _)| {
        let escape = path.as_bytes().get(at + 1..at + 3);
        matches!(escape, Some(b"2f" | b"2F" | b"00"))
    })
}

/// Reads a decoded path from its right end: a repository may have components called as the protocol's own words are, so
/// the first such word from the left means nothing.
fn route(path: &str) -> Result<Route<'_>, OperationInvalid> {
    let rest = match path {
        "/v2" | "/v2/" => return Ok(Route::Ping),
        _ => path.strip_prefix("/v2/").ok_or(OperationInvalid::Route)?,
    };
    if rest == "_catalog" {
        return Ok(Route::Catalog);
    }
    if let Some((name, tail)) = trust::route(rest) {
        return Ok(Route::Trust { name, tail });
    }
    // Some clients open uploads with a slash at the end and some without; nothing else ends with one.
    let rest = match rest.strip_suffix('/') {
        Some(uploads) if uploads.ends_with("/blobs/uploads") => uploads,
        _ => rest,
    };
    if rest.split('/').any(|component| matches!(component, "" | "." | "..")) {
        return Err(OperationInvalid::Path);
    }
    let (parent, last) = rest.rsplit_once('/').ok_or(OperationInvalid::Route)?;
    let (name, word) = parent.rsplit_once('/').ok_or(OperationInvalid::Route)?;
    match (word, last) {
        ("manifests", reference) => Ok(Route::Manifest { name, reference }),
        ("blobs", "uploads") => Ok(Route::Uploads { name }),
        ("blobs", digest) => Ok(Route::Blob { name, digest }),
        ("tags", "list") => Ok(Route::Tags { name }),
        ("referrers", subject) => Ok(Route::Referrers { name, subject }),
        ("uploads", id) => match name.rsplit_once('/') {
            Some((name, "blobs")) => Ok(Route::Upload { name, id }),
            _ => Err(OperationInvalid::Route),
        },
        _ => Err(OperationInvalid::Route),
    }
}

fn manifest(method: &str, name: &str, reference: &str, query: Query<'_>) -> Result<Operation, OperationInvalid> {
    match method {
        "GET" | "HEAD" => {
            let repository = name.parse()?;
            // A tag that nothing can have is one that nothing has: the suite asks for 404 here and for 400 on PUT. A
            // malformed digest is refused wherever it stands.
            let reference = reference.parse().map_err(|invalid| match invalid {
                ReferenceInvalid::Tag(_) => OperationInvalid::ReferenceUnknown,
                ReferenceInvalid::Digest(invalid) => OperationInvalid::Digest(invalid),
            })?;
            Ok(Operation::PullManifest(PullManifest { repository, reference, head: method == "HEAD" }))
        }
        "PUT" => {
            let repository = name.parse()?;
            let reference = written_reference(reference)?;
            let tags = query.tags()?;
            if !tags.is_empty() && matches!(reference, Reference::Tag(_)) {
                return Err(OperationInvalid::TagsWithoutDigest);
            }
            Ok(Operation::PutManifest(PutManifest { repository, reference, tags }))
        }
        "DELETE" => {
            let repository = name.parse()?;
            let reference = written_reference(reference)?;
            Ok(Operation::DeleteManifest(DeleteManifest { repository, reference }))
        }
        _ => Err(OperationInvalid::Method { allowed: "GET, HEAD, PUT, DELETE" }),
    }
}

/// A reference where something is changed by it.
fn written_reference(text: &str) -> Result<Reference, OperationInvalid> {
    text.parse().map_err(|invalid| match invalid {
        ReferenceInvalid::Tag(invalid) => OperationInvalid::Tag(invalid),
        ReferenceInvalid::Digest(invalid) => OperationInvalid::Digest(invalid),
    })
}

fn blob(method: &str, name: &str, digest: &str) -> Result<Operation, OperationInvalid> {
    match method {
        "GET" | "HEAD" => {
            let (repository, digest) = (name.parse()?, digest.parse()?);
            Ok(Operation::PullBlob(PullBlob { repository, digest, head: method == "HEAD" }))
        }
        "DELETE" => {
            let (repository, digest) = (name.parse()?, digest.parse()?);
            Ok(Operation::DeleteBlob(DeleteBlob { repository, digest }))
        }
        _ => Err(OperationInvalid::Method { allowed: "GET, HEAD, DELETE" }),
    }
}

fn begin_upload(method: &str, name: &str, query: Query<'_>) -> Result<Operation, OperationInvalid> {
    match method {
        "POST" => Ok(Operation::BeginUpload(BeginUpload {
            repository: name.parse()?,
            mount: query.mount(),
            digest: query.digest()?,
            algorithm: query.algorithm()?,
        })),
        _ => Err(OperationInvalid::Method { allowed: "POST" }),
    }
}

fn upload(method: &str, name: &str, id: &str, query: Query<'_>) -> Result<Operation, OperationInvalid> {
    let session = || -> Result<_, OperationInvalid> {
        let repository = name.parse()?;
        let upload: UploadId = id.parse().map_err(|_| OperationInvalid::UploadUnknown)?;
        Ok((repository, upload))
    };
    match method {
        "GET" | "HEAD" => {
            let (repository, upload) = session()?;
            Ok(Operation::UploadStatus(UploadStatus { repository, upload }))
        }
        "PATCH" => {
            let (repository, upload) = session()?;
            Ok(Operation::AppendUpload(AppendUpload { repository, upload }))
        }
        "PUT" => {
            let (repository, upload) = session()?;
            let digest: Digest = query.digest()?.ok_or(OperationInvalid::DigestMissing)?;
            Ok(Operation::FinishUpload(FinishUpload { repository, upload, digest }))
        }
        "DELETE" => {
            let (repository, upload) = session()?;
            Ok(Operation::CancelUpload(CancelUpload { repository, upload }))
        }
        _ => Err(OperationInvalid::Method { allowed: "GET, HEAD, PATCH, PUT, DELETE" }),
    }
}
