//! The end of an upload in a bucket: its multipart upload is completed, or one object is the whole blob.

use hallmark_oci::Digest;
use object_store::Error as StoreError;
use object_store::multipart::PartId;

use super::super::super::error::chain;
use super::super::super::{Error, Sealed, hash};
use super::super::bounded;
use super::PartAppender;
use crate::StorageKey;

impl PartAppender {
    pub(in super::super::super) async fn seal(mut self, spare: &StorageKey) -> Result<Sealed, Error> {
        if self.durable.multipart_id.is_none() {
            return self.seal_object(spare).await;
        }
        if !self.told.committed {
            return Err(self.uncommitted("seal"));
        }
        self.load_tail().await?;
        if self.buffer.len() > 0 {
            self.send().await?;
        }
        self.settle_until(0).await?;
        let digest = self.hasher().await?.finish();
        if !self.gone {
            self.gone = !self.complete().await?;
        }
        if self.gone {
            self.recognize(&digest).await?;
        }
        Ok(Sealed { key: self.durable.key, size: self.received, digest })
    }

    /// Seals a blob smaller than a part: the tail object as it stands, or one new object.
    async fn seal_object(mut self, spare: &StorageKey) -> Result<Sealed, Error> {
        if let (Some(tail), true) = (&self.durable.tail_key, self.received == self.durable.received) {
            let (tail, stored) = (tail.clone(), self.objects.size(tail).await?);
            if stored != Some(self.received) {
                return Err(self.lost_tail(&tail, stored));
            }
            return Ok(Sealed { key: tail, size: self.received, digest: self.hasher().await?.finish() });
        }
        let gathered = self.buffer.take();
        let hasher = hash::update(self.hasher().await?, gathered.after(self.hashed)).await?;
        self.objects.put(spare, gathered.payload()).await?;
        Ok(Sealed { key: spare.clone(), size: self.received, digest: hasher.finish() })
    }

    /// Completes the multipart upload; `false` when it is gone.
    async fn complete(&self) -> Result<bool, Error> {
        let Some(id) = &self.durable.multipart_id else { return Ok(false) };
        let path = self.objects.path(&self.durable.key);
        let parts = self.durable.parts.iter().map(|part| PartId { content_id: part.etag.clone() }).collect();
        let completed =
            bounded("complete", &path, 0, self.objects.0.multipart.complete_multipart(&path, id, parts)).await?;
        match completed {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(source) if is_refusal(&source) => Err(Error::broken("complete", path, source)),
            Err(source) => Err(Error::store("complete", path, source)),
        }
    }

    /// Recognizes the blob that an earlier attempt has completed and could not report. Its size is not enough: the
    /// attempt may have been another writer's, with other bytes.
    async fn recognize(&self, digest: &Digest) -> Result<(), Error> {
        let key = &self.durable.key;
        let found = match self.objects.size(key).await? {
            Some(size) if size == self.received => self.objects.read(key, 0..size).await?,
            _ => None,
        };
        let Some(body) = found else { return Err(self.broken("complete", "its multipart upload is gone")) };
        if hash::digest(body, digest.algorithm(), || true).await?.as_ref() == Some(digest) {
            return Ok(());
        }
        Err(self.broken("complete", "another writer has completed it with other bytes"))
    }
}

/// Whether a bucket refuses to complete because its parts are not those that were named.
fn is_refusal(error: &StoreError) -> bool {
    let text = chain(error);
    ["InvalidPart", "InvalidPartOrder", "EntityTooSmall"].iter().any(|word| text.contains(word))
}
