//! What accounts and repositories hold, in bytes, and how much room is reserved in them.
//!
//! **What is charged.** An account is charged for each blob it holds, once, from its first link in one of its repositories until
//! the collector takes it out of the account, which is not before it has left the trash; and for every manifest in its
//! repositories and their trash. A repository is charged for each blob that it links or that something in its trash names, once,
//! and for its manifests. A manifest counts where it stands: its bytes are a column, kept once for each repository.
//!
//! **How.** Every change appends entries, in the transaction and by the row count of the statement that made or took away what they
//! are about; no row is changed by two pushes. A job folds entries into totals. What an upload reserves is one entry in each place, which
//! it alone changes. Bytes in use are the total and the entries, read by one statement.
//!
//! **Hard limits.** *Reserve, commit, look.* Whoever adds bytes first commits a reservation of at least so many, then reads use and
//! reservations in a new transaction, and goes on only when both together are within the limit; what it then charges replaces the
//! reservation in one transaction, and is no more than that ([`Tx::is_covered`]). So a limit is passed by nothing that looked: take
//! all charges and accepted reservations that stand at some moment, and of these the reservation that was committed last. Its
//! look came after, and saw every other one, either as a reservation or as the charge that took its place, which is no greater. The
//! sum was within the limit then, and it is the sum now. What was deleted meanwhile makes it only smaller. Two who reserve at the brink may both be refused, and never both
//! be let in. A reservation whose look never came, since its process ended, lets nobody in: it counts against all others until the
//! upload expires, and whoever leases the upload gives it back down to the bytes that are there. A limit can be passed only by what did
//! not look: what was there when it was set, and changes that had read that there is none before it was committed, which are at most the
//! pushes in flight at that moment.

use hallmark_oci::UploadId;

use super::database::Metadata;
use super::error::{Error, ErrorKind};
use super::rows::{AccountId, RepositoryId};
use super::sql::Row;
use super::statement::{Engine, statements};
use super::tx::Tx;
use super::value::{json_integers, values};

statements! {
    CHARGE = ["INSERT INTO usage_entries (scope, scope_id, id, bytes) VALUES ($1, $2, $3, $4)"];
    RESERVE = ["INSERT INTO usage_entries (scope, scope_id, id, bytes, upload_id) VALUES ($1, $2, $3, $4, $5)"];
    // One entry says it, also where another process wrote several.
    RESERVE_ANEW = [
        "UPDATE usage_entries SET bytes = CASE WHEN id =
             (SELECT MIN(e.id) FROM usage_entries e WHERE e.scope = $1 AND e.scope_id = $2 AND e.upload_id = $3)
           THEN $4 ELSE 0 END
          WHERE scope = $1 AND scope_id = $2 AND upload_id = $3"
    ];
    // A statement of its own, behind the one that takes the lease: that one sees only what was there before it waited for the row.
    RESERVED = [
        "SELECT r.account_id,
                (SELECT q.hard FROM quotas q WHERE q.scope = 'account' AND q.scope_id = r.account_id),
                (SELECT q.hard FROM quotas q WHERE q.scope = 'repository' AND q.scope_id = r.id),
                CAST((SELECT SUM(e.bytes) FROM usage_entries e WHERE e.upload_id = $1 AND e.scope = 'account') AS BIGINT),
                CAST((SELECT SUM(e.bytes) FROM usage_entries e WHERE e.upload_id = $1 AND e.scope = 'repository') AS BIGINT)
           FROM repositories r WHERE r.id = $2"
    ];
    HOLD_UPLOAD = ["SELECT id FROM uploads WHERE id = $1 AND fence = $2" {update}];
    USED = [
        "SELECT (SELECT t.bytes FROM usage_totals t WHERE t.scope = $1 AND t.scope_id = $2),
                CAST((SELECT SUM(e.bytes) FROM usage_entries e
                       WHERE e.scope = $1 AND e.scope_id = $2 AND e.upload_id IS NULL) AS BIGINT),
                CAST((SELECT SUM(e.bytes) FROM usage_entries e
                       WHERE e.scope = $1 AND e.scope_id = $2 AND e.upload_id IS NOT NULL) AS BIGINT)"
    ];
    HOLD_HELD = [
        "SELECT blob_id FROM account_blobs WHERE account_id = $1 AND blob_id" {in integers 2} " ORDER BY blob_id" {update}
    ];
    RELEASED = [
        "SELECT CAST(COALESCE(SUM(b.size), 0) AS BIGINT) FROM " {integers 3} " AS list JOIN blobs b ON b.id = list.value
          WHERE NOT EXISTS (SELECT 1 FROM repository_blobs l WHERE l.repository_id = $1 AND l.blob_id = b.id)
            AND (SELECT 1 FROM trash_blobs n WHERE n.account_id = $2 AND n.blob_id = b.id
                    AND n.repository_id >= $1 AND n.repository_id <= $1 ORDER BY n.repository_id LIMIT 1) IS NULL"
    ];
    END_PASSAGE = ["DELETE FROM uploads WHERE id = $1"];
    NEXT = [
        "SELECT e.scope, e.scope_id FROM usage_entries e
          WHERE (e.scope, e.scope_id) > ($1, $2) AND e.upload_id IS NULL ORDER BY e.scope, e.scope_id LIMIT 1"
    ];
    TAKE = [
        "DELETE FROM usage_entries WHERE scope = $1 AND scope_id = $2 AND id IN
           (SELECT page.id FROM usage_entries page
             WHERE page.scope = $1 AND page.scope_id = $2 AND page.upload_id IS NULL ORDER BY page.id LIMIT $3" {skip} ")
         RETURNING bytes"
    ];
    ADD = [
        "INSERT INTO usage_totals (scope, scope_id, bytes) VALUES ($1, $2, $3)
         ON CONFLICT (scope, scope_id) DO UPDATE SET bytes = usage_totals.bytes + excluded.bytes RETURNING bytes"
    ];
    FORGET_ENTRIES = ["DELETE FROM usage_entries WHERE scope = $1 AND scope_id = $2"];
    FORGET_TOTAL = ["DELETE FROM usage_totals WHERE scope = $1 AND scope_id = $2"];
}

/// What bytes are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// An account.
    Account(AccountId),
    /// A repository.
    Repository(RepositoryId),
}

impl Scope {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Repository(_) => "repository",
        }
    }

    pub(super) const fn id(self) -> i64 {
        match self {
            Self::Account(id) => id.0,
            Self::Repository(id) => id.0,
        }
    }

    fn read(row: &Row) -> Result<Self, Error> {
        let id = row.integer(1)?;
        match row.text(0)?.as_str() {
            "account" => Ok(Self::Account(AccountId(id))),
            "repository" => Ok(Self::Repository(RepositoryId(id))),
            _ => Err(Error::new(ErrorKind::Corrupt, "usage_entries.scope")),
        }
    }
}

/// Bytes in use in one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that are charged.
    pub used: u64,
    /// Bytes that uploads which are open have reserved beside these.
    pub reserved: u64,
}

/// Bytes in an account and in one of its repositories: charged or reserved there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// In the account.
    pub account: i64,
    /// In the repository.
    pub repository: i64,
}

/// The hard limits that hold for a repository, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The account that it belongs to.
    pub account_id: AccountId,
    /// Of that account.
    pub account: Option<u64>,
    /// Of the repository.
    pub repository: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { account_id: AccountId::SYSTEM, account: None, repository: None }
    }
}

impl Limits {
    /// Whether there is any.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.account.is_some() || self.repository.is_some()
    }

    /// From the columns account, hard limit of the account, hard limit of the repository, of which this is the first.
    pub(super) fn read(row: &Row, at: usize) -> Result<Self, Error> {
        let limit = |index| Ok::<_, Error>(row.maybe_integer(index)?.map(|limit| limit.max(0).unsigned_abs()));
        let account_id = AccountId(row.integer(at)?);
        Ok(Self { account_id, account: limit(at + 1)?, repository: limit(at + 2)? })
    }
}

/// What one change has charged.
#[derive(Debug, Default)]
pub(super) struct Charges(Vec<(Scope, i64)>);

impl Charges {
    pub(super) fn add(&mut self, scope: Scope, bytes: i64) {
        self.0.push((scope, bytes));
    }

    fn of(&self, scope: Scope) -> i64 {
        self.0.iter().filter(|(charged, _)| *charged == scope).map(|(_, bytes)| bytes).sum()
    }
}

impl Metadata {
    /// Bytes in use, as one statement sees them. Costs what was not folded yet.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn usage(&self, scope: Scope) -> Result<Usage, Error> {
        self.row(&USED, values![scope.word(), scope.id()]).await?.map_or(Ok(Usage::default()), |row| usage(&row))
    }
}

impl Metadata {
    /// The first scope after this one, or of all, that has something to fold.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn next_to_fold(&self, after: Option<Scope>) -> Result<Option<Scope>, Error> {
        let (word, id) = after.map_or(("", 0), |scope| (scope.word(), scope.id()));
        self.row(&NEXT, values![word, id]).await?.map(|row| Scope::read(&row)).transpose()
    }
}

impl Tx {
    /// Charges a scope, or takes so much off it when `bytes` is below zero.
    pub(super) async fn charge(&mut self, scope: Scope, bytes: i64) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        let id = self.id()?;
        self.execute(&CHARGE, values![scope.word(), scope.id(), id, bytes]).await?;
        self.charges().add(scope, bytes);
        Ok(())
    }

    /// Charges a repository and its account alike.
    pub(super) async fn charge_both(
        &mut self,
        (repository, account): (RepositoryId, AccountId),
        bytes: i64,
    ) -> Result<(), Error> {
        self.charge(Scope::Repository(repository), bytes).await?;
        self.charge(Scope::Account(account), bytes).await
    }

    /// Has the next fold look at a scope, whether it has anything to fold or not.
    pub(super) async fn ask_to_fold(&mut self, scope: Scope) -> Result<(), Error> {
        let id = self.id()?;
        self.execute(&CHARGE, values![scope.word(), scope.id(), id, 0_i64]).await.map(drop)
    }

    /// Holds blobs of an account, so that of all who take away what a repository has of them, its link or the last that names them in
    /// its trash, exactly one sees that it was the last. Whoever links one waits, and looks after. Taken before links: pushes
    /// come in that order.
    pub(super) async fn hold_in_account(
        &mut self,
        account: AccountId,
        blobs: impl IntoIterator<Item = i64>,
    ) -> Result<(), Error> {
        if self.engine() == Engine::Sqlite {
            return Ok(());
        }
        self.rows(&HOLD_HELD, values![account, &json_integers(blobs)]).await.map(drop)
    }

    /// Takes off a repository those of these blobs, which [`Self::hold_in_account`] holds, that it neither links any more nor has in
    /// its trash.
    pub(super) async fn release_blobs(
        &mut self,
        (repository, account): (RepositoryId, AccountId),
        blobs: impl IntoIterator<Item = i64>,
    ) -> Result<(), Error> {
        let released = self.row(&RELEASED, values![repository, account, &json_integers(blobs)]).await?;
        let bytes = released.map_or(Ok(0), |row| row.integer(0))?;
        self.charge(Scope::Repository(repository), -bytes).await
    }

    /// Reserves so much room for an upload of this fence in all, in place of what it has; `false` when another has taken the
    /// upload over, or it is gone. It counts from the commit on, and goes with the upload. Since it says how much there is, and not how
    /// much more, whoever does not know whether it was done does it again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reserve(
        &mut self,
        (upload, fence): (&UploadId, i64),
        (repository, account): (RepositoryId, AccountId),
        room: Room,
    ) -> Result<bool, Error> {
        if self.row(&HOLD_UPLOAD, values![upload, fence]).await?.is_none() {
            return Ok(false);
        }
        let scopes = [(Scope::Account(account), room.account), (Scope::Repository(repository), room.repository)];
        for (scope, bytes) in scopes {
            self.reserve_in(scope, upload, bytes).await?;
        }
        Ok(true)
    }

    /// Sets the one entry that an upload, which the caller holds, has in a scope: however many small steps it comes in, whoever
    /// looks reads no more.
    async fn reserve_in(&mut self, scope: Scope, upload: &UploadId, bytes: i64) -> Result<(), Error> {
        let set = self.execute(&RESERVE_ANEW, values![scope.word(), scope.id(), upload, bytes]).await?;
        if set == 0 && bytes != 0 {
            let id = self.id()?;
            self.execute(&RESERVE, values![scope.word(), scope.id(), id, bytes, upload]).await?;
        }
        Ok(())
    }

    /// Gives back what an upload that was just leased has reserved beyond the bytes that it holds; the limits where it goes, and
    /// what is left. Whoever crashed between reserving and looking must not be believed by who comes after.
    pub(super) async fn cut_reservation(
        &mut self,
        upload: &UploadId,
        repository: RepositoryId,
        received: u64,
    ) -> Result<(Limits, Room), Error> {
        let Some(row) = self.row(&RESERVED, values![upload, repository]).await? else { return Ok(Default::default()) };
        let limits = Limits::read(&row, 0)?;
        let received = i64::try_from(received).unwrap_or(i64::MAX);
        let mut left = [0; 2];
        for (scope, index) in [(Scope::Account(limits.account_id), 3), (Scope::Repository(repository), 4)] {
            let reserved = row.maybe_integer(index)?.unwrap_or_default();
            left[index - 3] = reserved.min(received);
            if left[index - 3] != reserved {
                self.reserve_in(scope, upload, left[index - 3]).await?;
            }
        }
        Ok((limits, Room { account: left[0], repository: left[1] }))
    }

    /// What this change has charged a repository and its account.
    #[must_use]
    pub fn charged(&mut self, (repository, account): (RepositoryId, AccountId)) -> Room {
        let charges = self.charges();
        Room { account: charges.of(Scope::Account(account)), repository: charges.of(Scope::Repository(repository)) }
    }

    /// Whether what this change has charged where there is a hard limit was reserved.
    #[must_use]
    pub fn is_covered(&mut self, repository: RepositoryId, reserved: Room) -> bool {
        let limits = self.limits(repository);
        let charged = self.charged((repository, limits.account_id));
        let covers = |limit: Option<u64>, charged: i64, reserved: i64| limit.is_none() || charged <= reserved.max(0);
        covers(limits.account, charged.account, reserved.account)
            && covers(limits.repository, charged.repository, reserved.repository)
    }

    /// Ends an upload that was opened for its reservation alone: nothing was written under its key. Whether it was there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn end_passage(&mut self, upload: &UploadId) -> Result<bool, Error> {
        Ok(self.execute(&END_PASSAGE, values![upload]).await? == 1)
    }

    /// Adds at most `limit` entries of a scope to its total: how many, and the total. Whoever folds the same scope takes
    /// others, and waits only to add them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn fold(&mut self, scope: Scope, limit: u32) -> Result<(u64, i64), Error> {
        let taken = self.rows(&TAKE, values![scope.word(), scope.id(), i64::from(limit)]).await?;
        let mut bytes = 0_i64;
        for row in &taken {
            bytes = bytes.saturating_add(row.integer(0)?);
        }
        if taken.is_empty() {
            return Ok((0, 0));
        }
        let total = self.row(&ADD, values![scope.word(), scope.id(), bytes]).await?;
        Ok((taken.len() as u64, total.map_or(Ok(0), |row| row.integer(0))?))
    }

    /// Forgets what was counted in a scope that goes.
    pub(super) async fn forget_usage(&mut self, scope: Scope) -> Result<(), Error> {
        for statement in [&FORGET_ENTRIES, &FORGET_TOTAL] {
            self.execute(statement, values![scope.word(), scope.id()]).await?;
        }
        self.remove_quota(scope).await
    }
}

fn usage(row: &Row) -> Result<Usage, Error> {
    let number = |index| Ok::<_, Error>(row.maybe_integer(index)?.unwrap_or_default());
    let used = number(0)?.saturating_add(number(1)?);
    Ok(Usage { used: used.max(0).unsigned_abs(), reserved: number(2)?.max(0).unsigned_abs() })
}
