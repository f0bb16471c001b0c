//! What went wrong in a check, in one sentence that tells the reader what to look at or to do.

use std::{error::Error, fmt};

/// What a check that may fail returns.
pub type Outcome<T> = Result<T, Failure>;

/// A failed check: one sentence, with the error that caused it where there is one.
pub struct Failure {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure without a deeper cause.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// A failure that another error caused.
    pub fn caused_by(what: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self { what: what.into(), source: Some(Box::new(source)) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// A test that returns a failure prints it this way, so it reads as `Display` does: whole lines, nothing escaped.
impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<std::io::Error> for Failure {
    fn from(source: std::io::Error) -> Self {
        Self::caused_by("input or output failed", source)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(source: serde_json::Error) -> Self {
        Self::caused_by("this is not the JSON that was expected", source)
    }
}

/// Says what was being done when an error happened.
pub trait While<T> {
    /// Wraps the error in a [`Failure`] that begins with `what`.
    ///
    /// # Errors
    /// The wrapped error, if there was one.
    fn or_fail(self, what: impl Into<String>) -> Outcome<T>;
}

impl<T, E: Error + Send + Sync + 'static> While<T> for Result<T, E> {
    fn or_fail(self, what: impl Into<String>) -> Outcome<T> {
        self.map_err(|error| Failure::caused_by(what, error))
    }
}

impl<T> While<T> for Option<T> {
    fn or_fail(self, what: impl Into<String>) -> Outcome<T> {
        self.ok_or_else(|| Failure::new(what))
    }
}
