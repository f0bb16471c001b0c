//! What is logged and counted: every request with its facts, and no secret, in either format.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use hallmark_conformance::{
    Outcome,
    check::holds,
    failure::While,
    http::{Credentials, Request, Response, encode},
    image::{Content, Image, digest, noise},
    registry::{Registry, path_of},
    scratch::{ACCESS_KEY_ID, BUCKET, Scratch},
    server::{ADMIN, PASSWORD, Plan, Server},
};
use serde_json::{Value, json};

use super::world::{REPOSITORY, login};

/// How long a server may try to reach its database before it gives up.
const END_LIMIT: Duration = Duration::from_secs(60);
const ANN: &str = "canary-password-of-ann";
const NEXT: &str = "canary-next-password-of-ann";
const WRONG: &str = "canary-wrong-password";
const S3_SECRET: &str = "canary-secret-of-the-bucket";

/// The password of the database's user. The database takes any; it is the URL that must not be told.
const DATABASE_PASSWORD: &str = "canary-password-of-the-database";
const MASTER_PASSPHRASE: &str = "canary-passphrase-of-the-master-key";
/// 32 bytes in base64.
const MASTER_KEY: &str = "Y2FuYXJ5LW9mLXRoZS1tYXN0ZXIta2V5LTAxMjM0NTY=";

/// Where a server keeps its facts, and what it seals its keys with: the ways that have secrets of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    SqliteAndKey,
    PostgresAndPassphrase,
}

/// What a server stands on. It goes after the server.
struct Below {
    _bucket: Scratch,
    _database: Option<Scratch>,
}

/// A server whose bytes lie in a bucket, so that there is a secret of the store as well.
fn start(format: &str, level: &str, ways: Ways) -> Outcome<(Server, Below)> {
    let bucket = Scratch::s3(S3_SECRET)?;
    let database = (ways == Ways::PostgresAndPassphrase).then(Scratch::postgres).transpose()?;
    let url = database.as_ref().map(|database| database.url().replacen('@', &format!(":{DATABASE_PASSWORD}@"), 1));
    let set = |plan: Plan, (name, value): (&str, &str)| plan.variable(format!("HALLMARK_{name}"), value);
    let plan = [
        ("STORAGE_URL", format!("s3://{BUCKET}/logs").as_str()),
        ("STORAGE_S3_ENDPOINT", bucket.url()),
        ("STORAGE_S3_REGION", "us-east-1"),
        ("STORAGE_S3_PATH_STYLE", "true"),
        ("STORAGE_S3_ALLOW_HTTP", "true"),
        ("STORAGE_S3_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("STORAGE_S3_SECRET_ACCESS_KEY", S3_SECRET),
        ("LOG_FORMAT", format),
        ("LOG_LEVEL", level),
        match ways {
            Ways::SqliteAndKey => ("MASTER_KEY", MASTER_KEY),
            Ways::PostgresAndPassphrase => ("MASTER_PASSPHRASE", MASTER_PASSPHRASE),
        },
    ]
    .into_iter()
    .chain(url.as_deref().map(|url| ("DATABASE_URL", url)))
    .fold(Plan::default(), set);
    Ok((plan.start()?, Below { _bucket: bucket, _database: database }))
}

/// Everything secret that passed between the test and the server.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn add(&mut self, secret: &str) {
        self.0.push(secret.to_owned());
    }

    /// Adds what a token endpoint gave away.
    fn add_tokens(&mut self, answer: &Response) -> Outcome<Value> {
        let tokens = answer.json()?;
        for name in ["token", "access_token", "refresh_token"] {
            if let Some(token) = tokens[name].as_str() {
                self.add(token);
                // A signature alone is a secret too: it is the last part of the token.
                self.0.extend(token.rsplit('.').next().filter(|part| part.len() >= 22).map(str::to_owned));
            }
        }
        Ok(tokens)
    }

    fn add_basic(&mut self, user: &str, password: &str) {
        self.add(password);
        self.add(&STANDARD.encode(format!("{user}:{password}")));
    }

    fn are_not_in(&self, place: &str, text: &str) -> Outcome<()> {
        for secret in &self.0 {
            let line = text.lines().find(|line| line.contains(secret));
            holds(line.is_none(), || format!("{place} has {secret:?}: {}", line.unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// The image that is pushed, and what is asked of it by hand.
struct Pushed {
    image: Image,
    chunked: Vec<u8>,
    /// What the answer to a HEAD of the image's layer called its request.
    request_id: String,
}

/// Every operation of the protocol once, in the ways that clients do it.
fn operate(registry: &Registry) -> Outcome<Pushed> {
    let image = Image::random(1, &[10_000]);
    registry.push_image(REPOSITORY, "1", &image)?;
    registry.check_image(REPOSITORY, "1")?;
    registry.check_image(REPOSITORY, &image.manifest.digest)?;
    let head = Request::new("HEAD", format!("/v2/{REPOSITORY}/blobs/{}", image.layers[0].digest));
    let request_id = registry.client().send(&head)?.expect(200)?.required("x-request-id")?.to_owned();
    let chunked = noise(2, 200_000);
    let location = registry.begin_upload(REPOSITORY)?;
    let answer = registry.append(&location, 0, &chunked[..100_000])?.expect(202)?;
    let (location, _) = registry.status(answer.required("location")?)?;
    let answer = registry.append(&location, 100_000, &chunked[100_000..])?.expect(202)?;
    registry.finish(answer.required("location")?, &digest(&chunked), b"")?.expect(201)?;
    let cancelled = registry.begin_upload(REPOSITORY)?;
    registry.client().send(&Request::new("DELETE", path_of(&cancelled)))?.expect(204)?;
    registry.mount("admin/other", &digest(&chunked), Some(REPOSITORY))?.expect(201)?;
    registry.tags(REPOSITORY)?;
    registry.catalog()?;
    registry.referrers(REPOSITORY, &image.manifest.digest)?;
    let doomed = Content::document(
        &image.manifest.media_type,
        &json!({
            "schemaVersion": 2, "mediaType": image.manifest.media_type,
            "config": image.config.descriptor(), "layers": [], "annotations": { "n": "1" },
        }),
    );
    registry.put_manifest(REPOSITORY, "doomed", &doomed)?.expect(201)?;
    registry.delete_manifest(REPOSITORY, "doomed")?.expect(202)?;
    registry.delete_manifest(REPOSITORY, &doomed.digest)?.expect(202)?;
    registry.delete_blob("admin/other", &digest(&chunked))?.expect(202)?;
    Ok(Pushed { image, chunked, request_id })
}

/// Tokens in every way that there is, those that are refused included.
fn ask_for_tokens(server: &Server, secrets: &mut Secrets) -> Outcome<()> {
    let post = |form: &str| {
        let request = Request::new("POST", "/token").header("Content-Type", "application/x-www-form-urlencoded");
        server.anonymous().send_plain(&request.bytes(form))
    };
    secrets.add_basic("ann", ANN);
    let basic = Credentials { user: "ann".into(), password: ANN.into() }.basic();
    let offline = "/token?service=hallmark&offline_token=true&scope=repository:ann/app:pull,push";
    let answer = server.anonymous().send_plain(&Request::new("GET", offline).header("Authorization", basic))?;
    secrets.add_tokens(&answer.expect(200)?)?;
    let grant = format!("grant_type=password&service=hallmark&access_type=offline&username=ann&password={ANN}");
    let tokens = secrets.add_tokens(&post(&grant)?.expect(200)?)?;
    let refresh = tokens["refresh_token"].as_str().or_fail("there is no refresh token")?;
    let grant = format!("grant_type=refresh_token&service=hallmark&refresh_token={}", encode(refresh));
    let tokens = secrets.add_tokens(&post(&grant)?.expect(200)?)?;
    let token = tokens["access_token"].as_str().or_fail("there is no token")?;
    let bearer = |token: &str| Request::new("GET", "/v2/").header("Authorization", format!("Bearer {token}"));
    server.anonymous().send_plain(&bearer(token))?.expect(200)?;

    secrets.add_basic("ann", WRONG);
    login(server, "ann", WRONG)?.expect(401)?;
    login(server, "nobody", WRONG)?.expect(401)?;
    post(&format!("grant_type=password&service=hallmark&username=ann&password={WRONG}"))?.expect(401)?;
    let forged = format!("{refresh}x");
    post(&format!("grant_type=refresh_token&service=hallmark&refresh_token={forged}"))?.expect(401)?;
    server.anonymous().send_plain(&bearer(&format!("{token}x")))?.expect(401)?;
    let malformed = Request::new("GET", "/v2/").header("Authorization", format!("Digest {WRONG}"));
    server.anonymous().send_plain(&malformed)?;
    // Whoever puts a password into a query has told it to every proxy; it is not told to the log.
    let query = format!("/token?service=hallmark&account=ann&password={WRONG}");
    server.anonymous().send_plain(&Request::new("GET", query))?;
    Ok(())
}

/// Every verb that a running server is asked by.
fn administer(server: &Server, secrets: &mut Secrets) -> Outcome<()> {
    secrets.add(NEXT);
    let given = |words: &[&str], input: &str| {
        let ran = server.attempt(words, input)?;
        holds(ran.status.success(), || format!("{words:?} failed: {}", ran.complaints))?;
        Ok::<_, hallmark_conformance::Failure>(ran.output)
    };
    given(&["user", "password", "ann", "--password-stdin"], NEXT)?;
    let printed = given(&["user", "add", "bob"], "")?;
    secrets.add(printed.trim().rsplit(' ').next().unwrap_or_default());
    for words in [
        ["user", "list"].as_slice(),
        &["user", "remove", "bob"],
        &["repository", "public", REPOSITORY],
        &["repository", "list"],
        &["repository", "private", REPOSITORY],
        &["repository", "delete", "admin/other"],
        &["readonly", "on"],
        &["readonly", "status"],
        &["readonly", "off"],
        &["token-key", "rotate"],
    ] {
        given(words, "")?;
    }
    Ok(())
}

/// Does everything, and gives the log, what was pushed and what was secret.
fn everything(format: &str, level: &str, ways: Ways) -> Outcome<(String, Pushed, Secrets)> {
    let (mut server, _below) = start(format, level, ways)?;
    let mut secrets = Secrets::default();
    secrets.add_basic(ADMIN, PASSWORD);
    [S3_SECRET, DATABASE_PASSWORD, MASTER_PASSPHRASE, MASTER_KEY].iter().for_each(|secret| secrets.add(secret));
    server.add_user("ann", ANN)?;
    let registry = server.registry();
    let scope = format!("repository:{REPOSITORY}:pull,push,delete");
    let admin = registry.client().authorization(&[&scope])?;
    secrets.add(admin.trim_start_matches("Bearer "));
    let pushed = operate(&registry)?;
    ask_for_tokens(&server, &mut secrets)?;
    administer(&server, &mut secrets)?;
    let metrics = server.anonymous().send_plain(&Request::new("GET", "/metrics"))?.expect(200)?;
    secrets.are_not_in("/metrics", &metrics.text())?;
    for name in ["ann", REPOSITORY] {
        holds(!metrics.text().contains(name), || format!("/metrics has {name}"))?;
    }
    server.stop()?;
    Ok((server.log(), pushed, secrets))
}

#[test]
fn no_secret_is_logged_as_text() -> Outcome<()> {
    for ways in [Ways::SqliteAndKey, Ways::PostgresAndPassphrase] {
        let (log, pushed, secrets) = everything("text", "info", ways)?;
        let told = log.contains(REPOSITORY) && log.contains(&digest(&pushed.chunked));
        holds(told, || format!("nothing was logged: {log}"))?;
        secrets.are_not_in("the log", &log)?;
    }
    Ok(())
}

#[test]
fn no_secret_is_logged_as_text_however_much_is_logged() -> Outcome<()> {
    for ways in [Ways::SqliteAndKey, Ways::PostgresAndPassphrase] {
        let (log, _, secrets) = everything("text", "trace", ways)?;
        holds(log.contains(" TRACE "), || "the libraries below were to be heard as well".into())?;
        secrets.are_not_in("the log", &log)?;
    }
    Ok(())
}

/// Also where the database cannot be reached, which a server says with its address.
#[test]
fn the_password_of_a_database_that_does_not_answer_is_not_told() -> Outcome<()> {
    let url = format!("postgres://hallmark:{DATABASE_PASSWORD}@127.0.0.1:1/hallmark");
    let plan = Plan::default().variable("HALLMARK_DATABASE_URL", &url).variable("HALLMARK_LOG_LEVEL", "trace");
    let mut server = plan.prepare()?;
    let mut secrets = Secrets::default();
    secrets.add(DATABASE_PASSWORD);
    let status = server.spawn()?.wait(END_LIMIT)?;
    holds(!status.success(), || "the server started without its database".into())?;
    let log = server.log();
    holds(log.to_lowercase().contains("refused"), || format!("it is not said what is wrong: {log}"))?;
    secrets.are_not_in("the log", &log)?;
    let doctor = server.attempt(&["doctor"], "")?;
    secrets.are_not_in("what the doctor says", &format!("{}{}", doctor.output, doctor.complaints))
}

#[test]
fn no_secret_is_logged_as_json_and_every_request_has_its_facts() -> Outcome<()> {
    let (log, pushed, secrets) = everything("json", "info", Ways::PostgresAndPassphrase)?;
    secrets.are_not_in("the log", &log)?;
    let lines: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let requests: Vec<&Value> = lines.iter().filter(|line| line.get("operation").is_some()).collect();
    let mut ids = BTreeMap::new();
    for line in &requests {
        let whole =
            ["request.id", "client", "message", "timestamp", "level"].iter().all(|name| line[*name].is_string())
                && line["duration_ms"].is_f64()
                && ["status", "received_bytes", "sent_bytes"].iter().all(|name| line[*name].is_u64());
        holds(whole, || format!("a fact is missing in {line}"))?;
        *ids.entry(line["request.id"].as_str().unwrap_or_default()).or_insert(0) += 1;
    }
    holds(ids.values().all(|times| *times == 1), || format!("a request id was given twice: {ids:?}"))?;
    let layer = &pushed.image.layers[0];
    let found = |operation: &str, facts: &[(&str, Value)]| {
        let is =
            |line: &&&Value| line["operation"] == operation && facts.iter().all(|(name, value)| line[*name] == *value);
        holds(requests.iter().find(is).is_some(), || format!("no {operation} with {facts:?} in:\n{log}"))
    };
    let about = |reference: &str, status: u16, more: (&'static str, usize)| {
        let admin = ("user", json!(ADMIN));
        [
            ("repository", json!(REPOSITORY)),
            ("reference", json!(reference)),
            ("status", json!(status)),
            admin,
            (more.0, json!(more.1)),
        ]
    };
    found("finish_upload", &about(&layer.digest, 201, ("received_bytes", layer.bytes.len())))?;
    found("pull_blob", &about(&layer.digest, 200, ("sent_bytes", layer.bytes.len())))?;
    found("put_manifest", &about("1", 201, ("received_bytes", pushed.image.manifest.bytes.len())))?;
    let manifest = &pushed.image.manifest;
    found("pull_manifest", &about(&manifest.digest, 200, ("sent_bytes", manifest.bytes.len())))?;
    found("pull_blob", &[("request.id", json!(pushed.request_id)), ("reference", json!(layer.digest))])?;
    found("append_upload", &[("repository", json!(REPOSITORY)), ("received_bytes", json!(100_000))])
}
