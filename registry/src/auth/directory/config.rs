//! The settings of one directory, as they are written and as they are used.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::error::DirectoryInvalid;
use super::filter::{Filter, is_attribute};
use super::name::{DistinguishedName, NameInvalid, Template};
use super::subject::SubjectAttribute;
use crate::config::Secret;

const NAME_BYTES: usize = 32;
const DEPTHS: std::ops::RangeInclusive<u32> = 1..=32;
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const CONNECTIONS: std::ops::RangeInclusive<usize> = 1..=1_000;

/// One directory as its settings say.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// What it is called here. Accounts belong to (this name, subject), so it stays when the server moves.
    pub name: String,
    /// `ldaps://host[:port]`, or `ldap://host[:port]`.
    pub url: Url,
    /// TLS is begun on an `ldap://` connection before anything else is said; without it nothing is said.
    pub start_tls: bool,
    /// The authorities in PEM that alone are trusted; none means those of the system.
    pub ca_file: Option<PathBuf>,
    /// Passwords may go in the clear to another machine. With TLS this is refused: certificates are always checked.
    pub insecure: bool,
    /// How long a sign-in or a look-up may take in all, from 100 ms to 60 s.
    pub timeout: Duration,
    /// How many sign-ins and look-ups run at once; each has at most two connections.
    pub connections: usize,
    /// Who searches; none searches anonymously, which many servers refuse.
    pub account: Option<Account>,
    /// The entry below which people are.
    pub base: String,
    /// How a name becomes an entry.
    pub bind: Bind,
    /// The attribute that is somebody's name, such as `uid` or `sAMAccountName`.
    pub name_attribute: String,
    /// The attribute that accounts are bound to.
    pub subject_attribute: SubjectAttribute,
    /// Where groups are; none means nobody is in any.
    pub groups: Option<GroupConfig>,
}

/// The account that searches. It needs to read names, subjects and groups, and nothing else.
#[derive(Clone, Debug)]
pub struct Account {
    /// A distinguished name; Active Directory also takes `account@domain`.
    pub dn: String,
    /// Its password.
    pub password: Secret,
}

/// How a name becomes an entry.
#[derive(Clone, Debug)]
pub enum Bind {
    /// The entry's name is made of the person's: `uid={name},ou=people,dc=example,dc=com`.
    Direct {
        /// The name, with `{name}` as a value or a part of one.
        dn_template: String,
    },
    /// The entry is searched below the base: `(&(objectClass=person)(uid={name}))`.
    Search {
        /// The filter. What it demands beside the name decides who may sign in, also when accounts are looked up later.
        filter: String,
    },
}

/// Where groups are.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The entry below which they are.
    pub base: String,
    /// Those that somebody is in: `(member={dn})`, or `(memberUid={name})` for groups that list names. Active Directory
    /// follows nested groups itself with `(member:1.2.840.113556.1.4.1941:={dn})` and a depth of 1.
    pub filter: String,
    /// How many levels are followed: 1 are the groups that list the person, 2 those that list one of these. Deeper ones are
    /// left out.
    pub depth: u32,
}

impl GroupConfig {
    /// How many levels are followed where nothing is said.
    pub const DEPTH: u32 = 8;
}

/// How a name becomes an entry, checked.
#[derive(Debug)]
pub(super) enum Way {
    Direct(Template),
    Search(Filter),
}

/// Where groups are, checked.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) base: String,
    pub(super) filter: Filter,
    pub(super) member: Member,
    pub(super) depth: u32,
}

/// What groups list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// Names of entries, so that groups can list groups.
    Entry,
    /// Names of people.
    Name,
}

impl Bind {
    pub(super) fn check(&self) -> Result<Way, DirectoryInvalid> {
        match self {
            Self::Direct { dn_template } => {
                let invalid = |source| DirectoryInvalid::DistinguishedName { setting: "bind.dn_template", source };
                Template::parse(dn_template).map(Way::Direct).map_err(invalid)
            }
            Self::Search { filter } => {
                let invalid = |source| DirectoryInvalid::Filter { setting: "bind.filter", source };
                Filter::parse(filter, "{name}").map(Way::Search).map_err(invalid)
            }
        }
    }
}

impl GroupConfig {
    pub(super) fn check(&self) -> Result<Groups, DirectoryInvalid> {
        let (hole, member) =
            if self.filter.contains("{name}") { ("{name}", Member::Name) } else { ("{dn}", Member::Entry) };
        let invalid = |source| DirectoryInvalid::Filter { setting: "groups.filter", source };
        let filter = Filter::parse(&self.filter, hole).map_err(invalid)?;
        if !DEPTHS.contains(&self.depth) || (member == Member::Name && self.depth > 1) {
            return Err(DirectoryInvalid::Depth);
        }
        is_base("groups.base", &self.base)?;
        Ok(Groups { base: self.base.clone(), filter, member, depth: self.depth })
    }
}

impl DirectoryConfig {
    /// Checks what stands alone.
    pub(super) fn check(&self) -> Result<(), DirectoryInvalid> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || self.name.len() > NAME_BYTES || !self.name.bytes().all(plain) {
            return Err(DirectoryInvalid::Name(self.name.clone()));
        }
        if !TIMEOUTS.contains(&self.timeout) {
            return Err(DirectoryInvalid::Timeout);
        }
        if !CONNECTIONS.contains(&self.connections) {
            return Err(DirectoryInvalid::Connections);
        }
        if let Some(account) = &self.account
            && (account.dn.is_empty() || account.password.expose().is_empty())
        {
            return Err(DirectoryInvalid::Account);
        }
        if !is_attribute(&self.name_attribute) {
            return Err(DirectoryInvalid::Attribute(self.name_attribute.clone()));
        }
        is_base("base", &self.base)
    }
}

fn is_base(setting: &'static str, text: &str) -> Result<(), DirectoryInvalid> {
    let parsed: Result<DistinguishedName, NameInvalid> = text.parse();
    parsed.map(drop).map_err(|source| DirectoryInvalid::DistinguishedName { setting, source })
}
