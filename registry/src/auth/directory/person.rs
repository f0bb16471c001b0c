//! Who an entry is.

use std::collections::BTreeSet;

use super::error::Cause;
use super::message::Entry;
use super::name::DistinguishedName;
use super::subject::SubjectAttribute;

/// Flags of an account in Active Directory, and the one that disables it.
pub(super) const ACCOUNT_CONTROL: &str = "userAccountControl";
const DISABLED: u32 = 1 << 1;

/// Somebody whom a directory knows. What they may do is not told here, and no group makes them an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name of the directory.
    pub directory: String,
    /// Who they are for as long as the directory has them, whatever they or their entry are called: 36 lower-case
    /// characters. Unique in the directory; an account belongs to (directory, subject).
    pub subject: String,
    /// What they are called there now.
    pub name: String,
    /// Where their entry is now, as the directory spells it; for people to read, never to compare.
    pub dn: String,
    /// The groups they are in, nested ones included.
    pub groups: BTreeSet<DistinguishedName>,
}

/// An entry that was found, read as far as signing in needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) dn: String,
    pub(super) subject: String,
    pub(super) name: String,
    pub(super) disabled: bool,
}

impl Found {
    /// Reads an entry. Of several names the first in order is taken, so that it is the same each time.
    ///
    /// # Errors
    /// [`Cause::Unfit`] names the attribute that is missing or cannot be read.
    pub(super) fn read(entry: &Entry, name: &str, subject: SubjectAttribute) -> Result<Self, Cause> {
        let unfit = |attribute: &str| Cause::Unfit { dn: entry.dn.clone(), attribute: attribute.to_owned() };
        let subject = match entry.values(subject.name()) {
            [value] => subject.subject(value).ok_or_else(|| unfit(subject.name()))?,
            _ => return Err(unfit(subject.name())),
        };
        let names = entry.values(name).iter().min().and_then(|value| std::str::from_utf8(value).ok());
        let disabled = match entry.values(ACCOUNT_CONTROL) {
            [] => false,
            [value, ..] => flags(value).ok_or_else(|| unfit(ACCOUNT_CONTROL))? & DISABLED != 0,
        };
        Ok(Self {
            dn: entry.dn.clone(),
            subject,
            name: names.filter(|name| !name.is_empty()).ok_or_else(|| unfit(name))?.to_owned(),
            disabled,
        })
    }
}

/// The flags are a signed number in decimal.
fn flags(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse::<i32>().ok().map(i32::cast_unsigned)
}
