//! Why a directory told nothing, and why its settings are refused.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::ber::Malformed;
use super::filter::FilterInvalid;
use super::message::{ADMIN_LIMIT_EXCEEDED, SIZE_LIMIT_EXCEEDED};
use super::name::NameInvalid;

/// A directory could not say who somebody is. Other ways to sign in are not concerned.
#[derive(Debug, thiserror::Error)]
#[error("the directory {directory:?} failed at {step}")]
pub struct DirectoryError {
    /// The name of the directory.
    pub directory: String,
    /// What was being done.
    pub step: Step,
    /// What went wrong.
    #[source]
    pub cause: Cause,
}

impl DirectoryError {
    /// Whether it tells of one entry, and of no other: also when what was sent of it cannot be read, or is more than is read
    /// or the server gives of one person's groups.
    #[must_use]
    pub fn is_about_one(&self) -> bool {
        match self.cause {
            Cause::Ambiguous | Cause::Unfit { .. } | Cause::Hidden(_) | Cause::TooMany(_) => true,
            Cause::Malformed(_) => matches!(self.step, Step::Find | Step::Groups),
            Cause::Refused { code, .. } => {
                self.step == Step::Groups && matches!(code, SIZE_LIMIT_EXCEEDED | ADMIN_LIMIT_EXCEEDED)
            }
            Cause::Unreachable(_) | Cause::TimedOut | Cause::Untrusted(_) => false,
        }
    }

    /// Whether it may work again later without anybody changing a setting.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self.cause {
            Cause::Unreachable(_) | Cause::TimedOut => true,
            Cause::Refused { code, .. } => matches!(code, super::message::BUSY | super::message::UNAVAILABLE),
            Cause::Untrusted(_)
            | Cause::Malformed(_)
            | Cause::Ambiguous
            | Cause::Unfit { .. }
            | Cause::Hidden(_)
            | Cause::TooMany(_) => false,
        }
    }
}

/// What a directory was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Other sign-ins have all connections.
    Wait,
    /// TCP.
    Connect,
    /// StartTLS and TLS.
    Secure,
    /// The bind of the account that searches.
    Account,
    /// The bind with a person's password.
    Password,
    /// The search for a person, by name or subject.
    Find,
    /// The search for the groups of a person.
    Groups,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Wait => "waiting for a free connection",
            Self::Connect => "connecting",
            Self::Secure => "starting TLS",
            Self::Account => "the bind of the search account",
            Self::Password => "the bind of a person",
            Self::Find => "the search for a person",
            Self::Groups => "the search for groups",
        })
    }
}

/// What went wrong with a directory.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No connection could be made, or it broke.
    #[error("there is no connection to it")]
    Unreachable(#[source] io::Error),
    /// All that was to be done took longer than the directory's `timeout`.
    #[error("it did not answer in time")]
    TimedOut,
    /// The handshake failed; mostly the certificate is not signed by a known authority, or is another host's.
    #[error("it did not prove by TLS who it is")]
    Untrusted(#[source] io::Error),
    /// It answered, and not with success.
    #[error("it answered with result code {code} (RFC 4511, appendix A) and said {text:?}")]
    Refused {
        /// The result code of RFC 4511 §4.1.9; 10 is a referral, which is never followed.
        code: u32,
        /// Its own words, shortened.
        text: String,
    },
    /// It sent what is not LDAP, or more than is read.
    #[error("it sent what cannot be understood")]
    Malformed(#[from] Malformed),
    /// More than one entry has the name or subject.
    #[error("more than one entry is called so; narrow the filter")]
    Ambiguous,
    /// An entry lacks an attribute that is needed, or has one that cannot be read.
    #[error("the entry {dn:?} has no {attribute} that can be used")]
    Unfit {
        /// The entry.
        dn: String,
        /// The attribute.
        attribute: String,
    },
    /// Somebody's password was right, and whoever searches cannot see the entry.
    #[error("the entry {0:?} exists and the search account may not read it")]
    Hidden(String),
    /// There are more answers than are read.
    #[error("there are more than {0}")]
    TooMany(usize),
}

/// The settings of a directory are refused.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryInvalid {
    /// The name is no name, or too long.
    #[error("{0:?} cannot be a directory's name: use at most 32 lower-case letters, digits and '-'")]
    Name(String),
    /// Two directories have one name.
    #[error("two directories are called {0:?}")]
    NameTaken(String),
    /// The URL is not one of a directory.
    #[error("{0} is not a directory's URL: it takes ldap:// or ldaps:// and a host, perhaps a port, and nothing else")]
    Url(String),
    /// Passwords would be sent in the clear.
    #[error(
        "{0} without TLS would send passwords in the clear: use ldaps:// or start_tls = true, or insecure = true where the \
         network is trusted"
    )]
    Plain(String),
    /// `insecure`, `start_tls` or `ca_file` contradicts the URL or another setting.
    #[error("{0}")]
    Contradiction(&'static str),
    /// The file of certificates cannot be read.
    #[error("{} cannot be read as PEM", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: rustls::pki_types::pem::Error,
    },
    /// There is no authority to trust.
    #[error("{0} holds no certificate that can be used")]
    NoAuthority(String),
    /// The versions of TLS are not supported by the cryptography that was built in.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
    /// The time is zero or longer than anybody waits.
    #[error("`timeout` takes from 100ms to 60s")]
    Timeout,
    /// No sign-in could ever run.
    #[error("`connections` takes from 1 to 1000")]
    Connections,
    /// The account that searches has no name or no password; an empty password would be no bind at all (RFC 4513 §5.1.2).
    #[error("the search account needs both a name and a password")]
    Account,
    /// A distinguished name cannot be parsed.
    #[error("`{setting}` is not a distinguished name")]
    DistinguishedName {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        source: NameInvalid,
    },
    /// A filter cannot be parsed.
    #[error("`{setting}` is not a filter")]
    Filter {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        source: FilterInvalid,
    },
    /// An attribute's name is none.
    #[error("{0:?} is not the name of an attribute")]
    Attribute(String),
    /// No group would be found, or more than anybody means.
    #[error(
        "`groups.depth` takes from 1 to 32, and 1 alone where the filter looks for {{name}}: groups have no such name"
    )]
    Depth,
}
