//! What an account is bound to: the identifier that a directory gives to an entry once and never to another.

use std::fmt::Write as _;

/// The attribute that holds the identifier. Names are no such thing: they are given to the next person of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectAttribute {
    /// `entryUUID` (RFC 4530), text: OpenLDAP, 389 Directory Server and most others.
    EntryUuid,
    /// `objectGUID`, 16 bytes: Active Directory and Samba.
    ObjectGuid,
}

/// Where the bytes of a textual identifier stand in an `objectGUID`; the same way back.
const GUID_ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
/// Where the hyphens of the text stand: in front of these bytes.
const HYPHENS: [usize; 4] = [4, 6, 8, 10];
const TEXT_BYTES: usize = 36;

impl SubjectAttribute {
    /// The name of the attribute.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EntryUuid => "entryUUID",
            Self::ObjectGuid => "objectGUID",
        }
    }

    /// The subject that a value of the attribute says, as 36 lower-case characters; `None` if it is no identifier.
    pub(super) fn subject(self, value: &[u8]) -> Option<String> {
        let bytes = match self {
            Self::EntryUuid => identifier(std::str::from_utf8(value).ok()?)?,
            Self::ObjectGuid => <[u8; 16]>::try_from(value).ok().map(reorder)?,
        };
        Some(text(bytes))
    }

    /// The value of the attribute that a subject stands for, as a filter compares it.
    pub(super) fn value(self, subject: &str) -> Option<Vec<u8>> {
        let bytes = identifier(subject)?;
        Some(match self {
            Self::EntryUuid => text(bytes).into_bytes(),
            Self::ObjectGuid => reorder(bytes).to_vec(),
        })
    }
}

fn reorder(bytes: [u8; 16]) -> [u8; 16] {
    GUID_ORDER.map(|index| bytes[index])
}

fn identifier(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    if groups != [8, 4, 4, 4, 12] || text.len() != TEXT_BYTES {
        return None;
    }
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let bytes: Vec<_> = digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
    bytes.try_into().ok()
}

fn text(bytes: [u8; 16]) -> String {
    bytes.iter().enumerate().fold(String::with_capacity(TEXT_BYTES), |mut text, (index, byte)| {
        let hyphen = if HYPHENS.contains(&index) { "-" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{hyphen}{byte:02x}");
        text
    })
}
