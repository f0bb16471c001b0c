//! Lives here: people whom an LDAP server or Active Directory knows. A name and a password, or a subject, end in a
//! [`Person`].
//! Never here: accounts, teams in the database, rights, and when to look people up again.
//! Start reading at [`Directory::sign_in`].
//!
//! The protocol is spoken here (`ber.rs`, `message.rs`, `connection.rs`) and not by a library, because a server, or whoever
//! answers before TLS has begun, must not be able to end this process: nothing that it sends recurses, panics, or is kept
//! beyond a bound.

mod ber;
mod config;
mod connection;
mod endpoint;
mod error;
mod filter;
mod groups;
mod message;
mod name;
mod person;
mod several;
mod subject;
mod teams;
#[cfg(test)]
mod tests;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

pub use self::ber::Malformed;
pub use self::config::{Account, Bind, DirectoryConfig, GroupConfig};
pub use self::error::{Cause, DirectoryError, DirectoryInvalid, Step};
pub use self::filter::FilterInvalid;
pub use self::name::{DistinguishedName, NameInvalid};
pub use self::person::Person;
pub use self::several::Directories;
pub use self::subject::SubjectAttribute;
pub use self::teams::{GroupMapping, TeamName, teams_of};

use self::config::{Groups, Way};
use self::connection::Connection;
use self::endpoint::Endpoint;
use self::message::{Entry, NO_SUCH_OBJECT, Scope, Search};
use self::person::{ACCOUNT_CONTROL, Found, PASSWORD_CHANGED_TIME, PASSWORD_LAST_SET};

/// The longest name and password that are sent to a directory, in bytes.
const NAME_BYTES: usize = 256;
const PASSWORD_BYTES: usize = 1024;
/// An entry below the base that nobody has, bound to in place of an unknown person's.
const NOBODY: &str = "cn=nobody has this name";

/// A directory whose settings were checked. It keeps no connection; each sign-in and look-up makes its own.
#[derive(Debug)]
pub struct Directory {
    config: DirectoryConfig,
    endpoint: Endpoint,
    way: Way,
    groups: Option<Groups>,
    places: Semaphore,
}

/// Where somebody's entry should be, and what is there.
struct Located {
    dn: String,
    found: Option<Found>,
}

impl Directory {
    /// Checks the settings and reads the file of authorities; nothing is connected to.
    ///
    /// # Errors
    /// [`DirectoryInvalid`] names the setting and what it takes.
    pub fn new(config: &DirectoryConfig) -> Result<Self, DirectoryInvalid> {
        config.check()?;
        Ok(Self {
            endpoint: Endpoint::new(config)?,
            way: config.bind.check()?,
            groups: config.groups.as_ref().map(GroupConfig::check).transpose()?,
            places: Semaphore::new(config.connections),
            config: config.clone(),
        })
    }

    /// What the directory is called here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Who has this name and this password; `None` when either is wrong, or the account is disabled.
    ///
    /// The entry is read before the bind and again after it and must be the same subject's: were it renamed in between, the
    /// password that was right would be another person's. For an unknown name the same requests are made as for a wrong
    /// password.
    ///
    /// # Errors
    /// [`DirectoryError`] when the directory cannot be reached or trusted in the time it has, does not let its entries be
    /// read, or answers what cannot be used.
    pub async fn sign_in(&self, name: &str, password: &str) -> Result<Option<Person>, DirectoryError> {
        if !is_name(name) || !is_password(password) {
            return Ok(None);
        }
        let deadline = self.deadline();
        let _place = self.place(deadline).await?;
        let mut searches = self.searches(deadline).await?;
        let located = self.locate(name, &mut searches).await?;
        let accepted = self.accepts(&located.dn, password, deadline).await?;
        let before = match (accepted, located.found, &self.way) {
            (false, ..) | (true, None, Way::Search(_)) => return Ok(None),
            (true, None, Way::Direct(_)) => return Err(self.error(Step::Find)(Cause::Hidden(located.dn))),
            (true, Some(found), _) => found,
        };
        let after = self.read(&before.dn, &mut searches).await?;
        match after.filter(|after| after.subject == before.subject && !after.disabled) {
            Some(found) => self.person_of(found, &mut searches).await.map(Some),
            None => Ok(None),
        }
    }

    /// Who `subject` is by now: `None` when the entry is gone or disabled, or no longer matches what the filter demands
    /// beside the name.
    ///
    /// # Errors
    /// [`DirectoryError`] as by [`Self::sign_in`]; nobody is gone because of it.
    pub async fn person(&self, subject: &str) -> Result<Option<Person>, DirectoryError> {
        let attribute = self.config.subject_attribute;
        let Some(value) = attribute.value(subject) else { return Ok(None) };
        let deadline = self.deadline();
        let _place = self.place(deadline).await?;
        let mut searches = self.searches(deadline).await?;
        let demanded = match &self.way {
            Way::Direct(_) => filter::everything(),
            Way::Search(filter) => filter.for_anything(),
        };
        let filter = filter::all(&[filter::equal(attribute.name(), &value), demanded]);
        match self.find(&filter, &mut searches).await?.filter(|found| found.subject == subject && !found.disabled) {
            Some(found) => self.person_of(found, &mut searches).await.map(Some),
            None => Ok(None),
        }
    }

    async fn locate(&self, name: &str, searches: &mut Connection) -> Result<Located, DirectoryError> {
        match &self.way {
            Way::Direct(template) => {
                let dn = template.filled(name);
                Ok(Located { found: self.read(&dn, searches).await?, dn })
            }
            Way::Search(filter) => {
                let found = self.find(&filter.filled(name), searches).await?;
                let nobody = || format!("{NOBODY},{}", self.config.base);
                Ok(Located { dn: found.as_ref().map_or_else(nobody, |found| found.dn.clone()), found })
            }
        }
    }

    /// Whether the bind of a person succeeds. It has a connection of its own, on which nothing else is ever asked.
    async fn accepts(&self, dn: &str, password: &str, deadline: Instant) -> Result<bool, DirectoryError> {
        let mut connection = self.open(deadline).await?;
        let outcome = connection.bind(dn, password).await.map_err(self.error(Step::Password))?;
        if outcome.denies() {
            return Ok(false);
        }
        outcome.success().map(|()| true).map_err(self.error(Step::Password))
    }

    async fn person_of(&self, found: Found, searches: &mut Connection) -> Result<Person, DirectoryError> {
        let groups = match &self.groups {
            Some(groups) => groups.of(&found, searches).await.map_err(self.error(Step::Groups))?,
            None => Default::default(),
        };
        let Found { dn, subject, name, password_at, .. } = found;
        Ok(Person { directory: self.config.name.clone(), subject, name, dn, groups, password_at })
    }

    /// The one entry below the base that matches.
    async fn find(&self, filter: &[u8], searches: &mut Connection) -> Result<Option<Found>, DirectoryError> {
        self.search(&self.config.base, Scope::Subtree, filter, searches).await.map_err(self.error(Step::Find))
    }

    /// The entry of this name, if there is one that the account may read.
    async fn read(&self, dn: &str, searches: &mut Connection) -> Result<Option<Found>, DirectoryError> {
        match self.search(dn, Scope::Base, &filter::everything(), searches).await {
            Err(Cause::Refused { code: NO_SUCH_OBJECT, .. }) => Ok(None),
            other => other.map_err(self.error(Step::Find)),
        }
    }

    async fn search(
        &self,
        base: &str,
        scope: Scope,
        filter: &[u8],
        searches: &mut Connection,
    ) -> Result<Option<Found>, Cause> {
        let (name, subject) = (self.config.name_attribute.as_str(), self.config.subject_attribute);
        let attributes = &[name, subject.name(), ACCOUNT_CONTROL, PASSWORD_LAST_SET, PASSWORD_CHANGED_TIME];
        let search = Search { base, scope, filter, attributes, most: 1, page: None };
        let entries: Vec<Entry> = match searches.search(&search).await {
            Err(Cause::TooMany(_)) => return Err(Cause::Ambiguous),
            other => other?,
        };
        entries.first().map(|entry| Found::read(entry, name, subject)).transpose()
    }

    /// A connection that searches: as the account, or as nobody.
    async fn searches(&self, deadline: Instant) -> Result<Connection, DirectoryError> {
        let mut connection = self.open(deadline).await?;
        if let Some(account) = &self.config.account {
            // The password leaves by this bind alone.
            let outcome = connection.bind(&account.dn, account.password.expose()).await;
            outcome.and_then(message::Outcome::success).map_err(self.error(Step::Account))?;
        }
        Ok(connection)
    }

    async fn open(&self, deadline: Instant) -> Result<Connection, DirectoryError> {
        let stream = connection::dial(&self.endpoint, deadline).await.map_err(self.error(Step::Connect))?;
        let connection = Connection::new(stream, &self.endpoint.security, deadline).await;
        connection.map_err(self.error(Step::Secure))
    }

    async fn place(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, DirectoryError> {
        let place =
            timeout_at(deadline, self.places.acquire()).await.map_err(|_| self.error(Step::Wait)(Cause::TimedOut));
        Ok(place?.expect("the semaphore is never closed"))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.config.timeout
    }

    /// Says which directory failed, and at what.
    fn error(&self, step: Step) -> impl Fn(Cause) -> DirectoryError {
        move |cause| DirectoryError { directory: self.config.name.clone(), step, cause }
    }
}

/// Whether anybody could be called so. Control characters are in no name, and servers differ in what they make of them.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control)
}

/// Whether a bind with this password could prove anything: an empty one is an unauthenticated bind, which servers answer
/// with success (RFC 4513 §5.1.2), and one that begins with NUL is empty to a server that is written so.
fn is_password(password: &str) -> bool {
    !password.is_empty() && password.len() <= PASSWORD_BYTES && !password.contains('\0')
}
