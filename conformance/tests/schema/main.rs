//! Schemathesis against the document of the management API as a running server shows it: no 5xx, no status that is not written
//! there, nothing taken that must be refused. Never knows a path itself but to make what the questions are about.
//! Start at the tests; `schemathesis.toml` beside it says what is asked.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::{Request, Response},
    image::Image,
    management::Management,
    process::{Ran, attempt},
    server::{Plan, Server},
    tools,
};
use serde_json::{Value, json};

/// Where the document stands.
const DOCUMENT: &str = "/api/v1/openapi.json";
/// The password of everybody whom the test makes.
const SECRET: &str = "a password of theirs";
/// An administrator who asks, and one whose tokens are there to be revoked.
const ASKING: &str = "keeper";
const OTHER: &str = "other";
/// Every request comes from an address of its own, and jobs of one issuer are trusted.
const SETTINGS: &str = "trusted_proxies = [\"127.0.0.1\"]\n\
                        [issuer.ci]\nissuer = \"https://ci.example.com\"\naudiences = [\"registry\"]\n";

/// Operations that are never answered 2xx, each with why that cannot be.
const NEVER_ANSWERED: &[(&str, &str)] = &[
    ("POST /api/v1/trust/root", SIGNED_BY_PEOPLE),
    ("POST /api/v1/organizations/{organization}/trust/root", SIGNED_BY_PEOPLE),
];
const SIGNED_BY_PEOPLE: &str =
    "a root is signed by keys that people hold, over a draft of the moment: the step content-trust does";
/// The file of the questions that are asked beside those that the tool makes up.
const SEEDS: &str = "seeds.json";

/// Makes what the dictionaries of `schemathesis.toml` name.
fn populate(server: &Server) -> Outcome<()> {
    let admin = Management::new(server.admin());
    for (user, role) in [(ASKING, "administrator"), (OTHER, "administrator"), ("ann", "user"), ("bob", "user")] {
        admin.ask("POST", "/users", &json!({ "name": user, "password": SECRET, "role": role }))?;
    }
    admin.ask("POST", "/organizations", &json!({ "name": "acme", "owner": "ann" }))?;
    admin.ask("POST", "/organizations/acme/teams", &json!({ "name": "dev" }))?;
    admin.ask("POST", "/accounts/acme/robots", &json!({ "name": "ci" }))?;
    admin.ask("POST", "/repositories", &json!({ "name": "acme/app" }))?;
    Ok(())
}

/// Makes, under names that the dictionaries do not have, what a question must name that is to be answered 2xx; the questions, each
/// under its operation.
fn seeds(server: &Server) -> Outcome<Value> {
    let (admin, registry) = (Management::new(server.admin()), server.registry());
    let id = |made: &Response| -> Outcome<Value> { Ok(made.json()?["id"].clone()) };
    for user in ["leaver", "forgetful"] {
        admin.ask("POST", "/users", &json!({ "name": user, "password": SECRET }))?;
    }
    for organization in ["seeds", "empty"] {
        admin.ask("POST", "/organizations", &json!({ "name": organization }))?;
    }
    admin.ask("POST", "/organizations/seeds/teams", &json!({ "name": "dev" }))?;
    admin.ask("PUT", "/organizations/seeds/members/ann", &json!({ "role": "member" }))?;
    admin.ask("PUT", "/organizations/seeds/teams/dev/members/ann", &Value::Null)?;
    admin.ask("POST", "/accounts/seeds/robots", &json!({ "name": "ci" }))?;
    admin.rotate("seeds", "ci")?;
    let secrets = admin.ask("GET", "/accounts/seeds/robots/ci/secrets", &Value::Null)?.json()?;
    let workload = json!({ "issuer": "https://ci.example.com", "audience": "registry", "claims": { "sub": "seeds" } });
    let workload_rule = id(&admin.ask("POST", "/accounts/seeds/robots/ci/rules", &workload)?)?;
    let certificate = |pattern: &str| json!({ "holder": "user:ann", "kind": "dns", "pattern": pattern });
    let certificate_rule = id(&admin.ask("POST", "/certificates", &certificate("one.example.com"))?)?;
    let token = Management::new(server.client(OTHER, SECRET)).make_token("read")?.id;

    let images = [1, 2, 3].map(|number| Image::random(number, &[1_000]));
    for (image, tag) in images.iter().zip(["1", "2", "3"]) {
        registry.push_image("seeds/app", tag, image)?;
    }
    registry.push_image("seeds/gone", "1", &images[0])?;
    registry.push_image("seeds/moves", "1", &images[0])?;
    admin.ask("DELETE", "/repositories/seeds%2Fgone", &Value::Null)?;
    let [one, two, deleted] = images.each_ref().map(|image| image.manifest.digest.as_str());
    registry.delete_manifest("seeds/app", deleted)?.expect(202)?;
    admin.grant("read", "seeds/app", "user:bob")?;
    let of_app = |path: &str| format!("/repositories/seeds%2Fapp/{path}");
    let hold = |digest: &str| json!({ "digest": digest, "kind": "pin", "reason": "it runs" });
    admin.ask("POST", &of_app("holds"), &hold(two))?;
    admin.ask("POST", &of_app("signatures"), &json!({ "tag": "2", "digest": two }))?;
    let reports = json!({ "holder": format!("user:{ASKING}"), "check": "tests" });
    admin.ask("POST", &of_app("sign-rules"), &reports)?;
    let sign_rule = id(&admin.ask("POST", &of_app("sign-rules"), &json!({ "holder": "user:ann" }))?)?;

    let (app, ci) = (json!({ "repository": "seeds/app" }), json!({ "account": "seeds", "robot": "ci" }));
    let among = |place: &Value, name: &str, value: Value| {
        let mut path = place.clone();
        path[name] = value;
        json!({ "path": path })
    };
    let held = json!({ "repository": "seeds/app", "digest": two, "kind": "pin" });
    let member = json!({ "organization": "seeds", "team": "dev", "user": "ann" });
    let granted = |holder: &str| json!({ "on": "seeds/app", "holder": holder });
    let undelete = json!({ "path": { "account": "seeds" }, "body": { "repository": "seeds/gone" } });
    let moves = json!({ "path": { "repository": "seeds/moves" }, "body": { "to": format!("{ASKING}/moved") } });
    let (path, body) = (json!({ "user": "forgetful" }), json!({ "password": "another password of theirs" }));
    let password = json!({ "path": path, "body": body, "login": ["forgetful", SECRET] });
    Ok(json!({
        "DELETE /api/v1/accounts/{account}/robots/{robot}/rules/{id}": among(&ci, "id", workload_rule),
        "DELETE /api/v1/accounts/{account}/robots/{robot}/secrets/{id}": among(&ci, "id", secrets[0]["id"].clone()),
        "DELETE /api/v1/certificates/{id}": { "path": { "id": certificate_rule } },
        "DELETE /api/v1/grants/{on}/{holder}": { "path": granted("user:bob") },
        "DELETE /api/v1/me/tokens/{id}": { "path": { "id": token } },
        "DELETE /api/v1/organizations/{organization}": { "path": { "organization": "empty" } },
        "DELETE /api/v1/organizations/{organization}/teams/{team}/members/{user}": { "path": member },
        "DELETE /api/v1/repositories/{repository}/holds/{digest}/{kind}": { "path": held },
        "DELETE /api/v1/repositories/{repository}/quota": { "path": app },
        "DELETE /api/v1/repositories/{repository}/sign-rules/{id}": among(&app, "id", sign_rule),
        "DELETE /api/v1/repositories/{repository}/signatures/{tag}": among(&app, "tag", "2".into()),
        "DELETE /api/v1/users/{user}": { "path": { "user": "leaver" } },
        "GET /api/v1/gc/explain": { "query": { "account": "seeds", "digest": one } },
        "POST /api/v1/accounts/{account}/robots/{robot}/rules": { "path": ci, "body": workload },
        "POST /api/v1/accounts/{account}/undelete": undelete,
        "POST /api/v1/certificates": { "body": certificate("two.example.com") },
        "POST /api/v1/repositories/{repository}/checks": { "path": app, "body": { "name": "tests", "digest": one } },
        "POST /api/v1/repositories/{repository}/holds": { "path": app, "body": hold(one) },
        "POST /api/v1/repositories/{repository}/sign-rules": { "path": app, "body": { "holder": "user:bob" } },
        "POST /api/v1/repositories/{repository}/signatures": { "path": app, "body": { "tag": "1", "digest": one } },
        "POST /api/v1/repositories/{repository}/signing-key": { "path": app, "body": { "next": true } },
        "POST /api/v1/repositories/{repository}/transfer": moves,
        "POST /api/v1/repositories/{repository}/undelete": { "path": app, "body": { "digest": deleted } },
        "PUT /api/v1/grants/{on}/{holder}": { "path": granted("user:ann"), "body": { "rights": "read" } },
        "PUT /api/v1/users/{user}/password": password,
    }))
}

/// A token of a user that may do all that they may.
fn token(server: &Server, user: &str) -> Outcome<String> {
    Ok(Management::new(server.client(user, SECRET)).make_token("admin api:write")?.secret)
}

/// A server with all that the run asks about, and the tokens of those who ask.
struct Scene {
    server: Server,
    asking: String,
    other: String,
    document: Value,
}

impl Scene {
    fn open() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("hallmark.toml");
        fs::write(&file, SETTINGS)?;
        let server = Plan::default().flag("--config").flag(file.display().to_string()).start()?;
        populate(&server)?;
        fs::write(server.scratch().join(SEEDS), seeds(&server)?.to_string())?;
        let (asking, other) = (token(&server, ASKING)?, token(&server, OTHER)?);
        let document = server.anonymous().send_plain(&Request::new("GET", DOCUMENT))?.expect(200)?.json()?;
        Ok(Self { server, asking, other, document })
    }

    /// Runs the tool in a folder of its own, on this document.
    fn run(&self, document: &[&str]) -> Outcome<Ran> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema");
        let folder = self.server.scratch().join("schema");
        fs::create_dir_all(&folder)?;
        let mut command = Command::new(tools::locate("schemathesis")?);
        command
            .current_dir(&folder)
            .env("HOME", &folder)
            .env("PYTHONPATH", &here)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("HALLMARK_SCHEMA_TOKEN", &self.asking)
            .env("HALLMARK_SCHEMA_OTHER_TOKEN", &self.other)
            .env("HALLMARK_SCHEMA_SEEDS", self.server.scratch().join(SEEDS))
            .env("HALLMARK_SCHEMA_ANSWERED", self.answered())
            .arg("--config-file")
            .arg(here.join("schemathesis.toml"))
            .arg("run")
            .args(document)
            .args(["--checks", "all", "--phases", "coverage,fuzzing,stateful", "--no-color"]);
        attempt(&mut command)
    }

    /// Where the tool writes down what was answered 2xx.
    fn answered(&self) -> PathBuf {
        self.server.scratch().join("answered")
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.host())
    }
}

/// The tool's own summary, for the record.
#[expect(clippy::print_stdout, reason = "a run's record quotes what the tool counted")]
fn print_summary(said: &str) {
    let summary = said.find("= SUMMARY =").map_or(said, |at| &said[at..]);
    for line in summary.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        println!("schema: {}", line.trim());
    }
}

/// Holds that everything was asked that the document has, and all of it by somebody who may.
fn judge(ran: &Ran, operations: usize) -> Outcome<()> {
    let said = format!("{}{}", ran.output, ran.complaints);
    print_summary(&said);
    holds(ran.status.success(), || format!("schemathesis ended with {}:\n{said}", ran.status))?;
    for line in [format!("Selected: {operations}/{operations}"), format!("Tested: {operations}")] {
        holds(said.contains(&line), || format!("schemathesis did not say {line:?}:\n{said}"))?;
    }
    for phase in ["Coverage", "Fuzzing", "Stateful"] {
        holds(said.contains(&format!("✅ {phase}")), || format!("the phase {phase} did not pass:\n{said}"))?;
    }
    Ok(())
}

/// The operations of a document, each as its method and its path.
fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let named = |(path, methods): (&String, &Value)| {
        let methods: Vec<_> = methods.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
        methods.into_iter().map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    };
    paths.flat_map(named).collect()
}

/// Holds that every operation was answered 2xx once at least, but those of this list, and of these none.
fn all_answered(operations: &BTreeSet<String>, answered: &BTreeSet<String>, never: &[(&str, &str)]) -> Outcome<()> {
    let never: BTreeSet<String> = never.iter().map(|(operation, _)| (*operation).to_owned()).collect();
    let unanswered: BTreeSet<String> = operations.difference(answered).cloned().collect();
    holds(unanswered == never, || {
        let (missed, reached) = (unanswered.difference(&never), never.difference(&unanswered));
        format!(
            "never answered 2xx, and not listed so: {:#?}\nlisted so, and answered 2xx or no operation: {:#?}",
            missed.collect::<Vec<_>>(),
            reached.collect::<Vec<_>>()
        )
    })
}

#[test]
fn the_api_answers_as_its_document_says() -> Outcome<()> {
    let scene = Scene::open()?;
    let operations = operations(&scene.document);
    judge(&scene.run(&[&format!("{}{DOCUMENT}", scene.url())])?, operations.len())?;
    let lines = fs::read_to_string(scene.answered())?;
    let (refused, answered): (Vec<_>, BTreeSet<_>) =
        (lines.lines().filter(|line| line.starts_with('#')).collect(), lines.lines().map(str::to_owned).collect());
    holds(refused.is_empty(), || format!("our own questions were refused: {refused:#?}"))?;
    all_answered(&operations, &answered, NEVER_ANSWERED)?;
    // Had the token ended on the way, all that came after would have been refused, and nothing tested.
    let me = Request::new("GET", "/api/v1/me").header("Authorization", format!("Bearer {}", scene.asking));
    scene.server.anonymous().send_plain(&me)?.expect(200)?;
    let log = scene.server.log();
    holds(!log.contains(" status=5"), || format!("the server failed; its log:\n{log}"))
}

#[test]
fn an_operation_that_no_answer_reached_is_found() -> Outcome<()> {
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let all = of(&["GET /a", "PUT /a", "GET /b"]);
    all_answered(&all, &of(&["GET /a", "GET /b"]), &[("PUT /a", "a reason")])?;
    for (answered, never) in [
        (of(&["GET /a", "GET /b"]), &[][..]),
        (all.clone(), &[("PUT /a", "it is reached")][..]),
        (all.clone(), &[("PUT /c", "it is no operation")][..]),
    ] {
        let judged = all_answered(&all, &answered, never);
        holds(judged.is_err(), || format!("{answered:?} with {never:?} was taken"))?;
    }
    Ok(())
}

#[test]
fn a_status_that_the_document_does_not_have_is_found() -> Outcome<()> {
    let mut scene = Scene::open()?;
    let answers = scene.document.pointer_mut("/paths/~1api~1v1~1users~1{user}/get/responses");
    let removed = answers.and_then(Value::as_object_mut).and_then(|answers| answers.remove("404"));
    holds(removed.is_some(), || "the document had no 404 for a user".into())?;
    let file = scene.server.scratch().join("document.json");
    fs::write(&file, scene.document.to_string())?;
    let path = file.display().to_string();
    let ran = scene.run(&[&path, "--url", &scene.url(), "--include-path", "/api/v1/users/{user}"])?;
    holds(!ran.status.success() && ran.output.contains("Undocumented status code"), || {
        format!("the missing 404 was to be found: {}{}", ran.output, ran.complaints)
    })
}
