use super::database::Metadata;
use super::error::Error;
use super::generations::Slot;
use super::rows::PrincipalId;
use super::sql::Row;
use super::statement::{Statement, statements};
use super::tx::Tx;
use super::value::{Value, values};

statements! {
    FIND = [
        "SELECT id, principal_id, kind, selector, secret_hash, service, scopes, epoch, created_at, expires_at, revoked_at,
                name, last_used_at
           FROM credentials WHERE selector = $1"
    ];
    BY_ID = [
        "SELECT id, principal_id, kind, selector, secret_hash, service, scopes, epoch, created_at, expires_at, revoked_at,
                name, last_used_at
           FROM credentials WHERE id = $1"
    ];
    OF_PRINCIPAL = [
        "SELECT id, principal_id, kind, selector, secret_hash, service, scopes, epoch, created_at, expires_at, revoked_at,
                name, last_used_at
           FROM credentials WHERE principal_id = $1 AND kind = $2 ORDER BY created_at, id LIMIT 1000"
    ];
    SHORTEN = [
        "UPDATE credentials SET expires_at = $3 WHERE principal_id = $1 AND kind = $2 AND expires_at > $3
         RETURNING id"
    ];
    REVOKE_ID = [
        "UPDATE credentials SET revoked_at = $3 WHERE id = $1 AND principal_id = $2 AND revoked_at IS NULL"
    ];
    USED = ["UPDATE credentials SET last_used_at = $2 WHERE id = $1 AND COALESCE(last_used_at, 0) < $2"];
    STANDING = [
        "SELECT COUNT(*) FROM credentials
          WHERE principal_id = $1 AND kind = $2 AND expires_at > $3 AND revoked_at IS NULL
            AND epoch = (SELECT credential_epoch FROM principals WHERE id = $1)"
    ];
    FORGET = [
        "DELETE FROM credentials WHERE principal_id = $1 AND kind = $3 AND (expires_at <= $2 OR id IN (
           SELECT id FROM credentials WHERE principal_id = $1 AND kind = $3
            ORDER BY created_at DESC, id DESC LIMIT 10000 OFFSET $4))
         RETURNING id"
    ];
    FORGET_ENDED = [
        "DELETE FROM credentials WHERE principal_id = $1 AND id IN (
           SELECT id FROM credentials WHERE principal_id = $1 AND kind = $3 AND (expires_at <= $2 OR revoked_at IS NOT NULL
              OR epoch <> (SELECT credential_epoch FROM principals WHERE id = $1))
            ORDER BY created_at DESC, id DESC LIMIT 10000 OFFSET $4)
         RETURNING id"
    ];
    CARRY = [
        "UPDATE credentials SET epoch = epoch + 1
          WHERE principal_id = $1 AND epoch = (SELECT credential_epoch FROM principals WHERE id = $1) RETURNING id"
    ];
    FORGET_ALL = ["DELETE FROM credentials WHERE principal_id = $1 RETURNING id"];
    FORGET_ALL_OF = ["DELETE FROM credentials WHERE principal_id" {in integers 1} " RETURNING id"];
    INSERT = [
        "INSERT INTO credentials (id, principal_id, kind, selector, secret_hash, service, scopes, epoch, created_at,
                                  expires_at, name)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    ];
    REVOKE_OLDER = [
        "UPDATE credentials SET revoked_at = $4
          WHERE principal_id = $1 AND kind = $2 AND created_at < $3 AND revoked_at IS NULL AND expires_at > $4
         RETURNING id"
    ];
    REVOKE = ["UPDATE credentials SET revoked_at = $2 WHERE selector = $1 AND revoked_at IS NULL RETURNING id"];
}

/// How many credentials of one kind a principal keeps, the newest. Every login makes one, and no client gives one back.
/// Of a kind that its owner counts, as many are kept that have ended: a list would hide the new ones behind more.
const KEPT: i64 = 100;

/// A long-lived credential, a refresh token for instance: what is kept to recognize it, never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The row.
    pub id: i64,
    /// Whose it is.
    pub principal: PrincipalId,
    /// What it is, in the registry's words.
    pub kind: String,
    /// The part of it that is no secret and finds it.
    pub selector: String,
    /// The hash of the part that is.
    pub secret_hash: Vec<u8>,
    /// The service it was given for.
    pub service: String,
    /// The scopes it is limited to, as text.
    pub scopes: String,
    /// The principal's epoch when it was given; void when the principal's is another.
    pub epoch: i64,
    /// When it was given, in milliseconds since the epoch.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: i64,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// Its name for people.
    pub name: String,
    /// When it was last shown, as far as that was written down.
    pub last_used_at: Option<i64>,
}

/// A credential to be kept.
#[derive(Clone, Copy)]
pub struct NewCredential<'a> {
    /// Whose it is.
    pub principal: PrincipalId,
    /// What it is, in the registry's words.
    pub kind: &'a str,
    /// The part of it that is no secret and finds it; unique.
    pub selector: &'a str,
    /// The hash of the part that is.
    pub secret_hash: &'a [u8],
    /// The service it is for.
    pub service: &'a str,
    /// The scopes it is limited to, as text.
    pub scopes: &'a str,
    /// The principal's epoch.
    pub epoch: i64,
    /// When it ends, in milliseconds since the epoch.
    pub expires_at: i64,
    /// Its name for people.
    pub name: &'a str,
    /// Whether the oldest of the same kind give way to it; otherwise the caller counts them.
    pub rolls: bool,
}

impl Metadata {
    /// The credential of this id, also one that has ended or was revoked.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn credential_of_id(&self, id: i64) -> Result<Option<Credential>, Error> {
        let ask = async { self.row(&BY_ID, values![id]).await?.map(|row| credential(&row)).transpose() };
        self.cached(|cache| &cache.credentials, Slot::credential(id), || id, ask).await
    }

    /// The credentials of one kind that a principal has, the oldest first, also those that have ended.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn credentials(&self, principal: PrincipalId, kind: &str) -> Result<Vec<Credential>, Error> {
        self.rows(&OF_PRINCIPAL, values![principal, kind]).await?.iter().map(credential).collect()
    }

    /// The credential of this selector, also one that has ended or was revoked.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn credential(&self, selector: &str) -> Result<Option<Credential>, Error> {
        self.row(&FIND, values![selector]).await?.map(|row| credential(&row)).transpose()
    }
}

impl Tx {
    /// Keeps a credential; its id. One that `rolls` forgets those of the same principal and kind that have ended, and all but
    /// the newest of them, so that logins leave no heap; another one forgets all but the newest that ended, were revoked or
    /// are void.
    ///
    /// # Errors
    /// The database failed.
    pub async fn insert_credential(&mut self, new: &NewCredential<'_>, now: i64) -> Result<i64, Error> {
        let (forget, kept) = if new.rolls { (&FORGET, KEPT - 1) } else { (&FORGET_ENDED, KEPT) };
        self.change_credentials(forget, values![new.principal, now, new.kind, kept]).await?;
        let id = self.id()?;
        let row = values![
            id,
            new.principal,
            new.kind,
            new.selector,
            new.secret_hash,
            new.service,
            new.scopes,
            new.epoch,
            now,
            new.expires_at,
            new.name,
        ];
        self.execute(&INSERT, row).await?;
        Ok(id)
    }

    /// How many credentials of one kind stand for a principal: not those of an epoch before, which are void.
    ///
    /// # Errors
    /// The database failed.
    pub async fn standing_credentials(&mut self, principal: PrincipalId, kind: &str, now: i64) -> Result<i64, Error> {
        let row = self.row(&STANDING, values![principal, kind, now]).await?;
        row.map_or(Ok(0), |row| row.integer(0))
    }

    /// Lets every credential of one kind that a principal has end at `at` at the latest.
    ///
    /// # Errors
    /// The database failed.
    pub async fn shorten_credentials(&mut self, principal: PrincipalId, kind: &str, at: i64) -> Result<(), Error> {
        self.change_credentials(&SHORTEN, values![principal, kind, at]).await.map(drop)
    }

    /// Revokes a credential of a principal; whether there was one that stood.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke_credential_of(&mut self, id: i64, principal: PrincipalId, now: i64) -> Result<bool, Error> {
        self.touch(Slot::credential(id));
        Ok(self.execute(&REVOKE_ID, values![id, principal, now]).await? == 1)
    }

    /// Writes down when a credential was last shown.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_use(&mut self, id: i64, at: i64) -> Result<(), Error> {
        self.touch(Slot::credential(id));
        self.execute(&USED, values![id, at]).await.map(drop)
    }

    /// Revokes every credential of one kind that was given to a principal before `before`; how many stood.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke_older_credentials(
        &mut self,
        principal: PrincipalId,
        kind: &str,
        before: i64,
        now: i64,
    ) -> Result<usize, Error> {
        self.change_credentials(&REVOKE_OLDER, values![principal, kind, before, now]).await
    }

    /// Revokes a credential; whether there was one that stood.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke_credential(&mut self, selector: &str, now: i64) -> Result<bool, Error> {
        Ok(self.change_credentials(&REVOKE, values![selector, now]).await? == 1)
    }

    /// Forgets every credential of a principal who goes.
    pub(super) async fn forget_credentials(&mut self, principal: PrincipalId) -> Result<(), Error> {
        self.change_credentials(&FORGET_ALL, values![principal]).await.map(drop)
    }

    /// Forgets every credential of principals who go, of this list as JSON.
    pub(super) async fn forget_credentials_of(&mut self, principals: &str) -> Result<(), Error> {
        self.change_credentials(&FORGET_ALL_OF, values![principals]).await.map(drop)
    }

    /// Takes the long-lived credentials of a principal along into its next epoch, which the caller begins.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn carry_credentials(&mut self, principal: PrincipalId) -> Result<(), Error> {
        self.change_credentials(&CARRY, values![principal]).await.map(drop)
    }

    /// Runs a statement that gives the ids of the credentials it changed; how many.
    async fn change_credentials(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<usize, Error> {
        let changed = self.rows(statement, values).await?;
        for row in &changed {
            self.touch(Slot::credential(row.integer(0)?));
        }
        Ok(changed.len())
    }
}

fn credential(row: &Row) -> Result<Credential, Error> {
    Ok(Credential {
        id: row.integer(0)?,
        principal: PrincipalId(row.integer(1)?),
        kind: row.text(2)?,
        selector: row.text(3)?,
        secret_hash: row.bytes(4)?,
        service: row.text(5)?,
        scopes: row.text(6)?,
        epoch: row.integer(7)?,
        created_at: row.integer(8)?,
        expires_at: row.integer(9)?,
        revoked_at: row.maybe_integer(10)?,
        name: row.text(11)?,
        last_used_at: row.maybe_integer(12)?,
    })
}
