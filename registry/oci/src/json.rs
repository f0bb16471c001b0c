//! Strict JSON from outside: one meaning per document, bounded in depth and in number of values.
//! No document's own rules stand here; they are in `manifest`, `token` and `claims`.
//! Start at [`parse`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use crate::limits::{JSON_DEPTH, JSON_VALUES, MEDIA_TYPE_BYTES};

/// A JSON value. Text without escapes borrows from the document.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    Null,
    Bool,
    /// A whole number of zero or more that fits 64 bits.
    Unsigned(u64),
    /// Any other number: negative, with a fraction or exponent, or too large.
    OtherNumber,
    Text(Cow<'a, str>),
    Array(Vec<Self>),
    Object(Object<'a>),
}

/// A JSON object: its members in order, no key twice.
#[derive(Debug)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    /// The member called `key`. `null` is the absence of a value: encoders of several clients write it for what they omit.
    pub(crate) fn get(&self, key: &str) -> Option<&Value<'a>> {
        let (_, value) = self.0.iter().find(|(name, _)| name == key)?;
        (!matches!(value, Value::Null)).then_some(value)
    }

    /// Whether the key stands in the object, even as `null`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// A key that is not one of `known` and that Go's decoder would take for one, as it ignores case.
    ///
    /// Most clients are written in Go. A document that says `layers` to us and `Layers` to them has two meanings.
    pub(crate) fn lookalike(&self, known: &[&'static str]) -> Option<&str> {
        let mut names = self.0.iter().map(|(name, _)| name.as_ref());
        names.find(|name| !known.contains(name) && known.iter().any(|known| folds_to(name, known)))
    }
}

/// Whether `name` and `known`, which is ASCII, are equal under Unicode simple case folding.
///
/// Two characters outside ASCII fold into it: the long s and the Kelvin sign.
fn folds_to(name: &str, known: &str) -> bool {
    let folded = name.chars().map(|character| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(known.chars().map(|character| character.to_ascii_lowercase()))
}

/// Why a text is not a JSON document that is read here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonInvalid {
    /// The bytes are not UTF-8.
    #[error("the document is not UTF-8")]
    NotUtf8,
    /// Not JSON.
    #[error("the document is not JSON: line {line}, column {column}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// One object has a key twice, so that readers could disagree on its value. Of a long key only the beginning is told.
    #[error("the key {0:?} stands twice in one object")]
    DuplicateKey(String),
    /// Nested deeper than [`JSON_DEPTH`].
    #[error("the document is nested deeper than {JSON_DEPTH} levels")]
    TooDeep,
    /// More values than [`JSON_VALUES`].
    #[error("the document has more than {JSON_VALUES} values")]
    TooManyValues,
}

/// Parses a whole document.
///
/// # Errors
/// [`JsonInvalid`], each variant as it says.
pub(crate) fn parse(document: &[u8]) -> Result<Value<'_>, JsonInvalid> {
    let text = std::str::from_utf8(document).map_err(|_| JsonInvalid::NotUtf8)?;
    let mut reading = Reading { values_left: JSON_VALUES, refused: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Seed { reading: &mut reading, depth_left: JSON_DEPTH }.deserialize(&mut json);
    let value = value.and_then(|value| json.end().map(|()| value));
    value.map_err(|error| reading.refused.unwrap_or(JsonInvalid::Syntax { line: error.line(), column: error.column() }))
}

/// What is shared by the whole of one reading.
struct Reading {
    values_left: usize,
    refused: Option<JsonInvalid>,
}

struct Seed<'r> {
    reading: &'r mut Reading,
    depth_left: usize,
}

impl Seed<'_> {
    fn refuse<T, E: serde::de::Error>(&mut self, why: JsonInvalid) -> Result<T, E> {
        self.reading.refused = Some(why);
        Err(E::custom("refused"))
    }

    /// The seed of a value one level further in.
    fn inner<E: serde::de::Error>(&mut self) -> Result<Seed<'_>, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Seed { reading: self.reading, depth_left }),
            None => self.refuse(JsonInvalid::TooDeep),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.reading.values_left.checked_sub(1) {
            Some(left) => self.reading.values_left = left,
            None => return self.refuse(JsonInvalid::TooManyValues),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Unsigned(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = array.next_element_seed(self.inner()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = object.next_key_seed(Key)? {
            let value = object.next_value_seed(self.inner()?)?;
            members.push((key, value));
        }
        match duplicate(&members) {
            Some(key) => self.refuse(JsonInvalid::DuplicateKey(key)),
            None => Ok(Value::Object(Object(members))),
        }
    }
}

/// A key that stands twice. Sorting keeps the cost of hostile keys bounded without a hash of them.
fn duplicate(members: &[(Cow<'_, str>, Value<'_>)]) -> Option<String> {
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| excerpt(pair[0]))
}

/// As much of a stranger's text as a message repeats.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().take(MEDIA_TYPE_BYTES).collect()
}

/// An object's key, borrowed from the document when it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
