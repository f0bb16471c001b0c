//! Every role × every request of content trust (Notary v1) and of TUF 1.0 × a public, a private and an absent repository, with a
//! name and password and with a token that asked for all of it (threats 3, 22, 23).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hallmark::trust::tuf;
use hallmark_signer::notary::KeyDocument;
use insta::assert_snapshot;
use serde_json::json;

use super::TRUST;
use super::matrix::{REPOSITORIES, opened};
use crate::harness::{Answer, Credentials, PASSWORD, World, encoded, sha256};
use crate::signing::notary::{Client, tuf as files};

/// What is asked for, in this order. `v1` is the file of a version, `sum` the one of a checksum, `part` a delegation, which none
/// has; `meta`, `t-root`, `t-tags` and `pull` are of TUF 1.0, `own` is the registry's own file, which anybody reads.
const COLUMNS: [&str; 16] = [
    "root", "stamp", "v1", "sum", "part", "feed", "feeds", "meta", "t-root", "t-tags", "pull", "own", "key", "put",
    "spin", "drop",
];
/// From here on the collection is changed.
const KEY: usize = 12;

fn gun(repository: &str) -> String {
    format!("registry.test/{repository}")
}

/// The collections, and what of their files is asked for by name.
struct Collections {
    clients: BTreeMap<&'static str, Client>,
    keys: Vec<(&'static str, KeyDocument)>,
    /// The checksum of a snapshot of each repository; the absent one's is another's.
    sums: BTreeMap<&'static str, String>,
    /// The version of the tags of TUF 1.0.
    version: i64,
    manifest: String,
}

impl Collections {
    /// Publishes a collection and signs a tag in both repositories.
    async fn open(world: &World) -> Self {
        let admin = Credentials::basic("admin", PASSWORD);
        let clients: BTreeMap<_, _> = REPOSITORIES.into_iter().map(|name| (name, Client::of(&gun(name)))).collect();
        let (mut keys, mut sums) = (Vec::new(), BTreeMap::new());
        let manifest = world.get("/v2/acme/shut/manifests/1").by(&admin).await.expect(200);
        let manifest = manifest.header("docker-content-digest").to_owned();
        for repository in &REPOSITORIES[..2] {
            keys = server_keys(world, &gun(repository), &admin).await.unwrap();
            clients[repository].publish_by(world, &admin, &keys, 1).await.expect(200);
            let path = format!("{}snapshot.json", files(&gun(repository)));
            let snapshot = world.get(&path).by(&admin).await.expect(200);
            sums.insert(*repository, sha256(&snapshot.body).hex().to_owned());
            let path = format!("/repositories/{}/signatures", encoded(repository));
            let signature = json!({"tag": "1", "digest": manifest});
            world.sends("POST", &path, &admin, &signature).await.expect(201);
        }
        let file = json!({"content": "a key"});
        world.sends("PUT", "/trust/files/key.pem", &admin, &file).await.expect(200);
        while tuf::follow(&world.app).await.unwrap() | tuf::renew_due(&world.app).await.unwrap() {}
        sums.insert(REPOSITORIES[2], sums[REPOSITORIES[1]].clone());
        let manifest = manifest.split_once(':').unwrap().1.to_owned();
        Self { clients, keys, sums, version: world.now() / 1000, manifest }
    }

    /// What is only looked at.
    fn reads(&self, repository: &str) -> Vec<String> {
        let trust = |file: &str| format!("{}{file}", files(&gun(repository)));
        let tuf = |file: &str| format!("/tuf/{repository}/{file}");
        vec![
            trust("root.json"),
            trust("timestamp.json"),
            trust("1.root.json"),
            trust(&format!("snapshot.{}.json", self.sums[repository])),
            trust("targets/releases.json"),
            format!("/v2/{}/_trust/changefeed?change_id=0&records=5", gun(repository)),
            "/v2/_trust/changefeed?change_id=0&records=5".to_owned(),
            tuf("timestamp.json"),
            tuf("1.root.json"),
            tuf(&format!("{}.tags.json", self.version)),
            tuf(&format!("targets/{repository}/{}.1", self.manifest)),
            "/tuf/timestamp.json".to_owned(),
        ]
    }

    /// Asks for everything, in the order of [`COLUMNS`].
    async fn asked(&self, world: &World, repository: &str, by: &Credentials) -> Vec<Answer> {
        let mut answers = Vec::new();
        for path in self.reads(repository) {
            answers.push(world.get(&path).by(by).await);
        }
        let (gun, tuf) = (gun(repository), files(&gun(repository)));
        answers.push(world.get(&format!("{tuf}timestamp.key")).by(by).await);
        let own = server_keys(world, &gun, by).await.unwrap_or_else(|| self.keys.clone());
        let version = if repository == REPOSITORIES[2] { 1 } else { 2 };
        answers.push(self.clients[repository].publish_by(world, by, &own, version).await);
        answers.push(world.post(&format!("{tuf}timestamp.key")).by(by).await);
        answers.push(world.delete(&tuf).by(by).await);
        answers
    }
}

/// The server's keys of a collection, as far as the caller may ask for them.
async fn server_keys(world: &World, gun: &str, by: &Credentials) -> Option<Vec<(&'static str, KeyDocument)>> {
    let mut keys = Vec::new();
    for role in ["snapshot", "timestamp"] {
        let answer = world.get(&format!("{}{role}.key", files(gun))).by(by).await;
        if answer.status != 200 {
            return None;
        }
        keys.push((role, serde_json::from_slice(&answer.body).unwrap()));
    }
    Some(keys)
}

/// What an observer sees of answers, with the name of the repository hidden.
fn seen(answers: &[Answer], repository: &str) -> Vec<String> {
    let shown = answers.iter().map(|answer| {
        let (status, headers, body) = answer.visible();
        format!("{status} {headers:?} {}", String::from_utf8_lossy(&body)).replace(repository, "{name}")
    });
    shown.collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "the table that is asserted is as long as there are roles")]
async fn every_request_of_trust_by_everybody() {
    let mut collections = None;
    let (base, roles) = opened(
        async |world: &World| collections = Some(Collections::open(world).await),
        |repository| {
            format!(
                "registry:catalog:* repository:{repository}:pull,push,delete,* repository:{}:pull,push,*",
                gun(repository)
            )
        },
    )
    .await;
    let collections = collections.unwrap();
    let mut table = format!("{:23}", "");
    for column in COLUMNS {
        write!(table, " {column:>6}").unwrap();
    }
    let mut world = base.copied().await;
    for role in &roles {
        let mut told = BTreeMap::new();
        for (index, repository) in REPOSITORIES.into_iter().enumerate() {
            for (way, by) in [("name", &role.password), ("token", &role.tokens[index])] {
                let answers = collections.asked(&world, repository, by).await;
                let (_, short) = repository.split_once('/').unwrap();
                write!(table, "\n{:9} {short:6} {way:6}", role.name).unwrap();
                for answer in &answers {
                    write!(table, " {:>6}", answer.status.as_u16()).unwrap();
                }
                let changed = answers[KEY..].iter().any(|answer| answer.status == 200);
                // Of who is gone a right password is counted like a wrong one.
                if changed || role.name == "gone" {
                    world = base.copied().await;
                }
                told.insert((short, way), seen(&answers, repository));
            }
        }
        if ["nobody", "stranger", "mia", "gone"].contains(&role.name) {
            for way in ["name", "token"] {
                let (shut, none) = (&told[&("shut", way)], &told[&("none", way)]);
                assert_eq!(shut, none, "{} can tell a private repository from none", role.name);
            }
        }
    }
    assert_snapshot!(table, @r"
                              root  stamp     v1    sum   part   feed  feeds   meta t-root t-tags   pull    own    key    put   spin   drop
    nobody    open   name      200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    nobody    open   token     200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    nobody    shut   name      401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    nobody    shut   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    nobody    none   name      401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    nobody    none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    stranger  open   name      200    200    200    200    404    200    403    200    200    200    200    200    403    403    403    403
    stranger  open   token     200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    stranger  shut   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    stranger  shut   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    stranger  none   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    stranger  none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    reader    open   name      200    200    200    200    404    200    403    200    200    200    200    200    403    403    403    403
    reader    open   token     200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    reader    shut   name      200    200    200    200    404    200    403    200    200    200    200    200    403    403    403    403
    reader    shut   token     200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    reader    none   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    reader    none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    writer    open   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    403    403
    writer    open   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    401    401
    writer    shut   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    403    403
    writer    shut   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    401    401
    writer    none   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    writer    none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    keeper    open   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    200    200
    keeper    open   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    200    200
    keeper    shut   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    200    200
    keeper    shut   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    200    200
    keeper    none   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    keeper    none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    signer    open   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    403    403
    signer    open   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    401    401
    signer    shut   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    signer    shut   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    signer    none   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    signer    none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    deleter   open   name      200    200    200    200    404    200    403    200    200    200    200    200    403    403    403    403
    deleter   open   token     200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    deleter   shut   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    deleter   shut   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    deleter   none   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    deleter   none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    teamed    open   name      200    200    200    200    404    200    403    200    200    200    200    200    403    403    403    403
    teamed    open   token     200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    teamed    shut   name      200    200    200    200    404    200    403    200    200    200    200    200    403    403    403    403
    teamed    shut   token     200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    teamed    none   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    teamed    none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    prefixed  open   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    403    403
    prefixed  open   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    401    401
    prefixed  shut   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    403    403
    prefixed  shut   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    401    401
    prefixed  none   name      404    404    404    404    404    200    403    404    404    404    404    200    403    400    403    403
    prefixed  none   token     404    404    404    404    404    200    401    404    404    404    404    200    403    400    401    401
    mia       open   name      200    200    200    200    404    200    403    200    200    200    200    200    403    403    403    403
    mia       open   token     200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    mia       shut   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    mia       shut   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    mia       none   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    mia       none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    olga      open   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    200    200
    olga      open   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    200    200
    olga      shut   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    200    200
    olga      shut   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    200    200
    olga      none   name      404    404    404    404    404    200    403    404    404    404    404    200    200    200    200    200
    olga      none   token     404    404    404    404    404    200    401    404    404    404    404    200    200    200    200    200
    aud       open   name      200    200    200    200    404    200    200    200    200    200    200    200    403    403    403    403
    aud       open   token     200    200    200    200    404    200    200    200    200    200    200    200    401    401    401    401
    aud       shut   name      200    200    200    200    404    200    200    200    200    200    200    200    403    403    403    403
    aud       shut   token     200    200    200    200    404    200    200    200    200    200    200    200    401    401    401    401
    aud       none   name      404    404    404    404    404    200    200    404    404    404    404    200    403    403    403    403
    aud       none   token     404    404    404    404    404    200    200    404    404    404    404    200    401    401    401    401
    admin     open   name      200    200    200    200    404    200    200    200    200    200    200    200    200    200    200    200
    admin     open   token     200    200    200    200    404    200    200    200    200    200    200    200    200    200    200    200
    admin     shut   name      200    200    200    200    404    200    200    200    200    200    200    200    200    200    200    200
    admin     shut   token     200    200    200    200    404    200    200    200    200    200    200    200    200    200    200    200
    admin     none   name      404    404    404    404    404    200    200    404    404    404    404    200    200    200    200    200
    admin     none   token     404    404    404    404    404    200    200    404    404    404    404    200    200    200    200    200
    gone      open   name      401    401    401    401    401    401    401    401    401    401    429    200    429    429    429    429
    gone      open   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    gone      shut   name      401    401    401    401    401    401    401    401    401    401    429    200    429    429    429    429
    gone      shut   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    gone      none   name      401    401    401    401    401    401    401    401    401    401    429    200    429    429    429    429
    gone      none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    robot     open   name      200    200    200    200    404    200    403    200    200    200    200    200    403    403    403    403
    robot     open   token     200    200    200    200    404    200    401    200    200    200    200    200    401    401    401    401
    robot     shut   name      200    200    200    200    404    200    403    200    200    200    200    200    200    200    403    403
    robot     shut   token     200    200    200    200    404    200    401    200    200    200    200    200    200    200    401    401
    robot     none   name      403    403    403    403    403    403    403    403    403    403    403    200    403    403    403    403
    robot     none   token     401    401    401    401    401    401    401    401    401    401    401    200    401    401    401    401
    ");
    let world = base.copied().await;
    collections.asked(&world, REPOSITORIES[0], &Credentials::basic("admin", PASSWORD)).await;
    let metrics = world.metrics().await;
    let met = metrics.operations();
    assert_eq!(TRUST.iter().find(|name| !met.contains(*name)), None, "{met:?}");
}
