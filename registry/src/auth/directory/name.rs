//! Distinguished names (RFC 4514): their one spelling, and the template that makes one of what somebody typed.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

/// What stands for the name in a template.
const HOLE: &str = "{name}";

/// Why a text is not a distinguished name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameInvalid(&'static str);

/// A distinguished name in one spelling: two that differ only in case, in spaces that mean nothing, in the way characters
/// are escaped or in the order within one relative name are equal. Prints as text that parses to itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistinguishedName(String);

impl DistinguishedName {
    /// The name in its one spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for DistinguishedName {
    type Err = NameInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let relative = |relative: Vec<Assertion>| {
            let mut assertions: Vec<_> = relative.iter().map(Assertion::canonical).collect();
            assertions.sort_unstable();
            assertions.join("+")
        };
        Ok(Self(parse(text)?.into_iter().map(relative).collect::<Vec<_>>().join(",")))
    }
}

/// A distinguished name with a place for what somebody types, such as `uid={name},ou=people,dc=example,dc=com`.
#[derive(Clone, Debug)]
pub(super) struct Template {
    before: String,
    after: String,
}

impl Template {
    /// # Errors
    /// [`NameInvalid`] when there is not exactly one `{name}`, or it is not (part of) a value.
    pub(super) fn parse(text: &str) -> Result<Self, NameInvalid> {
        let Some((before, after)) = text.split_once(HOLE).filter(|(_, after)| !after.contains(HOLE)) else {
            return Err(NameInvalid("{name} must stand in it once"));
        };
        let template = Self { before: before.to_owned(), after: after.to_owned() };
        // What stands around the place can take away the sense of an escape; a name that needs them shows it.
        let probe = "a,b=c+d";
        let takes = |assertion: &Assertion| matches!(&assertion.value, Value::Text(text) if text.contains(probe));
        if parse(&template.filled(probe))?.iter().flatten().any(takes) {
            Ok(template)
        } else {
            Err(NameInvalid("{name} must be a value, or a part of one"))
        }
    }

    /// The name of whoever is called `name`.
    pub(super) fn filled(&self, name: &str) -> String {
        format!("{}{}{}", self.before, escape(name), self.after)
    }
}

/// `text` as a value in a distinguished name (RFC 4514 §2.4); control characters are escaped too, for the log's sake.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let last = text.char_indices().next_back().map(|(index, _)| index);
    for (index, character) in text.char_indices() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => escaped.extend(['\\', character]),
            ' ' | '#' if index == 0 => escaped.extend(['\\', character]),
            ' ' if Some(index) == last => escaped.extend(['\\', character]),
            '\0'..='\x1f' | '\x7f' => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\{:02x}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// One `type=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assertion {
    pub(super) kind: String,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    /// The BER of a value, in hex, behind a `#`.
    Encoded(String),
}

impl Assertion {
    /// Upper and lower case, and how many spaces, mean nothing in nearly all values that names are made of.
    fn canonical(&self) -> String {
        let value = match &self.value {
            Value::Text(text) => {
                escape(&text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ").to_lowercase())
            }
            Value::Encoded(hex) => format!("#{}", hex.to_ascii_lowercase()),
        };
        format!("{}={value}", self.kind.to_ascii_lowercase())
    }
}

/// Splits a name into relative names, each one or more `type=value`.
pub(super) fn parse(text: &str) -> Result<Vec<Vec<Assertion>>, NameInvalid> {
    let mut rest = text;
    let mut relatives = vec![Vec::new()];
    loop {
        let (kind, value) = rest.split_once('=').ok_or(NameInvalid("a '=' is missing"))?;
        let kind = kind.trim_matches(' ');
        if !super::filter::is_attribute(kind) {
            return Err(NameInvalid("an attribute is missing in front of a '='"));
        }
        let (value, separator, behind) = take_value(value)?;
        if let Some(relative) = relatives.last_mut() {
            relative.push(Assertion { kind: kind.to_owned(), value });
        }
        match separator {
            None => return Ok(relatives),
            Some(',') => relatives.push(Vec::new()),
            Some(_) => {}
        }
        rest = behind;
    }
}

/// The value that `text` begins with, the separator behind it, and what follows that.
fn take_value(text: &str) -> Result<(Value, Option<char>, &str), NameInvalid> {
    let text = text.trim_start_matches(' ');
    let mut bytes = Vec::new();
    // Spaces at the end mean something only if the last of them is escaped.
    let mut significant = 0;
    let mut separator = None;
    let mut characters = text.char_indices();
    while let Some((_, character)) = characters.next() {
        match character {
            ',' | '+' => {
                separator = Some(character);
                break;
            }
            '\\' => {
                let (byte, length) = escaped(characters.as_str())?;
                bytes.push(byte);
                significant = bytes.len();
                characters.by_ref().take(length).for_each(drop);
            }
            '"' | ';' | '<' | '>' | '\0' => {
                return Err(NameInvalid("a character in a value needs a '\\' in front of it"));
            }
            _ => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                significant = if character == ' ' { significant } else { bytes.len() };
            }
        }
    }
    bytes.truncate(significant);
    let value = String::from_utf8(bytes).map_err(|_| NameInvalid("a value is not UTF-8"))?;
    let value = match value.strip_prefix('#').filter(|_| text.starts_with('#')) {
        None => Value::Text(value),
        Some(hex) if hex.is_empty() || hex.len() % 2 == 1 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            return Err(NameInvalid("a '#' takes pairs of hex digits"));
        }
        Some(hex) => Value::Encoded(hex.to_owned()),
    };
    Ok((value, separator, characters.as_str()))
}

/// The byte that is written behind a `\`, and in how many characters.
fn escaped(text: &str) -> Result<(u8, usize), NameInvalid> {
    match text.as_bytes() {
        [first @ (b' ' | b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'=' | b'>' | b'\\'), ..] => Ok((*first, 1)),
        [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            u8::from_str_radix(&text[..2], 16).map(|byte| (byte, 2)).map_err(|_| NameInvalid("a '\\' escapes nothing"))
        }
        _ => Err(NameInvalid("a '\\' escapes nothing")),
    }
}
