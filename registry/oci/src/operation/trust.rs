//! The requests of content trust (Notary v1), which stand beside the images of the repository they are about.
//! What the files hold is not read here.
//! Start at [`route`].

use std::fmt::{self, Display, Formatter};

use super::query::Query;
use super::{Operation, OperationInvalid};
use crate::{Algorithm, Digest, Gun, ServerRole, TrustRole};

/// `GET` or `HEAD` of a role's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadTrust {
    /// The collection.
    pub gun: Gun,
    /// The role.
    pub role: TrustRole,
    /// Which of its files.
    pub version: TrustVersion,
}

/// Which file of a role is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustVersion {
    /// The one that holds now: `<role>.json`.
    Current,
    /// The one with these bytes: `<role>.<hex>.json`.
    Checksum(Digest),
    /// The one of this number: `<n>.<role>.json`.
    Number(u64),
}

/// `POST` of new metadata, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishTrust {
    /// The collection.
    pub gun: Gun,
}

/// `GET` of the public half of a key that the server holds, or `POST` that asks for a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustKey {
    /// The collection.
    pub gun: Gun,
    /// What the key signs.
    pub role: ServerRole,
    /// Whether a new key is asked for.
    pub rotate: bool,
}

/// `DELETE` of a whole collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteTrust {
    /// The collection.
    pub gun: Gun,
}

/// `GET` of what was published and deleted, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTrustChanges {
    /// The collection; all of them without.
    pub gun: Option<Gun>,
    /// Only changes on the far side of this one; 0 is before the first, and any number below 0 after the last.
    pub after: i64,
    /// How many: backwards when below 0. 0 leaves it to the server.
    pub records: i64,
}

/// The part of a decoded path after `/v2/`, when it is one of content trust. A repository has no component that begins
/// with an underscore, so nothing else is read so. The collection's name before it, if there is one, and what comes after it.
pub(super) fn route(rest: &str) -> Option<(Option<&str>, &str)> {
    match rest.rsplit_once("/_trust/") {
        Some((name, tail)) => Some((Some(name), tail)),
        None => rest.strip_prefix("_trust/").map(|tail| (None, tail)),
    }
}

pub(super) fn operation(
    method: &str,
    (named, tail): (Option<&str>, &str),
    query: Query<'_>,
) -> Result<Operation, OperationInvalid> {
    let reads = matches!(method, "GET" | "HEAD");
    let name = named.unwrap_or_default();
    match tail {
        "changefeed" if !reads => Err(super::parse::READ_ONLY),
        "changefeed" => {
            let gun = named.map(|name| gun(name, method)).transpose()?;
            let (after, records) = query.trust_changes()?;
            Ok(Operation::ListTrustChanges(ListTrustChanges { gun, after, records }))
        }
        "tuf/" => match method {
            "POST" => Ok(Operation::PublishTrust(PublishTrust { gun: gun(name, method)? })),
            "DELETE" => Ok(Operation::DeleteTrust(DeleteTrust { gun: gun(name, method)? })),
            _ => Err(OperationInvalid::Method { allowed: "POST, DELETE" }),
        },
        _ => match tail.strip_prefix("tuf/") {
            Some(file) => file_of(method, name, file),
            None => Err(OperationInvalid::TrustUnknown),
        },
    }
}

fn file_of(method: &str, name: &str, file: &str) -> Result<Operation, OperationInvalid> {
    if let Some(role) = file.strip_suffix(".key") {
        let role = match role {
            "snapshot" => ServerRole::Snapshot,
            "timestamp" => ServerRole::Timestamp,
            _ => return Err(OperationInvalid::TrustUnknown),
        };
        return match method {
            "GET" => Ok(Operation::TrustKey(TrustKey { gun: gun(name, method)?, role, rotate: false })),
            "POST" => Ok(Operation::TrustKey(TrustKey { gun: gun(name, method)?, role, rotate: true })),
            _ => Err(OperationInvalid::Method { allowed: "GET, POST" }),
        };
    }
    let stem = file.strip_suffix(".json").ok_or(OperationInvalid::TrustUnknown)?;
    if !matches!(method, "GET" | "HEAD") {
        return Err(super::parse::READ_ONLY);
    }
    let (role, version) = split(stem).ok_or(OperationInvalid::TrustUnknown)?;
    let role = role.parse().map_err(|_| OperationInvalid::TrustUnknown)?;
    Ok(Operation::ReadTrust(ReadTrust { gun: gun(name, method)?, role, version }))
}

/// A checksum stands after the role and a number before it; a role has no dot.
fn split(stem: &str) -> Option<(&str, TrustVersion)> {
    if let Some((role, sum)) = stem.rsplit_once('.')
        && let Some(algorithm) = algorithm(sum)
    {
        let digest = format!("{algorithm}:{}", sum.to_ascii_lowercase()).parse().ok()?;
        return Some((role, TrustVersion::Checksum(digest)));
    }
    match stem.split_once('.') {
        None => Some((stem, TrustVersion::Current)),
        Some((number, role)) => Some((role, TrustVersion::Number(super::tuf::version(number)?))),
    }
}

fn algorithm(hex: &str) -> Option<Algorithm> {
    [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|algorithm| algorithm.hex_len() == hex.len())
}

/// A malformed name is one that nothing is stored under.
fn gun(name: &str, method: &str) -> Result<Gun, OperationInvalid> {
    name.parse().map_err(|invalid| match method {
        "POST" => OperationInvalid::Gun(invalid),
        _ => OperationInvalid::TrustUnknown,
    })
}

impl Display for ReadTrust {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { gun, role, version } = self;
        match version {
            TrustVersion::Current => write!(f, "/v2/{gun}/_trust/tuf/{role}.json"),
            TrustVersion::Checksum(digest) => write!(f, "/v2/{gun}/_trust/tuf/{role}.{}.json", digest.hex()),
            TrustVersion::Number(number) => write!(f, "/v2/{gun}/_trust/tuf/{number}.{role}.json"),
        }
    }
}

impl Display for TrustKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/v2/{}/_trust/tuf/{}.key", self.gun, self.role)
    }
}

impl Display for ListTrustChanges {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("/v2/")?;
        if let Some(gun) = &self.gun {
            write!(f, "{gun}/")?;
        }
        write!(f, "_trust/changefeed?change_id={}&records={}", self.after, self.records)
    }
}
