//! The messages of LDAP (RFC 4511) that signing in takes: bind, search with pages (RFC 2696), StartTLS, and their answers.

use super::ber::{
    BOOLEAN, ENUMERATED, INTEGER, Malformed, OCTETS, Reader, SEQUENCE, SET, constructed, element, number,
};
use super::error::Cause;

/// Result codes (RFC 4511 §4.1.9).
pub(super) const SUCCESS: u32 = 0;
pub(super) const SIZE_LIMIT_EXCEEDED: u32 = 4;
pub(super) const ADMIN_LIMIT_EXCEEDED: u32 = 11;
const CONSTRAINT_VIOLATION: u32 = 19;
pub(super) const NO_SUCH_OBJECT: u32 = 32;
const INAPPROPRIATE_AUTHENTICATION: u32 = 48;
const INVALID_CREDENTIALS: u32 = 49;
pub(super) const BUSY: u32 = 51;
pub(super) const UNAVAILABLE: u32 = 52;
const UNWILLING_TO_PERFORM: u32 = 53;

/// How many characters of a server's own words are kept.
const WORDS: usize = 200;
const PAGES: &[u8] = b"1.2.840.113556.1.4.319";
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
const CONTROLS: u8 = 0xa0;
const REFERRAL: u8 = 0xa3;

/// Which entries are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The base alone.
    Base = 0,
    /// The base and all below it.
    Subtree = 2,
}

/// A search. Aliases and referrals are not followed: either could lead to entries that nobody chose.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) base: &'a str,
    pub(super) scope: Scope,
    pub(super) filter: &'a [u8],
    pub(super) attributes: &'a [&'a str],
    /// How many entries are read; one more fails.
    pub(super) most: usize,
    /// How many entries are asked for at once; `None` for all.
    pub(super) page: Option<u32>,
}

/// An entry, with the attributes that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dn: String,
    pub(super) attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// The values of an attribute, none if there is no such attribute.
    pub(super) fn values(&self, attribute: &str) -> &[Vec<u8>] {
        let found = self.attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute));
        found.map(|(_, values)| values.as_slice()).unwrap_or_default()
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) code: u32,
    pub(super) text: String,
}

impl Outcome {
    /// # Errors
    /// [`Cause::Refused`] for whatever is not success; a referral is not, since none is followed.
    pub(super) fn success(self) -> Result<(), Cause> {
        if self.code == SUCCESS { Ok(()) } else { Err(Cause::Refused { code: self.code, text: self.text }) }
    }

    /// Whether a bind says that this person cannot sign in with this password: it is wrong, there is no such entry, the
    /// entry has no password, or it is locked, which some servers say by the two last codes.
    pub(super) fn denies(&self) -> bool {
        matches!(
            self.code,
            INVALID_CREDENTIALS
                | NO_SUCH_OBJECT
                | INAPPROPRIATE_AUTHENTICATION
                | UNWILLING_TO_PERFORM
                | CONSTRAINT_VIOLATION
        )
    }
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Bound(Outcome),
    Extended(Outcome),
    Entry(Entry),
    /// A part of an answer that is of no use: a reference to another server, or an intermediate response.
    Aside,
    /// The end of a search or of one page of it; the cookie of the next page is empty if there is none.
    Done(Outcome, Vec<u8>),
}

/// The request of a simple bind.
pub(super) fn bind(dn: &str, password: &str) -> Vec<u8> {
    constructed(0x60, &[number(INTEGER, 3), element(OCTETS, dn.as_bytes()), element(0x80, password.as_bytes())])
}

/// The request to begin TLS (RFC 4511 §4.14).
pub(super) fn start_tls() -> Vec<u8> {
    constructed(0x77, &[element(0x80, START_TLS)])
}

impl Search<'_> {
    pub(super) fn request(&self) -> Vec<u8> {
        let attributes: Vec<_> = self.attributes.iter().map(|name| element(OCTETS, name.as_bytes())).collect();
        // With pages the limit would be one of all pages together.
        let limit = if self.page.is_some() { 0 } else { u32::try_from(self.most + 1).unwrap_or_default() };
        constructed(
            0x63,
            &[
                element(OCTETS, self.base.as_bytes()),
                number(ENUMERATED, self.scope as u32),
                number(ENUMERATED, 0),
                number(INTEGER, limit),
                number(INTEGER, 0),
                element(BOOLEAN, &[0]),
                self.filter.to_vec(),
                constructed(SEQUENCE, &attributes),
            ],
        )
    }

    /// The controls of the page behind `cookie`. They are not critical: a server without pages answers all at once.
    pub(super) fn controls(&self, cookie: &[u8]) -> Vec<u8> {
        let Some(page) = self.page else { return Vec::new() };
        let value = constructed(SEQUENCE, &[number(INTEGER, page), element(OCTETS, cookie)]);
        let control = constructed(SEQUENCE, &[element(OCTETS, PAGES), element(OCTETS, &value)]);
        element(CONTROLS, &control)
    }
}

/// A request as it is sent.
pub(super) fn envelope(id: u32, operation: Vec<u8>, controls: Vec<u8>) -> Vec<u8> {
    constructed(SEQUENCE, &[number(INTEGER, id), operation, controls])
}

/// The content of a message, and the request it answers; 0 is what no request asked for.
///
/// # Errors
/// [`Malformed`] when it is not LDAP, or nothing that was asked for.
pub(super) fn parse(content: &[u8]) -> Result<(u32, Reply), Malformed> {
    let mut message = Reader::new(content);
    let id = message.number(INTEGER)?;
    let (tag, operation) = message.any()?;
    let reply = match tag {
        0x61 => Reply::Bound(outcome(operation)?),
        0x64 => Reply::Entry(entry(operation)?),
        0x65 => Reply::Done(outcome(operation)?, cookie(message.optional(CONTROLS)?)?),
        0x73 | 0x79 => Reply::Aside,
        0x78 => Reply::Extended(outcome(operation)?),
        _ => return Err(Malformed("an answer is of a kind that nobody asked for")),
    };
    Ok((id, reply))
}

fn outcome(operation: &[u8]) -> Result<Outcome, Malformed> {
    let mut result = Reader::new(operation);
    let code = result.number(ENUMERATED)?;
    let _matched = result.take(OCTETS)?;
    let words = result.take(OCTETS)?;
    // Where a referral leads is nobody's business here; it must only be well-formed.
    let _referral = result.optional(REFERRAL)?;
    Ok(Outcome { code, text: String::from_utf8_lossy(words).chars().take(WORDS).collect() })
}

fn entry(operation: &[u8]) -> Result<Entry, Malformed> {
    let mut entry = Reader::new(operation);
    let dn = text(entry.take(OCTETS)?)?;
    let mut listed = Reader::new(entry.take(SEQUENCE)?);
    let mut attributes = Vec::new();
    while !listed.is_empty() {
        let mut attribute = Reader::new(listed.take(SEQUENCE)?);
        let name = text(attribute.take(OCTETS)?)?;
        let mut set = Reader::new(attribute.take(SET)?);
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(set.take(OCTETS)?.to_vec());
        }
        attributes.push((name, values));
    }
    Ok(Entry { dn, attributes })
}

fn cookie(controls: Option<&[u8]>) -> Result<Vec<u8>, Malformed> {
    let mut controls = Reader::new(controls.unwrap_or_default());
    while !controls.is_empty() {
        let mut control = Reader::new(controls.take(SEQUENCE)?);
        let kind = control.take(OCTETS)?;
        let _critical = control.optional(BOOLEAN)?;
        if kind == PAGES {
            let mut value = Reader::new(control.take(OCTETS)?);
            let mut page = Reader::new(value.take(SEQUENCE)?);
            let _estimate = page.take(INTEGER)?;
            return Ok(page.take(OCTETS)?.to_vec());
        }
    }
    Ok(Vec::new())
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed("a name is not UTF-8"))
}
