//! The digest of what is stored already.

use std::sync::LazyLock;
use std::thread;

use bytes::Bytes;
use futures_util::StreamExt;
use hallmark_oci::{Algorithm, Digest};
use tokio::sync::Semaphore;

use super::task::blocking;
use super::{BlobBody, Error};
use crate::blobs::hasher::BlobHasher;

/// The bytes that are hashed in one job on a blocking thread.
const BATCH_BYTES: usize = 512 * 1024;

/// The threads that hash at once: as many as there are processors, and no other work of this kind waits for anything else.
static LANES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(thread::available_parallelism().map_or(1, usize::from)));

/// Hashes a body on threads that may block, holding no more than a batch of it; `None` when `goes_on` says no in between.
pub(super) async fn digest(
    body: BlobBody,
    algorithm: Algorithm,
    goes_on: impl Fn() -> bool,
) -> Result<Option<Digest>, Error> {
    let mut hasher = BlobHasher::new(algorithm);
    let mut stream = match body {
        BlobBody::Whole(bytes) => return Ok(Some(update(hasher, vec![bytes]).await?.finish())),
        BlobBody::Stream(stream) => stream,
    };
    let (mut batch, mut gathered) = (Vec::new(), 0);
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        gathered += piece.len();
        batch.push(piece);
        if gathered >= BATCH_BYTES {
            hasher = update(hasher, std::mem::take(&mut batch)).await?;
            gathered = 0;
            if !goes_on() {
                return Ok(None);
            }
        }
    }
    Ok(Some(update(hasher, batch).await?.finish()))
}

/// Hashes pieces on a thread that may block.
pub(super) async fn update(mut hasher: BlobHasher, pieces: Vec<Bytes>) -> Result<BlobHasher, Error> {
    if pieces.is_empty() {
        return Ok(hasher);
    }
    // It fails only when it is closed, which nobody does.
    let lane = LANES.acquire().await.ok();
    blocking("hash", "bytes", move || {
        pieces.iter().for_each(|piece| hasher.update(piece));
        drop((lane, pieces));
        Ok(hasher)
    })
    .await
}
