//! Messages, names and filters that no server and no settings hold: each is read or refused, within bounds, and what is read is
//! what was written.

use std::io::Cursor;
use std::sync::LazyLock;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tokio::io::BufReader;

use super::super::ber::{self, ENUMERATED, INTEGER, OCTETS, Reader, SEQUENCE, SET};
use super::super::connection::{self, Stream};
use super::super::filter::Filter;
use super::super::message::{self, Entry, Outcome, Reply};
use super::super::name::{DistinguishedName, Template};
use crate::auth::mutated::{CASES, changes, texts};

const PAGES: &[u8] = b"1.2.840.113556.1.4.319";

static REPLIES: LazyLock<Vec<Reply>> = LazyLock::new(|| {
    let outcome = |code, text: &str| Outcome { code, text: text.to_owned() };
    let values = |values: &[&[u8]]| values.iter().map(|value| value.to_vec()).collect::<Vec<_>>();
    let attributes = vec![
        ("uid".to_owned(), values(&[b"anna", b"a"])),
        ("entryUUID".to_owned(), values(&[b"00112233-4455-6677-8899-aabbccddeeff"])),
        ("userAccountControl".to_owned(), values(&[b"-2147483136"])),
        ("none".to_owned(), Vec::new()),
    ];
    vec![
        Reply::Bound(outcome(0, "")),
        Reply::Bound(outcome(49, "80090308: LdapErr: DSID-0C09042F")),
        Reply::Extended(outcome(52, "closing")),
        Reply::Entry(Entry { dn: "uid=anna,ou=people,dc=example".to_owned(), attributes }),
        Reply::Done(outcome(32, "no such object"), Vec::new()),
        Reply::Done(outcome(0, ""), b"the next page".to_vec()),
    ]
});
static MESSAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| REPLIES.iter().map(|reply| written(2, reply)).collect());
static NAMES: [&str; 4] = [
    "CN=Core Team,OU=Groups,DC=Example",
    "OU=b+CN=a\\2cb,DC=example",
    "cn=#0401ff, 1.2.840=L\\C3\\A9a \\ ,dc= x",
    "uid={name},ou=people\\, all,dc=example",
];
static FILTERS: [&str; 4] = [
    "(&(objectClass=person)(|(uid={name})(mail={name}@*)(cn:caseExactMatch:={name}))(!(cn=no\\2a)))",
    "(member:1.2.840.113556.1.4.1941:={name})",
    "(a=*x*{name}\\29*y)",
    "(&(&(&(&(&(&(&(&(&(&(&(&(&(&(a={name})))))))))))))))",
];

/// The content of the message that a server sends for this.
fn written(id: u32, reply: &Reply) -> Vec<u8> {
    let outcome = |outcome: &Outcome| {
        [
            ber::number(ENUMERATED, outcome.code),
            ber::element(OCTETS, b""),
            ber::element(OCTETS, outcome.text.as_bytes()),
        ]
    };
    let (operation, controls) = match reply {
        Reply::Bound(of) => (ber::constructed(0x61, &outcome(of)), Vec::new()),
        Reply::Extended(of) => (ber::constructed(0x78, &outcome(of)), Vec::new()),
        Reply::Aside => (ber::element(0x73, b""), Vec::new()),
        Reply::Entry(entry) => {
            let values =
                |values: &[Vec<u8>]| values.iter().map(|value| ber::element(OCTETS, value)).collect::<Vec<_>>();
            let attribute = |(name, set): &(String, Vec<Vec<u8>>)| {
                ber::constructed(
                    SEQUENCE,
                    &[ber::element(OCTETS, name.as_bytes()), ber::constructed(SET, &values(set))],
                )
            };
            let attributes: Vec<_> = entry.attributes.iter().map(attribute).collect();
            let parts = [ber::element(OCTETS, entry.dn.as_bytes()), ber::constructed(SEQUENCE, &attributes)];
            (ber::constructed(0x64, &parts), Vec::new())
        }
        Reply::Done(of, cookie) => {
            let page = ber::constructed(SEQUENCE, &[ber::number(INTEGER, 0), ber::element(OCTETS, cookie)]);
            let control = ber::constructed(SEQUENCE, &[ber::element(OCTETS, PAGES), ber::element(OCTETS, &page)]);
            (ber::constructed(0x65, &outcome(of)), ber::element(0xa0, &control))
        }
    };
    [ber::number(INTEGER, id), operation, controls].concat()
}

/// How many bytes a reply keeps.
fn kept(reply: &Reply) -> usize {
    match reply {
        Reply::Bound(outcome) | Reply::Extended(outcome) => outcome.text.len(),
        Reply::Done(outcome, cookie) => outcome.text.len() + cookie.len(),
        Reply::Aside => 0,
        Reply::Entry(entry) => {
            let of = |(name, values): &(String, Vec<Vec<u8>>)| name.len() + values.iter().map(Vec::len).sum::<usize>();
            entry.dn.len() + entry.attributes.iter().map(of).sum::<usize>()
        }
    }
}

fn of_a_message(bytes: &[u8]) -> TestCaseResult {
    let Ok((id, reply)) = message::parse(bytes) else { return Ok(()) };
    // A byte that is no text takes the three of a replacement.
    prop_assert!(kept(&reply) <= 3 * bytes.len());
    prop_assert_eq!(message::parse(&written(id, &reply)), Ok((id, reply)));
    Ok(())
}

/// Elements one behind another: each is read back from what it would be written as, and together they are no more than there is.
fn of_elements(bytes: &[u8]) -> TestCaseResult {
    let (mut reader, mut read) = (Reader::new(bytes), 0);
    while let Ok((tag, content)) = reader.any() {
        let again = ber::element(tag, content);
        prop_assert_eq!(Reader::new(&again).any(), Ok((tag, content)));
        read += 2 + content.len();
    }
    prop_assert!(read <= bytes.len());
    Ok(())
}

/// A connection that gives these bytes: every message is within the allowance.
fn of_a_connection(bytes: &[u8]) -> TestCaseResult {
    let stream: Box<dyn Stream> = Box::new(Cursor::new(bytes.to_vec()));
    let (mut stream, before) = (BufReader::new(stream), 4 * 1024);
    let (mut allowance, mut read) = (before, 0);
    while let Some(Ok(content)) = connection::read(&mut stream, &mut allowance).now_or_never() {
        read += content.len();
        prop_assert_eq!(allowance + read, before);
        of_a_message(&content)?;
    }
    Ok(())
}

fn of_a_name(text: &str) -> TestCaseResult {
    if let Ok(name) = text.parse::<DistinguishedName>() {
        prop_assert_eq!(&name.as_str().parse::<DistinguishedName>().unwrap(), &name, "{:?}", text);
    }
    if let Ok(template) = Template::parse(text) {
        let parts = super::super::name::parse(&template.filled("a")).unwrap().len();
        prop_assert_eq!(super::super::name::parse(&template.filled("a,b=c+d\\")).unwrap().len(), parts, "{:?}", text);
    }
    Ok(())
}

fn of_a_filter(text: &str) -> TestCaseResult {
    let Ok(filter) = Filter::parse(text, "{name}") else { return Ok(()) };
    // What is sent is one element, whatever is filled in.
    for sent in [filter.filled("*)(uid=*"), filter.for_anything()] {
        let mut reader = Reader::new(&sent);
        prop_assert!(reader.any().is_ok() && reader.is_empty(), "{:?}", text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_message_is_read_or_refused((start, changed) in changes(6)) {
        for bytes in texts(start.of(&MESSAGES), changed) {
            of_a_message(&bytes)?;
            of_elements(&bytes)?;
        }
    }

    #[test]
    fn a_changed_stream_of_messages_is_read_within_its_bound((start, changed) in changes(6)) {
        for bytes in texts(ber::element(SEQUENCE, &start.of(&MESSAGES)).repeat(2), changed) {
            of_a_connection(&bytes)?;
        }
    }

    #[test]
    fn a_changed_name_is_read_or_refused((start, changed) in changes(NAMES.len())) {
        for text in texts(start.of(&NAMES), changed) {
            of_a_name(&String::from_utf8_lossy(&text))?;
        }
    }

    #[test]
    fn a_changed_filter_is_read_or_refused((start, changed) in changes(FILTERS.len())) {
        for text in texts(start.of(&FILTERS), changed) {
            of_a_filter(&String::from_utf8_lossy(&text))?;
        }
    }
}

#[test]
fn the_samples_are_genuine() {
    for (message, reply) in MESSAGES.iter().zip(REPLIES.iter()) {
        assert_eq!(message::parse(message), Ok((2, reply.clone())));
    }
    for name in NAMES {
        name.parse::<DistinguishedName>().unwrap();
    }
    for filter in FILTERS {
        Filter::parse(filter, "{name}").unwrap();
    }
}
