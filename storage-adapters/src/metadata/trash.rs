//! The trash: every manifest that goes, goes through here, whoever takes it away, and stays for a window in which it can come
//! back. It pins its bytes in the account, not its links: what was deleted is absent at once.

use hallmark_oci::{Digest, Tag};

use super::candidates::Item;
use super::error::{Error, ErrorKind};
use super::events::Event;
use super::generations::Slot;
use super::repositories::Repository;
use super::rows::{AccountId, ManifestId, PrincipalId, RepositoryId};
use super::statement::{Engine, Statement, statements};
use super::tx::Tx;
use super::usage::Scope;
use super::value::{Value, json_texts, values};

/// How many of those that refer to a manifest one transaction asks to be looked at.
const PAGE: i64 = 500;
/// How long one claim of a manifest in the trash holds: longer than the longest run.
const CLAIM: i64 = 20 * 60 * 1_000;
/// How long the end of a window is put off that something else in the trash holds up, in milliseconds.
const HELD_UP: i64 = 60 * 60 * 1_000;

statements! {
    HOLD_TAGS = ["SELECT name FROM tags WHERE repository_id = $1 AND manifest_id = $2 ORDER BY name" {update}];
    RECORD_TAGS = [
        "INSERT INTO tag_history (repository_id, name, version, digest, at, actor_id)
         SELECT repository_id, name, version + 1, NULL, CASE WHEN moved_at >= $3 THEN moved_at + 1 ELSE $3 END, $4
           FROM tags WHERE repository_id = $1 AND manifest_id = $2"
    ];
    DELETE_TAGS = ["DELETE FROM tags WHERE repository_id = $1 AND manifest_id = $2"];
    KEEP = [
        "INSERT INTO trash (id, repository_id, digest, media_type, artifact_type, subject_digest, referrer, size, body, tags,
                            deleted_at, deleted_by, purge_at)
         SELECT $3, repository_id, digest, media_type, artifact_type, subject_digest, referrer, size, body, $4, $5, $6, $7
           FROM manifests WHERE repository_id = $1 AND id = $2"
    ];
    KEEP_BLOBS = [
        "INSERT INTO trash_blobs (trash_id, account_id, blob_id, repository_id)
         SELECT $3, $4, blob_id, repository_id FROM manifest_blobs WHERE repository_id = $1 AND manifest_id = $2"
    ];
    KEEP_CHILDREN = [
        "INSERT INTO trash_children (trash_id, repository_id, child_digest)
         SELECT $3, e.repository_id, c.digest FROM manifest_children e
           JOIN manifests c ON c.repository_id = e.repository_id AND c.id = e.child_id
          WHERE e.repository_id = $1 AND e.parent_id = $2"
    ];
    BLOBS = [
        "SELECT e.blob_id, b.digest FROM manifest_blobs e JOIN blobs b ON b.id = e.blob_id
          WHERE e.repository_id = $1 AND e.manifest_id = $2 ORDER BY e.blob_id"
    ];
    CHILDREN = ["SELECT child_id FROM manifest_children WHERE repository_id = $1 AND parent_id = $2"];
    DELETE = ["DELETE FROM manifests WHERE repository_id = $1 AND id = $2"];
    CLAIM_DUE = [
        "UPDATE trash SET leased_until = $2 WHERE leased_until <= $1 AND id IN
           (SELECT page.id FROM trash page WHERE page.purge_at <= $1 AND page.leased_until <= $1
             ORDER BY page.purge_at LIMIT $3" {skip} ")
         RETURNING id, repository_id"
    ];
    HOLD_DUE = ["SELECT digest, deleted_at, referrers_after, size FROM trash WHERE id = $1 AND purge_at <= $2" {update}];
    LIVES = ["SELECT id FROM manifests WHERE repository_id = $1 AND digest = $2"];
    HOLDING = [
        "SELECT MAX(p.purge_at) FROM trash_children c JOIN trash p ON p.id = c.trash_id
          WHERE c.repository_id = $1 AND c.child_digest = $2"
    ];
    PUT_OFF = ["UPDATE trash SET purge_at = $2, leased_until = 0 WHERE id = $1"];
    REFERRING = [
        "SELECT id FROM manifests
          WHERE repository_id = $1 AND subject_digest = $2 AND id > $3 AND touched_at <= $4 ORDER BY id LIMIT $5"
    ];
    COME_SO_FAR = ["UPDATE trash SET referrers_after = $2 WHERE id = $1"];
    HOLD_SIGNING = [
        "SELECT name, manifest_id FROM tags
          WHERE repository_id = $1 AND moved_at <= $3 AND name" {in texts 2} " ORDER BY name" {update}
    ];
    PUT_SINCE = ["SELECT id FROM manifests WHERE repository_id = $1 AND id = $2 AND touched_at > $3"];
    NAMED = ["SELECT blob_id FROM trash_blobs WHERE trash_id = $1"];
    REPOSITORY = ["SELECT account_id FROM repositories WHERE id = $1" {share}];
    FORGET = ["DELETE FROM trash WHERE id = $1"];
    REPLACED = [
        {on_sqlite "DELETE FROM trash WHERE repository_id = $1 AND digest = $2"}
        {on_postgres
         "WITH gone AS (DELETE FROM trash WHERE repository_id = $1 AND digest = $2 RETURNING id)
          INSERT INTO usage_entries (scope, scope_id, id, bytes)
          SELECT list.scope, list.scope_id, list.id, $6
            FROM (VALUES ('repository', $1, $4), ('account', $3, $5)) AS list (scope, scope_id, id)
           WHERE NOT EXISTS (SELECT 1 FROM gone)"}
    ];
}

/// A manifest in the trash whose window is over, claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueTrash {
    id: i64,
    repository: RepositoryId,
}

/// What became of a manifest in the trash whose window is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// It is gone.
    Ended,
    /// It is to be asked for again at once: more refers to it than one change asks to be looked at.
    Begun,
    /// It is left: an index in the trash names it, or it was brought back, or its repository is gone.
    Left,
}

impl Tx {
    /// Puts a manifest that is locked into the trash, with the names of the tags that pointed to it, which go: the one way out
    /// for whoever deletes it, be it a user, a rule or the collector. Which tags those were. What it named is looked at
    /// once whoever was told of it has had time to name it again.
    pub(super) async fn bury(
        &mut self,
        (repository, account): (RepositoryId, AccountId),
        manifest: ManifestId,
        actor: PrincipalId,
        now: i64,
    ) -> Result<Vec<String>, Error> {
        let key = [Value::from(repository), Value::from(manifest)];
        let tags = self.take_tags(&key, actor, now).await?;
        let (id, graces) = (self.id()?, self.graces());
        let names = json_texts(tags.iter().map(String::as_str));
        let purge_at = now.saturating_add(graces.window);
        self.execute(&KEEP, &[key[0], key[1], id.into(), (&names).into(), now.into(), actor.into(), purge_at.into()])
            .await?;
        self.execute(&KEEP_BLOBS, &[key[0], key[1], id.into(), account.into()]).await?;
        self.execute(&KEEP_CHILDREN, &[key[0], key[1], id.into()]).await?;
        let mut blobs = Vec::new();
        for row in self.rows(&BLOBS, &key).await? {
            blobs.push(row.integer(0)?);
            // Whether a blob is shown hangs on who names it.
            self.touch(Slot::blob(&row.parsed::<Digest>(1)?));
        }
        let children = self.numbers(&CHILDREN, &key).await?;
        if self.execute(&DELETE, &key).await? != 1 {
            return Err(Error::new(ErrorKind::Failed, "a manifest that is locked was gone"));
        }
        self.touch(Slot::repository(repository));
        self.candidates(Item::Link, repository.0, blobs, now + graces.margin).await?;
        self.orphans(repository.0, children, now + graces.margin).await?;
        Ok(tags)
    }

    /// Takes away the tags of a manifest that is locked. They are locked as well before history is written: one that
    /// moves away meanwhile must not be recorded as deleted.
    async fn take_tags(&mut self, key: &[Value<'_>; 2], actor: PrincipalId, now: i64) -> Result<Vec<String>, Error> {
        let tags = self.rows(&HOLD_TAGS, key).await?;
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        self.execute(&RECORD_TAGS, &[key[0], key[1], now.into(), actor.into()]).await?;
        self.execute(&DELETE_TAGS, key).await?;
        tags.iter().map(|row| row.text(0)).collect()
    }

    async fn numbers(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<Vec<i64>, Error> {
        self.rows(statement, values).await?.iter().map(|row| row.integer(0)).collect()
    }

    /// Forgets what the trash holds of a manifest that was put, and whose row is new: the same bytes name the same things, and are
    /// charged already. Else they are charged now.
    pub(super) async fn replace_trashed(
        &mut self,
        (repository, account): (RepositoryId, AccountId),
        digest: &Digest,
        size: i64,
    ) -> Result<(), Error> {
        if self.engine() == Engine::Postgres {
            let ids = (self.id()?, self.id()?);
            let replaced = values![repository, digest, account, ids.0, ids.1, size];
            if self.execute(&REPLACED, replaced).await? > 0 {
                self.charges().add(Scope::Repository(repository), size);
                self.charges().add(Scope::Account(account), size);
            }
            return Ok(());
        }
        if self.execute(&REPLACED, values![repository, digest]).await? == 0 {
            self.charge_both((repository, account), size).await?;
        }
        Ok(())
    }

    /// Claims at most `limit` manifests in the trash whose window is over. A claim that nothing follows ends by itself.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_trash(&mut self, now: i64, limit: u32) -> Result<Vec<DueTrash>, Error> {
        let rows = self.rows(&CLAIM_DUE, values![now, now.saturating_add(CLAIM), i64::from(limit)]).await?;
        rows.iter().map(|row| Ok(DueTrash { id: row.integer(0)?, repository: RepositoryId(row.integer(1)?) })).collect()
    }

    /// Ends the window of a manifest in the trash that was claimed, or comes a step closer to it. What referred to it when it was
    /// deleted, and its signatures in tags of the form `sha256-….sig`, go with it; its bytes are looked at. What was pushed
    /// since is not its own: that belongs to the manifest that whoever pushed it knows of.
    ///
    /// # Errors
    /// The database failed.
    pub async fn purge(&mut self, due: &DueTrash, now: i64) -> Result<Purge, Error> {
        let DueTrash { id, repository } = *due;
        // The repository comes before what is in it, as for whoever empties it.
        let Some(account) = self.row(&REPOSITORY, values![repository]).await? else { return Ok(Purge::Left) };
        let Some(held) = self.row(&HOLD_DUE, values![id, now]).await? else { return Ok(Purge::Left) };
        let (digest, deleted_at) = (held.parsed::<Digest>(0)?, held.integer(1)?);
        let holding = self.row(&HOLDING, values![repository, &digest]).await?;
        if let Some(until) = holding.and_then(|row| row.maybe_integer(0).transpose()).transpose()? {
            // An index in the trash can come back only whole.
            let purge_at = if until > now { until } else { now + HELD_UP };
            self.execute(&PUT_OFF, values![id, purge_at]).await?;
            return Ok(Purge::Left);
        }
        let mut unneeded = Vec::new();
        // A release that knows no trash takes nothing out of it when it puts a manifest again.
        if self.row(&LIVES, values![repository, &digest]).await?.is_none() {
            unneeded =
                self.numbers(&REFERRING, values![repository, &digest, held.integer(2)?, deleted_at, PAGE]).await?;
            if unneeded.len() as i64 == PAGE
                && let Some(last) = unneeded.last().copied()
            {
                self.execute(&COME_SO_FAR, values![id, last]).await?;
                self.orphans(repository.0, unneeded, now).await?;
                return Ok(Purge::Begun);
            }
            unneeded.extend(self.untag_signatures(repository, &digest, (deleted_at, now)).await?);
        }
        let mut blobs = Vec::new();
        for row in self.rows(&NAMED, values![id]).await? {
            blobs.push(row.integer(0)?);
        }
        let account = AccountId(account.integer(0)?);
        self.hold_in_account(account, blobs.iter().copied()).await?;
        self.execute(&FORGET, values![id]).await?;
        self.charge_both((repository, account), -held.integer(3)?).await?;
        self.release_blobs((repository, account), blobs.iter().copied()).await?;
        self.orphans(repository.0, unneeded, now).await?;
        self.candidates(Item::Account, account.0, blobs, now).await?;
        let event = Event::of_system("manifest_purged", digest.as_str(), now);
        self.record(&Event { account: Some(account), repository: Some(repository), ..event }).await?;
        Ok(Purge::Ended)
    }

    /// Takes away the tags by which signatures and the like of a manifest are found, for clients that do not ask for its
    /// referrers; the manifests that they pointed to. Those that were pushed after it was deleted stay.
    async fn untag_signatures(
        &mut self,
        id: RepositoryId,
        digest: &Digest,
        (deleted_at, now): (i64, i64),
    ) -> Result<Vec<i64>, Error> {
        let stem = digest.as_str().replacen(':', "-", 1);
        let names = ["", ".sig", ".att", ".sbom"].map(|suffix| format!("{stem}{suffix}"));
        let names = json_texts(names.iter().map(String::as_str));
        let mut pointed_at = Vec::new();
        for row in self.rows(&HOLD_SIGNING, values![id, &names, deleted_at]).await? {
            let (tag, manifest) = (row.parsed::<Tag>(0)?, row.integer(1)?);
            // Pushed again, a tag that already pointed there does not move.
            if self.row(&PUT_SINCE, values![id, manifest, deleted_at]).await?.is_none() {
                pointed_at.push(manifest);
                self.remove_tag(id, &tag, PrincipalId::SYSTEM, now).await?;
            }
        }
        Ok(pointed_at)
    }
}

impl Repository {
    /// Where it is and in which account.
    pub(super) fn place(&self) -> (RepositoryId, AccountId) {
        (self.id, self.account_id)
    }
}
