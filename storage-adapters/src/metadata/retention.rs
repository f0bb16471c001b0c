//! What rules on what goes look at, and the deed: a repository is read page by page, and what goes is looked at again under its lock.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use hallmark_oci::{Digest, Tag};

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::policies::Policies;
use super::repositories::Repository;
use super::rows::{AccountId, ManifestId, PrincipalId, RepositoryId};
use super::statement::statements;
use super::tx::Tx;
use super::value::{json_integers, json_texts, values};

statements! {
    IMAGES = [
        "SELECT page.id, page.digest, page.size, page.touched_at, p.at,
                CAST(CASE WHEN page.subject_digest IS NULL THEN 0
                          WHEN EXISTS (SELECT 1 FROM manifests s
                                        WHERE s.repository_id = page.repository_id AND s.digest = page.subject_digest) THEN 1
                          WHEN EXISTS (SELECT 1 FROM trash t
                                        WHERE t.repository_id = page.repository_id AND t.digest = page.subject_digest) THEN 1
                          ELSE 2 END AS BIGINT),
                CAST(CASE WHEN EXISTS (SELECT 1 FROM holds h
                                        WHERE h.repository_id = page.repository_id AND h.manifest_id = page.id)
                  THEN 1 ELSE 0 END AS BIGINT)
           FROM manifests page LEFT JOIN last_pulls p ON p.manifest_id = page.id
          WHERE page.repository_id = $1 AND page.id > $2 ORDER BY page.id LIMIT $3"
    ];
    TAGS = [
        "SELECT page.name, page.manifest_id, page.moved_at FROM tags page
          WHERE page.repository_id = $1 AND page.name > $2 ORDER BY page.name LIMIT $3"
    ];
    CHILDREN = [
        "SELECT parent_id, child_id FROM manifest_children WHERE repository_id = $1 AND parent_id" {in integers 2}
    ];
    REFERRING = [
        "SELECT m.id FROM manifests going
           JOIN manifests m ON m.repository_id = going.repository_id AND m.subject_digest = going.digest
          WHERE going.repository_id = $1 AND going.id" {in integers 2}
    ];
    SIGNING = [
        "SELECT t.manifest_id FROM manifests going
           JOIN tags t ON t.repository_id = going.repository_id
            AND t.name IN (replace(going.digest, ':', '-'), replace(going.digest, ':', '-') || '.sig',
                           replace(going.digest, ':', '-') || '.att', replace(going.digest, ':', '-') || '.sbom')
          WHERE going.repository_id = $1 AND going.id" {in integers 2}
    ];
    BLOBS = [
        "SELECT DISTINCT e.blob_id, b.size FROM manifest_blobs e JOIN blobs b ON b.id = e.blob_id
          WHERE e.repository_id = $1 AND e.manifest_id" {in integers 2}
    ];
    // Each look is a sub-query that a server cannot hash: hashed, it would read all that the account holds.
    NAMED_ELSEWHERE = [
        "SELECT list.value FROM " {integers 2} " AS list
          WHERE (SELECT 1 FROM manifest_blobs e
                  WHERE e.repository_id = $1 AND e.blob_id = list.value
                    AND e.manifest_id NOT IN (SELECT going.value FROM " {integers 3} " AS going) LIMIT 1) IS NOT NULL
             OR (SELECT 1 FROM repository_blobs l
                  WHERE l.account_id = $4 AND l.blob_id = list.value AND l.repository_id <> $1 LIMIT 1) IS NOT NULL"
    ];
    HOLD = [
        "SELECT page.digest, page.touched_at,
                CAST(CASE WHEN page.subject_digest IS NULL THEN 0
                          WHEN EXISTS (SELECT 1 FROM manifests s
                                        WHERE s.repository_id = page.repository_id AND s.digest = page.subject_digest) THEN 1
                          WHEN EXISTS (SELECT 1 FROM trash t
                                        WHERE t.repository_id = page.repository_id AND t.digest = page.subject_digest) THEN 1
                          ELSE 2 END AS BIGINT)
           FROM manifests page WHERE page.repository_id = $1 AND page.id = $2" {update of page}
    ];
    PRESENT = [
        "SELECT COUNT(*) FROM " {texts 2} " AS list
          WHERE EXISTS (SELECT 1 FROM tags t WHERE t.repository_id = $1 AND t.name = list.value)"
    ];
    LAST_PULL = ["SELECT MAX(p.at) FROM last_pulls p WHERE p.manifest_id" {in integers 1}];
    NAMED = ["SELECT parent_id FROM manifest_children WHERE repository_id = $1 AND child_id = $2 LIMIT 1"];
    HOLD_TAGS = ["SELECT name, moved_at FROM tags WHERE repository_id = $1 AND manifest_id = $2 ORDER BY name" {update}];
    PULLED = [
        "INSERT INTO last_pulls (manifest_id, at) SELECT m.id, $2 FROM " {integers 1} " AS list
           JOIN manifests m ON m.id = list.value WHERE true
         ON CONFLICT (manifest_id) DO UPDATE SET at = excluded.at WHERE last_pulls.at < excluded.at"
    ];
}

/// How many tags of one manifest go in one change: with each, what follows it is written too.
const PIECE: usize = 500;

/// Whether a manifest refers to another, its subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refers {
    /// To none.
    #[default]
    Nothing,
    /// To one of the same repository, which may be in the trash.
    Here,
    /// To one that is elsewhere, gone, or was never anywhere.
    Away,
}

impl Refers {
    fn read(number: i64) -> Result<Self, Error> {
        match number {
            0 => Ok(Self::Nothing),
            1 => Ok(Self::Here),
            2 => Ok(Self::Away),
            _ => Err(Error::new(ErrorKind::Corrupt, "manifests.subject_digest")),
        }
    }
}

/// A manifest of a repository as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruled {
    /// The manifest.
    pub id: ManifestId,
    /// Its digest.
    pub digest: Digest,
    /// The size of its own bytes.
    pub size: u64,
    /// When it was last put, in milliseconds since the epoch.
    pub pushed_at: i64,
    /// When it was last pulled, as far as that was written down.
    pub pulled_at: Option<i64>,
    /// Whether it refers to another manifest.
    pub refers: Refers,
    /// Whether somebody holds it.
    pub held: bool,
}

/// What is to be retired: a manifest as it was when that was decided.
#[derive(Clone, Debug)]
pub struct Retire {
    /// The manifest.
    pub manifest: ManifestId,
    /// When it was last put.
    pub pushed_at: i64,
    /// Whether it referred to another.
    pub refers: Refers,
    /// Those of its tags that go, and when each moved there.
    pub tags: Vec<(String, i64)>,
    /// Whether it goes itself.
    pub whole: bool,
    /// Against which of the counts of [`Grounds`] its tags were weighed.
    pub against: Vec<usize>,
    /// When it, or one of these, was last pulled, where rules ask: what was pulled later stays.
    pub pulled: Option<(i64, Vec<ManifestId>)>,
}

/// What was decided by, and not on one manifest alone.
#[derive(Clone, Debug, Default)]
pub struct Grounds {
    /// The rules that held.
    pub policies: Policies,
    /// The tags that were counted as the newest, each count by itself.
    newest: Arc<[BTreeSet<String>]>,
    /// A setting that was decided by, and what it said.
    setting: Option<(&'static str, Option<String>)>,
}

impl Grounds {
    /// The rules, and the tags that were counted as the newest, each count by itself.
    #[must_use]
    pub fn new(policies: Policies, newest: impl Into<Arc<[BTreeSet<String>]>>) -> Self {
        Self { policies, newest: newest.into(), setting: None }
    }

    /// And what a setting said, by which was decided as well.
    #[must_use]
    pub fn and_setting(self, name: &'static str, said: Option<String>) -> Self {
        Self { setting: Some((name, said)), ..self }
    }
}

/// What follows manifests that go, unless something else keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followers {
    /// What refers to them.
    pub referring: Vec<ManifestId>,
    /// What their signature tags point to, once for each of these tags.
    pub signing: Vec<ManifestId>,
}

/// What was retired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// The manifest, unless it is gone or was put again.
    pub digest: Option<Digest>,
    /// The tags that went.
    pub tags: Vec<String>,
    /// Whether the manifest went into the trash.
    pub whole: bool,
    /// Whether there is more of it to take away, by the next change.
    pub more: bool,
}

impl Metadata {
    /// The manifests of a repository after this one, by their ids, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ruled_manifests(
        &self,
        repository: RepositoryId,
        after: ManifestId,
        limit: u32,
    ) -> Result<Vec<Ruled>, Error> {
        let rows = self.rows(&IMAGES, values![repository, after, i64::from(limit)]).await?;
        rows.iter()
            .map(|row| {
                Ok(Ruled {
                    id: ManifestId(row.integer(0)?),
                    digest: row.parsed(1)?,
                    size: row.unsigned(2)?,
                    pushed_at: row.integer(3)?,
                    pulled_at: row.maybe_integer(4)?,
                    refers: Refers::read(row.integer(5)?)?,
                    held: row.truth(6)?,
                })
            })
            .collect()
    }

    /// The tags of a repository after this one, in byte order, at most `limit`: each with its manifest, and when it moved there.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ruled_tags(
        &self,
        repository: RepositoryId,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, ManifestId, i64)>, Error> {
        let rows = self.rows(&TAGS, values![repository, after, i64::from(limit)]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, ManifestId(row.integer(1)?), row.integer(2)?))).collect()
    }

    /// Which manifests these manifests of a repository name, as pairs of parent and child.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn children_of(
        &self,
        repository: RepositoryId,
        parents: impl IntoIterator<Item = ManifestId>,
    ) -> Result<Vec<(ManifestId, ManifestId)>, Error> {
        let parents = json_integers(parents.into_iter().map(|id| id.0));
        let rows = self.rows(&CHILDREN, values![repository, &parents]).await?;
        rows.iter().map(|row| Ok((ManifestId(row.integer(0)?), ManifestId(row.integer(1)?)))).collect()
    }

    /// What follows these manifests of a repository when they go, as [`Tx::purge`] takes it along.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn followers(
        &self,
        repository: RepositoryId,
        going: impl IntoIterator<Item = ManifestId>,
    ) -> Result<Followers, Error> {
        let going = json_integers(going.into_iter().map(|id| id.0));
        let mut followers = Followers::default();
        for (statement, ids) in [(&REFERRING, &mut followers.referring), (&SIGNING, &mut followers.signing)] {
            for row in self.rows(statement, values![repository, &going]).await? {
                ids.push(ManifestId(row.integer(0)?));
            }
        }
        Ok(followers)
    }

    /// The bytes of blobs that nothing in an account names any more once these manifests of a repository are gone, each counted
    /// once. Who else holds them is not told (I6).
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn freed_by(
        &self,
        (repository, account): (RepositoryId, AccountId),
        going: impl IntoIterator<Item = ManifestId>,
    ) -> Result<u64, Error> {
        let going = json_integers(going.into_iter().map(|id| id.0));
        let mut sizes = std::collections::BTreeMap::new();
        for row in self.rows(&BLOBS, values![repository, &going]).await? {
            sizes.insert(row.integer(0)?, row.unsigned(1)?);
        }
        let blobs = json_integers(sizes.keys().copied());
        for row in self.rows(&NAMED_ELSEWHERE, values![repository, &blobs, &going, account]).await? {
            sizes.remove(&row.integer(0)?);
        }
        Ok(sizes.into_values().sum())
    }
}

impl Tx {
    /// Takes away what rules decided on, as far as it is still as it was then: what was put again, held or pulled, a tag that moved,
    /// and a manifest that got another tag or a parent, stay. `None` when other rules hold by now, the setting says something else, or
    /// one of the tags is gone that were counted as the newest where its own were weighed: then nothing goes, and all is to be decided on anew. Of a manifest
    /// that stays itself no more than `PIECE` tags go at a time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn retire(
        &mut self,
        repository: &Repository,
        retire: &Retire,
        grounds: &Grounds,
        now: i64,
    ) -> Result<Option<Retired>, Error> {
        let id = repository.id;
        let Some(held) = self.row(&HOLD, values![id, retire.manifest]).await? else {
            return Ok(Some(Retired::default()));
        };
        let (manifest, digest) = (retire.manifest.0, Some(held.parsed(0)?));
        let mut present = Vec::new();
        for row in self.rows(&HOLD_TAGS, values![id, manifest]).await? {
            present.push((row.text(0)?, row.integer(1)?));
        }
        // Read once everything is held: what was set while this waited for it holds too.
        if !self.stand(id, grounds, &retire.against).await? {
            return Ok(None);
        }
        let is_other = held.integer(1)? != retire.pushed_at || Refers::read(held.integer(2)?)? != retire.refers;
        if is_other || self.was_pulled_since(retire).await? {
            return Ok(Some(Retired::default()));
        }
        let going: HashSet<&(String, i64)> = retire.tags.iter().collect();
        let all_go = present.iter().all(|tag| going.contains(tag));
        let is_free =
            self.row(&NAMED, values![id, manifest]).await?.is_none() && self.holds_on(id, manifest).await?.is_empty();
        if retire.whole && all_go && is_free {
            let tags = self.bury(repository.place(), retire.manifest, PrincipalId::SYSTEM, now).await?;
            return Ok(Some(Retired { digest, tags, whole: true, more: false }));
        }
        let mut tags = Vec::new();
        let mut go = present.into_iter().filter(|tag| going.contains(tag));
        for (name, _) in go.by_ref().take(PIECE) {
            let Ok(tag) = name.parse::<Tag>() else { continue };
            self.remove_tag(id, &tag, PrincipalId::SYSTEM, now).await?;
            tags.push(name);
        }
        Ok(Some(Retired { digest, tags, whole: false, more: go.next().is_some() }))
    }

    /// Whether what was decided by still stands.
    async fn stand(&mut self, repository: RepositoryId, grounds: &Grounds, against: &[usize]) -> Result<bool, Error> {
        if self.policies(repository).await? != grounds.policies {
            return Ok(false);
        }
        if let Some((name, said)) = &grounds.setting
            && self.setting(name).await? != *said
        {
            return Ok(false);
        }
        let counted = against.iter().filter_map(|place| grounds.newest.get(*place));
        let newest: BTreeSet<&str> = counted.flatten().map(String::as_str).collect();
        if newest.is_empty() {
            return Ok(true);
        }
        let row = self.row(&PRESENT, values![repository, &json_texts(newest.iter().copied())]).await?;
        Ok(row.map(|row| row.integer(0)).transpose()? == i64::try_from(newest.len()).ok())
    }

    async fn was_pulled_since(&mut self, retire: &Retire) -> Result<bool, Error> {
        let Some((at, of)) = &retire.pulled else { return Ok(false) };
        let of = json_integers(of.iter().map(|id| id.0));
        let row = self.row(&LAST_PULL, values![&of]).await?;
        let last = row.map(|row| row.maybe_integer(0)).transpose()?.flatten();
        Ok(last.is_some_and(|last| last > *at))
    }

    /// Writes down that these manifests were pulled, at latest at this time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_pulls(&mut self, manifests: &[ManifestId], at: i64) -> Result<(), Error> {
        let mut ids: Vec<i64> = manifests.iter().map(|id| id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        self.execute(&PULLED, values![&json_integers(ids), at]).await.map(drop)
    }
}
