//! The requests of a repository's TUF 1.0 metadata, below `/tuf/`: names as consistent snapshots have them.
//! What the files hold is not read here.
//! Start at [`operation`].

use std::fmt::{self, Display, Formatter};

use super::{Operation, OperationInvalid};
use crate::{Algorithm, Digest, RepositoryName, Tag};

/// The most digits of a version that stands in a file name.
const DIGITS: usize = 18;
/// The longest name of a role in a file name, in bytes.
const ROLE_BYTES: usize = 64;

/// `GET` or `HEAD` of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTuf {
    /// Whose.
    pub repository: RepositoryName,
    /// Which.
    pub file: TufFile,
}

/// A file of TUF 1.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TufFile {
    /// `<n>.root.json`
    Root(u64),
    /// `timestamp.json`
    Timestamp,
    /// `<n>.<role>.json`
    Role {
        /// The role's name.
        role: Box<str>,
        /// Its version.
        version: u64,
    },
    /// `targets/<repository>/<digest>.<tag>`: the manifest that a target names.
    Target {
        /// The digest in front of the name.
        digest: Digest,
        /// The name: a tag.
        tag: Tag,
    },
}

/// Reads what stands after `/tuf/` in a decoded path.
pub(super) fn operation(method: &str, rest: &str) -> Result<Operation, OperationInvalid> {
    if rest.split('/').any(|component| matches!(component, "" | "." | "..")) {
        return Err(OperationInvalid::Path);
    }
    let (parent, last) = rest.rsplit_once('/').ok_or(OperationInvalid::TrustUnknown)?;
    let (name, file) = match metadata(last) {
        Some(file) => (parent, file),
        None => target(parent, last).ok_or(OperationInvalid::TrustUnknown)?,
    };
    let repository = name.parse()?;
    match method {
        "GET" | "HEAD" => Ok(Operation::ReadTuf(ReadTuf { repository, file })),
        _ => Err(super::parse::READ_ONLY),
    }
}

fn metadata(file: &str) -> Option<TufFile> {
    let stem = file.strip_suffix(".json")?;
    if stem == "timestamp" {
        return Some(TufFile::Timestamp);
    }
    let (number, role) = stem.split_once('.')?;
    let is_role = role.len() <= ROLE_BYTES
        && !role.is_empty()
        && role.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    let version = version(number).filter(|_| number.len() <= DIGITS && is_role)?;
    Some(if role == "root" { TufFile::Root(version) } else { TufFile::Role { role: role.into(), version } })
}

/// A version as it stands in a file's name: its decimal digits, and no zero in front, or one file would have many names.
pub(super) fn version(number: &str) -> Option<u64> {
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
    number.parse().ok().filter(|_| is_plain)
}

/// The path of a target begins with the repository's name once more: `a/b/targets/a/b/<digest>.<tag>`.
fn target<'p>(parent: &'p str, last: &str) -> Option<(&'p str, TufFile)> {
    let (hex, tag) = last.split_once('.')?;
    let digest = format!("{}:{hex}", Algorithm::Sha256).parse().ok()?;
    let tag = tag.parse().ok()?;
    let half = parent.len().checked_sub("/targets/".len()).filter(|twice| twice % 2 == 0)? / 2;
    let (name, again) = (parent.get(..half)?, parent.get(half..)?.strip_prefix("/targets/")?);
    (name == again).then_some((name, TufFile::Target { digest, tag }))
}

impl Display for ReadTuf {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { repository, file } = self;
        match file {
            TufFile::Root(version) => write!(f, "/tuf/{repository}/{version}.root.json"),
            TufFile::Timestamp => write!(f, "/tuf/{repository}/timestamp.json"),
            TufFile::Role { role, version } => write!(f, "/tuf/{repository}/{version}.{role}.json"),
            TufFile::Target { digest, tag } => {
                write!(f, "/tuf/{repository}/targets/{repository}/{}.{tag}", digest.hex())
            }
        }
    }
}
