//! Every role × every operation of the image API × a public, a private and an absent repository, with a name and password
//! and with a token that asked for all of it (threat 3). Who may not know of one reads the same, body and headers, as of none.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hallmark_oci::Digest;
use insta::assert_snapshot;

use super::IMAGES;
use crate::harness::{Acme, Answer, Credentials, OCI_MANIFEST, PASSWORD, World, image, sha256};

/// The public, the private and the absent one; their names are as long.
pub(super) const REPOSITORIES: [&str; 3] = ["acme/open", "acme/shut", "acme/none"];
const COLUMNS: [&str; 16] = [
    "get", "blob", "tags", "refs", "begin", "stat", "add", "end", "quit", "put", "untag", "del", "drop", "in", "out",
    "list",
];
/// Between these are those that change the repository.
const BEGIN: usize = 4;
const OUT: usize = 14;
const USERS: [&str; 13] = [
    "stranger", "reader", "writer", "keeper", "signer", "deleter", "teamed", "prefixed", "mia", "olga", "aud", "admin",
    "gone",
];

/// Somebody in the matrix.
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) password: Credentials,
    /// A token for each repository.
    pub(super) tokens: Vec<Credentials>,
}

impl Role {
    /// Where they may push by themselves, if anywhere.
    fn own(&self) -> Option<String> {
        USERS.contains(&self.name).then(|| format!("{}/out", self.name))
    }
}

/// Fills a repository with what the operations take away.
async fn filled(world: &World, by: &Credentials, name: &str) {
    world.image(by, name, "1", "layer").await;
    world.image(by, name, "gone", "other").await;
    world.blob(by, name, "third").await;
    let third = image("{}", &["third"]);
    world.manifest(by, (name, sha256(&third).as_str()), OCI_MANIFEST, &third, "third").await;
    world.blob(by, name, "spare").await;
}

/// A registry in which everybody is, with tokens that ask for these scopes of each repository. Then who is to be gone is disabled.
pub(super) async fn opened(prepare: impl AsyncFnOnce(&World), scopes: impl Fn(&str) -> String) -> (World, Vec<Role>) {
    let Acme { world, .. } = Acme::open().await;
    let admin = Credentials::basic("admin", PASSWORD);
    for name in USERS.iter().filter(|name| !matches!(**name, "mia" | "olga" | "aud" | "admin")) {
        world.add_user(name).await;
    }
    world.member("acme", "teamed", "member").await;
    world.team("acme", "readers", &["teamed"]).await;
    world.grant("acme/*", "user:prefixed", "write").await;
    world.blob(&admin, "acme/source", "based").await;
    world.publish("acme/source").await;
    for repository in &REPOSITORIES[..2] {
        filled(&world, &admin, repository).await;
        for (holder, rights) in [
            ("user:reader", "read"),
            ("user:writer", "write"),
            ("user:keeper", "admin"),
            ("user:signer", "sign"),
            ("user:deleter", "delete"),
            ("user:gone", "admin"),
            ("team:acme/readers", "read"),
        ] {
            world.grant(repository, holder, rights).await;
        }
    }
    world.publish("acme/open").await;
    let robot = world.robot("acme", "shut", Some("acme/shut")).await;
    world.grant("acme/shut", "robot:acme+shut", "write").await;
    prepare(&world).await;
    let mut roles = vec![("nobody", Credentials::none())];
    roles.extend(USERS.map(|name| (name, Credentials::basic(name, PASSWORD))));
    roles.push(("robot", robot));
    let mut signed_in = Vec::new();
    for (name, password) in roles {
        let mut role = Role { name, password, tokens: Vec::new() };
        for repository in REPOSITORIES {
            let mut scope = scopes(repository);
            if let Some(own) = role.own() {
                write!(scope, " repository:{own}:pull,push").unwrap();
            }
            let path = format!("/token?service=hallmark&scope={}", scope.replace(' ', "%20"));
            let token = world.get(&path).by(&role.password).await.expect(200).json();
            role.tokens.push(Credentials::bearer(token["token"].as_str().unwrap()));
        }
        signed_in.push(role);
    }
    world.disable("gone").await;
    (world, signed_in)
}

/// Begins an upload; where it goes on, or where one that somebody else did would when the caller may not.
async fn begun(world: &World, name: &str, by: &Credentials) -> (Answer, String) {
    let answer = world.post(&format!("/v2/{name}/blobs/uploads/")).by(by).await;
    let foreign = || format!("/v2/{name}/blobs/uploads/0123456789abcdef0123456789abcdef");
    let upload = if answer.status == 202 { answer.location() } else { foreign() };
    (answer, upload)
}

/// What each operation is answered, in the order of [`COLUMNS`]; without [`OUT`] where there is no place of one's own.
async fn asked(world: &World, name: &str, by: &Credentials, own: Option<&str>) -> Vec<Option<Answer>> {
    let (manifest, third) = (sha256(image("{}", &["layer"])), sha256(image("{}", &["third"])));
    let of = |rest: &str| format!("/v2/{name}/{rest}");
    let blob = |digest: &Digest| of(&format!("blobs/{digest}"));
    let (based, layer) = (sha256("based"), sha256("layer"));
    let mut answers = Vec::new();
    for path in [of("manifests/1"), blob(&layer), of("tags/list"), of(&format!("referrers/{manifest}"))] {
        answers.push(world.get(&path).by(by).await);
    }
    let (answer, upload) = begun(world, name, by).await;
    answers.push(answer);
    answers.push(world.get(&upload).by(by).await);
    answers.push(world.patch(&upload).by(by).body("{}").await);
    answers.push(world.put(&format!("{upload}?digest={}", sha256("{}"))).by(by).await);
    let (_, upload) = begun(world, name, by).await;
    answers.push(world.delete(&upload).by(by).await);
    let put = world.put(&of("manifests/new")).by(by).header("content-type", OCI_MANIFEST);
    answers.push(put.body(image("{}", &[])).await);
    for path in [of("manifests/gone"), of(&format!("manifests/{third}")), blob(&sha256("spare"))] {
        answers.push(world.delete(&path).by(by).await);
    }
    answers.push(world.post(&of(&format!("blobs/uploads/?mount={based}&from=acme/source"))).by(by).await);
    let mut answers: Vec<_> = answers.into_iter().map(Some).collect();
    answers.push(match own {
        Some(own) => Some(world.post(&format!("/v2/{own}/blobs/uploads/?mount={layer}&from={name}")).by(by).await),
        None => None,
    });
    answers.push(Some(world.get("/v2/_catalog").by(by).await));
    answers
}

/// The statuses of answers, and whether the list of repositories has this one.
fn row(answers: &[Option<Answer>], name: &str) -> Vec<String> {
    let mut shown: Vec<_> = answers
        .iter()
        .map(|answer| answer.as_ref().map_or_else(|| "-".to_owned(), |answer| answer.status.as_u16().to_string()))
        .collect();
    let catalog = answers.last().and_then(Option::as_ref).unwrap();
    if catalog.status == 200 && catalog.text().contains(&format!("\"{name}\"")) {
        *shown.last_mut().unwrap() += "+";
    }
    shown
}

/// What an observer sees of answers, with the name of the repository hidden, and the id of an upload that begins elsewhere.
fn seen(answers: &[Option<Answer>], name: &str) -> Vec<String> {
    let shown = answers.iter().flatten().map(|answer| {
        let (status, headers, body) = answer.visible();
        let text = format!("{status} {headers:?} {}", String::from_utf8_lossy(&body)).replace(name, "{name}");
        match answer.headers.get("docker-upload-uuid") {
            Some(id) => text.replace(id.to_str().unwrap(), "{upload}"),
            None => text,
        }
    });
    shown.collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "the table that is asserted is as long as there are roles")]
async fn every_operation_by_everybody() {
    let (base, roles) = opened(
        async |_: &World| {},
        |repository| format!("registry:catalog:* repository:acme/source:pull repository:{repository}:pull,push,delete"),
    )
    .await;
    let mut table = format!("{:23}", "");
    for column in COLUMNS {
        write!(table, " {column:>5}").unwrap();
    }
    let (mut world, mut told) = (base.copied().await, BTreeMap::new());
    for role in &roles {
        for (index, repository) in REPOSITORIES.into_iter().enumerate() {
            for (way, by) in [("name", &role.password), ("token", &role.tokens[index])] {
                let answers = asked(&world, repository, by, role.own().as_deref()).await;
                let row = row(&answers, repository);
                let (_, short) = repository.split_once('/').unwrap();
                told.insert((role.name, short, way), seen(&answers, repository));
                write!(table, "\n{:9} {short:6} {way:6}", role.name).unwrap();
                for cell in &row {
                    write!(table, " {cell:>5}").unwrap();
                }
                // Of who is gone a right password is counted like a wrong one.
                if role.name == "gone" || row[BEGIN..OUT].iter().any(|status| status.starts_with('2')) {
                    world = base.copied().await;
                }
            }
        }
    }
    assert_snapshot!(table, @r"
                              get  blob  tags  refs begin  stat   add   end  quit   put untag   del  drop    in   out  list
    nobody    open   name     200   200   200   200   401   401   401   401   401   401   401   401   401   401     -   401
    nobody    open   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401     -   401
    nobody    shut   name     401   401   401   401   401   401   401   401   401   401   401   401   401   401     -   401
    nobody    shut   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401     -   401
    nobody    none   name     401   401   401   401   401   401   401   401   401   401   401   401   401   401     -   401
    nobody    none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401     -   401
    stranger  open   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403   201  200+
    stranger  open   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401   201  200+
    stranger  shut   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    stranger  shut   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    stranger  none   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    stranger  none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    reader    open   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403   201  200+
    reader    open   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401   201  200+
    reader    shut   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403   201  200+
    reader    shut   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401   201  200+
    reader    none   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    reader    none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    writer    open   name     200   200   200   200   202   204   202   201   204   201   202   403   403   201   201  200+
    writer    open   token    200   200   200   200   202   204   202   201   204   201   202   401   401   201   201  200+
    writer    shut   name     200   200   200   200   202   204   202   201   204   201   202   403   403   201   201  200+
    writer    shut   token    200   200   200   200   202   204   202   201   204   201   202   401   401   201   201  200+
    writer    none   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    writer    none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    keeper    open   name     200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    keeper    open   token    200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    keeper    shut   name     200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    keeper    shut   token    200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    keeper    none   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    keeper    none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    signer    open   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403   201  200+
    signer    open   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401   201  200+
    signer    shut   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    signer    shut   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    signer    none   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    signer    none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    deleter   open   name     200   200   200   200   403   403   403   403   403   403   403   202   202   403   201  200+
    deleter   open   token    200   200   200   200   401   401   401   401   401   401   401   202   202   401   201  200+
    deleter   shut   name     403   403   403   403   403   403   403   403   403   403   403   202   202   403   202   200
    deleter   shut   token    401   401   401   401   401   401   401   401   401   401   401   202   202   401   202   200
    deleter   none   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    deleter   none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    teamed    open   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403   201  200+
    teamed    open   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401   201  200+
    teamed    shut   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403   201  200+
    teamed    shut   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401   201  200+
    teamed    none   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    teamed    none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    prefixed  open   name     200   200   200   200   202   204   202   201   204   201   202   403   403   201   201  200+
    prefixed  open   token    200   200   200   200   202   204   202   201   204   201   202   401   401   201   201  200+
    prefixed  shut   name     200   200   200   200   202   204   202   201   204   201   202   403   403   201   201  200+
    prefixed  shut   token    200   200   200   200   202   204   202   201   204   201   202   401   401   201   201  200+
    prefixed  none   name     404   404   404   200   404   404   404   404   404   404   404   403   403   404   202   200
    prefixed  none   token    404   404   404   200   404   404   404   404   404   404   404   401   401   404   202   200
    mia       open   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403   201  200+
    mia       open   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401   201  200+
    mia       shut   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    mia       shut   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    mia       none   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403   202   200
    mia       none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   202   200
    olga      open   name     200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    olga      open   token    200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    olga      shut   name     200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    olga      shut   token    200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    olga      none   name     404   404   404   200   202   204   202   201   204   201   404   404   404   201   202  200+
    olga      none   token    404   404   404   200   202   204   202   201   204   201   404   404   404   201   202  200+
    aud       open   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403   201  200+
    aud       open   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401   201  200+
    aud       shut   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403   201  200+
    aud       shut   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401   201  200+
    aud       none   name     404   404   404   200   403   403   403   403   403   403   403   403   403   403   202   200
    aud       none   token    404   404   404   200   401   401   401   401   401   401   401   401   401   401   202   200
    admin     open   name     200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    admin     open   token    200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    admin     shut   name     200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    admin     shut   token    200   200   200   200   202   204   202   201   204   201   202   202   202   201   201  200+
    admin     none   name     404   404   404   200   202   204   202   201   204   201   404   404   404   201   202  200+
    admin     none   token    404   404   404   200   202   204   202   201   204   201   404   404   404   201   202  200+
    gone      open   name     401   401   401   401   401   401   401   401   401   429   429   429   429   429   429   429
    gone      open   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   401   401
    gone      shut   name     401   401   401   401   401   401   401   401   401   429   429   429   429   429   429   429
    gone      shut   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   401   401
    gone      none   name     401   401   401   401   401   401   401   401   401   429   429   429   429   429   429   429
    gone      none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401   401   401
    robot     open   name     200   200   200   200   403   403   403   403   403   403   403   403   403   403     -  200+
    robot     open   token    200   200   200   200   401   401   401   401   401   401   401   401   401   401     -  200+
    robot     shut   name     200   200   200   200   202   204   202   201   204   201   202   403   403   201     -  200+
    robot     shut   token    200   200   200   200   202   204   202   201   204   201   202   401   401   201     -  200+
    robot     none   name     403   403   403   403   403   403   403   403   403   403   403   403   403   403     -   200
    robot     none   token    401   401   401   401   401   401   401   401   401   401   401   401   401   401     -   200
    ");
    let world = base.copied().await;
    asked(&world, REPOSITORIES[0], &Credentials::basic("admin", PASSWORD), None).await;
    let metrics = world.metrics().await;
    let met = metrics.operations();
    assert_eq!(IMAGES.iter().find(|name| !met.contains(*name)), None, "{met:?}");
    for (role, way) in
        ["nobody", "stranger", "mia", "gone"].into_iter().flat_map(|role| [(role, "name"), (role, "token")])
    {
        let (shut, none) = (&told[&(role, "shut", way)], &told[&(role, "none", way)]);
        assert_eq!(shut, none, "{role} can tell a private repository from none");
        assert_eq!(shut.len(), COLUMNS.len() - usize::from(role == "nobody"));
    }
}
