use super::database::Metadata;
use super::error::Error;
use super::rows::PrincipalId;
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    FIND = [
        "SELECT id, principal_id, kind, selector, secret_hash, service, scopes, epoch, created_at, expires_at, revoked_at
           FROM credentials WHERE selector = $1"
    ];
    FORGET = [
        "DELETE FROM credentials WHERE principal_id = $1 AND (expires_at <= $2 OR id IN (
           SELECT id FROM credentials WHERE principal_id = $1 AND kind = $3
            ORDER BY created_at DESC, id DESC LIMIT 10000 OFFSET $4))"
    ];
    INSERT = [
        "INSERT INTO credentials (id, principal_id, kind, selector, secret_hash, service, scopes, epoch, created_at,
                                  expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    ];
    REVOKE = ["UPDATE credentials SET revoked_at = $2 WHERE selector = $1 AND revoked_at IS NULL"];
}

/// How many credentials of one kind a principal keeps, the newest. Every login makes one, and no client gives one back.
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
}

impl Metadata {
    /// The credential of this selector, also one that has ended or was revoked.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn credential(&self, selector: &str) -> Result<Option<Credential>, Error> {
        self.row(&FIND, values![selector]).await?.map(|row| credential(&row)).transpose()
    }
}

impl Tx {
    /// Keeps a credential, and forgets those of the same principal that have ended and all but the newest of the same kind,
    /// so that logins leave no heap.
    ///
    /// # Errors
    /// The database failed.
    pub async fn insert_credential(&mut self, new: &NewCredential<'_>, now: i64) -> Result<(), Error> {
        self.execute(&FORGET, values![new.principal, now, new.kind, KEPT - 1]).await?;
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
        ];
        self.execute(&INSERT, row).await.map(drop)
    }

    /// Revokes a credential; whether there was one that stood.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke_credential(&mut self, selector: &str, now: i64) -> Result<bool, Error> {
        Ok(self.execute(&REVOKE, values![selector, now]).await? == 1)
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
    })
}
