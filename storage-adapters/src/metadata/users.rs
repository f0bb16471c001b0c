use super::accounts::UserRemoval;
use super::candidates::Item;
use super::database::{Metadata, Source};
use super::error::{Error, ErrorKind};
use super::facts::NO_CREDENTIAL;
use super::generations::Slot;
use super::names::NameKind;
use super::rows::{AccountId, PrincipalId};
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    PRINCIPAL = [
        "SELECT p.id, COALESCE(u.name, h.name || '+' || b.name), p.kind, COALESCE(u.account_id, b.account_id),
                COALESCE(u.system_role, ''), p.credential_epoch, COALESCE(p.disabled_at, o.disabled_at),
                u.source, u.vouched_at
           FROM principals p LEFT JOIN users u ON u.principal_id = p.id
           LEFT JOIN robots b ON b.principal_id = p.id LEFT JOIN accounts h ON h.id = b.account_id
           LEFT JOIN users v ON v.account_id = b.account_id LEFT JOIN principals o ON o.id = v.principal_id
          WHERE p.id = $1 AND p.kind <> 'team'"
    ];
    OF_SOURCE = [
        "SELECT p.id, u.name, p.kind, u.account_id, u.system_role, p.credential_epoch, p.disabled_at, u.source, u.vouched_at,
                u.password
           FROM users u JOIN principals p ON p.id = u.principal_id WHERE u.source = $1 AND u.source_subject = $2"
    ];
    HOLD_OF_SOURCE = [
        "SELECT p.id, u.name, p.kind, u.account_id, u.system_role, p.credential_epoch, p.disabled_at, u.source, u.vouched_at,
                u.password
           FROM users u JOIN principals p ON p.id = u.principal_id WHERE u.source = $1 AND u.source_subject = $2" {update of p, u}
    ];
    IS_KNOWN = ["SELECT principal_id FROM users WHERE source = $1 AND source_subject = $2 AND principal_id <> $3"];
    SUBJECTS = [
        "SELECT principal_id, source_subject FROM users
          WHERE source = $1 AND source_subject > $2 ORDER BY source_subject LIMIT $3"
    ];
    SET_ROLE = ["UPDATE users SET system_role = $2 WHERE principal_id = $1"];
    SET_SOURCE = [
        "UPDATE users SET source = $2, source_subject = $3, vouched_at = $4, source_password_at = NULL
          WHERE principal_id = $1"
    ];
    VOUCH = ["UPDATE users SET vouched_at = $2 WHERE principal_id = $1"];
    UNVOUCHED = [
        "SELECT u.principal_id, u.source_subject FROM users u
          WHERE u.source = $1 AND u.source_subject > $2 AND u.vouched_at <= $3
            AND (EXISTS (SELECT 1 FROM team_members t WHERE t.user_id = u.principal_id AND t.source = $1)
              OR EXISTS (SELECT 1 FROM members m WHERE m.user_id = u.principal_id AND m.source = $1 AND m.owner = 0
                           AND NOT EXISTS (SELECT 1 FROM team_members t
                                            WHERE t.account_id = m.account_id AND t.user_id = m.user_id)))
          ORDER BY u.source_subject LIMIT $4"
    ];
    SOURCES = ["SELECT DISTINCT source FROM users WHERE source IS NOT NULL AND source > $1 ORDER BY source LIMIT $2"];
    SOURCE_PASSWORD = ["SELECT source_password_at FROM users WHERE principal_id = $1"];
    SET_SOURCE_PASSWORD = ["UPDATE users SET source_password_at = $2 WHERE principal_id = $1"];
    BY_NAME = [
        "SELECT p.id, u.name, p.kind, u.account_id, u.system_role, p.credential_epoch, p.disabled_at, u.source, u.vouched_at,
                u.password
           FROM users u JOIN principals p ON p.id = u.principal_id WHERE u.name = $1"
    ];
    HOLD = [
        "SELECT p.id, u.name, p.kind, u.account_id, u.system_role, p.credential_epoch, p.disabled_at, u.source, u.vouched_at,
                u.password
           FROM users u JOIN principals p ON p.id = u.principal_id WHERE u.name = $1" {update of p, u}
    ];
    PAGE = [
        "SELECT p.id, u.name, p.kind, u.account_id, u.system_role, p.credential_epoch, p.disabled_at, u.source, u.vouched_at,
                u.password
           FROM users u JOIN principals p ON p.id = u.principal_id WHERE u.name >= $1 AND u.name < $2 ORDER BY u.name LIMIT $3"
    ];
    TAKE_NAME = [
        "INSERT INTO accounts (id, name, kind, created_at) VALUES ($1, $2, 'user', $3) ON CONFLICT DO NOTHING"
    ];
    INSERT_PRINCIPAL = ["INSERT INTO principals (id, kind) VALUES ($1, 'user')"];
    INSERT = [
        "INSERT INTO users (principal_id, name, account_id, password, system_role, source, source_subject, vouched_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    ];
    SET_PASSWORD = ["UPDATE users SET password = $2 WHERE principal_id = $1"];
    ADMINISTRATORS = [
        "SELECT p.id FROM principals p JOIN users u ON u.principal_id = p.id
          WHERE u.system_role = 'administrator' AND p.disabled_at IS NULL ORDER BY p.id LIMIT 2" {update of p, u}
    ];
    ADMINISTRATORS_LOCAL_FIRST = [
        "SELECT p.id FROM principals p JOIN users u ON u.principal_id = p.id
          WHERE u.system_role = 'administrator' AND p.disabled_at IS NULL
          ORDER BY u.source IS NOT NULL, p.id LIMIT $1" {update of p, u}
    ];
    NAME = ["SELECT name FROM users WHERE principal_id = $1"];
    RAISE_EPOCH = ["UPDATE principals SET credential_epoch = credential_epoch + 1 WHERE id = $1"];
    SET_DISABLED = [
        "UPDATE principals SET disabled_at = $2, credential_epoch = credential_epoch + 1 WHERE id = $1"
    ];
    STANDS = [
        "SELECT p.id FROM principals p LEFT JOIN users u ON u.principal_id = p.id
           LEFT JOIN robots b ON b.principal_id = p.id
           LEFT JOIN users v ON v.account_id = b.account_id LEFT JOIN principals o ON o.id = v.principal_id
          WHERE p.id = $1 AND p.credential_epoch = $2 AND COALESCE(u.system_role, '') = $3
            AND p.disabled_at IS NULL AND o.disabled_at IS NULL
            AND ($4 < 0 OR EXISTS (SELECT 1 FROM credentials c WHERE c.id = $4 AND c.principal_id = p.id
                                      AND c.revoked_at IS NULL AND c.expires_at > $5))"
    ];
    EPOCH = ["SELECT credential_epoch FROM principals WHERE id = $1" {update}];
    HOLD_ACCOUNT = ["SELECT id FROM accounts WHERE id = $1" {update}];
    REPOSITORY_OF = ["SELECT id FROM repositories WHERE account_id = $1 AND name IS NOT NULL LIMIT 1"];
    ROBOT_OF = ["SELECT principal_id FROM robots WHERE account_id = $1 LIMIT 1"];
    RAISE_EPOCHS_OF_ROBOTS = [
        "UPDATE principals SET credential_epoch = credential_epoch + 1
          WHERE id IN (SELECT principal_id FROM robots WHERE account_id = $1) RETURNING id"
    ];
    UPLOADS_OF = ["DELETE FROM uploads WHERE principal_id = $1 RETURNING storage_key, tail_key, multipart_id"];
    BLOBS_OF = ["DELETE FROM account_blobs WHERE account_id = $1 RETURNING blob_id"];
    DELETE = ["DELETE FROM users WHERE principal_id = $1"];
    DELETE_PRINCIPAL = ["DELETE FROM principals WHERE id = $1"];
    DELETE_ACCOUNT = ["DELETE FROM accounts WHERE id = $1"];
}

/// Who acts, as rights are decided on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The principal.
    pub id: PrincipalId,
    /// The name that they log in with.
    pub name: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// The account that is a user's own; that which a robot belongs to.
    pub account_id: AccountId,
    /// What they may do everywhere.
    pub role: SystemRole,
    /// Tokens of an earlier epoch are void.
    pub credential_epoch: i64,
    /// Whether they may do nothing at present: a robot also while the user whose account it is of may not.
    pub disabled: bool,
    /// The directory or provider that knows a user, if one does.
    pub vouched: Option<Vouching>,
}

/// A directory or provider that knows a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouching {
    /// Its name, or a provider's issuer.
    pub source: String,
    /// When somebody last signed in with it as this user, in milliseconds since the epoch, as far as that is known.
    pub at: Option<i64>,
}

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program of an account.
    Robot,
}

/// What a user may do in the whole registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SystemRole {
    /// Nothing but what they own and what was granted to them.
    #[default]
    None,
    /// Read everything, the audit log too, and change nothing but what is their own.
    Auditor,
    /// Everything.
    Administrator,
}

impl PrincipalKind {
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        match text {
            "user" => Ok(Self::User),
            "robot" => Ok(Self::Robot),
            other => Err(Error::new(ErrorKind::Corrupt, format!("principals.kind {other:?}"))),
        }
    }
}

impl SystemRole {
    /// As a row holds it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
        }
    }

    pub(super) fn read(text: &str) -> Result<Self, Error> {
        match text {
            "" => Ok(Self::None),
            "auditor" => Ok(Self::Auditor),
            "administrator" => Ok(Self::Administrator),
            other => Err(Error::new(ErrorKind::Corrupt, format!("users.system_role {other:?}"))),
        }
    }
}

impl Principal {
    /// Whether they administer the whole registry.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.role == SystemRole::Administrator
    }
}

/// What is known of the password that a user has in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordSeen {
    /// It is the one that was written down.
    Same,
    /// It is another one.
    Another,
    /// None was written down before.
    First,
}

/// A user and what their password hashes to.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Who they are.
    pub principal: Principal,
    /// The hash of their password in the PHC string format; `None` when they cannot log in by password.
    pub password: Option<String>,
    /// The directory or provider that knows them, if one does: it is asked for their password.
    pub source: Option<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// A user to be made.
pub struct NewUser {
    /// The name of the user and of their account: a valid path component, which the caller has checked.
    pub name: String,
    /// The hash of the password in the PHC string format.
    pub password: Option<String>,
    /// What they may do everywhere.
    pub role: SystemRole,
    /// The directory or provider that knows them, and its own unchanging id of them.
    pub source: Option<(String, String)>,
}

impl Metadata {
    /// The principal of this id.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn principal(&self, id: PrincipalId) -> Result<Option<Principal>, Error> {
        let ask = async { self.row(&PRINCIPAL, values![id]).await?.map(|row| principal(&row)).transpose() };
        self.cached(|cache| &cache.principals, Slot::principal(id), || id, ask).await
    }

    /// The user of this name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn user(&self, name: &str) -> Result<Option<User>, Error> {
        self.user_from(name).await.map(|(user, _)| user)
    }

    /// The user of this name, and where they were found, as with [`Self::repository_from`].
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn user_from(&self, name: &str) -> Result<(Option<User>, Source), Error> {
        let ask = async { self.row(&BY_NAME, values![name]).await?.map(|row| user(&row)).transpose() };
        self.cached_from(|cache| &cache.users, Slot::user(name), || name.to_owned(), ask).await
    }

    /// The user whom a directory or provider knows by this id of its own.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn user_of_source(&self, source: &str, subject: &str) -> Result<Option<User>, Error> {
        self.row(&OF_SOURCE, values![source, subject]).await?.map(|row| user(&row)).transpose()
    }

    /// Users of a directory in the byte order of its own ids of them, after this one, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn subjects(
        &self,
        source: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(PrincipalId, String)>, Error> {
        let rows = self.rows(&SUBJECTS, values![source, after.unwrap_or_default(), i64::from(limit)]).await?;
        rows.iter().map(|row| Ok((PrincipalId(row.integer(0)?), row.text(1)?))).collect()
    }

    /// The directories and providers that any user comes from, in byte order, after this one, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sources(&self, after: &str, limit: u32) -> Result<Vec<String>, Error> {
        let rows = self.rows(&SOURCES, values![after, i64::from(limit)]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Users of a provider who last signed in with it at `at` or before, and are in teams or organizations through it; in the byte
    /// order of its own ids of them, after this one, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unvouched(
        &self,
        source: &str,
        at: i64,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(PrincipalId, String)>, Error> {
        let rows = self.rows(&UNVOUCHED, values![source, after.unwrap_or_default(), at, i64::from(limit)]).await?;
        rows.iter().map(|row| Ok((PrincipalId(row.integer(0)?), row.text(1)?))).collect()
    }

    /// Users in the byte order of their names, within this range, at most `limit`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn users(&self, names: &super::NameRange, limit: u32) -> Result<Vec<User>, Error> {
        let rows = self.rows(&PAGE, values![&names.first, &names.end, i64::from(limit)]).await?;
        rows.iter().map(user).collect()
    }
}

impl Tx {
    /// The user of this name, held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn user(&mut self, name: &str) -> Result<Option<User>, Error> {
        self.row(&HOLD, values![name]).await?.map(|row| user(&row)).transpose()
    }

    /// Whether more than one administrator is left who can sign in; both are held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_other_administrators(&mut self) -> Result<bool, Error> {
        Ok(self.rows(&ADMINISTRATORS, &[]).await?.len() > 1)
    }

    /// Administrators who can sign in, those with a password here before those of directories and providers, at most `limit`; they
    /// are held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn administrators(&mut self, limit: u32) -> Result<Vec<PrincipalId>, Error> {
        let rows = self.rows(&ADMINISTRATORS_LOCAL_FIRST, values![i64::from(limit)]).await?;
        rows.iter().map(|row| Ok(PrincipalId(row.integer(0)?))).collect()
    }

    /// Makes a user and their account; `None` when the name is taken by any account, or the directory's user is here
    /// already.
    ///
    /// # Errors
    /// The database failed.
    pub async fn create_user(&mut self, new: &NewUser, now: i64) -> Result<Option<Principal>, Error> {
        let (account, id) = (AccountId(self.id()?), PrincipalId(self.id()?));
        let source = new.source.as_ref().map(|(source, subject)| (source.as_str(), subject.as_str()));
        if self.is_known(source, id).await? {
            return Ok(None);
        }
        if self.execute(&TAKE_NAME, values![account, &new.name, now]).await? == 0 {
            return Ok(None);
        }
        let (source, subject) = source.unzip();
        let vouched_at = source.map(|_| now);
        let row =
            values![id, &new.name, account, new.password.as_deref(), new.role.word(), source, subject, vouched_at];
        self.execute(&INSERT_PRINCIPAL, values![id]).await?;
        self.execute(&INSERT, row).await?;
        self.begin_account(account, &new.name).await?;
        Ok(Some(Principal {
            id,
            name: new.name.clone(),
            kind: PrincipalKind::User,
            account_id: account,
            role: new.role,
            credential_epoch: 0,
            disabled: false,
            vouched: source.map(|source| Vouching { source: source.to_owned(), at: vouched_at }),
        }))
    }

    /// Gives a user another password and voids every token they have; whether the user exists.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_password(&mut self, user: &Principal, password: Option<&str>) -> Result<bool, Error> {
        self.touch_user(user);
        self.execute(&RAISE_EPOCH, values![user.id]).await?;
        Ok(self.execute(&SET_PASSWORD, values![user.id, password]).await? == 1)
    }

    /// The user whom a directory or provider knows by this id of its own, held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn user_of_source(&mut self, source: &str, subject: &str) -> Result<Option<User>, Error> {
        self.row(&HOLD_OF_SOURCE, values![source, subject]).await?.map(|row| user(&row)).transpose()
    }

    /// Gives a user another role in the whole registry.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_role(&mut self, user: &Principal, role: SystemRole) -> Result<(), Error> {
        self.touch_user(user);
        self.execute(&SET_ROLE, values![user.id, role.word()]).await.map(drop)
    }

    /// Says which directory or provider knows a user from `now` on, and by which id; none with `None`. `false` when it knows
    /// somebody else by it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_source(
        &mut self,
        user: &Principal,
        source: Option<(&str, &str)>,
        now: i64,
    ) -> Result<bool, Error> {
        if self.is_known(source, user.id).await? {
            return Ok(false);
        }
        self.touch_user(user);
        let (source, subject) = source.unzip();
        let vouched_at = source.map(|_| now);
        Ok(self.execute(&SET_SOURCE, values![user.id, source, subject, vouched_at]).await? == 1)
    }

    /// Writes down that somebody signed in now with the directory or provider that knows this user.
    ///
    /// # Errors
    /// The database failed.
    pub async fn renew_vouching(&mut self, user: &Principal, now: i64) -> Result<(), Error> {
        self.touch_user(user);
        self.execute(&VOUCH, values![user.id, now]).await.map(drop)
    }

    /// Writes down since when a directory has had the password that a user has there; whether an older one was written down before.
    /// What one says that has not heard of the last change tells nothing new.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_source_password(&mut self, user: PrincipalId, at: i64) -> Result<PasswordSeen, Error> {
        let before = self.row(&SOURCE_PASSWORD, values![user]).await?;
        let before = before.map_or(Ok(None), |row| row.maybe_integer(0))?;
        if before.is_some_and(|before| before >= at) {
            return Ok(PasswordSeen::Same);
        }
        self.execute(&SET_SOURCE_PASSWORD, values![user, at]).await?;
        Ok(if before.is_some() { PasswordSeen::Another } else { PasswordSeen::First })
    }

    /// Whether a directory knows somebody other than this one by an id. Two that take it at once are told by its key, and
    /// the one that runs again finds it here.
    async fn is_known(&mut self, source: Option<(&str, &str)>, other_than: PrincipalId) -> Result<bool, Error> {
        let Some((source, subject)) = source else { return Ok(false) };
        Ok(self.row(&IS_KNOWN, values![source, subject, other_than]).await?.is_some())
    }

    /// Voids every token and refresh token that a user has; the password stays. Whether the user exists.
    ///
    /// # Errors
    /// The database failed.
    pub async fn void_tokens(&mut self, user: &Principal) -> Result<bool, Error> {
        self.touch_user(user);
        Ok(self.execute(&RAISE_EPOCH, values![user.id]).await? == 1)
    }

    /// Voids every bearer token that a principal has; passwords, secrets, personal and refresh tokens stay. Whether it exists.
    ///
    /// # Errors
    /// The database failed.
    pub async fn void_bearer_tokens(&mut self, principal: PrincipalId) -> Result<bool, Error> {
        self.touch(Slot::principal(principal));
        if let Some(row) = self.row(&NAME, values![principal]).await? {
            self.touch(Slot::user(&row.text(0)?));
        }
        // Held, so that nobody makes a credential of the epoch that ends here.
        if self.credential_epoch(principal).await?.is_none() {
            return Ok(false);
        }
        self.carry_credentials(principal).await?;
        Ok(self.execute(&RAISE_EPOCH, values![principal]).await? == 1)
    }

    /// Disables a principal since `at`, or enables them again with `None`, and voids every token they have; whether they
    /// exist. The robots of a user's own account are disabled for as long, and what they have is void as well.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_disabled(&mut self, user: &Principal, at: Option<i64>) -> Result<bool, Error> {
        self.touch_user(user);
        if user.kind == PrincipalKind::User {
            for robot in self.rows(&RAISE_EPOCHS_OF_ROBOTS, values![user.account_id]).await? {
                self.touch(Slot::principal(PrincipalId(robot.integer(0)?)));
            }
        }
        Ok(self.execute(&SET_DISABLED, values![user.id, at]).await? == 1)
    }

    /// Disables a principal since `at`, or enables it again with `None`, and voids every token it has.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_principal_disabled(&mut self, principal: PrincipalId, at: Option<i64>) -> Result<(), Error> {
        self.touch(Slot::principal(principal));
        self.execute(&SET_DISABLED, values![principal, at]).await.map(drop)
    }

    /// Whether a principal is who they were found to be before this change began: not disabled, with the same credentials and
    /// the same role; and whether the credential that they showed, if it has a row, stands at `now` (milliseconds since 1970).
    ///
    /// # Errors
    /// The database failed.
    pub async fn stands(&mut self, found: &Principal, credential: Option<i64>, now: i64) -> Result<bool, Error> {
        let shown = credential.unwrap_or(NO_CREDENTIAL);
        let values = values![found.id, found.credential_epoch, found.role.word(), shown, now];
        Ok(self.row(&STANDS, values).await?.is_some())
    }

    /// The epoch of a principal's credentials, held until the change ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn credential_epoch(&mut self, principal: PrincipalId) -> Result<Option<i64>, Error> {
        self.row(&EPOCH, values![principal]).await?.map(|row| row.integer(0)).transpose()
    }

    /// Removes a user with their account, uploads and credentials. What they pushed to others' repositories stays, and their
    /// name rests.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_user(&mut self, name: &str, now: i64) -> Result<UserRemoval, Error> {
        let Some(User { principal: user, .. }) = self.user(name).await? else { return Ok(UserRemoval::Unknown) };
        // From here on nobody can put a repository into the account, whose row its foreign key share-locks.
        self.row(&HOLD_ACCOUNT, values![user.account_id]).await?;
        if self.row(&REPOSITORY_OF, values![user.account_id]).await?.is_some() {
            return Ok(UserRemoval::AccountHasRepositories);
        }
        if self.row(&ROBOT_OF, values![user.account_id]).await?.is_some() {
            return Ok(UserRemoval::AccountHasRobots);
        }
        if self.give_up_deleted_repositories(user.account_id).await? {
            return Ok(UserRemoval::GivesUpDeleted);
        }
        self.touch(Slot::account(&user.name));
        self.touch_user(&user);
        for upload in self.rows(&UPLOADS_OF, values![user.id]).await? {
            self.doom_upload(&upload, now).await?;
        }
        let mut blobs = Vec::new();
        for row in self.rows(&BLOBS_OF, values![user.account_id]).await? {
            blobs.push(row.integer(0)?);
        }
        self.forget_credentials(user.id).await?;
        self.execute(&DELETE, values![user.id]).await?;
        self.execute(&DELETE_PRINCIPAL, values![user.id]).await?;
        self.execute(&DELETE_ACCOUNT, values![user.account_id]).await?;
        self.forget_usage(super::usage::Scope::Account(user.account_id)).await?;
        self.release_name((NameKind::Account, &user.name), (user.account_id, None), now).await?;
        self.candidates(Item::Blob, 0, blobs, now).await?;
        Ok(UserRemoval::Removed)
    }

    fn touch_user(&mut self, user: &Principal) {
        self.touch(Slot::principal(user.id));
        self.touch(Slot::user(&user.name));
    }
}

fn principal(row: &Row) -> Result<Principal, Error> {
    let kind = PrincipalKind::read(&row.text(2)?)?;
    Ok(Principal {
        id: PrincipalId(row.integer(0)?),
        name: row.text(1)?,
        kind,
        account_id: AccountId(row.integer(3)?),
        role: SystemRole::read(&row.text(4)?)?,
        credential_epoch: row.integer(5)?,
        disabled: row.maybe_integer(6)?.is_some(),
        vouched: row.maybe_text(7)?.zip(Some(row.maybe_integer(8)?)).map(|(source, at)| Vouching { source, at }),
    })
}

fn user(row: &Row) -> Result<User, Error> {
    Ok(User { principal: principal(row)?, password: row.maybe_text(9)?, source: row.maybe_text(7)? })
}
