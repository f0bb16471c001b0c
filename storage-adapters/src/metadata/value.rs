//! What goes into a statement. This file names no driver.

use hallmark_oci::{Digest, RepositoryName, Tag, UploadId};

use crate::StorageKey;

/// One parameter. Absence keeps its type, which PostgreSQL asks for.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Integer(Option<i64>),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Integer(Some(i64::from(value)))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(Some(value))
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(value: Option<&'a [u8]>) -> Self {
        Self::Bytes(value)
    }
}

/// The vocabulary goes in as its text.
macro_rules! text_value {
    ($($type:ty),+) => {
        $(
            impl<'a> From<&'a $type> for Value<'a> {
                fn from(value: &'a $type) -> Self {
                    Self::Text(Some(value.as_str()))
                }
            }
        )+
    };
}

text_value!(Digest, RepositoryName, Tag, UploadId, StorageKey);

/// The parameters of a statement, each turned into a [`Value`].
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::metadata::value::Value::from($value)),*] };
}

pub(super) use values;

/// A list of texts as the one JSON parameter that `{in texts N}` reads.
pub(super) fn json_texts<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(texts).to_string()
}

/// A list of numbers as the one JSON parameter that `{integers N}` reads, ascending and without repetition: rows are
/// locked and written in one order by everybody.
pub(super) fn json_integers(numbers: impl IntoIterator<Item = i64>) -> String {
    let sorted = std::collections::BTreeSet::from_iter(numbers);
    serde_json::Value::from_iter(sorted).to_string()
}
