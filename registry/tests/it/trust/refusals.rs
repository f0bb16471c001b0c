//! What a publish of Notary's is refused with: status, code, and the name in `detail` that clients read. Where a form has two
//! damages, the one is told that is met first.

use hallmark_signer::notary::KeyDocument;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::harness::{Answer, Credentials, PASSWORD, World};
use crate::signing::notary::{Client, GUN, form, server_keys, tuf};

/// A row: what is wrong, the body, and status, code and name.
type Row = (&'static str, String, (u16, &'static str, &'static str));

const KIND: &str = "multipart/form-data; boundary=edge";

async fn post(world: &World, kind: &str, body: String) -> Answer {
    let ann = Credentials::basic("ann", PASSWORD);
    world.post(&tuf(GUN)).by(&ann).header("content-type", kind).body(body).await
}

/// Status, code, and the name of what is wrong.
fn told(answer: &Answer) -> (u16, String, String) {
    let errors = answer.json()["errors"].clone();
    assert_eq!(errors.as_array().map(Vec::len), Some(1), "clients read exactly one: {answer}");
    let name = errors[0]["detail"]["Name"].as_str().unwrap_or_default();
    (answer.status.as_u16(), errors[0]["code"].as_str().unwrap_or_default().to_owned(), name.to_owned())
}

/// That every row is refused as it says, and nothing is written by any.
async fn refuses(world: &World, rows: Vec<Row>) {
    let before = world.rows().await;
    let mut wrong = Vec::new();
    for (name, body, (status, code, inside)) in rows {
        let answer = post(world, KIND, body).await;
        let told = told(&answer);
        if told != (status, code.to_owned(), inside.to_owned()) {
            wrong.push(format!("{name}: {told:?} where {:?} is expected: {answer}", (status, code, inside)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let after = world.rows().await;
    for table in ["trust_metadata", "signer_log", "events"] {
        assert_eq!(after[table], before[table], "{table}");
    }
}

#[tokio::test]
async fn a_form_is_refused_before_what_is_in_it() {
    let world = World::open().await;
    let one = |name: &'static str, body: &str| form(&[(name, body.to_owned())]);
    let two = |first: &'static str, second: &'static str| form(&[(first, "{}".to_owned()), (second, "{}".to_owned())]);
    let whole = one("root", "{}");
    let upload = (400, "MALFORMED_UPLOAD", "");
    refuses(
        &world,
        vec![
            ("nothing", String::new(), upload),
            ("cut off", whole[..whole.len() / 2].to_owned(), upload),
            ("a role twice", two("root", "root"), upload),
            ("too many files", form(&many()), upload),
            ("no name", one("", "{}"), (400, "NO_FILENAME", "")),
            ("no role", one("releases", "{}"), (400, "INVALID_ROLE", "")),
            ("a role that leads up", one("targets/../root", "{}"), (400, "INVALID_ROLE", "")),
            ("no name before no role", two("", "releases"), (400, "NO_FILENAME", "")),
            ("no role before no name", two("releases", ""), (400, "INVALID_ROLE", "")),
            (
                "no JSON before no role",
                form(&[("root", "{".to_owned()), ("x", String::new())]),
                (400, "INVALID_ROLE", ""),
            ),
            ("more than is read", one("root", &" ".repeat(16 << 20)), (413, "MALFORMED_UPLOAD", "")),
            ("no JSON", one("root", "{"), (400, "MALFORMED_JSON", "")),
        ],
    )
    .await;
    for kind in ["application/json", "multipart/form-data"] {
        assert_eq!(told(&post(&world, kind, whole.clone()).await), (400, "MALFORMED_UPLOAD".into(), String::new()));
    }
}

/// One file more than a form may have.
fn many() -> Vec<(&'static str, String)> {
    (0..=256).map(|number| (&*format!("targets/r{number}").leak(), "{}".to_owned())).collect()
}

/// What a file says, changed.
fn changed(file: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut signed = serde_json::from_str::<Value>(file).unwrap()["signed"].clone();
    change(&mut signed);
    signed
}

#[tokio::test]
async fn what_does_not_follow_is_refused_by_the_name_of_what_is_met_first() {
    let world = World::open().await;
    let (client, thief) = (Client::new(), Client::new());
    let keys = server_keys(&world).await;
    let early: Vec<Row> = vec![
        ("no root at all", form(&client.files(&keys, 1)[1..]), (400, "INVALID_UPDATE", "ErrValidation")),
        ("a root that is not the first", form(&client.files(&keys, 2)), (400, "INVALID_UPDATE", "ErrBadRoot")),
        ("a root without targets", form(&client.files(&keys, 1)[..1]), (400, "INVALID_UPDATE", "ErrBadHierarchy")),
    ];
    refuses(&world, early).await;
    client.publish(&world, &keys, 1).await.expect(200);
    refuses(&world, late((&client, &thief), &keys)).await;
    client.publish(&world, &keys, 2).await.expect(200);
}

/// The rows of a collection that is published in version 1.
fn late((client, thief): (&Client, &Client), keys: &[(&'static str, KeyDocument)]) -> Vec<Row> {
    let refused = |name: &'static str| (400, "INVALID_UPDATE", name);
    let good = |version| client.files(keys, version);
    let (root, targets) = (good(2)[0].1.clone(), good(2)[1].1.clone());
    let of = |files: &[(&'static str, &String)]| {
        form(&files.iter().map(|(role, body)| (*role, (*body).clone())).collect::<Vec<_>>())
    };
    let no_json = "{".to_owned();
    let far = good(4)[0].1.clone();
    let foreign = thief.seals("targets", &changed(&targets, |_| ()));
    let below = client.seals("targets", &changed(&targets, |_| ()));
    let snapshot = client
        .seals("snapshot", &json!({"_type": "Snapshot", "expires": "2030-01-01T00:00:00Z", "version": 9, "meta": {}}));
    let own = serde_json::from_str::<Value>(&root).unwrap()["signed"]["roles"]["targets"].clone();
    let names_own = |role: &str| client.seals("root", &changed(&root, |root| root["roles"][role] = own.clone()));
    let (own_snapshot, own_timestamp) = (names_own("snapshot"), names_own("timestamp"));
    let stolen = thief.files(keys, 2)[0].1.clone();
    vec![
        ("a root that leaps", of(&[("root", &far), ("targets", &targets)]), refused("ErrBadRoot")),
        ("a root by others", of(&[("root", &stolen), ("targets", &targets)]), refused("ErrBadRoot")),
        ("targets by others", of(&[("root", &root), ("targets", &foreign)]), refused("ErrBadTargets")),
        ("a role that nobody names", of(&[("targets", &targets), ("targets/x", &below)]), refused("ErrBadTargets")),
        ("a snapshot by others", of(&[("targets", &targets), ("snapshot", &snapshot)]), refused("ErrBadSnapshot")),
        (
            "a snapshot that is missing",
            of(&[("root", &own_snapshot), ("targets", &targets)]),
            refused("ErrBadHierarchy"),
        ),
        ("a timestamp of theirs", of(&[("root", &own_timestamp), ("targets", &targets)]), refused("ErrBadRoot")),
        ("the version that there is", form(&good(1)), (400, "VERSION", "")),
        ("targets that are no JSON", of(&[("root", &root), ("targets", &no_json)]), (400, "MALFORMED_JSON", "")),
        // Two damages each.
        ("root before targets", of(&[("root", &stolen), ("targets", &foreign)]), refused("ErrBadRoot")),
        ("root before no JSON below it", of(&[("root", &far), ("targets", &no_json)]), refused("ErrBadRoot")),
        (
            "targets before the snapshot",
            of(&[("targets", &foreign), ("snapshot", &snapshot)]),
            refused("ErrBadTargets"),
        ),
        ("parents before children", of(&[("targets/x", &no_json), ("targets", &foreign)]), refused("ErrBadTargets")),
        (
            "targets before a missing snapshot",
            of(&[("root", &own_snapshot), ("targets", &foreign)]),
            refused("ErrBadTargets"),
        ),
        (
            "targets before an old version",
            of(&[("root", &good(1)[0].1), ("targets", &foreign)]),
            refused("ErrBadTargets"),
        ),
        (
            "an old version before the snapshot",
            of(&[("targets", &good(1)[1].1), ("snapshot", &snapshot)]),
            (400, "VERSION", ""),
        ),
    ]
}

#[tokio::test]
async fn what_is_missing_from_the_hierarchy_is_named() {
    let world = World::open().await;
    let (client, keys) = (Client::new(), server_keys(&world).await);
    let answer = post(&world, KIND, form(&client.files(&keys, 1)[..1])).await;
    assert_eq!(answer.json()["errors"][0]["detail"]["Error"]["Missing"], json!("targets"), "{answer}");
}

#[tokio::test]
async fn parameters_of_the_changefeed_are_numbers_and_its_answer_is_in_its_own_words() {
    let world = World::open().await;
    let (client, keys) = (Client::new(), server_keys(&world).await);
    let ann = Credentials::basic("ann", PASSWORD);
    let feed = async |query: &str| world.get(&format!("/v2/{GUN}/_trust/changefeed?{query}")).by(&ann).await;
    assert_eq!(feed("change_id=0&records=5").await.json(), json!({"count": 0, "records": null}));
    let mut told = Vec::new();
    for query in ["records=x", "records=1.5", "change_id=x&records=1"] {
        let answer = feed(query).await;
        assert_eq!(answer.gist(), (400, "INVALID_PARAMETERS".to_owned()), "{query}");
        told.push(answer.to_string());
    }
    told.push(world.get(&format!("/v2/{GUN}/_trust/nothing")).by(&ann).await.to_string());
    told.push(world.post("/v2/ann/web/_trust/tuf/").by(&ann).await.to_string());
    told.dedup();
    assert_snapshot!(told.join("\n---\n"), @r#"
    400 Bad Request
    content-length: 131
    content-type: application/json

    {"errors":[{"code":"INVALID_PARAMETERS","detail":null,"message":"records is a whole number, and change_id too where it is given"}]}

    ---
    404 Not Found
    content-length: 95
    content-type: application/json

    {"errors":[{"code":"METADATA_NOT_FOUND","detail":null,"message":"no trust data is called so"}]}

    ---
    400 Bad Request
    content-length: 140
    content-type: application/json

    {"errors":[{"code":"INVALID_GUN","detail":null,"message":"a trust collection is named by the registry's host, a slash and the repository"}]}
    "#);
    for version in 1..=3 {
        client.publish(&world, &keys, version).await.expect(200);
    }
    let all = feed("change_id=0&records=0").await.expect(200).json();
    let records = all["records"].as_array().unwrap();
    assert_eq!((all["count"].as_u64(), records.len()), (Some(3), 3));
    let timestamp = Client::file(&world, "timestamp").await.expect(200);
    let sum = crate::harness::sha256(&timestamp.body);
    let newest = &records[2];
    assert_eq!(newest["SHA256"], json!(sum.hex()));
    assert_eq!(newest["Version"], timestamp.json()["signed"]["version"]);
    assert_eq!((&newest["GUN"], &newest["Category"]), (&json!(GUN), &json!("update")));
    assert!(newest["CreatedAt"].as_str().unwrap().ends_with('Z'), "{newest}");
    let ids = |feed: &Value| -> Vec<String> {
        feed["records"].as_array().unwrap().iter().map(|record| record["ID"].as_str().unwrap().to_owned()).collect()
    };
    let every = ids(&all);
    assert_eq!(ids(&feed("change_id=-1&records=2").await.json()), every[1..], "the newest, the oldest of them first");
    assert_eq!(ids(&feed(&format!("change_id={}&records=-1", every[2])).await.json()), every[1..2], "before it");
    assert_eq!(ids(&feed(&format!("change_id={}&records=9", every[0])).await.json()), every[1..], "after it");
    world.delete(&tuf(GUN)).by(&ann).await.expect(200);
    let last = feed("change_id=-1&records=1").await.json();
    assert_eq!(last["records"][0]["Category"], json!("deletion"));
}

/// Whatever their turns: one is stored, and the other is told that its version is there.
#[tokio::test]
async fn of_two_who_publish_one_version_at_once_one_is_told_version() {
    let world = World::open().await;
    let (client, keys) = (Client::new(), server_keys(&world).await);
    for version in 1..=6 {
        let both = tokio::join!(client.publish(&world, &keys, version), client.publish(&world, &keys, version));
        let mut gists = [both.0.gist(), both.1.gist()];
        gists.sort();
        assert_eq!(gists, [(200, String::new()), (400, "VERSION".to_owned())], "version {version}");
        let targets = Client::file(&world, "targets").await.expect(200).json();
        assert_eq!(targets["signed"]["version"], json!(version));
    }
}

#[tokio::test]
async fn whether_a_server_of_notary_is_well_is_told_without_a_login() {
    let world = World::open().await;
    world.get("/_notary_server/health").await.expect(200);
}
