//! Who an entry is.

use std::collections::BTreeSet;

use super::error::Cause;
use super::message::Entry;
use super::name::DistinguishedName;
use super::subject::SubjectAttribute;
use crate::clock::instant;

/// Flags of an account in Active Directory, and the one that disables it.
pub(super) const ACCOUNT_CONTROL: &str = "userAccountControl";
/// When a password was set, in Active Directory and elsewhere.
pub(super) const PASSWORD_LAST_SET: &str = "pwdLastSet";
pub(super) const PASSWORD_CHANGED_TIME: &str = "pwdChangedTime";
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
    /// Since when they have had their password, in milliseconds since 1970, if the directory shows it.
    pub password_at: Option<i64>,
}

/// An entry that was found, read as far as signing in needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) dn: String,
    pub(super) subject: String,
    pub(super) name: String,
    pub(super) disabled: bool,
    pub(super) password_at: Option<i64>,
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
            password_at: password_at(entry),
        })
    }
}

/// When the password was set, by whichever attribute tells. What cannot be read tells nothing: it keeps nobody out.
fn password_at(entry: &Entry) -> Option<i64> {
    let value = |attribute: &str| entry.values(attribute).first().and_then(|value| std::str::from_utf8(value).ok());
    value(PASSWORD_LAST_SET).and_then(since_1601).or_else(|| value(PASSWORD_CHANGED_TIME).and_then(generalized))
}

/// Steps of 100 ns since 1601; 0 means that the password is to be changed first.
fn since_1601(text: &str) -> Option<i64> {
    const UNTIL_1970: i64 = 11_644_473_600_000;
    let steps: i64 = text.parse().ok().filter(|steps| *steps > 0)?;
    Some(steps / 10_000 - UNTIL_1970)
}

/// `20270115080000Z`, perhaps with a fraction of the second, which is left out (RFC 4517 section 3.3.13).
fn generalized(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let digits = text.split(['.', ',']).next().filter(|digits| digits.len() == 14 && digits.is_ascii())?;
    let (date, time) = digits.split_at(8);
    let date = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
    instant(&format!("{date}T{}:{}:{}Z", &time[..2], &time[2..4], &time[4..]))
}

/// The flags are a signed number in decimal.
fn flags(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse::<i32>().ok().map(i32::cast_unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_passwords_are_read_as_directories_write_them() {
        for (text, at) in [
            ("133444736000000000", Some(1_700_000_000_000)),
            ("133444736000009999", Some(1_700_000_000_000)),
            ("0", None),
            ("-1", None),
            ("9223372036854775808", None),
            ("", None),
        ] {
            assert_eq!(since_1601(text), at, "{text}");
        }
        for (text, at) in [
            ("20231114221320Z", Some(1_700_000_000_000)),
            ("20231114221320.75Z", Some(1_700_000_000_000)),
            ("20231114221320,5Z", Some(1_700_000_000_000)),
            ("20231114221320+0100", None),
            ("20231314221320Z", None),
            ("2023111422132Z", None),
            ("\u{fc}23111422132Z", None),
            ("Z", None),
            ("", None),
        ] {
            assert_eq!(generalized(text), at, "{text}");
        }
    }
}
