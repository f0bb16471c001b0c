//! What Active Directory does otherwise, shown by OpenLDAP with the same attributes: 16 bytes as subject, flags that disable.
//! Never here: a domain controller itself, which is `domain.rs`'s.

use hallmark::auth::directory::{Bind, Directory, SubjectAttribute};

use super::slapd::{PEOPLE, Setup, Slapd};

/// The 16 bytes have a parenthesis and an asterisk among them, which would be syntax if they were text of a filter.
const ENTRY: &str = "dn: cn=Carla,ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nobjectClass: domainAccount\n\
    cn: Carla\nsn: Example\nuserPassword: carla's own\nsAMAccountName: CARLA\nobjectGUID:: MyIRACgqd2aImaq7zN3u/w==\n\
    userAccountControl: 512\n\n";
const SUBJECT: &str = "00112233-2a28-6677-8899-aabbccddeeff";

fn directory(slapd: &Slapd) -> Directory {
    let mut config = slapd.config();
    config.bind = Bind::Search { filter: "(&(objectClass=person)(sAMAccountName={name}))".to_owned() };
    config.name_attribute = "samaccountname".to_owned();
    config.subject_attribute = SubjectAttribute::ObjectGuid;
    Directory::new(&config).unwrap()
}

#[tokio::test]
async fn an_object_guid_is_a_subject_and_finds_its_person() {
    let slapd = Slapd::start(Setup::Usual, ENTRY);
    let directory = directory(&slapd);
    let person = directory.sign_in("carla", "carla's own").await.unwrap().unwrap();
    assert_eq!((person.subject.as_str(), person.name.as_str()), (SUBJECT, "CARLA"));
    assert_eq!(directory.person(SUBJECT).await.unwrap(), Some(person));
}

#[tokio::test]
async fn a_disabled_account_neither_signs_in_nor_is_found() {
    let slapd = Slapd::start(Setup::Usual, ENTRY);
    let directory = directory(&slapd);
    assert!(directory.sign_in("carla", "carla's own").await.unwrap().is_some());
    // -2147483134 has the highest bit set, as flags may, and the second: 0x80000202.
    for (flags, enabled) in [("514", false), ("-2147483134", false), ("66048", true)] {
        slapd.change(&format!(
            "dn: cn=Carla,{PEOPLE}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: {flags}\n"
        ));
        assert_eq!(directory.sign_in("carla", "carla's own").await.unwrap().is_some(), enabled, "{flags}");
        assert_eq!(directory.person(SUBJECT).await.unwrap().is_some(), enabled, "{flags}");
    }
}
