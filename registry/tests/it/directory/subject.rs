//! Who somebody is stays the same when they are renamed, and is another when only the name is the same.

use std::sync::Arc;

use hallmark::auth::directory::{Bind, Directory, DirectoryConfig};

use super::slapd::{PEOPLE, Setup, Slapd};
use super::trap::{Script, Trap};

#[tokio::test]
async fn a_renamed_person_keeps_their_subject() {
    let slapd = Slapd::start(Setup::Usual, "");
    let directory = Directory::new(&slapd.config()).unwrap();
    let before = directory.sign_in("anna", "anna's own").await.unwrap().unwrap();
    slapd.change(&format!("dn: uid=anna,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=anne\ndeleteoldrdn: 1\n"));
    assert_eq!(directory.sign_in("anna", "anna's own").await.unwrap(), None);
    let after = directory.sign_in("anne", "anna's own").await.unwrap().unwrap();
    assert_eq!((after.name.as_str(), &after.subject), ("anne", &before.subject));
    let found = directory.person(&before.subject).await.unwrap().unwrap();
    assert_eq!(found, after);
}

#[tokio::test]
async fn a_new_person_under_an_old_dn_is_another_subject() {
    let slapd = Slapd::start(Setup::Usual, "");
    let directory = Directory::new(&slapd.config()).unwrap();
    let old = directory.sign_in("anna", "anna's own").await.unwrap().unwrap();
    slapd.change(&format!(
        "dn: uid=anna,{PEOPLE}\nchangetype: delete\n\ndn: uid=anna,{PEOPLE}\nchangetype: add\nobjectClass: inetOrgPerson\n\
         uid: anna\ncn: Another Anna\nsn: Example\nuserPassword: another's own\n"
    ));
    assert_eq!(directory.person(&old.subject).await.unwrap(), None);
    let new = directory.sign_in("anna", "another's own").await.unwrap().unwrap();
    assert_eq!(new.dn, old.dn);
    assert_ne!(new.subject, old.subject);
    assert_eq!(directory.person(&new.subject).await.unwrap(), Some(new));
}

/// Between the search and the bind Ben's entry gets the name that Anna's had: his password is right for it, and not hers.
#[tokio::test]
async fn a_name_that_moves_during_a_sign_in_moves_no_account() {
    for bind in [
        Bind::Direct { dn_template: format!("uid={{name}},{PEOPLE}") },
        Bind::Search { filter: "(uid={name})".to_owned() },
    ] {
        let slapd = Arc::new(Slapd::start(Setup::Usual, ""));
        let server = Arc::clone(&slapd);
        let rename = |from: &str, to: &str| {
            format!("dn: uid={from},{PEOPLE}\nchangetype: modrdn\nnewrdn: uid={to}\ndeleteoldrdn: 1\n\n")
        };
        let moves = rename("anna", "anne") + &rename("ben", "anna");
        let meddling = move |connection| {
            if connection == 2 {
                server.change(&moves);
            }
        };
        let trap = Trap::start(Script::Meddle(slapd.port, Arc::new(meddling))).await;
        let config = DirectoryConfig { url: trap.url(), bind, ..slapd.plain() };
        let directory = Directory::new(&config).unwrap();
        assert_eq!(directory.sign_in("anna", "ben's own").await.unwrap(), None);
        assert_eq!(directory.sign_in("anna", "ben's own").await.unwrap().unwrap().name, "anna");
    }
}

#[tokio::test]
async fn somebody_looked_up_is_the_one_who_signed_in_with_their_groups_of_now() {
    let slapd = Slapd::start(Setup::Usual, "");
    for bind in [
        Bind::Direct { dn_template: format!("uid={{name}},{PEOPLE}") },
        Bind::Search { filter: "(&(objectClass=person)(|(uid={name})(mail={name})))".to_owned() },
    ] {
        let mut config = slapd.config();
        config.bind = bind;
        let directory = Directory::new(&config).unwrap();
        let person = directory.sign_in("ben", "ben's own").await.unwrap().unwrap();
        assert_eq!(directory.person(&person.subject).await.unwrap().as_ref(), Some(&person));
        let core = "dn: cn=core,ou=groups,dc=example,dc=com\nchangetype: modify";
        slapd.change(&format!("{core}\nadd: member\nmember: uid=ben,{PEOPLE}\n"));
        assert_eq!(directory.person(&person.subject).await.unwrap().unwrap().groups.len(), 3);
        slapd.change(&format!("{core}\ndelete: member\nmember: uid=ben,{PEOPLE}\n"));
        assert_eq!(directory.person(&person.subject).await.unwrap(), Some(person));
    }
}

/// Or else an account would be kept whose person could not sign in any more.
#[tokio::test]
async fn whoever_no_longer_matches_the_filter_is_gone() {
    let slapd = Slapd::start(Setup::Usual, "");
    let mut config = slapd.config();
    config.bind = Bind::Search { filter: "(&(uid={name})(mail=*@example.com))".to_owned() };
    let directory = Directory::new(&config).unwrap();
    let person = directory.sign_in("anna", "anna's own").await.unwrap().unwrap();
    assert!(directory.person(&person.subject).await.unwrap().is_some());
    slapd.change(&format!("dn: uid=anna,{PEOPLE}\nchangetype: modify\ndelete: mail\n"));
    assert_eq!(directory.person(&person.subject).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_subject_is_nobody() {
    let slapd = Slapd::start(Setup::Usual, "");
    let directory = Directory::new(&slapd.config()).unwrap();
    for subject in ["", "*", "anna", "uid=anna,ou=people,dc=example,dc=com", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(directory.person(subject).await.unwrap(), None, "{subject}");
    }
}
