use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::{Descriptor, Digest, Manifest, Tag};

use super::blobs::bytes;
use super::candidates::Item;
use super::error::{Error, ErrorKind};
use super::generations::Slot;
use super::repositories::Repository;
use super::rows::{ManifestId, PrincipalId};
use super::statement::{Engine, Statement, statements};
use super::tags::{Move, Moved};
use super::tx::{TURNS, Tx};
use super::undelete::HOLD as HOLD_TRASHED;
use super::value::{json_integers, json_texts, values};

statements! {
    HOLD_BLOBS = [
        "SELECT b.digest, l.blob_id, b.size FROM repository_blobs l JOIN blobs b ON b.id = l.blob_id
          WHERE l.repository_id = $1 AND b.digest" {in texts 2} " AND b.quarantined_at IS NULL
          ORDER BY l.blob_id" {share of l}
    ];
    HOLD_CHILDREN = [
        "SELECT digest, id, size FROM manifests WHERE repository_id = $1 AND digest" {in texts 2} " ORDER BY id" {share}
    ];
    INSERT = [
        "INSERT INTO manifests (id, repository_id, digest, media_type, artifact_type, subject_digest, referrer, size,
                                touched_at, pushed_by, body)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING"
    ];
    TOUCH = ["UPDATE manifests SET touched_at = $3 WHERE repository_id = $1 AND digest = $2 RETURNING id"];
    INSERT_BLOBS = [
        "INSERT INTO manifest_blobs (repository_id, manifest_id, blob_id)
         SELECT $1, $2, list.value FROM " {integers 3} " AS list"
    ];
    INSERT_CHILDREN = [
        "INSERT INTO manifest_children (repository_id, parent_id, child_id)
         SELECT $1, $2, list.value FROM " {integers 3} " AS list"
    ];
}

/// A manifest to be put.
#[derive(Clone, Copy, Debug)]
pub struct PutManifest<'a> {
    /// The repository, held by [`Tx::repository`].
    pub repository: &'a Repository,
    /// The digest of the body, verified.
    pub digest: &'a Digest,
    /// What the body says.
    pub manifest: &'a Manifest,
    /// The bytes as they were received (I7).
    pub body: &'a [u8],
    /// Tags that shall point to it.
    pub tags: &'a [Tag],
    /// Who puts it.
    pub pushed_by: PrincipalId,
    /// Milliseconds since the epoch.
    pub now: i64,
}

/// A manifest that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The manifest.
    pub id: ManifestId,
    /// Whether the repository had it already.
    pub known: bool,
    /// The tags that did not point to it before.
    pub moved: Vec<Tag>,
    /// Those of them that pointed to another manifest.
    pub overwritten: Vec<Tag>,
}

/// Why a manifest was not put. What it names is judged in this repository alone (I6).
#[derive(Debug, thiserror::Error)]
pub enum PutRefused {
    /// The repository does not hold these blobs, or their bytes are rotten.
    #[error("the manifest names {} that the repository does not hold", amount(.0, "blob"))]
    UnknownBlobs(Vec<Digest>),
    /// The repository does not hold these manifests.
    #[error("the index names {} that the repository does not hold", amount(.0, "manifest"))]
    UnknownChildren(Vec<Digest>),
    /// A descriptor states another size than the content has.
    #[error("the manifest states a size for {0} that is not the content's own")]
    SizeDiffers(Digest),
    /// The database failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

fn amount(digests: &[Digest], thing: &str) -> String {
    format!("{} {thing}{}", digests.len(), if digests.len() == 1 { "" } else { "s" })
}

impl Tx {
    /// Puts a manifest and points the tags to it. Every blob and child it names is then pinned by a foreign key (I1); a
    /// subject may be absent.
    ///
    /// # Errors
    /// [`PutRefused`]: it names what the repository does not hold, or the database failed.
    pub async fn put_manifest(&mut self, put: &PutManifest<'_>) -> Result<Put, PutRefused> {
        let repository = put.repository.id;
        let blobs = self.hold(&HOLD_BLOBS, put, put.manifest.blobs()).await?.map_err(PutRefused::UnknownBlobs)?;
        let children = self.hold(&HOLD_CHILDREN, put, put.manifest.children()).await?;
        let children = children.map_err(PutRefused::UnknownChildren)?;
        if self.engine() == Engine::Postgres {
            // Whoever ends its window, or brings it back, holds it in the trash first; held later, two would wait for each other.
            self.row(&HOLD_TRASHED, values![repository, put.digest]).await?;
        }
        let (id, known) = self.insert_manifest(put).await?;
        if !known {
            let size = bytes(put.body.len() as u64)?;
            self.replace_trashed(put.repository.place(), put.digest, size).await?;
            for named in put.manifest.blobs() {
                // That a manifest names it is a part of the answer that is kept.
                self.touch(Slot::blob(&named.digest));
            }
            if !blobs.is_empty() {
                self.execute(&INSERT_BLOBS, values![repository, id, &json_integers(blobs)]).await?;
            }
            if !children.is_empty() {
                self.execute(&INSERT_CHILDREN, values![repository, id, &json_integers(children)]).await?;
            }
        }
        if known && put.tags.is_empty() {
            self.adopted(repository.0, id.0).await?;
        }
        let (moved, overwritten, left) = self.point_tags(put, id).await?;
        let graces = self.graces();
        self.candidates(Item::Manifest, repository.0, left, put.now + graces.shown + graces.margin).await?;
        Ok(Put { id, known, moved, overwritten })
    }

    /// [`Self::hold_once`], and once more when something is missing: what was collected while this waited for it may have
    /// been pushed again since, and only a statement that begins now sees that. The embedded database has one writer, so
    /// there nobody did.
    async fn hold(
        &mut self,
        statement: &Statement,
        put: &PutManifest<'_>,
        named: &[Descriptor],
    ) -> Result<Result<Vec<i64>, Vec<Digest>>, PutRefused> {
        match self.hold_once(statement, put, named).await? {
            Err(_) if self.engine() == Engine::Postgres => self.hold_once(statement, put, named).await,
            held => Ok(held),
        }
    }

    /// The rows of what the manifest names, locked in the order of their ids; or the digests that have none.
    async fn hold_once(
        &mut self,
        statement: &Statement,
        put: &PutManifest<'_>,
        named: &[Descriptor],
    ) -> Result<Result<Vec<i64>, Vec<Digest>>, PutRefused> {
        let digests: BTreeSet<&str> = named.iter().map(|named| named.digest.as_str()).collect();
        if digests.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let digests = json_texts(digests.iter().copied());
        let (mut ids, mut sizes) = (Vec::new(), BTreeMap::new());
        for row in self.rows(statement, values![put.repository.id, &digests]).await? {
            ids.push(row.integer(1)?);
            sizes.insert(row.text(0)?, row.unsigned(2)?);
        }
        let mut missing = BTreeMap::new();
        for named in named {
            match sizes.get(named.digest.as_str()) {
                None => drop(missing.insert(named.digest.as_str(), &named.digest)),
                Some(size) if *size != named.size => return Err(PutRefused::SizeDiffers(named.digest.clone())),
                Some(_) => {}
            }
        }
        Ok(if missing.is_empty() { Ok(ids) } else { Err(missing.into_values().cloned().collect()) })
    }

    /// The manifest's row, held, and whether it was there before.
    async fn insert_manifest(&mut self, put: &PutManifest<'_>) -> Result<(ManifestId, bool), Error> {
        let id = ManifestId(self.id()?);
        let (media_type, artifact_type) = (put.manifest.media_type(), put.manifest.artifact_type());
        let subject = put.manifest.subject().map(|subject| subject.digest.as_str());
        let size = bytes(put.body.len() as u64)?;
        let referrer = match subject {
            Some(_) => Some(descriptor(put.manifest, put.digest, put.body.len() as u64)?),
            None => None,
        };
        let row = values![
            id,
            put.repository.id,
            put.digest,
            media_type.as_str(),
            artifact_type,
            subject,
            referrer.as_deref(),
            size,
            put.now,
            put.pushed_by,
            put.body,
        ];
        for _ in 0..TURNS {
            if self.execute(&INSERT, row).await? == 1 {
                return Ok((id, false));
            }
            if let Some(row) = self.row(&TOUCH, values![put.repository.id, put.digest, put.now]).await? {
                return Ok((ManifestId(row.integer(0)?), true));
            }
        }
        Err(self.give_way("manifests"))
    }

    /// Points the tags, in the order of their names; those that moved, those of them that pointed elsewhere, and the manifests that
    /// the collector may look at.
    async fn point_tags(
        &mut self,
        put: &PutManifest<'_>,
        id: ManifestId,
    ) -> Result<(Vec<Tag>, Vec<Tag>, Vec<i64>), Error> {
        let tags: BTreeMap<&str, &Tag> = put.tags.iter().map(|tag| (tag.as_str(), tag)).collect();
        let (mut moved, mut overwritten, mut left) = (Vec::new(), Vec::new(), BTreeSet::new());
        if tags.is_empty() {
            left.insert(id.0);
        }
        for tag in tags.into_values() {
            let to =
                Move { repository: put.repository.id, tag, manifest: id, digest: put.digest, actor: put.pushed_by };
            match self.move_tag(&to, put.now).await? {
                Moved::Not => continue,
                Moved::New => {}
                Moved::From(before) => {
                    left.insert(before.0);
                    overwritten.push(tag.clone());
                    self.touch(Slot::repository(put.repository.id));
                }
            }
            moved.push(tag.clone());
        }
        Ok((moved, overwritten, left.into_iter().collect()))
    }
}

/// A manifest's entry in the list of its subject's referrers, ready to be served.
pub(super) fn descriptor(manifest: &Manifest, digest: &Digest, size: u64) -> Result<String, Error> {
    let referrer = manifest.referrer(digest.clone(), size);
    serde_json::to_string(&referrer).map_err(|error| Error::caused(ErrorKind::Failed, "manifests.referrer", error))
}
