//! The subject of a certificate as text, in the one spelling in which subjects and the rules about them are compared.
//!
//! RFC 4514: the last part of the name comes first, parts are separated by `,` alone, and what means something in this
//! spelling is escaped, so that two names that differ are never spelled alike. Of the several spellings that it leaves, this is
//! the one: the types of [`TYPES`] by name and all others by number; a value of a type without a name, or that is not text, in
//! hexadecimal behind `#`; only what must be is escaped, and characters of control as `\` with two digits; several attributes
//! in one part stand in the order of their spellings.

use std::fmt::Write as _;

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The types that have a name here: those of RFC 4514, and two that certificates often have.
const TYPES: [(&str, &str); 11] = [
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("serialNumber", "2.5.4.5"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
];

/// What is escaped wherever it stands in a value.
const SPECIAL: [char; 7] = ['"', '+', ',', ';', '<', '>', '\\'];

/// Spells the subject of a certificate.
pub(super) fn spell(name: &X509Name<'_>) -> String {
    let part =
        |attributes: &mut dyn Iterator<Item = &AttributeTypeAndValue<'_>>| joined(attributes.map(attribute).collect());
    let mut parts: Vec<_> = name.iter().map(|part_of| part(&mut part_of.iter())).collect();
    parts.reverse();
    parts.join(",")
}

/// Spells what a person wrote for a subject as [`spell`] does; `None` when it is no distinguished name of RFC 4514.
pub(crate) fn respell(text: &str) -> Option<String> {
    let parts: Option<Vec<_>> = split(text, ',')
        .into_iter()
        .map(|part| {
            let attributes: Option<Vec<_>> = split(part, '+').into_iter().map(respelled).collect();
            attributes.map(joined)
        })
        .collect();
    parts.map(|parts| parts.join(","))
}

/// One part: its attributes form a set, whose order says nothing.
fn joined(mut attributes: Vec<String>) -> String {
    attributes.sort_unstable();
    attributes.join("+")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let number = attribute.attr_type().to_id_string();
    let name = TYPES.iter().find(|(_, known)| *known == number).map(|(name, _)| *name);
    match (name, attribute.as_str()) {
        (Some(name), Ok(value)) => format!("{name}={}", escaped(value)),
        _ => format!("{}=#{}", name.unwrap_or(&number), encoded(attribute)),
    }
}

/// The value in DER, in hexadecimal.
fn encoded(attribute: &AttributeTypeAndValue<'_>) -> String {
    use x509_parser::der_parser::asn1_rs::ToDer as _;

    let der = attribute.attr_value().to_der_vec_raw().unwrap_or_else(|_| attribute.as_slice().to_vec());
    der.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (place, letter) in value.chars().enumerate() {
        let at_an_end = letter == ' ' && (place == 0 || place == last) || letter == '#' && place == 0;
        if letter.is_control() {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                let _ = write!(text, "\\{byte:02x}");
            }
            continue;
        }
        if at_an_end || SPECIAL.contains(&letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

/// Splits at each `separator` that is not escaped.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin, mut escaped) = (Vec::new(), 0, false);
    for (place, letter) in text.char_indices() {
        if letter == separator && !escaped {
            parts.push(&text[begin..place]);
            begin = place + 1;
        }
        escaped = letter == '\\' && !escaped;
    }
    parts.push(&text[begin..]);
    parts
}

fn respelled(attribute: &str) -> Option<String> {
    let (kind, value) = attribute.split_once('=')?;
    let name = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)).map(|(name, _)| *name);
    if let Some(digits) = value.strip_prefix('#') {
        let is_number = || is_number(kind) && TYPES.iter().all(|(_, number)| *number != kind);
        let kind = name.or_else(|| is_number().then_some(kind))?;
        let is_encoded =
            !digits.is_empty() && digits.len() % 2 == 0 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        return is_encoded.then(|| format!("{kind}=#{}", digits.to_ascii_lowercase()));
    }
    Some(format!("{}={}", name?, escaped(&unescaped(value)?)))
}

fn is_number(kind: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    kind.contains('.') && kind.split('.').all(is_part)
}

/// What a value says; `None` where something stands unescaped that must not.
fn unescaped(value: &str) -> Option<String> {
    if value.starts_with(' ') {
        return None;
    }
    let (mut said, mut rest) = (Vec::with_capacity(value.len()), value.chars());
    let mut ends_in_space = false;
    while let Some(letter) = rest.next() {
        ends_in_space = letter == ' ';
        match letter {
            '\\' => match rest.next()? {
                own @ (' ' | '#' | '=') => said.push(own as u8),
                own if SPECIAL.contains(&own) => said.push(own as u8),
                high => {
                    let low = rest.next()?;
                    said.push(u8::try_from(high.to_digit(16)? << 4 | low.to_digit(16)?).ok()?);
                }
            },
            letter if SPECIAL.contains(&letter) => return None,
            letter => said.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if ends_in_space { None } else { String::from_utf8(said).ok() }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    fn spelled(parts: &[(DnType, &str)]) -> String {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            parameters.distinguished_name.push(kind.clone(), *value);
        }
        let made = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();
        spell(X509Certificate::from_der(made.der()).unwrap().1.subject())
    }

    #[test]
    fn names_that_differ_are_spelled_differently_and_a_rule_can_say_each() {
        use DnType::{CommonName, CountryName, OrganizationName, OrganizationalUnitName};
        for (parts, expected) in [
            (&[(CommonName, "ci")][..], "CN=ci"),
            (&[(CountryName, "DE"), (OrganizationName, "Example"), (CommonName, "ci")], "CN=ci,O=Example,C=DE"),
            (&[(OrganizationalUnitName, "Ops"), (CommonName, "ci")], "CN=ci,OU=Ops"),
            (&[(CommonName, "ci,OU=Ops")], r"CN=ci\,OU=Ops"),
            (&[(CommonName, "ci, OU=Ops")], r"CN=ci\, OU=Ops"),
            (&[(CommonName, "a+b\"c\\d<e>f;g=h")], r#"CN=a\+b\"c\\d\<e\>f\;g=h"#),
            (&[(CommonName, " ci ")], r"CN=\ ci\ "),
            (&[(CommonName, "#ci#")], r"CN=\#ci#"),
            (&[(CommonName, "ci\0\n")], r"CN=ci\00\0a"),
            (&[(CommonName, "Jürgen")], "CN=Jürgen"),
            (&[(CommonName, "")], "CN="),
            (&[(DnType::CustomDnType(vec![2, 5, 4, 42]), "Jo")], "2.5.4.42=#0c024a6f"),
        ] {
            assert_eq!(spelled(parts), expected);
            assert_eq!(respell(expected).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_rule_may_be_spelled_in_any_way_of_the_rfc() {
        for (text, expected) in [
            ("cn=ci,o=Example", "CN=ci,O=Example"),
            (r"CN=J\C3\BCrgen", "CN=Jürgen"),
            (r"CN=ci\2C\20OU\3DOps", r"CN=ci\, OU=Ops"),
            ("UID=ci+CN=a", "CN=a+UID=ci"),
            ("2.5.4.42=#0C024A6F", "2.5.4.42=#0c024a6f"),
        ] {
            assert_eq!(respell(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "ci",
            "CN",
            "=ci",
            "CN=ci,",
            ",CN=ci",
            "CN=ci, O=Example",
            "CN= ci",
            "CN=ci ",
            "CN=a;O=b",
            "CN=\"a\"",
            r"CN=a\",
            r"CN=a\z",
            r"CN=\ff",
            "GN=Jo",
            "2.5.4.42=Jo",
            "2.5.4.3=#0c026369",
            "CN=#0",
            "CN=#",
            "02.5=#00",
            "CN=a+",
            "emailAddress",
        ] {
            assert_eq!(respell(text), None, "{text}");
        }
    }
}
