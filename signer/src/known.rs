//! Which root of a trust domain holds, as far as the signer was told, and which one it let change hands.

use hallmark_storage::metadata::{SignerRoot, Tx};
use ring::digest::{SHA256, digest};

use crate::publisher::TufRefused;
use crate::tuf::{RootContent, check_successor, payload};

/// A root of a domain as it is remembered.
pub(crate) fn told(domain: &str, content: &RootContent, root: &[u8]) -> SignerRoot {
    let version = i64::try_from(content.version).unwrap_or(i64::MAX);
    SignerRoot { domain: domain.to_owned(), version, sha256: sum(root), body: root.to_vec() }
}

/// That the root which the registry speaks of is the newest that it ever spoke of, from now on: the one that is known, or one
/// that follows from it. A root of a higher version alone may be anybody's who holds the keys that it names.
///
/// # Errors
/// [`TufRefused::OtherRoot`]
pub(crate) async fn check(tx: &mut Tx, told: &SignerRoot) -> Result<(), TufRefused> {
    let other = |known: &SignerRoot| TufRefused::OtherRoot { known: known.version, told: told.version };
    if let Some(known) = tx.signer_root(&told.domain).await? {
        let is_same = known == *told;
        if !is_same && (known.version >= told.version || check_successor(&known.body, &told.body).is_err()) {
            return Err(other(&known));
        }
    }
    let known = tx.lift_signer_root(told).await?;
    if known == *told { Ok(()) } else { Err(other(&known)) }
}

/// The first root of a domain that was made before, whoever asked for it and whatever became of it.
///
/// # Errors
/// [`TufRefused::OtherRoot`] when a later one is known.
pub(crate) async fn first(tx: &mut Tx, domain: &str) -> Result<Option<Vec<u8>>, TufRefused> {
    match tx.signer_root(domain).await? {
        Some(known) if known.version != 1 => Err(TufRefused::OtherRoot { known: known.version, told: 1 }),
        known => Ok(known.map(|known| known.body)),
    }
}

/// Remembers the first root of a domain; the one that is remembered then.
///
/// # Errors
/// [`TufRefused::OtherRoot`] when a later one is known.
pub(crate) async fn begin(tx: &mut Tx, made: &SignerRoot) -> Result<Vec<u8>, TufRefused> {
    let known = tx.lift_signer_root(made).await?;
    if known.version == made.version {
        return Ok(known.body);
    }
    Err(TufRefused::OtherRoot { known: known.version, told: made.version })
}

/// Whether this root is the one that is known, to the byte.
///
/// # Errors
/// The database's.
pub(crate) async fn is_known(tx: &mut Tx, root: &SignerRoot) -> Result<bool, TufRefused> {
    Ok(tx.signer_root(&root.domain).await?.is_some_and(|known| known == *root))
}

/// Remembers that a root by which its domain changes hands is signed, whoever has signed it beside; refuses another of its
/// version.
///
/// # Errors
/// [`TufRefused::Plan`]
pub(crate) async fn endorse(tx: &mut Tx, next: &SignerRoot) -> Result<(), TufRefused> {
    let sum = sum(&payload(&next.body)?);
    if tx.endorse_signer_root(&next.domain, next.version, &sum).await? {
        return Ok(());
    }
    let why =
        "another root of this version was signed that names other holders: publish that one, or rotate a key first";
    Err(TufRefused::Plan(why.to_owned()))
}

fn sum(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}
