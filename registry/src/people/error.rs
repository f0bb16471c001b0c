//! Why something about people is not done.

use hallmark_signer::wire::Unserved;
use hallmark_storage::metadata;

use crate::auth::users::UserError;
use crate::passage::Exceeded;

/// Why a request about people, rights or repositories is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such thing, or the caller may not know of it: the two read the same.
    #[error("there is no {0} of this name that you may see")]
    Unknown(&'static str),
    /// The caller may see it, and may not do this to it.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A value cannot be.
    #[error("{why}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What is wrong with it, and what would do.
        why: String,
    },
    /// What was asked for stands against what is there.
    #[error("{0}")]
    Conflict(String),
    /// The thing is another by now than the one that `If-Match` names.
    #[error("it was changed meanwhile; read it again, and then decide")]
    Changed,
    /// A hard limit leaves no room for it.
    #[error(transparent)]
    Exceeded(Box<Exceeded>),
    /// Others are at it, and it is dear.
    #[error("{0}")]
    Busy(String),
    /// What was asked for did not come to its end.
    #[error("it did not come to its end")]
    Ended(#[from] tokio::task::JoinError),
    /// A rule about users.
    #[error(transparent)]
    User(#[from] UserError),
    /// The signer did not look at it.
    #[error(transparent)]
    Unsigned(#[from] Unserved),
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

impl Refused {
    /// The refusal of whoever names something that cannot be there: that is told like what is not there. A database that
    /// does not answer has not said so.
    pub(super) fn or_unknown(self, what: &'static str) -> Self {
        match self {
            Self::Metadata(error) => Self::Metadata(error),
            Self::Unsigned(unserved) => Self::Unsigned(unserved),
            _ => Self::Unknown(what),
        }
    }

    pub(super) fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }
}
