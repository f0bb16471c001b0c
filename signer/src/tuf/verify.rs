//! What a tag means by the metadata of its repository, read from a pinned root on.

use std::path::Path;

use super::update::{Fetch, Named, Repository, UpdateError};
use super::{Target, target_path};

/// Why it is not known what a tag means.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The metadata does not follow from the pinned root, or could not be read.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The metadata names no such tag.
    #[error("nobody vouches for this tag")]
    Unnamed,
}

/// What `tag` of `repository` means by the files that `fetch` brings, when they follow from `root` at `now`, in milliseconds
/// since 1970. In the folder `memory`, which must be there, the newest versions are remembered, so that older ones are refused
/// the next time.
///
/// # Errors
/// [`VerifyError`]
pub async fn verify(
    root: &[u8],
    (repository, tag): (&str, &str),
    fetch: Fetch,
    (memory, now): (&Path, i64),
) -> Result<Target, VerifyError> {
    let found = find(root, &target_path(repository, tag), fetch, (memory, now)).await?;
    let found = found.ok_or(VerifyError::Unnamed)?;
    let told = &found.custom["hallmark"];
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    let sum = found.hashes.get("sha256").and_then(|sum| super::build::unhex(sum));
    let sha256 = sum.and_then(|sum| sum.try_into().ok()).ok_or(VerifyError::Unnamed)?;
    Ok(Target {
        sha256,
        length: found.length,
        media_type: text("media_type"),
        signer: text("signer"),
        signed_at: text("signed_at"),
        source: text("source"),
    })
}

/// What a path means; `None` when the metadata does not name it. See [`verify`].
///
/// # Errors
/// [`UpdateError`]
pub async fn find(
    root: &[u8],
    path: &str,
    fetch: Fetch,
    (memory, now): (&Path, i64),
) -> Result<Option<Named>, UpdateError> {
    Repository::update(root, fetch, memory, now).await?.find(path).await
}
