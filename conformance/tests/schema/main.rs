//! Schemathesis against the document of the management API as a running server shows it: no 5xx, no status that is not written
//! there, nothing taken that must be refused. Never knows a path itself but to make what the questions are about.
//! Start at the tests; `schemathesis.toml` beside it says what is asked.

use std::{fs, path::Path, process::Command};

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::Request,
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
            .arg("--config-file")
            .arg(here.join("schemathesis.toml"))
            .arg("run")
            .args(document)
            .args(["--checks", "all", "--phases", "coverage,fuzzing,stateful", "--no-color"]);
        attempt(&mut command)
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

fn operations(document: &Value) -> usize {
    let paths = document["paths"].as_object().into_iter().flat_map(serde_json::Map::values);
    paths.filter_map(Value::as_object).map(serde_json::Map::len).sum()
}

#[test]
fn the_api_answers_as_its_document_says() -> Outcome<()> {
    let scene = Scene::open()?;
    judge(&scene.run(&[&format!("{}{DOCUMENT}", scene.url())])?, operations(&scene.document))?;
    // Had the token ended on the way, all that came after would have been refused, and nothing tested.
    let me = Request::new("GET", "/api/v1/me").header("Authorization", format!("Bearer {}", scene.asking));
    scene.server.anonymous().send_plain(&me)?.expect(200)?;
    let log = scene.server.log();
    holds(!log.contains(" status=5"), || format!("the server failed; its log:\n{log}"))
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
