//! The parameters of each operation, out of a query string.
//! Unknown keys are ignored, as proxies and newer clients add their own.
//! Start at [`Query`].

use std::borrow::Cow;

use super::{Mount, OperationInvalid, Page, percent};
use crate::limits::{CURSOR_BYTES, MEDIA_TYPE_BYTES, TAGS_PER_PUT};
use crate::{Algorithm, Digest, Tag};

/// The longest upstream host that is echoed, with its port.
const NAMESPACE_BYTES: usize = 255;

/// A query string, `application/x-www-form-urlencoded`.
#[derive(Clone, Copy)]
pub(super) struct Query<'q>(&'q str);

/// What stands under one key.
enum Given<'q> {
    Nothing,
    /// One value, perhaps repeated.
    Once(Cow<'q, str>),
    /// Different values, or one that does not decode.
    Unclear,
}

impl<'q> Query<'q> {
    pub(super) fn new(query: Option<&'q str>) -> Self {
        Self(query.unwrap_or_default())
    }

    /// Every value under `key`, decoded; `None` for one that does not decode.
    fn values(self, key: &str) -> impl Iterator<Item = Option<Cow<'q, str>>> {
        self.0
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(move |(name, _)| form_decode(name).is_some_and(|name| name == key))
            .map(|(_, value)| form_decode(value))
    }

    /// The value under `key`. An empty one is no value.
    fn given(self, key: &str) -> Given<'q> {
        let mut values = self.values(key);
        match values.next() {
            None => Given::Nothing,
            Some(None) => Given::Unclear,
            Some(Some(first)) => {
                if values.any(|value| value.as_ref() != Some(&first)) {
                    Given::Unclear
                } else if first.is_empty() {
                    Given::Nothing
                } else {
                    Given::Once(first)
                }
            }
        }
    }

    /// `digest`, which a finished upload must have.
    pub(super) fn digest(self) -> Result<Option<Digest>, OperationInvalid> {
        match self.given("digest") {
            Given::Nothing => Ok(None),
            Given::Once(digest) => Ok(Some(digest.parse()?)),
            Given::Unclear => Err(OperationInvalid::DigestMissing),
        }
    }

    /// `digest-algorithm`, the hint of end-4c.
    pub(super) fn algorithm(self) -> Result<Option<Algorithm>, OperationInvalid> {
        match self.given("digest-algorithm") {
            Given::Nothing => Ok(None),
            Given::Once(algorithm) => Ok(Some(algorithm.parse()?)),
            Given::Unclear => Err(OperationInvalid::DigestMissing),
        }
    }

    /// `mount` and `from`. Whatever is wrong with them asks for a plain upload: clients take any refusal as final.
    pub(super) fn mount(self) -> Option<Mount> {
        let Given::Once(digest) = self.given("mount") else { return None };
        let digest = digest.parse().ok()?;
        match self.given("from") {
            Given::Nothing => Some(Mount { digest, from: None }),
            Given::Once(from) => Some(Mount { digest, from: Some(from.parse().ok()?) }),
            Given::Unclear => None,
        }
    }

    /// `tag`, as often as given, each tag once.
    pub(super) fn tags(self) -> Result<Vec<Tag>, OperationInvalid> {
        let mut tags = Vec::new();
        for (index, tag) in self.values("tag").enumerate() {
            if index == TAGS_PER_PUT {
                return Err(OperationInvalid::TagsTooMany);
            }
            let tag: Tag = tag.ok_or(crate::TagInvalid::Characters)?.parse()?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    /// `n` and `last`.
    pub(super) fn page(self) -> Result<Page, OperationInvalid> {
        let limit = match self.given("n") {
            Given::Nothing => None,
            Given::Once(n) => Some(whole_number(&n).ok_or(OperationInvalid::PageLimit)?),
            Given::Unclear => return Err(OperationInvalid::PageLimit),
        };
        let after = match self.given("last") {
            Given::Nothing => None,
            Given::Once(last) if last.len() <= CURSOR_BYTES && !last.contains(char::is_control) => {
                Some(last.into_owned())
            }
            Given::Once(_) | Given::Unclear => return Err(OperationInvalid::PageCursor),
        };
        Ok(Page { limit, after })
    }

    /// `change_id`, which may be absent, and `records`, which may not.
    pub(super) fn trust_changes(self) -> Result<(i64, i64), OperationInvalid> {
        let number = |key, absent: Option<i64>| match self.given(key) {
            Given::Nothing => absent.ok_or(OperationInvalid::TrustParameters),
            Given::Once(text) => text.parse().map_err(|_| OperationInvalid::TrustParameters),
            Given::Unclear => Err(OperationInvalid::TrustParameters),
        };
        Ok((number("change_id", Some(0))?, number("records", None)?))
    }

    /// `artifactType`. Anything that no manifest can have filters nothing: answering all is always allowed, refusing is not.
    ///
    /// No type has a space; one that arrives is a `+` that the client did not encode.
    pub(super) fn artifact_type(self) -> Option<String> {
        let Given::Once(artifact_type) = self.given("artifactType") else { return None };
        let artifact_type = artifact_type.replace(' ', "+");
        let is_possible = artifact_type.len() <= MEDIA_TYPE_BYTES && !artifact_type.contains(char::is_control);
        is_possible.then_some(artifact_type)
    }
}

/// The value of `ns`, when it is a host with an optional port.
pub(super) fn namespace(query: Option<&str>) -> Option<String> {
    let Given::Once(host) = Query::new(query).given("ns") else { return None };
    let is_host = host.len() <= NAMESPACE_BYTES
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    is_host.then(|| host.into_owned())
}

/// Decodes a name or value: `+` is a space, then escapes.
fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        percent::decode(&text.replace('+', " ")).map(|text| Cow::Owned(text.into_owned()))
    } else {
        percent::decode(text)
    }
}

/// Digits only. A number that 64 bits do not hold is past every bound that the server has, so it saturates.
fn whole_number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}
