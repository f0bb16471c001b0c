//! A key from a passphrase: argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::source::MasterRefused;

/// The most that a record or a file may ask for: 1 GiB, 16 passes, 8 lanes. They come from where others may write.
const MOST: Costs = Costs { memory_kib: 1 << 20, passes: 16, lanes: 8 };

/// What a guess costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Costs {
    /// The second choice of RFC 9106 §4: 64 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

/// 32 bytes of a passphrase.
///
/// # Errors
/// [`MasterRefused::Costs`]
pub(crate) fn derive(words: &str, salt: &[u8; 16], costs: Costs) -> Result<Zeroizing<[u8; 32]>, MasterRefused> {
    let Costs { memory_kib, passes, lanes } = costs;
    if memory_kib > MOST.memory_kib || passes > MOST.passes || lanes > MOST.lanes {
        return Err(MasterRefused::Costs);
    }
    let parameters = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| MasterRefused::Costs)?;
    let mut bytes = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(words.as_bytes(), salt, bytes.as_mut_slice())
        .map_err(|_| MasterRefused::Costs)?;
    Ok(bytes)
}
