//! The store in memory, for tests. The multipart uploads of object_store's own forget which bytes a part was sent with
//! and join whatever parts there are; these join the parts that are named, and refuse a name that is not the latest
//! entity tag of its part, as a bucket does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Error, MultipartId, ObjectStoreExt, PutPayload, PutResult, Result};

/// Multipart uploads into an [`InMemory`] store.
#[derive(Debug)]
pub(super) struct MemoryMultipart {
    store: Arc<InMemory>,
    uploads: Mutex<Uploads>,
}

#[derive(Debug, Default)]
struct Uploads {
    /// The last number given out, to an upload or to a part.
    last: u64,
    open: HashMap<MultipartId, HashMap<usize, (String, PutPayload)>>,
}

impl MemoryMultipart {
    pub(super) fn new(store: Arc<InMemory>) -> Self {
        Self { store, uploads: Mutex::default() }
    }

    fn uploads<T>(&self, work: impl FnOnce(&mut Uploads) -> T) -> T {
        work(&mut self.uploads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Uploads {
    fn next(&mut self) -> String {
        self.last += 1;
        self.last.to_string()
    }

    /// The bytes of the named parts; the upload stays open when a name is wrong.
    fn join(&mut self, id: &MultipartId, named: &[PartId]) -> Option<Result<PutPayload>> {
        let parts = self.open.get(id)?;
        let mut bytes = Vec::new();
        for (index, name) in named.iter().enumerate() {
            match parts.get(&index) {
                Some((tag, payload)) if *tag == name.content_id => bytes.extend(payload.iter().cloned()),
                _ => return Some(Err(Error::Generic { store: "memory", source: "InvalidPart".into() })),
            }
        }
        self.open.remove(id);
        Some(Ok(bytes.into_iter().collect()))
    }
}

#[async_trait]
impl MultipartStore for MemoryMultipart {
    async fn create_multipart(&self, _path: &Path) -> Result<MultipartId> {
        Ok(self.uploads(|uploads| {
            let id = uploads.next();
            uploads.open.insert(id.clone(), HashMap::new());
            id
        }))
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        let content_id = self.uploads(|uploads| {
            let tag = uploads.next();
            uploads.open.get_mut(id)?.insert(index, (tag.clone(), data));
            Some(tag)
        });
        content_id.map(|content_id| PartId { content_id }).ok_or_else(|| no_such_upload(path))
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let whole = self.uploads(|uploads| uploads.join(id, &parts)).ok_or_else(|| no_such_upload(path))??;
        self.store.put(path, whole).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.uploads(|uploads| uploads.open.remove(id)).map(|_| ()).ok_or_else(|| no_such_upload(path))
    }
}

fn no_such_upload(path: &Path) -> Error {
    Error::NotFound { path: path.to_string(), source: "NoSuchUpload".into() }
}
