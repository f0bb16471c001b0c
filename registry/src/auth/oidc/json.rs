//! Strict JSON of strangers: no key twice in one object, bounded in depth and in number of values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

const DEPTH: usize = 16;
const VALUES: usize = 8_192;

/// Why a text is not JSON that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonInvalid {
    /// Not JSON, or not UTF-8.
    #[error("it is not JSON")]
    Syntax,
    /// JSON, but no object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// One object has a key twice, so that two readers could disagree on its value.
    #[error("a key stands twice in one object")]
    DuplicateKey,
    /// Nested too deep, or too many values.
    #[error("it is nested too deep or holds too many values")]
    TooMuch,
}

/// Parses a document that is an object.
pub(super) fn parse(document: &[u8]) -> Result<Map<String, Value>, JsonInvalid> {
    let mut reading = Reading { values_left: VALUES, refused: JsonInvalid::Syntax };
    let mut json = serde_json::Deserializer::from_slice(document);
    let value = Seed { reading: &mut reading, depth_left: DEPTH }.deserialize(&mut json);
    match value.and_then(|value| json.end().map(|()| value)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(JsonInvalid::NotAnObject),
        Err(_) => Err(reading.refused),
    }
}

struct Reading {
    values_left: usize,
    refused: JsonInvalid,
}

struct Seed<'r> {
    reading: &'r mut Reading,
    depth_left: usize,
}

impl Seed<'_> {
    fn refuse<T, E: serde::de::Error>(&mut self, why: JsonInvalid) -> Result<T, E> {
        self.reading.refused = why;
        Err(E::custom("refused"))
    }

    fn inner<E: serde::de::Error>(&mut self) -> Result<Seed<'_>, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Seed { reading: self.reading, depth_left }),
            None => self.refuse(JsonInvalid::TooMuch),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Value, D::Error> {
        match self.reading.values_left.checked_sub(1) {
            Some(left) => self.reading.values_left = left,
            None => return self.refuse(JsonInvalid::TooMuch),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = array.next_element_seed(self.inner()?)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let value = object.next_value_seed(self.inner()?)?;
            if members.insert(key, value).is_some() {
                return self.refuse(JsonInvalid::DuplicateKey);
            }
        }
        Ok(Value::Object(members))
    }
}
