//! What a directory is asked for and what it answers: filters and names with whatever somebody typed in them, and messages of a
//! server. What is typed is a value wherever it is put, and never becomes a part of what is around it.
//! The files are the registry's own, read by their path: the program is not linked.

#![expect(dead_code, reason = "the registry uses the rest")]

#[path = "../../../src/auth/directory/ber.rs"]
mod ber;
#[path = "../../../src/auth/directory/filter.rs"]
mod filter;
#[path = "../../../src/auth/directory/message.rs"]
mod message;
#[path = "../../../src/auth/directory/name.rs"]
mod name;

/// Of the errors of a directory, what messages name.
mod error {
    #[derive(Debug)]
    pub(crate) enum Cause {
        Refused { code: u32, text: String },
    }
}

use ber::{OCTETS, Reader};

/// The input up to the first of these is a filter, or what stands around the name; behind it is what somebody typed.
const SEPARATOR: u8 = b'\n';

pub(crate) fn run(input: &[u8]) {
    answer(input);
    let at = input.iter().position(|byte| *byte == SEPARATOR).unwrap_or(input.len());
    let (Ok(setting), Ok(typed)) =
        (std::str::from_utf8(&input[..at]), std::str::from_utf8(input.get(at + 1..).unwrap_or_default()))
    else {
        return;
    };
    filled(setting, typed);
    named(setting, typed);
}

/// A server's message is read or refused, and gives no more than was sent.
fn answer(input: &[u8]) {
    let Ok((_, reply)) = message::parse(input) else { return };
    if let message::Reply::Entry(entry) = reply {
        let values = entry.attributes.iter().flat_map(|(_, values)| values).map(Vec::len);
        let names = entry.attributes.iter().map(|(name, _)| name.len());
        assert!(entry.dn.len() + values.sum::<usize>() + names.sum::<usize>() <= input.len());
    }
}

/// The tags of a filter and of what is in it, and which texts it compares with.
fn walk(bytes: &[u8], tags: &mut Vec<u8>, texts: &mut Vec<Vec<u8>>) {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let (tag, content) = reader.any().expect("a filter is BER");
        tags.push(tag);
        // Bit 6: it holds others.
        if tag & 0x20 == 0 { texts.push(content.to_vec()) } else { walk(content, tags, texts) }
    }
}

fn filled(setting: &str, typed: &str) {
    let own = filter::Filter::parse("(&(objectClass=person)(uid={name}))", "{name}").expect("it is a filter");
    let (mut tags, mut texts) = (Vec::new(), Vec::new());
    walk(&own.filled(typed), &mut tags, &mut texts);
    assert_eq!(tags, [0xa0, 0xa3, OCTETS, OCTETS, 0xa3, OCTETS, OCTETS]);
    assert_eq!(texts[3], typed.as_bytes());
    let Ok(filter) = filter::Filter::parse(setting, "{name}") else { return };
    let shape = |typed: &str| {
        let (mut tags, mut texts) = (Vec::new(), Vec::new());
        walk(&filter.filled(typed), &mut tags, &mut texts);
        (tags, texts.len())
    };
    assert_eq!(shape(typed), shape("ann"), "what was typed changes the shape of a filter");
    walk(&filter.for_anything(), &mut Vec::new(), &mut Vec::new());
}

fn named(setting: &str, typed: &str) {
    if let Ok(name) = setting.parse::<name::DistinguishedName>() {
        assert_eq!(name.as_str().parse().as_ref(), Ok(&name), "a name has one spelling");
    }
    // Nobody is called nothing: that is refused before a directory is asked.
    if typed.is_empty() {
        return;
    }
    let Ok(template) = name::Template::parse(setting) else { return };
    let parts = |typed: &str| {
        let relatives = name::parse(&template.filled(typed)).expect("what was typed is escaped");
        relatives.iter().map(|relative| relative.iter().map(|one| one.kind.clone()).collect()).collect::<Vec<Vec<_>>>()
    };
    assert_eq!(parts(typed), parts("ann"), "what was typed changes the shape of a name");
}
