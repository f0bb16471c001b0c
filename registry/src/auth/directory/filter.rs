//! Search filters (RFC 4515), parsed once from the settings into a tree with one hole. What somebody typed is put into the
//! hole of the tree and goes out as the bytes of a value, so there is no text in which it could mean anything else.

use super::ber::{OCTETS, SEQUENCE, constructed, element};

/// How deep a filter may nest.
const DEPTH: usize = 16;

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const AT_LEAST: u8 = 0xa5;
const AT_MOST: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const SIMILAR: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// Why a text is not a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at byte {at}")]
pub struct FilterInvalid {
    what: &'static str,
    at: usize,
}

/// A filter with at least one hole, all of which take the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter(Node);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// `&`, `|` or `!` over others.
    Over(u8, Vec<Node>),
    Compare {
        tag: u8,
        attribute: String,
        value: Value,
    },
    Present(String),
    /// The parts between the asterisks; the first and last are empty when the pattern begins or ends with one.
    Substrings {
        attribute: String,
        parts: Vec<Value>,
    },
    Extensible {
        rule: Option<String>,
        attribute: Option<String>,
        value: Value,
        parts_of_dn: bool,
    },
}

type Value = Vec<Piece>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Hole,
}

impl Filter {
    /// Parses `text`, in which `hole`, such as `{name}`, stands for what is filled in later.
    ///
    /// # Errors
    /// [`FilterInvalid`] says what is wrong and where; also when there is no hole, or it stands where it would match the
    /// more the less it is.
    pub(super) fn parse(text: &str, hole: &str) -> Result<Self, FilterInvalid> {
        let mut parser = Parser { text, hole, at: 0, negated: false, holes: 0 };
        let node = parser.node(0)?;
        if parser.at != text.len() {
            return Err(parser.refuse("there is more behind the filter"));
        }
        if parser.holes == 0 {
            return Err(
                parser.refuse("it does not say where the name goes: {name} for people, {dn} or {name} for groups")
            );
        }
        Ok(Self(node))
    }

    /// The filter as it is sent, with `value` in its holes.
    pub(super) fn filled(&self, value: &str) -> Vec<u8> {
        self.0.encode(Some(value.as_bytes()))
    }

    /// The filter as it is sent for whatever value: each comparison with a hole asks only whether there is one.
    pub(super) fn for_anything(&self) -> Vec<u8> {
        self.0.encode(None)
    }
}

/// A filter for entries whose `attribute` is `value`.
pub(super) fn equal(attribute: &str, value: &[u8]) -> Vec<u8> {
    compare(EQUAL, attribute, value)
}

/// A filter for entries that match all of `filters`.
pub(super) fn all(filters: &[Vec<u8>]) -> Vec<u8> {
    constructed(AND, filters)
}

/// A filter for entries that match one of `filters`.
pub(super) fn any(filters: &[Vec<u8>]) -> Vec<u8> {
    constructed(OR, filters)
}

/// A filter for every entry.
pub(super) fn everything() -> Vec<u8> {
    element(PRESENT, b"objectClass")
}

/// Whether `text` can be the name of an attribute, perhaps with options (RFC 4512 §2.5).
pub(super) fn is_attribute(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b';');
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(plain)
}

fn compare(tag: u8, attribute: &str, value: &[u8]) -> Vec<u8> {
    constructed(tag, &[element(OCTETS, attribute.as_bytes()), element(OCTETS, value)])
}

fn fill(value: &[Piece], hole: &[u8]) -> Vec<u8> {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(bytes) => bytes.clone(),
        Piece::Hole => hole.to_vec(),
    };
    value.iter().flat_map(piece).collect()
}

impl Node {
    /// Recursion ends because parsing bounds the depth.
    fn encode(&self, hole: Option<&[u8]>) -> Vec<u8> {
        match (self, self.attribute_of_hole(), hole) {
            (_, Some(attribute), None) => element(PRESENT, attribute.as_bytes()),
            (Self::Over(tag, nodes), ..) => {
                constructed(*tag, &nodes.iter().map(|node| node.encode(hole)).collect::<Vec<_>>())
            }
            (Self::Compare { tag, attribute, value }, ..) => {
                compare(*tag, attribute, &fill(value, hole.unwrap_or_default()))
            }
            (Self::Present(attribute), ..) => element(PRESENT, attribute.as_bytes()),
            (Self::Substrings { attribute, parts }, ..) => {
                let parts = substrings(parts, hole.unwrap_or_default());
                constructed(SUBSTRINGS, &[element(OCTETS, attribute.as_bytes()), constructed(SEQUENCE, &parts)])
            }
            (Self::Extensible { rule, attribute, value, parts_of_dn }, ..) => {
                let mut parts = Vec::new();
                parts.extend(rule.as_ref().map(|rule| element(0x81, rule.as_bytes())));
                parts.extend(attribute.as_ref().map(|attribute| element(0x82, attribute.as_bytes())));
                parts.push(element(0x83, &fill(value, hole.unwrap_or_default())));
                parts.extend(parts_of_dn.then(|| element(0x84, &[0xff])));
                constructed(EXTENSIBLE, &parts)
            }
        }
    }

    /// The attribute that is compared with something that has a hole.
    fn attribute_of_hole(&self) -> Option<&str> {
        let has_hole = |value: &Value| value.contains(&Piece::Hole);
        match self {
            Self::Compare { attribute, value, .. } if has_hole(value) => Some(attribute),
            Self::Substrings { attribute, parts } if parts.iter().any(has_hole) => Some(attribute),
            Self::Extensible { attribute: Some(attribute), value, .. } if has_hole(value) => Some(attribute),
            _ => None,
        }
    }
}

fn substrings(parts: &[Value], hole: &[u8]) -> Vec<Vec<u8>> {
    let last = parts.len() - 1;
    let tag = |index: usize| match index {
        0 => 0x80,
        index if index == last => 0x82,
        _ => 0x81,
    };
    let parts = parts.iter().enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(index, part)| element(tag(index), &fill(part, hole))).collect()
}

struct Parser<'a> {
    text: &'a str,
    hole: &'a str,
    at: usize,
    negated: bool,
    holes: usize,
}

impl Parser<'_> {
    fn refuse(&self, what: &'static str) -> FilterInvalid {
        FilterInvalid { what, at: self.at }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn expect(&mut self, token: &str, what: &'static str) -> Result<(), FilterInvalid> {
        if self.skip(token) { Ok(()) } else { Err(self.refuse(what)) }
    }

    /// `"(" … ")"`
    fn node(&mut self, depth: usize) -> Result<Node, FilterInvalid> {
        if depth == DEPTH {
            return Err(self.refuse("it nests too deep"));
        }
        self.expect("(", "a '(' is missing")?;
        let node = if self.skip("&") {
            Node::Over(AND, self.nodes(depth)?)
        } else if self.skip("|") {
            Node::Over(OR, self.nodes(depth)?)
        } else if self.skip("!") {
            let outer = std::mem::replace(&mut self.negated, true);
            let node = self.node(depth + 1)?;
            self.negated = outer;
            Node::Over(NOT, vec![node])
        } else {
            self.item()?
        };
        self.expect(")", "a ')' is missing")?;
        Ok(node)
    }

    fn nodes(&mut self, depth: usize) -> Result<Vec<Node>, FilterInvalid> {
        let mut nodes = vec![self.node(depth + 1)?];
        while self.rest().starts_with('(') {
            nodes.push(self.node(depth + 1)?);
        }
        Ok(nodes)
    }

    fn item(&mut self) -> Result<Node, FilterInvalid> {
        let name = self.word();
        if self.rest().starts_with(':') {
            return self.extensible(name);
        }
        let attribute = self.attribute(name)?;
        for (token, tag) in [(">=", AT_LEAST), ("<=", AT_MOST), ("~=", SIMILAR)] {
            if self.skip(token) {
                return Ok(Node::Compare { tag, attribute, value: self.value()? });
            }
        }
        self.expect("=", "a comparison is missing")?;
        let mut parts = vec![self.value()?];
        while self.skip("*") {
            parts.push(self.value()?);
        }
        Ok(match parts.len() {
            1 => Node::Compare { tag: EQUAL, attribute, value: parts.swap_remove(0) },
            2 if parts.iter().all(Vec::is_empty) => Node::Present(attribute),
            _ if parts.iter().all(Vec::is_empty) => return Err(self.refuse("there is nothing between the asterisks")),
            _ => Node::Substrings { attribute, parts },
        })
    }

    /// `attribute[:dn][:rule]:=value`, where attribute or rule may be missing.
    fn extensible(&mut self, name: String) -> Result<Node, FilterInvalid> {
        let attribute = if name.is_empty() { None } else { Some(self.attribute(name)?) };
        let parts_of_dn = self.skip(":dn");
        let rule = if self.rest().starts_with(":=") {
            None
        } else {
            self.expect(":", "a ':' is missing")?;
            let rule = self.word();
            Some(self.attribute(rule)?)
        };
        self.expect(":=", "a ':=' is missing")?;
        if attribute.is_none() && rule.is_none() {
            return Err(self.refuse("an attribute or a rule is missing"));
        }
        let value = self.value()?;
        if attribute.is_none() && value.contains(&Piece::Hole) {
            return Err(self.refuse("the attribute that is compared with the name is missing"));
        }
        Ok(Node::Extensible { rule, attribute, value, parts_of_dn })
    }

    fn attribute(&self, text: String) -> Result<String, FilterInvalid> {
        if is_attribute(&text) { Ok(text) } else { Err(self.refuse("an attribute is missing")) }
    }

    fn word(&mut self) -> String {
        let end = self.rest().find(['=', '~', '<', '>', ':', '(', ')']).unwrap_or(self.rest().len());
        let word = self.rest()[..end].to_owned();
        self.at += end;
        word
    }

    /// Up to an asterisk or the end of the comparison.
    fn value(&mut self) -> Result<Value, FilterInvalid> {
        let mut value = Value::new();
        loop {
            if self.rest().starts_with(self.hole) {
                if self.negated {
                    return Err(self.refuse("the name cannot stand under a '!'"));
                }
                self.at += self.hole.len();
                self.holes += 1;
                value.push(Piece::Hole);
                continue;
            }
            let bytes = match self.rest().chars().next() {
                None => return Err(self.refuse("a ')' is missing")),
                Some(')' | '*') => return Ok(value),
                Some('(' | '\0') => return Err(self.refuse("this character is written as \\ and two hex digits")),
                Some('{') => return Err(self.refuse("only {name} and {dn} are filled in; a '{' alone is written \\7b")),
                Some('\\') => vec![self.escaped()?],
                Some(other) => other.to_string().into_bytes(),
            };
            self.at += if self.rest().starts_with('\\') { 3 } else { bytes.len() };
            match value.last_mut() {
                Some(Piece::Literal(literal)) => literal.extend_from_slice(&bytes),
                _ => value.push(Piece::Literal(bytes)),
            }
        }
    }

    fn escaped(&self) -> Result<u8, FilterInvalid> {
        let digits = self.rest().get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.refuse("a \\ takes two hex digits"))
    }
}
