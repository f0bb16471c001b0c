//! A domain controller of Active Directory at work: who signs in by it, in which groups they are, and who stays out.
//! One domain is made for all of it, since making one takes far longer than asking it; every part has people of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use hallmark::auth::directory::{Account, Cause, Directory, DirectoryConfig, GroupConfig, Person, Step};
use hallmark::auth::people::synchronize;
use hallmark::config::Secret;
use serde_json::json;

use super::door::{granted, login, opened_with};
use super::samba::{DOMAIN, GROUPS, PEOPLE, SEARCHER, Samba, group, person, unicode};
use super::{code, sign_in};
use crate::harness::{Credentials, PASSWORD};

/// Far more than any of these takes on a busy machine, and less than waiting without a bound.
const SOON: Duration = Duration::from_secs(8);

/// Anna is in `core`, which is in `platform`, which is in `engineering`, which is in `core` again; Ben is in `core`, too.
fn entries() -> String {
    let people = ["Anna", "Ben", "Carla", "Dora"].map(|name| person(name, &name.to_lowercase(), &own(name)));
    let in_core = [format!("CN=Anna,{PEOPLE}"), format!("CN=Ben,{PEOPLE}")];
    let nested = |name: &str| format!("CN={name},{GROUPS}");
    // A group comes before those that name it; the circle is closed last.
    let groups = [
        group("core", &[&in_core[0], &in_core[1]]),
        group("platform", &[&nested("core")]),
        group("engineering", &[&nested("platform")]),
        group("strangers", &[&format!("CN=Dora,{PEOPLE}")]),
    ];
    people.concat() + &groups.concat()
}

/// Somebody's password; the domain wants it complex.
fn own(name: &str) -> String {
    format!("{}'s Own 1", name.to_lowercase())
}

async fn signs_in(config: &DirectoryConfig, name: &str) -> Person {
    sign_in(config, name, &own(name)).await.unwrap().unwrap_or_else(|| panic!("{name} does not sign in"))
}

fn names(groups: &Person) -> BTreeSet<String> {
    let of = |dn: &str| dn["cn=".len()..].split(',').next().unwrap().to_owned();
    groups.groups.iter().map(|group| of(group.as_str())).collect()
}

#[tokio::test]
async fn a_domain_controller_of_active_directory() {
    let mut samba = Samba::start(&entries());
    let circle = format!("dn: CN=core,{GROUPS}\nchangetype: modify\nadd: member\nmember: CN=engineering,{GROUPS}\n");
    samba.change("ldapmodify", &circle);
    by_tls_with_an_authority_of_its_own(&samba).await;
    by_every_name_that_an_account_has(&samba).await;
    nobody_with_a_wrong_or_empty_password(&samba).await;
    groups_by_the_server_s_rule_and_by_our_own_walk(&samba).await;
    a_renamed_account_is_the_same_person(&samba).await;
    an_account_that_is_disabled_or_must_change_its_password_stays_out(&samba).await;
    a_group_is_a_team_and_a_disabled_account_loses_its_tokens(&samba).await;
    a_controller_that_is_down_says_so(&mut samba).await;
}

async fn by_tls_with_an_authority_of_its_own(samba: &Samba) {
    let anna = signs_in(&samba.config(), "anna").await;
    assert_eq!((anna.name.as_str(), anna.dn.as_str()), ("anna", &*format!("CN=Anna,{PEOPLE}")));
    assert!(anna.password_at.is_some(), "{anna:?}");
    assert_eq!(signs_in(&samba.start_tls(), "anna").await, anna);
    // Another authority, of the same name.
    let folder = tempfile::tempdir().unwrap();
    super::slapd::write_certificates(folder.path());
    for config in [samba.config(), samba.start_tls()] {
        let config = DirectoryConfig { ca_file: Some(folder.path().join("ca.pem")), ..config };
        let error = sign_in(&config, "anna", &own("anna")).await.unwrap_err();
        assert!(matches!((error.step, &error.cause), (Step::Secure, Cause::Untrusted(_))), "{error:?}");
    }
    // Without TLS the controller itself takes no password.
    let clear = DirectoryConfig { start_tls: false, insecure: true, ca_file: None, ..samba.start_tls() };
    let error = sign_in(&clear, "anna", &own("anna")).await.unwrap_err();
    assert_eq!((error.step, code(&error)), (Step::Account, Some(8)), "stronger authentication required: {error:?}");
}

async fn by_every_name_that_an_account_has(samba: &Samba) {
    let config = samba.config();
    let anna = signs_in(&config, "anna").await;
    let account = config.account.clone().unwrap();
    for dn in [SEARCHER, "EXAMPLE\\searcher", &format!("CN=Searcher,{PEOPLE}")] {
        let account = Some(Account { dn: dn.to_owned(), ..account.clone() });
        assert_eq!(signs_in(&DirectoryConfig { account, ..config.clone() }, "anna").await, anna, "{dn}");
    }
    let wrong = Some(Account { password: Secret::new("not theirs".to_owned()), ..account });
    let error = sign_in(&DirectoryConfig { account: wrong, ..config.clone() }, "anna", &own("anna")).await.unwrap_err();
    assert_eq!((error.step, code(&error)), (Step::Account, Some(49)), "{error:?}");
    // Who searches below the whole domain is also told of other places to ask, which are not followed.
    let whole = DirectoryConfig { base: DOMAIN.to_owned(), ..config };
    assert_eq!(signs_in(&whole, "ANNA").await, anna, "names are the same in capitals");
    let directory = Directory::new(&whole).unwrap();
    assert_eq!(directory.person(&anna.subject).await.unwrap(), Some(anna));
}

async fn nobody_with_a_wrong_or_empty_password(samba: &Samba) {
    let config = samba.config();
    for (name, password) in
        [("anna", "not theirs"), ("anna", ""), ("anna", "\0"), ("nobody", "not theirs"), ("nobody", ""), ("*", "x")]
    {
        assert_eq!(sign_in(&config, name, password).await.unwrap(), None, "{name} {password:?}");
    }
    assert_eq!(sign_in(&config, "ann*", &own("anna")).await.unwrap(), None);
    assert_eq!(sign_in(&config, "anna", &own("ben")).await.unwrap(), None, "another's password");
    let anna = "anna@example.com";
    assert!(samba.lets_in(anna, &own("anna")) && !samba.lets_in(anna, "not theirs"));
}

async fn groups_by_the_server_s_rule_and_by_our_own_walk(samba: &Samba) {
    let config = samba.config();
    let walk = |filter: &str, depth| {
        let groups = config.groups.clone().map(|groups| GroupConfig { filter: filter.to_owned(), depth, ..groups });
        DirectoryConfig { groups, ..config.clone() }
    };
    let all = ["core", "engineering", "platform"].map(str::to_owned).into();
    assert_eq!(names(&signs_in(&config, "anna").await), all, "by the rule of the server");
    assert_eq!(names(&signs_in(&walk("(member={dn})", GroupConfig::DEPTH), "anna").await), all, "level by level");
    assert_eq!(names(&signs_in(&walk("(member={dn})", 1), "anna").await), ["core".to_owned()].into());
    assert_eq!(names(&signs_in(&config, "dora").await), ["strangers".to_owned()].into());
    assert_eq!(names(&signs_in(&config, "carla").await), BTreeSet::new(), "the primary group lists nobody");
}

async fn a_renamed_account_is_the_same_person(samba: &Samba) {
    let directory = Directory::new(&samba.config()).unwrap();
    let before = signs_in(&samba.config(), "carla").await;
    let renamed = format!(
        "dn: CN=Carla,{PEOPLE}\nchangetype: modrdn\nnewrdn: CN=Carla New\ndeleteoldrdn: 1\n\n\
         dn: CN=Carla New,{PEOPLE}\nchangetype: modify\nreplace: sAMAccountName\nsAMAccountName: carola\n-\n\
         replace: userPrincipalName\nuserPrincipalName: carola@example.com\n"
    );
    samba.change("ldapmodify", &renamed);
    let after = directory.person(&before.subject).await.unwrap().unwrap();
    assert_eq!((after.subject.as_str(), after.name.as_str()), (before.subject.as_str(), "carola"));
    assert_eq!(after.dn, format!("CN=Carla New,{PEOPLE}"));
    assert_eq!(directory.sign_in("carola", &own("carla")).await.unwrap(), Some(after));
    assert_eq!(directory.sign_in("carla", &own("carla")).await.unwrap(), None);
    // Another who takes the name is another.
    samba.change("ldapadd", &person("Carla", "carla", &own("carla")));
    assert_ne!(signs_in(&samba.config(), "carla").await.subject, before.subject);
}

async fn an_account_that_is_disabled_or_must_change_its_password_stays_out(samba: &Samba) {
    let directory = Directory::new(&samba.config()).unwrap();
    let dora = signs_in(&samba.config(), "dora").await;
    let set = |attribute: &str, value: &str| {
        let dn = format!("dn: CN=Dora,{PEOPLE}\nchangetype: modify\n");
        samba.change("ldapmodify", &format!("{dn}replace: {attribute}\n{attribute}: {value}\n"));
    };
    for (attribute, value, signs_in, is_there) in [
        ("userAccountControl", "514", false, false),
        ("userAccountControl", "66050", false, false),
        ("userAccountControl", "512", true, true),
        // The controller takes no password that is to be changed first; who has it is still there.
        ("pwdLastSet", "0", false, true),
        ("pwdLastSet", "-1", true, true),
    ] {
        set(attribute, value);
        let place = format!("{attribute}: {value}");
        assert_eq!(directory.sign_in("dora", &own("dora")).await.unwrap().is_some(), signs_in, "{place}");
        assert_eq!(directory.person(&dora.subject).await.unwrap().is_some(), is_there, "{place}");
    }
    let password = format!(
        "dn: CN=Dora,{PEOPLE}\nchangetype: modify\nreplace: unicodePwd\nunicodePwd:: {}\n",
        unicode("another of dora's 2")
    );
    samba.change("ldapmodify", &password);
    assert_eq!(directory.sign_in("dora", &own("dora")).await.unwrap(), None);
    let changed = directory.sign_in("dora", "another of dora's 2").await.unwrap().unwrap();
    assert!(changed.password_at > dora.password_at, "{changed:?}");
}

/// The mapping of [`opened_with`] names `core` of this domain: names of groups are spelled in many ways and mean the same.
async fn a_group_is_a_team_and_a_disabled_account_loses_its_tokens(samba: &Samba) {
    let world = opened_with(samba.config(), Duration::from_secs(3600)).await;
    let by = |name: &str| Credentials::basic(name, &own(name));
    assert_eq!(granted(&world, &by("anna")).await, "repository:acme/app:pull");
    assert_eq!(granted(&world, &by("ben")).await, "repository:acme/app:pull");
    assert_eq!(granted(&world, &by("carla")).await, "", "in no group");
    let bearer = login(&world, &by("ben")).await.expect(200).json()["token"].as_str().unwrap().to_owned();
    let ben = format!("dn: CN=Ben,{PEOPLE}\nchangetype: modify\n");
    samba.change("ldapmodify", &format!("{ben}replace: userAccountControl\nuserAccountControl: 514\n"));
    let looked = synchronize(&world.app, "example", world.now()).await.unwrap();
    assert_eq!((looked.people, looked.disabled), (3, 1), "{looked:?}");
    world.get("/v2/acme/app/tags/list").by(&Credentials::bearer(&bearer)).await.expect(401);
    login(&world, &by("ben")).await.expect(401);
    // They come back as who they were once an administrator lets them in again here as well.
    samba.change("ldapmodify", &format!("{ben}replace: userAccountControl\nuserAccountControl: 512\n"));
    login(&world, &by("ben")).await.expect(401);
    let admin = Credentials::basic("admin", PASSWORD);
    world.sends("PATCH", "/users/ben", &admin, &json!({"disabled": false})).await.expect(200);
    assert_eq!(granted(&world, &by("ben")).await, "repository:acme/app:pull");
}

async fn a_controller_that_is_down_says_so(samba: &mut Samba) {
    let directory = Directory::new(&samba.config()).unwrap();
    let anna = directory.sign_in("anna", &own("anna")).await.unwrap().unwrap();
    samba.stop();
    let began = std::time::Instant::now();
    for error in
        [directory.sign_in("anna", &own("anna")).await.unwrap_err(), directory.person(&anna.subject).await.unwrap_err()]
    {
        assert_eq!((error.step, error.is_outage()), (Step::Connect, true), "{error:?}");
    }
    assert!(began.elapsed() < SOON);
}
