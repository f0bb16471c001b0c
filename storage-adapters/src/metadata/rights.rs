//! What may be done in a repository, as grants hold it: a set of bits.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};
use std::str::FromStr;

/// A set of rights in a repository. `read`, `write` and `admin` are the roles that people know; `delete` and `sign` can
/// also be given apart, so that a robot may sign and not push. Whether `sign` was said beside `write` is kept: where an organization
/// does not let writers sign, whoever was given both signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(i64);

/// The words in which rights are written, the widest first.
const WORDS: [(&str, Rights); 5] = [
    ("admin", Rights::ADMIN),
    ("write", Rights::WRITE),
    ("read", Rights::READ),
    ("delete", Rights::DELETE),
    ("sign", Rights::SIGN),
];

/// That `sign` was said by its own word beside `write`. It is no right.
const APART: i64 = 32;

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);
    /// To pull, and to see that the repository exists.
    pub const PULL: Self = Self(1);
    /// To push, to give an upload up, and to delete tags.
    pub const PUSH: Self = Self(2);
    /// To delete manifests and blobs.
    pub const DELETE: Self = Self(4);
    /// To sign.
    pub const SIGN: Self = Self(8);
    /// To change settings, visibility and grants, and to rename or delete the repository.
    pub const MANAGE: Self = Self(16);
    /// The role `read`.
    pub const READ: Self = Self::PULL;
    /// The role `write`.
    pub const WRITE: Self = Self(Self::PULL.0 | Self::PUSH.0 | Self::SIGN.0);
    /// The role `admin`: everything.
    pub const ADMIN: Self = Self(Self::WRITE.0 | Self::DELETE.0 | Self::MANAGE.0);

    /// Whether all of `other` is among them.
    #[must_use]
    pub const fn contain(self, other: Self) -> bool {
        let other = other.0 & Self::ADMIN.0;
        self.0 & other == other
    }

    /// What they give where an organization lets writers sign, or does not: then `write` alone signs nothing.
    #[must_use]
    pub const fn given(self, writers_sign: bool) -> Self {
        let signs = writers_sign || self.contain(Self::MANAGE) || !self.contain(Self::PUSH) || self.0 & APART != 0;
        Self(self.0 & Self::ADMIN.0 & if signs { -1 } else { !Self::SIGN.0 })
    }

    /// With the mark where it says something, and nowhere else.
    const fn settled(bits: i64) -> Self {
        let says_more = bits & (Self::MANAGE.0 | Self::PUSH.0 | Self::SIGN.0) == Self::PUSH.0 | Self::SIGN.0;
        Self(bits & (Self::ADMIN.0 | if says_more { APART } else { 0 }))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// As a row holds them.
    #[must_use]
    pub const fn bits(self) -> i64 {
        self.0
    }

    /// From a row. What a later release may have added is left out: it grants nothing here.
    #[must_use]
    pub const fn from_bits(bits: i64) -> Self {
        Self::settled(bits)
    }

    /// The fewest words that say them.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let mut said = Self::NONE;
        WORDS.into_iter().filter_map(move |(word, rights)| {
            let is_marked = word == "sign" && self.0 & APART != 0;
            let says_more = self.contain(rights) && (is_marked || !said.contain(rights));
            said |= if says_more { rights } else { Self::NONE };
            says_more.then_some(word)
        })
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The words, joined by `+`; `none` for no right.
impl fmt::Display for Rights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("none");
        }
        let words: Vec<_> = self.words().collect();
        formatter.write_str(&words.join("+"))
    }
}

/// A word that is no right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no right: use read, write, admin, delete or sign, also joined by '+'")]
pub struct RightsInvalid(String);

impl FromStr for Rights {
    type Err = RightsInvalid;

    fn from_str(text: &str) -> Result<Self, RightsInvalid> {
        let rights = text.split('+').try_fold(Self::NONE, |rights, word| {
            let known = WORDS.iter().find(|(name, _)| *name == word);
            let mark = if word == "sign" { APART } else { 0 };
            known.map(|(_, more)| Self(rights.0 | more.0 | mark)).ok_or_else(|| RightsInvalid(text.to_owned()))
        })?;
        Ok(Self::settled(rights.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_say_themselves_in_the_fewest_words() {
        for (text, shown) in [
            ("read", "read"),
            ("write", "write"),
            ("admin", "admin"),
            ("sign", "sign"),
            ("read+sign", "read+sign"),
            ("write+sign+read", "write+sign"),
            ("write+delete+sign", "write+delete+sign"),
            ("write+delete", "write+delete"),
            ("admin+delete+sign", "admin"),
        ] {
            let rights: Rights = text.parse().unwrap();
            assert_eq!(rights.to_string(), shown);
            assert_eq!(shown.parse::<Rights>().unwrap(), rights);
            assert_eq!(Rights::from_bits(rights.bits()), rights);
        }
        assert_eq!(Rights::NONE.to_string(), "none");
    }

    #[test]
    fn what_is_no_right_is_refused() {
        for text in ["", "none", "Read", "pull", "read+", "+", "read,write", "read write"] {
            assert!(text.parse::<Rights>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn where_writers_do_not_sign_only_those_do_who_were_given_it() {
        for (text, given) in [
            ("read", "read"),
            ("read+sign", "read+sign"),
            ("write+sign", "write"),
            ("write+sign+delete", "write+delete"),
            ("admin", "admin"),
        ] {
            let rights: Rights = text.parse().unwrap();
            assert_eq!(rights.given(true).to_string(), given, "{text}");
            assert_eq!(rights.given(false), rights.given(true), "{text}");
        }
        assert_eq!(Rights::WRITE.given(true), Rights::WRITE);
        assert_eq!(Rights::WRITE.given(false), Rights::PULL | Rights::PUSH);
        assert!("write".parse::<Rights>().unwrap().contain("sign".parse().unwrap()), "the mark is no right");
    }

    #[test]
    fn bits_of_a_later_release_grant_nothing() {
        assert_eq!(Rights::from_bits(1 << 40 | 1), Rights::PULL);
        assert_eq!(Rights::from_bits(-1), Rights::ADMIN);
    }
}
