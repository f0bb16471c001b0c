//! What the registry signs by itself, and the checks that were reported.

use hallmark_oci::{Digest, Tag};

use super::database::Metadata;
use super::error::Error;
use super::rows::{PrincipalId, RepositoryId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::{json_integers, values};

statements! {
    RULES = [
        "SELECT id, holder, check_name, made_at FROM sign_rules WHERE repository_id = $1 AND id > $2 ORDER BY id LIMIT $3"
    ];
    ADD = [
        "INSERT INTO sign_rules (id, repository_id, holder_id, holder, check_name, made_at) VALUES ($1, $2, $3, $4, $5, $6)"
    ];
    REMOVE = ["DELETE FROM sign_rules WHERE repository_id = $1 AND id = $2"];
    RULED = [
        "SELECT DISTINCT r.repository_id FROM " {integers 1} " AS list
           JOIN sign_rules r ON r.repository_id = list.value"
    ];
    OF_PUSH = [
        "SELECT r.holder FROM sign_rules r
          WHERE r.repository_id = $1 AND r.check_name IS NULL AND r.made_at <= $3
            AND (r.holder_id = $2
                 OR EXISTS (SELECT 1 FROM team_members m WHERE m.team_id = r.holder_id AND m.user_id = $2))
          ORDER BY r.id LIMIT 1"
    ];
    OF_CHECK = [
        "SELECT r.holder, r.check_name FROM checks c
           JOIN sign_rules r ON r.repository_id = c.repository_id AND r.check_name = c.name
          WHERE c.repository_id = $1 AND c.digest = $2 AND c.at <= $3 AND r.made_at <= $3
            AND (r.holder_id = c.reporter_id
                 OR EXISTS (SELECT 1 FROM team_members m WHERE m.team_id = r.holder_id AND m.user_id = c.reporter_id))
          ORDER BY r.id LIMIT 1"
    ];
    NAMED = [
        "SELECT MAX(r.made_at) FROM sign_rules r
          WHERE r.repository_id = $1 AND r.check_name = $2
            AND (r.holder_id = $3
                 OR EXISTS (SELECT 1 FROM team_members m WHERE m.team_id = r.holder_id AND m.user_id = $3))"
    ];
    CHECK = [
        "INSERT INTO checks (repository_id, digest, name, reporter_id, at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (repository_id, digest, name, reporter_id) DO UPDATE SET at = excluded.at"
    ];
    TAGS_OF = [
        "SELECT t.name FROM manifests m JOIN tags t ON t.repository_id = m.repository_id AND t.manifest_id = m.id
          WHERE m.repository_id = $1 AND m.digest = $2 ORDER BY t.name LIMIT $3"
    ];
    HOLDS = [
        "SELECT MAX(t.moved_at) FROM manifests m
           LEFT JOIN tags t ON t.repository_id = m.repository_id AND t.manifest_id = m.id
          WHERE m.repository_id = $1 AND m.digest = $2 GROUP BY m.id"
    ];
    REPORTED = [
        "SELECT at FROM checks WHERE repository_id = $1 AND digest = $2 AND name = $3 AND reporter_id = $4"
    ];
    COUNT = ["SELECT COUNT(*) FROM sign_rules WHERE repository_id = $1"];
}

/// A rule of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignRule {
    /// By which it is removed.
    pub id: i64,
    /// Whose pushes, or whose reports, as holders of grants are written.
    pub holder: String,
    /// The check that must have passed; `None`: whatever the holder pushes is signed.
    pub check: Option<String>,
    /// When it was made, in milliseconds since the epoch.
    pub made_at: i64,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// A rule names it, and it is remembered.
    Kept {
        /// As of when, in milliseconds since the epoch: never before a tag of the manifest came to it.
        at: i64,
    },
    /// It is remembered already, and neither a tag nor a rule is newer: nothing has changed.
    Known,
    /// No rule of the repository names this check of this reporter: nothing has changed.
    Unnamed,
    /// The repository has no such manifest.
    Unknown,
}

impl Metadata {
    /// The rules of a repository, at most `limit` after this one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sign_rules(&self, repository: RepositoryId, after: i64, limit: u32) -> Result<Vec<SignRule>, Error> {
        let rule = |row: &Row| {
            let (id, holder, check) = (row.integer(0)?, row.text(1)?, row.maybe_text(2)?);
            Ok(SignRule { id, holder, check, made_at: row.integer(3)? })
        };
        self.rows(&RULES, values![repository, after, i64::from(limit)]).await?.iter().map(rule).collect()
    }

    /// Those of these repositories that have rules.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn with_sign_rules(
        &self,
        repositories: impl IntoIterator<Item = RepositoryId>,
    ) -> Result<Vec<RepositoryId>, Error> {
        let ids = json_integers(repositories.into_iter().map(|id| id.0));
        self.rows(&RULED, values![&ids]).await?.iter().map(|row| row.integer(0).map(RepositoryId)).collect()
    }

    /// Whose rule signs what this principal pushed to a repository at this time; the first of those that were there then.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sign_rule_of_push(
        &self,
        repository: RepositoryId,
        by: PrincipalId,
        at: i64,
    ) -> Result<Option<String>, Error> {
        self.row(&OF_PUSH, values![repository, by, at]).await?.map(|row| row.text(0)).transpose()
    }

    /// Whose rule signs a digest of a repository for a check that it had passed at this time, and the check.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sign_rule_of_check(
        &self,
        repository: RepositoryId,
        digest: &Digest,
        at: i64,
    ) -> Result<Option<(String, String)>, Error> {
        let row = self.row(&OF_CHECK, values![repository, digest, at]).await?;
        row.map(|row| Ok((row.text(0)?, row.text(1)?))).transpose()
    }

    /// The tags that point to a digest of a repository, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn tags_of(&self, repository: RepositoryId, digest: &Digest, limit: u32) -> Result<Vec<Tag>, Error> {
        let rows = self.rows(&TAGS_OF, values![repository, digest, i64::from(limit)]).await?;
        rows.iter().map(|row| row.parsed(0)).collect()
    }
}

impl Tx {
    /// Makes a rule of a repository, which the caller holds; `None` when it has `most` already.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_sign_rule(
        &mut self,
        repository: RepositoryId,
        (holder_id, holder): (PrincipalId, &str),
        check: Option<&str>,
        (now, most): (i64, i64),
    ) -> Result<Option<SignRule>, Error> {
        let count = self.row(&COUNT, values![repository]).await?.map_or(Ok(0), |row| row.integer(0))?;
        if count >= most {
            return Ok(None);
        }
        let id = self.id()?;
        self.execute(&ADD, values![id, repository, holder_id, holder, check, now]).await?;
        let (holder, check) = (holder.to_owned(), check.map(str::to_owned));
        Ok(Some(SignRule { id, holder, check, made_at: now }))
    }

    /// Removes a rule; whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_sign_rule(&mut self, repository: RepositoryId, id: i64) -> Result<bool, Error> {
        Ok(self.execute(&REMOVE, values![repository, id]).await? == 1)
    }

    /// Remembers that somebody reports a check of a manifest as passed, where a rule names it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn report_check(
        &mut self,
        repository: RepositoryId,
        digest: &Digest,
        (name, reporter): (&str, PrincipalId),
        now: i64,
    ) -> Result<Reported, Error> {
        let Some(held) = self.row(&HOLDS, values![repository, digest]).await? else { return Ok(Reported::Unknown) };
        let moved_at = held.maybe_integer(0)?;
        let ruled = self.row(&NAMED, values![repository, name, reporter]).await?;
        let Some(made_at) = ruled.map(|row| row.maybe_integer(0)).transpose()?.flatten() else {
            return Ok(Reported::Unnamed);
        };
        let newest = moved_at.map_or(made_at, |moved_at| moved_at.max(made_at));
        let told = self.row(&REPORTED, values![repository, digest, name, reporter]).await?;
        if told.map(|row| row.integer(0)).transpose()?.is_some_and(|told| told >= newest) {
            return Ok(Reported::Known);
        }
        // Times of moves are forced to rise, and may be a little ahead of the clock.
        let at = newest.max(now);
        self.execute(&CHECK, values![repository, digest, name, reporter, at]).await?;
        Ok(Reported::Kept { at })
    }
}
