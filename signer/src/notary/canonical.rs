//! JSON in the one form that signatures are made over.
//!
//! Members sorted by their bytes, no white space, whole numbers only. Of the characters of a text the quote and the backslash
//! are escaped, and U+2028 and U+2029, which the clients' writer of this form escapes too. Unlike in TUF 1.0 libraries no
//! Unicode normalization takes place.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The largest whole number that every reader of JSON keeps exactly: 2^53 − 1.
const EXACT: u64 = (1 << 53) - 1;

/// The most commas and opening brackets of a document: each may begin a value, and a value takes a hundred times the bytes that
/// it is written with. Forty thousand tags have fewer.
pub(super) const MARKS: usize = 1 << 18;

/// A JSON document with one meaning: no member twice, no fraction, no number past 2^53 − 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
    /// An array.
    Array(Vec<Self>),
    /// An object.
    Object(BTreeMap<String, Self>),
}

/// Why bytes are not such a document.
#[derive(Debug, thiserror::Error)]
#[error("not JSON with one meaning: {0}")]
pub struct CanonicalInvalid(#[from] serde_json::Error);

impl Value {
    /// Reads one document; nesting is bounded by the parser, at 128.
    ///
    /// # Errors
    /// [`CanonicalInvalid`] for what is not JSON, has a member twice, or a number that is no whole one.
    pub fn parse(bytes: &[u8]) -> Result<Self, CanonicalInvalid> {
        if marks(bytes) > MARKS {
            return Err(CanonicalInvalid(serde_json::Error::custom("more values than are read")));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The bytes that a signature is made over.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Text(text) => write_text(text, out),
            Self::Array(values) => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    value.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// How many commas and opening brackets there are.
pub(super) fn marks(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| matches!(byte, b',' | b'{' | b'[')).count()
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend([b'\\', character as u8]),
            '\u{2028}' => out.extend_from_slice(b"\\u2028"),
            '\u{2029}' => out.extend_from_slice(b"\\u2029"),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value with whole numbers only")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(number) if value <= EXACT => Ok(Value::Integer(number)),
            _ => Err(E::custom("a number past 2^53 - 1")),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() <= EXACT { Ok(Value::Integer(value)) } else { Err(E::custom("a number below -2^53")) }
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a number that is not a whole one"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            match object.entry(name) {
                Entry::Occupied(entry) => return Err(A::Error::custom(format_args!("{:?} stands twice", entry.key()))),
                Entry::Vacant(entry) => entry.insert(members.next_value()?),
            };
        }
        Ok(Value::Object(object))
    }
}
