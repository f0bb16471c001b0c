//! The `WWW-Authenticate` header that tells a client where to get a token, and for what.
//! Whether a request is challenged is decided elsewhere.
//! Start at [`Challenge`].

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use thiserror::Error;

use crate::Scopes;
use crate::limits::CHALLENGE_VALUE_BYTES;

/// A bearer challenge (RFC 6750 section 3, and the token protocol of the Docker registry).
///
/// Its `Display` is the header's value: parameters always quoted, in the order realm, service, scope, error, separated by
/// commas without spaces, which is the form that every client reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge<'a> {
    realm: Cow<'a, str>,
    service: Cow<'a, str>,
    scope: Option<String>,
    error: Option<ChallengeError>,
}

/// What was wrong with the token that was presented. Without a token there is no error: clients that see one drop what
/// they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeError {
    /// Malformed, forged, expired or revoked.
    InvalidToken,
    /// Valid, with too narrow a scope.
    InsufficientScope,
}

impl ChallengeError {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::InvalidToken, Self::InsufficientScope].into_iter().find(|error| error.as_str() == word)
    }
}

impl fmt::Display for ChallengeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'a> Challenge<'a> {
    /// A challenge for a request without a token.
    ///
    /// # Errors
    /// [`ChallengeInvalid::Value`] when a value is empty, long, or has characters other than visible ASCII, quotes or
    /// backslashes; [`ChallengeInvalid::SchemeWord`] when the service holds the word `basic` or `bearer`, by which the
    /// conformance suite would take it for the scheme. A realm is a host that its operator named; any name is let be.
    pub fn new(realm: &'a str, service: &'a str) -> Result<Self, ChallengeInvalid> {
        for value in [realm, service] {
            let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
            if value.is_empty() || value.len() > CHALLENGE_VALUE_BYTES || !is_plain {
                return Err(ChallengeInvalid::Value);
            }
        }
        let service_words = service.to_ascii_lowercase();
        if service_words.contains("basic") || service_words.contains("bearer") {
            return Err(ChallengeInvalid::SchemeWord);
        }
        Ok(Self { realm: Cow::Borrowed(realm), service: Cow::Borrowed(service), scope: None, error: None })
    }

    /// The same challenge, naming the scopes that a token should have.
    #[must_use]
    pub fn with_scopes(self, scopes: &Scopes) -> Self {
        let scope = (!scopes.is_empty()).then(|| scopes.to_string());
        Self { scope, ..self }
    }

    /// The same challenge, for a request that did present a token.
    #[must_use]
    pub fn with_error(self, error: ChallengeError) -> Self {
        Self { error: Some(error), ..self }
    }

    /// The address of the token endpoint.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The name that a token must be made for.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The scopes to ask for, as text.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// What was wrong with the token.
    #[must_use]
    pub fn error(&self) -> Option<ChallengeError> {
        self.error
    }
}

impl Challenge<'static> {
    /// Reads a header's value as a client does: any order, quoted or not, unknown parameters and errors ignored.
    ///
    /// # Errors
    /// [`ChallengeInvalid::Scheme`] for another scheme, [`ChallengeInvalid::Syntax`] for a broken list or a parameter
    /// given twice, [`ChallengeInvalid::Value`] for an unprintable or long value, [`ChallengeInvalid::Incomplete`]
    /// without a realm.
    pub fn parse(header: &str) -> Result<Self, ChallengeInvalid> {
        let (scheme, parameters) = header.trim().split_once(' ').ok_or(ChallengeInvalid::Scheme)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ChallengeInvalid::Scheme);
        }
        let (mut realm, mut service, mut scope, mut error) = (None, None, None, None);
        let mut rest = parameters.trim_start();
        while !rest.is_empty() {
            let (name, value, after) = parameter(rest)?;
            let slot = match name.to_ascii_lowercase().as_str() {
                "realm" => Some(&mut realm),
                "service" => Some(&mut service),
                "scope" => Some(&mut scope),
                "error" => Some(&mut error),
                _ => None,
            };
            if let Some(slot) = slot
                && slot.replace(value).is_some()
            {
                return Err(ChallengeInvalid::Syntax);
            }
            rest = after;
        }
        Ok(Self {
            realm: Cow::Owned(realm.ok_or(ChallengeInvalid::Incomplete)?),
            service: Cow::Owned(service.unwrap_or_default()),
            scope,
            error: error.as_deref().and_then(ChallengeError::from_word),
        })
    }
}

/// The first `name=value` of a list, and what follows its comma.
fn parameter(text: &str) -> Result<(&str, String, &str), ChallengeInvalid> {
    let (name, rest) = text.split_once('=').ok_or(ChallengeInvalid::Syntax)?;
    let name = name.trim_end();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!~*'".contains(&byte)) {
        return Err(ChallengeInvalid::Syntax);
    }
    let rest = rest.trim_start();
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let (token, rest) = rest.split_at(rest.find([',', ' ', '\t']).unwrap_or(rest.len()));
            (token.to_owned(), rest)
        }
    };
    if value.len() > CHALLENGE_VALUE_BYTES || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(ChallengeInvalid::Value);
    }
    let rest = rest.trim_start();
    match rest.strip_prefix(',') {
        Some(rest) => Ok((name, value, rest.trim_start())),
        None if rest.is_empty() => Ok((name, value, rest)),
        None => Err(ChallengeInvalid::Syntax),
    }
}

/// A quoted string after its opening quote, and what follows the closing one (RFC 9110 section 5.6.4).
fn unquote(text: &str) -> Result<(String, &str), ChallengeInvalid> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(characters.next().ok_or(ChallengeInvalid::Syntax)?.1),
            _ => value.push(character),
        }
    }
    Err(ChallengeInvalid::Syntax)
}

impl fmt::Display for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer realm=")?;
        write_quoted(&self.realm, f)?;
        f.write_str(",service=")?;
        write_quoted(&self.service, f)?;
        if let Some(scope) = &self.scope {
            f.write_str(",scope=")?;
            write_quoted(scope, f)?;
        }
        if let Some(error) = self.error {
            f.write_str(",error=")?;
            write_quoted(error.as_str(), f)?;
        }
        Ok(())
    }
}

/// Writes a quoted string. Whatever the value, it cannot leave its quotes or its line: fields of a [`crate::Scope`] are
/// open to whoever builds one.
fn write_quoted(value: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for character in value.chars() {
        match character {
            '"' | '\\' => write!(f, "\\{character}")?,
            ' '..='~' => f.write_char(character)?,
            _ => f.write_char('?')?,
        }
    }
    f.write_char('"')
}

/// Why a text is no [`Challenge`], or cannot be part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChallengeInvalid {
    /// Another scheme than `Bearer`.
    #[error("the challenge is not of the Bearer scheme")]
    Scheme,
    /// Not a list of parameters, or one of them twice.
    #[error("the parameters of the challenge are not a list of name=\"value\"")]
    Syntax,
    /// A value that does not fit between quotes.
    #[error(
        "a realm or service is at most {CHALLENGE_VALUE_BYTES} visible ASCII characters without quotes and backslashes"
    )]
    Value,
    /// A value that holds the name of an authentication scheme.
    #[error("a service must not contain the words basic or bearer, which clients read as the scheme")]
    SchemeWord,
    /// No realm.
    #[error("the challenge names no realm")]
    Incomplete,
}
