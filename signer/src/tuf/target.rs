//! What a tag means, and how a targets file says so.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::BuildError;
use super::write::canonical;

/// What a tag means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// SHA-256 of the manifest.
    #[serde(with = "crate::forms::base64_bytes")]
    pub sha256: [u8; 32],
    /// The manifest's size in bytes.
    pub length: u64,
    /// The manifest's media type.
    pub media_type: String,
    /// Who vouched for it.
    pub signer: String,
    /// When, as RFC 3339.
    pub signed_at: String,
    /// By what: `signature`, or the rule that signed.
    pub source: String,
}

impl Target {
    /// Its entry in a targets file, in canonical form.
    pub(super) fn entry(&self) -> Result<Box<RawValue>, BuildError> {
        let entry = json!({
            "custom": { "hallmark": {
                "media_type": self.media_type,
                "signed_at": self.signed_at,
                "signer": self.signer,
                "source": self.source,
            } },
            "hashes": { "sha256": crate::hex(&self.sha256) },
            "length": self.length,
        });
        Ok(RawValue::from_string(canonical(&entry)?)?)
    }
}

/// The path of a tag's target.
#[must_use]
pub fn target_path(repository: &str, tag: &str) -> String {
    format!("{repository}/{tag}")
}
