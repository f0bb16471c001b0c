//! Percent-encoding, once in each direction.
//! What the text means is not known here.
//! Start at [`decode`].

use std::borrow::Cow;

/// Decodes every escape once. `None` when an escape is broken or the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    let Some(first) = text.find('%') else { return Some(Cow::Borrowed(text)) };
    let mut bytes = Vec::with_capacity(text.len());
    bytes.extend_from_slice(&text.as_bytes()[..first]);
    let mut rest = text.as_bytes()[first..].iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            bytes.push(hex_digit(*rest.next()?)? << 4 | hex_digit(*rest.next()?)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Encodes a query value. Slashes and colons stay as they are: RFC 3986 section 3.4 allows them, and people read them.
pub(super) fn encode(text: &str, into: &mut impl std::fmt::Write) -> std::fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                into.write_char(char::from(byte))?;
            }
            _ => write!(into, "%{byte:02X}")?,
        }
    }
    Ok(())
}
