//! Whether enough of a role's keys have signed.

use std::collections::BTreeMap;

use super::{KeyDocument, PublicKey, RoleKeys, Signed};

/// A file that enough of its role's keys have signed. [`verify`] alone makes one.
#[derive(Debug, Clone)]
pub struct Verified<T>(Signed<T>);

impl<T> Verified<T> {
    /// The file.
    #[must_use]
    pub fn get(&self) -> &Signed<T> {
        &self.0
    }
}

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyRefused {
    /// The threshold is below one or above the number of keys.
    #[error("the threshold {threshold} cannot be met by {keys} keys")]
    Threshold {
        /// What is asked for.
        threshold: i64,
        /// What could sign.
        keys: usize,
    },
    /// Too few have signed.
    #[error("{valid} valid signatures where {threshold} are needed")]
    TooFew {
        /// Distinct keys of the role with a valid signature.
        valid: usize,
        /// How many are needed.
        threshold: i64,
    },
}

/// Verifies a file against the keys of its role. A key counts once, however often it has signed and under whatever ids;
/// keys that are not the role's, and such as cannot be read, do not count.
///
/// # Errors
/// [`VerifyRefused`]
pub fn verify<T>(
    file: Signed<T>,
    role: &RoleKeys,
    keys: &BTreeMap<String, KeyDocument>,
) -> Result<Verified<T>, VerifyRefused> {
    check(&file, role, keys)?;
    Ok(Verified(file))
}

/// The same for a file that must satisfy several sets of keys.
pub(super) fn check<T>(
    file: &Signed<T>,
    role: &RoleKeys,
    keys: &BTreeMap<String, KeyDocument>,
) -> Result<(), VerifyRefused> {
    let threshold = usize::try_from(role.threshold).unwrap_or(0);
    if threshold < 1 || threshold > role.keyids.len() {
        return Err(VerifyRefused::Threshold { threshold: role.threshold, keys: role.keyids.len() });
    }
    let mut valid: Vec<PublicKey> = Vec::new();
    for signature in &file.signatures {
        let id = signature.keyid.as_str();
        let document = keys.get(id).filter(|_| role.keyids.iter().any(|known| known == id));
        let Some(key) = document.and_then(|document| PublicKey::parse(document).ok()) else { continue };
        if !valid.iter().any(|counted| counted.is(&key)) && key.verifies(signature, &file.message) {
            valid.push(key);
            if valid.len() == threshold {
                return Ok(());
            }
        }
    }
    Err(VerifyRefused::TooFew { valid: valid.len(), threshold: role.threshold })
}

/// Whether the file's time is over at `now`, in milliseconds since 1970.
#[must_use]
pub fn expired<T>(file: &Signed<T>, now: i64) -> bool {
    file.expires <= now
}
