//! BER as far as LDAP uses it (RFC 4511 §5.1): tags of one byte, definite lengths. Reading never recurses: what a server
//! sends is walked one element at a time by callers who know what must come next.

/// The largest length that is read, in bytes of its own encoding; some servers always send four.
const LENGTH_BYTES: usize = 4;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Bytes that are no message of LDAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(super) &'static str);

/// One element.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
            bytes.push(0x80 | length.len() as u8);
            bytes.extend_from_slice(length);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// An element that holds others.
pub(super) fn constructed(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// A number that is not negative.
pub(super) fn number(tag: u8, value: u32) -> Vec<u8> {
    let bytes = [&[0], value.to_be_bytes().as_slice()].concat();
    // A leading zero stays only where the next bit would make the number negative.
    let skipped = bytes.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    element(tag, &bytes[skipped..])
}

/// How many bytes the content of an element has, told by the bytes of its length.
///
/// # Errors
/// [`Malformed`] for the indefinite form and for lengths that no message has.
pub(super) fn length(bytes: &[u8]) -> Result<usize, Malformed> {
    match bytes {
        [short] if *short < 0x80 => Ok((*short).into()),
        [_, long @ ..] if !long.is_empty() => Ok(long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))),
        _ => Err(Malformed("a length is missing")),
    }
}

/// How many further bytes a length has that begins with this one.
///
/// # Errors
/// [`Malformed`] for the indefinite form and for lengths that no message has.
pub(super) fn length_of_length(first: u8) -> Result<usize, Malformed> {
    match usize::from(first).checked_sub(0x80) {
        None => Ok(0),
        Some(further @ 1..=LENGTH_BYTES) => Ok(further),
        Some(_) => Err(Malformed("a length is indefinite or too large")),
    }
}

/// Walks over elements that stand one behind another.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element: its tag and content.
    pub(super) fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let [tag, rest @ ..] = self.0 else { return Err(Malformed("an element is missing")) };
        let further = length_of_length(*rest.first().ok_or(Malformed("a length is missing"))?)?;
        let (head, rest) = rest.split_at_checked(1 + further).ok_or(Malformed("a length is cut off"))?;
        let (content, rest) = rest.split_at_checked(length(head)?).ok_or(Malformed("an element is cut off"))?;
        self.0 = rest;
        Ok((*tag, content))
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.optional(tag)?.ok_or(Malformed("another kind of element was expected"))
    }

    /// The content of the next element, if there is one and it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.first() != Some(&tag) {
            return Ok(None);
        }
        self.any().map(|(_, content)| Some(content))
    }

    /// The next element as a number that is not negative.
    pub(super) fn number(&mut self, tag: u8) -> Result<u32, Malformed> {
        let content = self.take(tag)?;
        let value =
            content.iter().try_fold(0_u32, |value, byte| value.checked_mul(256).map(|value| value | u32::from(*byte)));
        match (content.first(), value) {
            (Some(first), Some(value)) if *first < 0x80 => Ok(value),
            _ => Err(Malformed("a number is negative, empty or too large")),
        }
    }
}
