//! Why nobody was identified.

/// A refusal to say who is asking.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The credentials do not have the shape of any that the registry knows.
    #[error("the Authorization header holds neither a bearer token nor a name and password")]
    Malformed,
    /// The name or the password is wrong; which of them is not told.
    #[error("the name or the password is wrong")]
    WrongPassword,
    /// The bearer token is forged, expired, revoked or made for another service.
    #[error("the token is not valid here: {0}")]
    Token(String),
    /// The refresh token is unknown, expired, revoked or made for another service.
    #[error("the refresh token is not valid here")]
    RefreshToken,
    /// More passwords wait to be checked than the registry keeps in line.
    #[error("too many sign-ins at once; try again shortly")]
    Busy,
    /// Too many wrong passwords came for this name from this address, from this address or its region at all, or for this
    /// name from everywhere.
    #[error("too many wrong passwords; try again in {wait_seconds} s, or sign in with a token")]
    TooManyAttempts {
        /// How long to wait, in seconds.
        wait_seconds: u32,
    },
    /// A directory or provider vouches for them, and the name that they would have here was somebody else's until lately.
    #[error(
        "the user or organization {0:?} was removed lately, and its name is kept from newcomers for a while; ask an \
         administrator to make you a user"
    )]
    NameRests(String),
    /// The provider that they come from has not vouched for them lately.
    #[error(
        "your tokens rest until you sign in again with the provider that you come from, in a browser at /auth/device"
    )]
    Unvouched,
    /// A directory that might know them does not answer.
    #[error("the directory does not answer; try again shortly, or sign in with a token")]
    Directory(#[source] std::sync::Arc<super::directory::DirectoryError>),
    /// The issuer of a workload's token does not answer.
    #[error("the issuer of this token does not answer; try again shortly")]
    Issuer(#[source] std::sync::Arc<super::oidc::Refused>),
    /// The keys that check tokens cannot be read now.
    #[error("the token keys cannot be used")]
    Keys(#[from] super::keys::KeyError),
    /// The database did not answer.
    #[error("the database did not answer")]
    Metadata(#[from] hallmark_storage::metadata::Error),
}
