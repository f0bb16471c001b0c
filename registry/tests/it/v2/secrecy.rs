//! I6 and I13: who may not see a repository cannot tell whether it is there, whatever they ask and however they sign in.

use bytes::Bytes;
use hallmark_oci::Digest;

use crate::harness::{Acme, Answer, Credentials, OCI_MANIFEST, PASSWORD, World, image, sha256};

/// Every operation on a repository, as method and path behind `/v2/`; `R` stands for its name. The manifest, the blob and
/// the upload that are asked for are really there in the hidden repository.
fn operations(manifest: &Digest, upload: &str) -> Vec<(&'static str, String)> {
    let layer = sha256("layer");
    let mut operations = vec![
        ("GET", "R/manifests/1".to_owned()),
        ("HEAD", "R/manifests/1".to_owned()),
        ("GET", format!("R/manifests/{manifest}")),
        ("HEAD", format!("R/manifests/{manifest}")),
        ("PUT", "R/manifests/1".to_owned()),
        ("PUT", format!("R/manifests/{manifest}?tag=2")),
        ("DELETE", "R/manifests/1".to_owned()),
        ("DELETE", format!("R/manifests/{manifest}")),
        ("GET", format!("R/blobs/{layer}")),
        ("HEAD", format!("R/blobs/{layer}")),
        ("DELETE", format!("R/blobs/{layer}")),
        ("POST", "R/blobs/uploads/".to_owned()),
        ("POST", format!("R/blobs/uploads/?digest={layer}")),
        ("POST", format!("R/blobs/uploads/?mount={layer}&from=R")),
        ("POST", format!("R/blobs/uploads/?mount={layer}")),
        ("GET", "R/tags/list".to_owned()),
        ("GET", "R/tags/list?n=1&last=a".to_owned()),
        ("GET", format!("R/referrers/{manifest}")),
    ];
    for method in ["GET", "PATCH", "DELETE"] {
        operations.push((method, format!("R/blobs/uploads/{upload}")));
    }
    operations.push(("PUT", format!("R/blobs/uploads/{upload}?digest={layer}")));
    operations
}

/// A world with `bob/hidden`, and nothing called `bob/absent`, which is as long; the manifest and an upload in it.
async fn hidden() -> (World, Digest, String) {
    let world = World::open().await;
    let bob = world.all_of("bob", "bob/hidden").await;
    let manifest = world.image(&bob, "bob/hidden", "1", "layer").await;
    let upload = world.post("/v2/bob/hidden/blobs/uploads/").by(&bob).await.location();
    let upload = upload.rsplit('/').next().unwrap().to_owned();
    (world, manifest, upload)
}

async fn ask(world: &World, method: &str, path: &str, name: &str, by: &Credentials) -> Answer {
    let body = if method == "PUT" && path.contains("manifests") { image("{}", &["layer"]) } else { "layer".to_owned() };
    let call = world.call(method, &format!("/v2/{}", path.replace('R', name))).by(by);
    // Wrong passwords are counted for each address.
    call.sent_from(address_of(method, path)).header("content-type", OCI_MANIFEST).body(Bytes::from(body)).await
}

/// An address for each operation.
fn address_of(method: &str, path: &str) -> [u8; 4] {
    let sum = sha256(format!("{method} {path}"));
    let byte = |at: usize| u8::from_str_radix(&sum.hex()[at..at + 2], 16).unwrap();
    [198, 18, byte(0), byte(2)]
}

/// The answer with the name taken out; both names have the same length.
fn without_name(answer: &Answer, name: &str) -> String {
    let (status, headers, body) = answer.visible();
    format!("{status} {headers:?} {}", String::from_utf8_lossy(&body)).replace(name, "R")
}

/// An answer, and how often the database was asked for it: a look into memory is faster, and time would tell.
async fn counted(world: &World, asking: impl Future<Output = Answer>) -> (Answer, u64) {
    let before = world.app.metadata.statistics().reads;
    let answer = asking.await;
    (answer, world.app.metadata.statistics().reads - before)
}

async fn cannot_be_told_apart(credentials: impl AsyncFn(&World, &str) -> Credentials) {
    let (world, manifest, upload) = hidden().await;
    let before = world.events().await;
    for (method, path) in operations(&manifest, &upload) {
        let mut seen = Vec::new();
        for name in ["bob/hidden", "bob/absent"] {
            let by = credentials(&world, name).await;
            // Who asks is remembered from here on, or not known at all.
            world.get("/v2/").by(&by).await;
            let (answer, reads) = counted(&world, ask(&world, method, &path, name, &by)).await;
            assert!(matches!(answer.status.as_u16(), 401 | 403), "{method} {path}: {answer}");
            seen.push((without_name(&answer, name), reads));
        }
        assert_eq!(seen[0], seen[1], "{method} {path}");
    }
    assert_eq!(world.events().await, before, "a stranger changed something");
}

#[tokio::test]
async fn hidden_and_absent_are_one_to_nobody_in_particular() {
    cannot_be_told_apart(async |_, _| Credentials::none()).await;
}

#[tokio::test]
async fn hidden_and_absent_are_one_to_an_anonymous_token() {
    cannot_be_told_apart(async |world, name| {
        let token = world.get(&format!("/token?scope=repository:{name}:pull,push,delete")).await.expect(200).json();
        Credentials::bearer(token["token"].as_str().unwrap())
    })
    .await;
}

#[tokio::test]
async fn hidden_and_absent_are_one_to_another_users_token() {
    cannot_be_told_apart(async |world, name| world.all_of("ann", name).await).await;
}

#[tokio::test]
async fn hidden_and_absent_are_one_to_another_users_password() {
    cannot_be_told_apart(async |_, _| Credentials::basic("ann", PASSWORD)).await;
}

#[tokio::test]
async fn hidden_and_absent_are_one_to_a_bad_token_and_to_a_wrong_password() {
    cannot_be_told_apart(async |_, _| Credentials::bearer("bad")).await;
    cannot_be_told_apart(async |_, _| Credentials::basic("ann", "wrong password")).await;
}

/// Where members make repositories by pushing to them, one that is not there is read as one that is empty; so is one that others
/// have made, and a token for either covers the same.
#[tokio::test]
async fn hidden_and_absent_are_one_to_a_member_who_could_make_it() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.create_on_push("acme").await;
    let olga = world.all_of("olga", "acme/web").await;
    let manifest = world.image(&olga, "acme/web", "1", "layer").await;
    let upload = world.post("/v2/acme/web/blobs/uploads/").by(&olga).await.location();
    let upload = upload.rsplit('/').next().unwrap().to_owned();
    let basic = Credentials::basic("mia", PASSWORD);
    world.get("/v2/").by(&basic).await.expect(200);
    let reads = operations(&manifest, &upload).into_iter().filter(|(method, _)| matches!(*method, "GET" | "HEAD"));
    let reads: Vec<_> = reads.filter(|(_, path)| !path.contains("uploads")).collect();
    assert!(reads.len() >= 6, "{reads:?}");
    for with_token in [false, true] {
        for (method, path) in &reads {
            let mut seen = Vec::new();
            for name in ["acme/web", "acme/new"] {
                let by = if with_token { world.all_of("mia", name).await } else { basic.clone() };
                // Who asks is remembered from here on.
                world.get("/v2/").by(&by).await.expect(200);
                let (answer, reads) = counted(world, ask(world, method, path, name, &by)).await;
                // What refers to something is a list, of which nothing is empty.
                let status = if path.contains("referrers") { 200 } else { 404 };
                assert_eq!(answer.status, status, "{method} {path}: {answer}");
                seen.push((without_name(&answer, name), reads));
            }
            assert_eq!(seen[0], seen[1], "{method} {path}");
        }
    }
    let mut scopes = Vec::new();
    for name in ["acme/web", "acme/new"] {
        let path = format!("/token?service=hallmark&scope=repository:{name}:pull,push,delete,*");
        let (answer, reads) = counted(world, world.get(&path).by(&basic).into_future()).await;
        scopes.push((answer.expect(200).json()["scope"].as_str().unwrap().replace(name, "R"), reads));
    }
    assert_eq!(scopes[0], scopes[1]);
    // Whoever reads the audit log is told of it all the same.
    world.write_down().await;
    let told = "SELECT DISTINCT e.subject FROM events e WHERE e.kind = 'access_refused'";
    assert_eq!(world.look(told).await, ["acme/web"]);
    // That the name is taken is told by a push alone, and nothing more.
    world.post("/v2/acme/web/blobs/uploads/").by(&basic).await.expect(403);
    world.post("/v2/acme/new/blobs/uploads/").by(&basic).await.expect(202);
}

/// A system repository (one component) belongs to no user, so nobody but an administrator can tell it from nothing.
#[tokio::test]
async fn a_repository_of_the_system_is_hidden_from_users() {
    let world = World::open().await;
    let admin = Credentials::basic("admin", PASSWORD);
    world.image(&admin, "hidden", "1", "layer").await;
    for name in ["hidden", "absent"] {
        let ann = world.all_of("ann", name).await;
        let answer = world.get(&format!("/v2/{name}/tags/list")).by(&ann).await;
        assert_eq!(answer.gist(), (401, "UNAUTHORIZED".into()));
    }
}

/// The token endpoint drops scopes without a word, whether the repository is there or not.
#[tokio::test]
async fn the_scopes_of_a_token_do_not_tell_hidden_from_absent() {
    let (world, ..) = hidden().await;
    let ann = Credentials::basic("ann", PASSWORD);
    ann_signs_in(&world, &ann).await;
    for name in ["bob/hidden", "bob/absent"] {
        let path = format!("/token?service=hallmark&scope=repository:{name}:pull,push,delete,*");
        let (answer, reads) = counted(&world, world.get(&path).by(&ann).into_future()).await;
        assert_eq!(answer.expect(200).json()["scope"], "", "{name}");
        assert_eq!(reads, 1, "{name}");
    }
}

/// From then on she and her password are remembered.
async fn ann_signs_in(world: &World, ann: &Credentials) {
    world.get("/v2/").by(ann).await.expect(200);
}

#[tokio::test]
async fn a_mount_does_not_tell_a_hidden_source_from_an_absent_one() {
    let (world, ..) = hidden().await;
    let basic = Credentials::basic("ann", PASSWORD);
    ann_signs_in(&world, &basic).await;
    let token = world.all_of("ann", "ann/app").await;
    world.image(&token, "ann/app", "1", "another layer").await;
    for by in [&basic, &token] {
        let mut seen = Vec::new();
        for name in ["bob/hidden", "bob/absent"] {
            let path = format!("/v2/ann/app/blobs/uploads/?mount={}&from={name}", sha256("layer"));
            let (answer, reads) = counted(&world, world.post(&path).by(by).into_future()).await;
            seen.push((answer.expect(202).to_string(), reads));
        }
        assert_eq!(seen[0], seen[1], "{by:?}");
    }
}

/// Threat 15: the same work for names that exist and names that do not.
#[tokio::test]
async fn a_refused_sign_in_does_not_tell_who_is_known() {
    let (world, ..) = hidden().await;
    ann_signs_in(&world, &Credentials::basic("ann", PASSWORD)).await;
    for password in ["wrong password".to_owned(), "x".repeat(1025)] {
        let mut seen = Vec::new();
        for name in ["ann", "eve"] {
            let hashes = world.app.passwords.hashes_computed();
            let by = Credentials::basic(name, &password);
            let (answer, reads) = counted(&world, world.get("/v2/").by(&by).into_future()).await;
            let hashes = world.app.passwords.hashes_computed() - hashes;
            seen.push((without_name(&answer, name), reads, hashes));
        }
        assert_eq!(seen[0], seen[1]);
    }
}

/// A token is for what it names: with the one repository's it opens no other, not even of the same owner.
#[tokio::test]
async fn a_token_for_one_repository_opens_no_other() {
    let (world, manifest, upload) = hidden().await;
    let other = world.all_of("bob", "bob/other").await;
    world.image(&other, "bob/other", "1", "layer").await;
    for (method, path) in operations(&manifest, &upload) {
        let answer = ask(&world, method, &path, "bob/hidden", &other).await.expect(401);
        assert!(answer.header("www-authenticate").ends_with("error=\"insufficient_scope\""), "{method} {path}");
    }
}

/// The same blob in a stranger's repository changes no answer that a user gets.
#[tokio::test]
async fn a_strangers_copy_of_a_blob_changes_no_answer() {
    let mut seen = Vec::new();
    for stranger_has_it in [true, false] {
        let world = World::open().await;
        let bob = world.all_of("bob", "bob/app").await;
        world.blob(&bob, "bob/app", if stranger_has_it { "layer" } else { "other" }).await;
        let ann = world.all_of("ann", "ann/app").await;
        let layer = sha256("layer");
        let mut answers = Vec::new();
        for (method, path) in [
            ("POST", "blobs/uploads/?mount=L&from=bob/app"),
            ("POST", "blobs/uploads/?mount=L"),
            ("GET", "blobs/L"),
            ("HEAD", "blobs/L"),
            ("DELETE", "blobs/L"),
            ("PUT", "manifests/1"),
            ("POST", "blobs/uploads/?digest=L"),
            ("GET", "blobs/L"),
        ] {
            let answer =
                ask(&world, method, &format!("R/{}", path.replace('L', layer.as_str())), "ann/app", &ann).await;
            answers.push(answer.to_string());
        }
        seen.push(answers);
    }
    // Upload ids are masked and both worlds know the layer by its content, so the texts are comparable.
    let mask = |answers: &[String]| answers.join("\n").replace(sha256("layer").as_str(), "{layer}");
    assert_eq!(mask(&seen[0]), mask(&seen[1]));
}

#[tokio::test]
async fn a_public_repository_is_pulled_by_anybody() {
    let (world, manifest, _) = hidden().await;
    world.publish("bob/hidden").await;
    let ann = world.token("ann", "repository:bob/hidden:pull").await;
    let anonymous = world.get("/token?service=hallmark&scope=repository:bob/hidden:pull,push").await.json();
    assert_eq!(anonymous["scope"], "repository:bob/hidden:pull");
    let anonymous = Credentials::bearer(anonymous["token"].as_str().unwrap());
    let layer = sha256("layer");
    for by in [Credentials::none(), anonymous, ann, Credentials::basic("ann", PASSWORD)] {
        for path in
            ["manifests/1".to_owned(), "tags/list".into(), format!("blobs/{layer}"), format!("referrers/{manifest}")]
        {
            world.get(&format!("/v2/bob/hidden/{path}")).by(&by).await.expect(200);
        }
    }
}

#[tokio::test]
async fn a_public_repository_is_changed_by_nobody_but_its_owner() {
    let (world, manifest, upload) = hidden().await;
    world.publish("bob/hidden").await;
    let ann = world.all_of("ann", "bob/hidden").await;
    let writes = operations(&manifest, &upload).into_iter().filter(|(method, _)| !matches!(*method, "GET" | "HEAD"));
    for (method, path) in writes {
        for (by, status) in [(Credentials::none(), 401), (ann.clone(), 401), (Credentials::basic("ann", PASSWORD), 403)]
        {
            ask(&world, method, &path, "bob/hidden", &by).await.expect(status);
        }
    }
}

#[tokio::test]
async fn the_uploads_of_a_public_repository_are_hidden_from_everybody_who_may_not_push() {
    let (world, _, upload) = hidden().await;
    world.publish("bob/hidden").await;
    let ann = world.token("ann", "repository:bob/hidden:pull").await;
    let path = format!("/v2/bob/hidden/blobs/uploads/{upload}");
    let other = path.replace(&upload, "0123456789abcdef0123456789abcdef");
    for by in [Credentials::none(), ann] {
        assert_eq!(world.get(&path).by(&by).await.gist(), (401, "UNAUTHORIZED".into()));
        assert_eq!(world.get(&path).by(&by).await.visible(), world.get(&other).by(&by).await.visible());
    }
}

#[tokio::test]
async fn a_repository_that_is_private_again_is_hidden_from_the_next_request_on() {
    let (world, ..) = hidden().await;
    world.publish("bob/hidden").await;
    let ann = world.token("ann", "repository:bob/hidden:pull").await;
    world.get("/v2/bob/hidden/tags/list").by(&ann).await.expect(200);
    world.hide("bob/hidden").await;
    world.get("/v2/bob/hidden/tags/list").by(&ann).await.expect(401);
    world.get("/v2/bob/hidden/tags/list").await.expect(401);
}
