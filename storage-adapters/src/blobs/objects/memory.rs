//! The store in memory, for tests. The one of object_store forgets which bytes a part was sent with; this one refuses a
//! completion that names a part by anything but its latest entity tag, as a bucket does.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, MultipartId, PutPayload, PutResult, Result};

/// Multipart uploads into an [`InMemory`] store.
#[derive(Debug)]
pub(super) struct MemoryMultipart {
    store: std::sync::Arc<InMemory>,
    tags: Mutex<Tags>,
}

#[derive(Debug, Default)]
struct Tags {
    next: u64,
    uploads: HashMap<MultipartId, HashMap<usize, String>>,
}

impl MemoryMultipart {
    pub(super) fn new(store: std::sync::Arc<InMemory>) -> Self {
        Self { store, tags: Mutex::default() }
    }

    fn tags<T>(&self, work: impl FnOnce(&mut Tags) -> T) -> T {
        work(&mut self.tags.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl MultipartStore for MemoryMultipart {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let id = self.store.create_multipart(path).await?;
        self.tags(|tags| tags.uploads.insert(id.clone(), HashMap::new()));
        Ok(id)
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        let content_id = self
            .tags(|tags| {
                let upload = tags.uploads.get_mut(id)?;
                tags.next += 1;
                let tag = format!("\"{}\"", tags.next);
                upload.insert(index, tag.clone());
                Some(tag)
            })
            .ok_or_else(|| no_such_upload(path))?;
        self.store.put_part(path, id, index, data).await?;
        Ok(PartId { content_id })
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let matches = self.tags(|tags| {
            let upload = tags.uploads.get(id)?;
            let named = |(index, part): (usize, &PartId)| upload.get(&index) == Some(&part.content_id);
            let all = upload.len() == parts.len() && parts.iter().enumerate().all(named);
            if all {
                tags.uploads.remove(id);
            }
            Some(all)
        });
        match matches {
            None => Err(no_such_upload(path)),
            Some(false) => Err(Error::Generic { store: "memory", source: "InvalidPart".into() }),
            Some(true) => self.store.complete_multipart(path, id, parts).await,
        }
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.tags(|tags| tags.uploads.remove(id)).ok_or_else(|| no_such_upload(path))?;
        self.store.abort_multipart(path, id).await
    }
}

fn no_such_upload(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "NoSuchUpload".into() }
}
