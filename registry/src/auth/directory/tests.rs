//! Grammar: what somebody types stays a value, whatever it is made of; what a server sends is read or refused.

mod hostile;

use proptest::prelude::*;

use super::ber::{self, INTEGER, OCTETS, Reader};
use super::error::{Cause, DirectoryError, Step};
use super::filter::Filter;
use super::message::{self, Entry, Outcome, Reply, Scope, Search};
use super::name::{DistinguishedName, Template};
use super::person::Found;
use super::subject::SubjectAttribute;

const PERSON: &str = "(&(objectClass=person)(|(uid={name})(mail={name}@*)(cn:caseExactMatch:={name}))(!(cn=no\\2a)))";

/// A filter as text again, each value in hex between angle brackets; read by its tags alone.
fn spelled(filter: &[u8]) -> String {
    let mut reader = Reader::new(filter);
    let (tag, content) = reader.any().unwrap();
    assert!(reader.is_empty());
    let values = || {
        let (mut inner, mut values) = (Reader::new(content), Vec::new());
        while !inner.is_empty() {
            values.push(inner.any().unwrap());
        }
        values
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let listed = |values: Vec<(u8, &[u8])>| {
        values.iter().map(|(tag, value)| format!("{tag:02x}<{}>", hex(value))).collect::<String>()
    };
    match tag {
        0xa0..=0xa2 => {
            let inner = values().iter().map(|(tag, content)| spelled(&ber::element(*tag, content))).collect::<String>();
            format!("({tag:02x}{inner})")
        }
        0xa4 => {
            let [(_, attribute), (_, parts)] = values()[..] else { panic!("two elements") };
            let (mut parts, mut found) = (Reader::new(parts), Vec::new());
            while !parts.is_empty() {
                found.push(parts.any().unwrap());
            }
            format!("(a4<{}>{})", hex(attribute), listed(found))
        }
        0x87 => format!("(87<{}>)", hex(content)),
        _ => format!("({tag:02x}{})", listed(values())),
    }
}

fn filter(text: &str) -> Filter {
    Filter::parse(text, "{name}").unwrap()
}

proptest! {
    /// The marker is replaced in the spelling of a filter that was filled with it, where hex cannot be mistaken for syntax.
    #[test]
    fn a_filter_filled_with_any_name_has_the_shape_that_it_was_written_in(name in ".*", marker in "[a-z]{30}") {
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let filter = filter(PERSON);
        let expected = spelled(&filter.filled(&marker)).replace(&hex(&marker), &hex(&name));
        prop_assert_eq!(spelled(&filter.filled(&name)), expected);
    }

    #[test]
    fn a_template_filled_with_any_name_is_a_name_of_as_many_parts(name in ".*") {
        let template = Template::parse("uid=x{name}y+cn=a,ou=people\\, all,dc=example").unwrap();
        let parsed = super::name::parse(&template.filled(&name)).unwrap();
        let kinds: Vec<_> = parsed.iter().flatten().map(|assertion| assertion.kind.as_str()).collect();
        prop_assert_eq!((parsed.len(), kinds), (3, vec!["uid", "cn", "ou", "dc"]));
        prop_assert_eq!(&parsed[0][0].value, &super::name::Value::Text(format!("x{name}y")));
    }

    #[test]
    fn a_value_alone_is_read_back_as_it_was(name in ".*") {
        let parsed = super::name::parse(&format!("uid={},dc=example", super::name::escape(&name))).unwrap();
        prop_assert_eq!((parsed.len(), parsed[0].len()), (2, 1));
        prop_assert_eq!(&parsed[0][0].value, &super::name::Value::Text(name));
    }

    #[test]
    fn one_spelling_is_its_own_spelling(values in prop::collection::vec(".*", 1..4)) {
        let text: Vec<_> = values.iter().map(|value| format!("CN={}", super::name::escape(value))).collect();
        let name: DistinguishedName = text.join(" , ").parse().unwrap();
        prop_assert_eq!(name.as_str().parse::<DistinguishedName>().unwrap(), name);
    }

    #[test]
    fn any_text_is_a_name_or_refused(text in "\\PC*", pieces in "[a=,+#\\\\\"; 0-9]{0,12}") {
        for text in [text, pieces] {
            if let Ok(name) = text.parse::<DistinguishedName>() {
                prop_assert_eq!(name.as_str().parse::<DistinguishedName>().unwrap(), name);
            }
        }
    }

    #[test]
    fn any_text_is_a_filter_or_refused(text in "[(){}&|!=~<>:*\\\\a1 name]{0,24}") {
        if let Ok(filter) = Filter::parse(&text, "{name}") {
            spelled(&filter.filled("*)(uid=*"));
            spelled(&filter.for_anything());
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), tag in 0x61_u8..0x7a) {
        let _ = message::parse(&bytes);
        let _ = message::parse(&[ber::number(INTEGER, 1), ber::element(tag, &bytes)].concat());
    }

    #[test]
    fn an_element_is_read_back(content in prop::collection::vec(any::<u8>(), 0..700), value: u32) {
        let bytes = [ber::element(OCTETS, &content), ber::number(INTEGER, value)].concat();
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.take(OCTETS).unwrap(), content.as_slice());
        // A number is signed, so that one with the highest bit set has a fifth byte.
        prop_assert_eq!(reader.number(INTEGER).unwrap(), value);
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn a_subject_is_read_back(bytes: [u8; 16]) {
        let subject = SubjectAttribute::ObjectGuid.subject(&bytes).unwrap();
        prop_assert_eq!(SubjectAttribute::ObjectGuid.value(&subject).unwrap(), bytes);
        let text = SubjectAttribute::EntryUuid.subject(subject.to_uppercase().as_bytes()).unwrap();
        prop_assert_eq!(SubjectAttribute::EntryUuid.value(&text).unwrap(), subject.clone().into_bytes());
        prop_assert_eq!(text, subject);
    }
}

#[test]
fn every_comparison_is_encoded_as_rfc_4511_says() {
    for (text, expected) in [
        ("(a={name})", "(a304<61>04<2a>)"),
        ("(a>={name})", "(a504<61>04<2a>)"),
        ("(a<={name})", "(a604<61>04<2a>)"),
        ("(a~={name})", "(a804<61>04<2a>)"),
        ("(a={name}*)", "(a4<61>80<2a>)"),
        ("(a=*x*{name}\\29*y)", "(a4<61>81<78>81<2a29>82<79>)"),
        ("(a:dn:1.2:={name})", "(a981<312e32>82<61>83<2a>84<ff>)"),
        ("(a:={name})", "(a982<61>83<2a>)"),
        ("(&(b=*)(a={name}))", "(a0(87<62>)(a304<61>04<2a>))"),
        ("(|(a={name})(!(b=x\u{e9})))", "(a1(a304<61>04<2a>)(a2(a304<62>04<78c3a9>)))"),
    ] {
        assert_eq!(spelled(&filter(text).filled("*")), expected, "{text}");
    }
    assert_eq!(spelled(&filter("(&(a={name}*)(b=x))").for_anything()), "(a0(87<61>)(a304<62>04<78>))");
}

#[test]
fn what_is_no_filter_is_refused_with_its_place() {
    for (text, at) in [
        ("", 0),
        ("a={name}", 0),
        ("(a={name}", 9),
        ("(a={name}))", 10),
        ("(a=b)", 5),
        ("(={name})", 1),
        ("(&)", 2),
        ("(a={user})", 3),
        ("(a=({name})", 3),
        ("(a=\\zz{name})", 3),
        ("(a=\\2)", 3),
        ("(!(a={name}))", 5),
        ("(&(a={name})(!(|(b=c)(d={name}))))", 24),
        ("(a={name})(b=c)", 10),
        ("(a=**)", 5),
        (":={name}", 0),
        ("(:1.2:={name})", 13),
    ] {
        let refused = Filter::parse(text, "{name}").unwrap_err();
        assert!(refused.to_string().ends_with(&format!("at byte {at}")), "{text}: {refused}");
    }
    let deep = format!("{}(a={{name}}){}", "(&".repeat(16), ")".repeat(16));
    assert!(Filter::parse(&deep, "{name}").unwrap_err().to_string().contains("too deep"));
}

#[test]
fn a_template_has_one_place_that_is_a_value() {
    for text in [
        "uid=anna,dc=example",
        "uid={name},cn={name}",
        "{name}",
        "{name}=a,dc=example",
        "uid=\\{name},dc=example",
        "uid=\\2{name},dc=example",
        "uid=#{name},dc=example",
        "uid={name},dc",
        "uid=\"{name}\",dc=example",
        "{name}@example.com",
    ] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
}

#[test]
fn names_are_equal_whatever_their_spelling() {
    let canonical = |text: &str| text.parse::<DistinguishedName>().map(|name| name.to_string());
    for (text, expected) in [
        ("CN=Core Team,OU=Groups,DC=Example", "cn=core team,ou=groups,dc=example"),
        (" cn = core   team , ou=groups,dc=example ", "cn=core team,ou=groups,dc=example"),
        ("cn=core\\20team,ou=groups,dc=example", "cn=core team,ou=groups,dc=example"),
        ("OU=b+CN=a,DC=example", "cn=a+ou=b,dc=example"),
        ("cn=a\\2cb", "cn=a\\,b"),
        ("cn=a\\,b", "cn=a\\,b"),
        ("cn=L\\C3\\A9A", "cn=l\u{e9}a"),
        ("cn=#0401FF", "cn=#0401ff"),
        ("cn=\\#0401ff", "cn=\\#0401ff"),
        ("cn=a\\0ab", "cn=a\\0ab"),
        ("cn=a=b", "cn=a\\=b"),
    ] {
        assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
    }
    for text in [
        "",
        "cn",
        "=a",
        "cn=a,",
        "cn=a,,dc=b",
        "cn=a;dc=b",
        "cn=\"a\"",
        "cn=a\\",
        "cn=a\\zz",
        "cn=\\ff",
        "cn=#4",
        "c n=a",
    ] {
        assert!(canonical(text).is_err(), "{text}");
    }
    // A part that is written as one value is not two.
    assert_ne!(canonical("cn=core\\,ou=groups"), canonical("cn=core,ou=groups"));
}

#[test]
fn a_search_is_sent_as_rfc_4511_says() {
    let search = Search {
        base: "dc=a",
        scope: Scope::Subtree,
        filter: &super::filter::everything(),
        attributes: &["1.1"],
        most: 1,
        page: Some(500),
    };
    let sent = message::envelope(5, search.request(), search.controls(b"c"));
    let expected = [
        b"\x30\x55\x02\x01\x05\x63\x29\x04\x04dc=a\x0a\x01\x02\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00"
            .as_slice(),
        b"\x87\x0bobjectClass\x30\x05\x04\x031.1",
        b"\xa0\x25\x30\x23\x04\x161.2.840.113556.1.4.319\x04\x09\x30\x07\x02\x02\x01\xf4\x04\x01c",
    ];
    assert_eq!(sent, expected.concat());
}

#[test]
fn answers_are_read_also_with_lengths_of_four_bytes() {
    let done = b"\x02\x01\x02\x65\x84\x00\x00\x00\x07\x0a\x01\x20\x04\x00\x04\x00\
        \xa0\x84\x00\x00\x00\x23\x30\x21\x04\x161.2.840.113556.1.4.319\x04\x07\x30\x05\x02\x01\x00\x04\x00";
    let outcome = Outcome { code: 32, text: String::new() };
    assert_eq!(message::parse(done), Ok((2, Reply::Done(outcome, Vec::new()))));
    let referral = b"\x02\x01\x02\x61\x12\x0a\x01\x0a\x04\x00\x04\x02hi\xa3\x07\x04\x05ldap:";
    assert_eq!(message::parse(referral), Ok((2, Reply::Bound(Outcome { code: 10, text: "hi".to_owned() }))));
}

/// An entry of Active Directory with these attributes, read.
fn account(attributes: &[(&str, Vec<&[u8]>)]) -> Result<Found, Cause> {
    let owned = |values: &[&[u8]]| values.iter().map(|value| value.to_vec()).collect();
    let attributes = attributes.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect();
    let entry = Entry { dn: "cn=Anna,dc=example".to_owned(), attributes };
    Found::read(&entry, "sAMAccountName", SubjectAttribute::ObjectGuid)
}

#[test]
fn an_entry_says_who_it_is_or_what_is_missing() {
    let guid: &[u8] = b"\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
    let (known, named) = (("OBJECTGUID", vec![guid]), ("samaccountname", vec![b"b".as_slice(), b"a"]));
    let found = account(&[known.clone(), named.clone(), ("userAccountControl", vec![b"514"])]).unwrap();
    assert_eq!(found.subject, "00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!((found.name.as_str(), found.disabled), ("a", true));
    for (attributes, missing) in [
        (vec![named.clone()], "objectGUID"),
        (vec![("objectGUID", vec![b"short".as_slice()]), named.clone()], "objectGUID"),
        (vec![("objectGUID", vec![guid, guid]), named.clone()], "objectGUID"),
        (vec![known.clone()], "sAMAccountName"),
        (vec![known.clone(), ("sAMAccountName", vec![b"\xff"])], "sAMAccountName"),
        (vec![known, named, ("userAccountControl", vec![b"x"])], "userAccountControl"),
    ] {
        let unfit = account(&attributes).unwrap_err();
        assert!(unfit.to_string().contains(missing), "{unfit}");
    }
}

#[test]
fn what_is_no_identifier_is_no_subject() {
    for text in ["", "0011223344556677", "00112233-4455-6677-8899-aabbccddeefg", "{0112233-4455-6677-8899-aabbccddeef}"]
    {
        assert_eq!(SubjectAttribute::EntryUuid.subject(text.as_bytes()), None, "{text}");
        assert_eq!(SubjectAttribute::ObjectGuid.value(text), None, "{text}");
    }
}

/// What is wrong with one entry says nothing about the others; what is wrong with the directory says nothing about anybody.
#[test]
fn what_is_about_one_entry_is_told_from_what_is_about_the_directory() {
    let malformed = || Cause::Malformed(ber::Malformed("a name is not UTF-8"));
    let refused = |code| Cause::Refused { code, text: String::new() };
    let broken = || Cause::Unreachable(std::io::ErrorKind::ConnectionReset.into());
    for (step, cause, is_about_one) in [
        (Step::Find, malformed(), true),
        (Step::Groups, malformed(), true),
        (Step::Secure, malformed(), false),
        (Step::Account, malformed(), false),
        (Step::Groups, Cause::TooMany(10_000), true),
        (Step::Groups, refused(message::SIZE_LIMIT_EXCEEDED), true),
        (Step::Groups, refused(message::ADMIN_LIMIT_EXCEEDED), true),
        (Step::Find, refused(message::ADMIN_LIMIT_EXCEEDED), false),
        (Step::Groups, refused(message::BUSY), false),
        (Step::Groups, refused(message::NO_SUCH_OBJECT), false),
        (Step::Find, Cause::Ambiguous, true),
        (Step::Find, broken(), false),
        (Step::Groups, Cause::TimedOut, false),
    ] {
        let error = DirectoryError { directory: "corp".to_owned(), step, cause };
        assert_eq!(error.is_about_one(), is_about_one, "{error:?}");
    }
}
