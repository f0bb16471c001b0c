//! How a setting names a claim: by its name, or by a path into it.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value};

const SEGMENTS: usize = 8;
const BYTES: usize = 256;

/// A claim: `repository_id`, or the JSON Pointer `/kubernetes.io/serviceaccount/name` (RFC 6901).
///
/// Text that begins with `/` is a pointer, whose `~1` is a slash and whose `~0` a tilde; any other is the name of a claim as
/// it stands, dots and slashes included. A pointer steps through objects, never into lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ClaimPath {
    text: String,
    segments: Vec<String>,
}

/// The text is empty, too long, or has an empty segment or a stray tilde.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no claim; write a name, or a path such as /kubernetes.io/namespace")]
pub struct ClaimPathInvalid(pub String);

impl ClaimPath {
    /// The text, as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The claim's value, when there is one.
    #[must_use]
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.segments.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, segment| value.as_object()?.get(segment))
    }
}

impl FromStr for ClaimPath {
    type Err = ClaimPathInvalid;

    fn from_str(text: &str) -> Result<Self, ClaimPathInvalid> {
        let segments: Option<Vec<_>> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(unescape).collect(),
            None => Some(vec![text.to_owned()]),
        };
        segments
            .filter(|segments| text.len() <= BYTES && segments.len() <= SEGMENTS)
            .filter(|segments| segments.iter().all(|segment| !segment.is_empty()))
            .map(|segments| Self { text: text.to_owned(), segments })
            .ok_or_else(|| ClaimPathInvalid(text.to_owned()))
    }
}

fn unescape(segment: &str) -> Option<String> {
    let mut pieces = segment.split('~');
    let mut text = pieces.next()?.to_owned();
    for piece in pieces {
        let (escaped, rest) = piece.split_at_checked(1)?;
        text.push(match escaped {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        text.push_str(rest);
    }
    Some(text)
}

impl TryFrom<String> for ClaimPath {
    type Error = ClaimPathInvalid;

    fn try_from(text: String) -> Result<Self, ClaimPathInvalid> {
        text.parse()
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}
