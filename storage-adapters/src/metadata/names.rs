//! Names that were released lately: of accounts that were removed, of repositories that were deleted or renamed. Others pull
//! by them, and trust what they find there, so a newcomer does not get them at once.

use std::sync::atomic::{AtomicI64, Ordering};

use super::database::Metadata;
use super::error::Error;
use super::graces::Waits;
use super::quotas::AccountQuota;
use super::rows::{AccountId, RepositoryId};
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

/// How long a released name rests when nothing else is said, in milliseconds: fourteen days.
const REST: i64 = 14 * 24 * 60 * 60 * 1_000;

statements! {
    RELEASE = [
        "INSERT INTO resting_names (kind, name, account_id, repository_id, released_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (kind, name) DO UPDATE SET account_id = excluded.account_id,
           repository_id = excluded.repository_id, released_at = excluded.released_at"
    ];
    FIND = [
        "SELECT account_id, repository_id, released_at FROM resting_names
          WHERE kind = $1 AND name = $2 AND released_at > $3"
    ];
    FORGET = [
        "DELETE FROM resting_names WHERE released_at <= $1 AND (kind, name) IN
           (SELECT page.kind, page.name FROM resting_names page WHERE page.released_at <= $1 LIMIT $2)"
    ];
}

/// What a name is of. Users and organizations share one list of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A user or an organization.
    Account,
    /// A repository.
    Repository,
}

impl NameKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Repository => "repository",
        }
    }
}

/// A name that rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestingName {
    /// The account that released it: itself, or the one that its repository is or was in.
    pub account: AccountId,
    /// The repository that released it, which lives on when it was renamed.
    pub repository: Option<RepositoryId>,
    /// Until when it rests, in milliseconds since the epoch.
    pub until: i64,
}

/// How long names rest, in milliseconds, for all changes of one database, what else waits before it goes, and what accounts begin with.
#[derive(Debug)]
pub(super) struct Rest {
    names: AtomicI64,
    pub(super) graces: Waits,
    pub(super) account_quota: AccountQuota,
}

impl Default for Rest {
    fn default() -> Self {
        Self { names: AtomicI64::new(REST), graces: Waits::default(), account_quota: AccountQuota::default() }
    }
}

impl Rest {
    fn milliseconds(&self) -> i64 {
        self.names.load(Ordering::Relaxed)
    }
}

impl Metadata {
    /// Says how long released names rest, in milliseconds, those too that were released before; 0: not at all.
    pub fn let_names_rest(&self, milliseconds: i64) {
        self.rest().names.store(milliseconds.max(0), Ordering::Relaxed);
    }

    /// Whether a name was released so lately that it rests at `now`, as it stands: to be told, not to be relied on.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn name_rests(&self, kind: NameKind, name: &str, now: i64) -> Result<bool, Error> {
        let since = now.saturating_sub(self.rest().milliseconds());
        Ok(self.row(&FIND, values![kind.word(), name, since]).await?.is_some())
    }
}

impl Tx {
    /// The name, when it was released so lately that it rests at `now`. Whoever has just taken it asks this, and gives it up
    /// when it is not for them: asked before, it would miss a name that is released at the same time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn resting_name(&mut self, kind: NameKind, name: &str, now: i64) -> Result<Option<RestingName>, Error> {
        let rest = self.rest().milliseconds();
        let row = self.row(&FIND, values![kind.word(), name, now.saturating_sub(rest)]).await?;
        row.map(|row| {
            Ok(RestingName {
                account: AccountId(row.integer(0)?),
                repository: row.maybe_integer(1)?.map(RepositoryId),
                until: row.integer(2)?.saturating_add(rest),
            })
        })
        .transpose()
    }

    /// Writes down that a name was released.
    pub(super) async fn release_name(
        &mut self,
        (kind, name): (NameKind, &str),
        (account, repository): (AccountId, Option<RepositoryId>),
        now: i64,
    ) -> Result<(), Error> {
        let repository = repository.map(|repository| repository.0);
        self.execute(&RELEASE, values![kind.word(), name, account, repository, now]).await.map(drop)
    }

    /// Forgets names that have rested, at most `limit`; how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_rested_names(&mut self, now: i64, limit: u32) -> Result<u64, Error> {
        let before = now.saturating_sub(self.rest().milliseconds());
        self.execute(&FORGET, values![before, i64::from(limit)]).await
    }
}
