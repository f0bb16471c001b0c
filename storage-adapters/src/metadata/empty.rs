//! A deleted repository is emptied in batches once its window is over, and its row is removed last.

use super::candidates::Item;
use super::error::Error;
use super::events::Event;
use super::rows::{AccountId, RepositoryId};
use super::sql::Row;
use super::statement::{Statement, statements};
use super::tx::Tx;
use super::usage::Scope;
use super::value::values;

/// How long a repository that cannot be emptied is left alone, in milliseconds.
const PUT_OFF_FOR: i64 = 60 * 60 * 1_000;

statements! {
    NEXT = [
        "SELECT id, account_id FROM repositories
          WHERE purge_at IS NOT NULL AND purge_at <= $1 AND empty_after <= $1 ORDER BY purge_at LIMIT 1" {skip}
    ];
    NEXT_WITH_ROBOTS = [
        "SELECT id, account_id FROM repositories WHERE deleted_at IS NOT NULL AND empty_after <= $1 AND EXISTS
           (SELECT 1 FROM robots b WHERE b.repository_id = repositories.id) ORDER BY deleted_at LIMIT 1" {skip}
    ];
    PUT_OFF = ["UPDATE repositories SET empty_after = $2 WHERE id = $1"];
    DATE = ["UPDATE repositories SET purge_at = deleted_at + $1 WHERE purge_at IS NULL AND deleted_at IS NOT NULL"];
    NO_WAY_BACK = ["UPDATE repositories SET purge_at = 0 WHERE id = $1 AND purge_at <> 0"];
    UPLOADS = [
        "DELETE FROM uploads WHERE id IN (SELECT page.id FROM uploads page WHERE page.repository_id = $1 LIMIT $2)
         RETURNING storage_key, tail_key, multipart_id"
    ];
    TAGS = [
        "DELETE FROM tags WHERE repository_id = $1 AND name IN
           (SELECT page.name FROM tags page WHERE page.repository_id = $1 ORDER BY page.name LIMIT $2)"
    ];
    PINS = ["DELETE FROM holds WHERE repository_id = $1 AND kind = 'pin' AND manifest_id IN
           (SELECT page.manifest_id FROM holds page WHERE page.repository_id = $1 ORDER BY page.manifest_id LIMIT $2)"
    ];
    MANIFESTS = [
        "DELETE FROM manifests WHERE repository_id = $1 AND id IN
           (SELECT page.id FROM manifests page WHERE page.repository_id = $1 AND NOT EXISTS
              (SELECT 1 FROM manifest_children e WHERE e.repository_id = $1 AND e.child_id = page.id) LIMIT $2)
         RETURNING size"
    ];
    TRASH = [
        "DELETE FROM trash WHERE repository_id = $1 AND digest IN
           (SELECT page.digest FROM trash page WHERE page.repository_id = $1 ORDER BY page.digest LIMIT $2)
         RETURNING size"
    ];
    TRASHED = [
        "SELECT DISTINCT b.blob_id FROM trash_blobs b WHERE b.trash_id IN
           (SELECT page.id FROM trash page WHERE page.repository_id = $1 ORDER BY page.digest LIMIT $2)"
    ];
    LINKS = [
        "DELETE FROM repository_blobs WHERE repository_id = $1 AND blob_id IN
           (SELECT page.blob_id FROM repository_blobs page WHERE page.repository_id = $1 ORDER BY page.blob_id LIMIT $2)
         RETURNING blob_id"
    ];
    HISTORY = [
        "DELETE FROM tag_history WHERE repository_id = $1 AND name IN
           (SELECT page.name FROM tag_history page WHERE page.repository_id = $1 ORDER BY page.name LIMIT $2)"
    ];
    REMOVE = ["DELETE FROM repositories WHERE id = $1 AND deleted_at IS NOT NULL"];
}

impl Tx {
    /// Takes at most `limit` things of one kind out of a repository that was deleted and can no longer be brought back, or
    /// its row when nothing is left in it; whether there was such a repository. Two replicas work on different ones.
    ///
    /// # Errors
    /// The database failed.
    pub async fn empty_deleted_repository(&mut self, now: i64, limit: u32) -> Result<bool, Error> {
        if self.remove_robots_of_deleted(now, limit).await? {
            return Ok(true);
        }
        let Some(row) = self.row(&NEXT, values![now]).await? else { return Ok(false) };
        let (repository, account, limit) = (row.integer(0)?, row.integer(1)?, i64::from(limit));
        let place = (RepositoryId(repository), AccountId(account));
        // Whose clock is behind must not bring back half of it.
        self.execute(&NO_WAY_BACK, values![repository]).await?;
        let uploads = self.rows(&UPLOADS, values![repository, limit]).await?;
        for upload in &uploads {
            self.doom_upload(upload, now).await?;
        }
        if !uploads.is_empty() {
            return Ok(true);
        }
        // In the order in which nothing is named any more: tags, indexes before their children, links.
        for statement in [&TAGS, &PINS] {
            if self.execute(statement, values![repository, limit]).await? > 0 {
                return Ok(true);
            }
        }
        if self.take_sizes(&MANIFESTS, place, limit).await? {
            return Ok(true);
        }
        let trashed = numbers(&self.rows(&TRASHED, values![repository, limit]).await?)?;
        self.hold_in_account(place.1, trashed.iter().copied()).await?;
        if self.take_sizes(&TRASH, place, limit).await? {
            self.release_blobs(place, trashed.iter().copied()).await?;
            self.candidates(Item::Account, account, trashed, now).await?;
            return Ok(true);
        }
        // With no trash left, what is not linked is gone.
        let links = numbers(&self.rows(&LINKS, values![repository, limit]).await?)?;
        if !links.is_empty() {
            self.release_blobs(place, links.iter().copied()).await?;
            self.candidates(Item::Account, account, links, now).await?;
            return Ok(true);
        }
        if self.execute(&HISTORY, values![repository, limit]).await? == 0
            && self.execute(&REMOVE, values![repository]).await? == 1
        {
            self.forget_usage(Scope::Repository(place.0)).await?;
        }
        Ok(true)
    }

    /// Takes away what a statement does, and its bytes off the repository and its account; whether it was anything.
    async fn take_sizes(
        &mut self,
        statement: &Statement,
        place: (RepositoryId, AccountId),
        limit: i64,
    ) -> Result<bool, Error> {
        let taken = numbers(&self.rows(statement, values![place.0, limit]).await?)?;
        self.charge_both(place, -taken.iter().sum::<i64>()).await?;
        Ok(!taken.is_empty())
    }

    /// Leaves the deleted repository whose turn it is alone for an hour: what is in it could not be taken out, and others wait
    /// behind it. Whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_emptying_off(&mut self, now: i64) -> Result<bool, Error> {
        let next = match self.row(&NEXT_WITH_ROBOTS, values![now]).await? {
            None => self.row(&NEXT, values![now]).await?,
            next => next,
        };
        let Some(row) = next else { return Ok(false) };
        self.execute(&PUT_OFF, values![row.integer(0)?, now.saturating_add(PUT_OFF_FOR)]).await?;
        Ok(true)
    }

    /// Gives a window to repositories that the release before this deleted, which knows none; how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn date_deleted_repositories(&mut self) -> Result<u64, Error> {
        let window = self.graces().window;
        self.execute(&DATE, values![window]).await
    }

    /// Takes away robots that were too many for the change that deleted their repository: those do not wait for a window, since
    /// they could still sign in. Whether there were any.
    async fn remove_robots_of_deleted(&mut self, now: i64, limit: u32) -> Result<bool, Error> {
        let Some(row) = self.row(&NEXT_WITH_ROBOTS, values![now]).await? else { return Ok(false) };
        let robots = self.robots_of(RepositoryId(row.integer(0)?), i64::from(limit)).await?;
        self.remove_robots(robots.iter().map(|(robot, _)| robot.id), now).await?;
        for (robot, login) in &robots {
            let removed = Event::of_system("robot_removed", login, now);
            self.record(&Event { account: Some(robot.account_id), ..removed }).await?;
        }
        Ok(true)
    }
}

fn numbers(rows: &[Row]) -> Result<Vec<i64>, Error> {
    rows.iter().map(|row| row.integer(0)).collect()
}
