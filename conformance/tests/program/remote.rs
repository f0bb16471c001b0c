//! The verbs that manage a registry far away, and the credential helper: as a person with a folder of their own types them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use hallmark_conformance::{
    Outcome,
    check::holds,
    http::Request,
    process::{Ran, attempt_with_input, typed},
    server::{ADMIN, PASSWORD, Plan, Server},
    tools,
};
use serde_json::Value;

use super::{
    secure::Secure,
    world::{says, with_authorization},
};

const BOB: &str = "a password of bob";

/// Somebody with a folder of configuration of their own.
pub(super) struct Person {
    home: tempfile::TempDir,
}

impl Person {
    fn new() -> Outcome<Self> {
        Ok(Self { home: tempfile::tempdir()? })
    }

    /// Somebody who is signed in.
    pub(super) fn signed_in(server: &Server, user: &str, password: &str) -> Outcome<Self> {
        let person = Self::new()?;
        says(&person.login(server, user, password)?, 0, &["signed in", user])?;
        Ok(person)
    }

    fn login(&self, server: &Server, user: &str, password: &str) -> Outcome<Ran> {
        self.type_with(&["login", &url(server), "--user", user, "--password-stdin", "--name", "test"], password)
    }

    fn type_with(&self, words: &[&str], input: &str) -> Outcome<Ran> {
        self.run(&tools::hallmark()?, words, input)
    }

    fn run(&self, program: &Path, words: &[&str], input: &str) -> Outcome<Ran> {
        attempt_with_input(typed(program, self.home.path()).args(words), input)
    }

    /// Types a line whose words have no spaces, and holds what it says.
    pub(super) fn types(&self, line: &str, code: i32, words: &[&str]) -> Outcome<Ran> {
        let ran = self.type_with(&line.split_whitespace().collect::<Vec<_>>(), "")?;
        says(&ran, code, words)?;
        Ok(ran)
    }

    /// The objects that a line prints, one on each of its own.
    pub(super) fn objects(&self, line: &str) -> Outcome<Vec<Value>> {
        let ran = self.types(&format!("{line} --output json"), 0, &[])?;
        Ok(ran.output.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(".config/hallmark").join(name)
    }

    /// The secret of the token that the context holds.
    fn token(&self) -> Outcome<String> {
        let text = fs::read_to_string(self.file("contexts.toml"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("token = ")).unwrap_or_default();
        Ok(line.trim_matches('"').to_owned())
    }

    fn helper(&self, verb: &str, input: &str) -> Outcome<Ran> {
        let program = tools::hallmark()?.with_file_name("docker-credential-hallmark");
        self.run(&program, &[verb], input)
    }
}

/// A server that trusts one issuer of workloads, which nobody has to reach for a rule to be written.
fn with_issuer() -> Outcome<(tempfile::TempDir, Server)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("issuer.toml");
    fs::write(&file, "[issuer.ci]\nissuer = \"https://ci.example.com\"\naudiences = [\"r\"]\n")?;
    let server = Plan::default().flag("--config").flag(file.display().to_string()).start()?;
    Ok((folder, server))
}

fn url(server: &Server) -> String {
    format!("http://{}", server.host())
}

fn mode(path: &Path) -> Outcome<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

/// What `GET /api/v1/me` is answered to a token.
fn me(server: &Server, token: &str) -> Outcome<u16> {
    Ok(with_authorization(server, "/api/v1/me", &format!("Bearer {token}"))?.status)
}

#[test]
fn a_password_becomes_a_token_in_a_private_file_and_a_logout_revokes_it() -> Outcome<()> {
    let server = Server::fresh()?;
    let person = Person::signed_in(&server, ADMIN, PASSWORD)?;
    let (file, folder) = (person.file("contexts.toml"), person.file(""));
    holds(mode(&file)? == 0o600 && mode(&folder)? == 0o700, || "the file of contexts is not private".into())?;
    let token = person.token()?;
    let text = fs::read_to_string(&file)?;
    holds(!token.is_empty() && !text.contains(PASSWORD), || "the file holds a token and no password".into())?;
    holds(me(&server, &token)? == 200, || "the token was to open the API".into())?;
    let listed = person.objects("context list")?;
    holds(listed.len() == 1 && listed[0]["current"] == true && !listed[0].to_string().contains(&token), || {
        format!("the contexts are {listed:?}")
    })?;
    person.types("token list", 0, &["hallmark login (test)", "admin api:write"])?;

    // A second sign-in takes the place of the first, whose token ends.
    says(&person.login(&server, ADMIN, PASSWORD)?, 0, &["signed in"])?;
    holds(me(&server, &token)? == 401, || "the token of the first sign-in was to end".into())?;
    let token = person.token()?;
    person.types("logout", 0, &["the token of test is revoked"])?;
    holds(me(&server, &token)? == 401, || "the token was to be revoked".into())?;
    person.types("org list", 5, &["you are not signed in", "hallmark login"])?;
    person.types("logout", 5, &["you are not signed in"]).map(drop)
}

#[test]
fn each_way_to_fail_has_its_exit_code() -> Outcome<()> {
    let mut server = Server::fresh()?;
    server.add_user("bob", BOB)?;
    let nobody = Person::new()?;
    let wrong = nobody.login(&server, ADMIN, "not the password")?;
    says(&wrong, 5, &["hallmark: "])?;
    holds(!wrong.complaints.contains("not the password"), || wrong.complaints.clone())?;
    holds(!nobody.file("contexts.toml").exists() || nobody.token()?.is_empty(), || "a token was kept".into())?;
    nobody.types("login http://registry.example.com --user ann --password-stdin", 2, &["plain HTTP"])?;

    let (admin, bob) = (Person::signed_in(&server, ADMIN, PASSWORD)?, Person::signed_in(&server, "bob", BOB)?);
    bob.types("org create acme", 5, &["only an administrator"])?;
    bob.types("org show acme", 4, &["no organization"])?;
    admin.types("org create acme", 0, &["organization acme made"])?;
    admin.types("org create acme", 1, &["\"acme\" is taken"])?;
    bob.types("org show acme", 4, &["no organization"])?;
    admin.types("team show dev", 2, &["write account/name"])?;
    admin.types("org list --context nowhere", 2, &["no context \"nowhere\""])?;
    admin.types("user role bob auditor", 5, &["sign in with a password"])?;
    admin.types("user list --context test", 0, &["admin", "administrator", "bob", "user"])?;
    admin.types("user disable bob", 0, &["disabled"])?;
    bob.types("org list", 5, &["hallmark login"])?;
    server.stop()?;
    admin.types("org list", 3, &["no server answers"])?;
    admin.types("logout", 3, &["no server answers"])?;
    admin.types("logout --forget", 0, &["not revoked"])?;
    admin.types("org list", 5, &["not signed in"]).map(drop)
}

#[test]
fn an_organization_is_built_by_hand_and_each_right_is_explained() -> Outcome<()> {
    let server = Server::fresh()?;
    server.add_user("bob", BOB)?;
    let admin = Person::signed_in(&server, ADMIN, PASSWORD)?;
    for (line, said) in [
        ("org create acme", "organization acme made"),
        ("org set acme --create-on-push true", "yes"),
        ("org member add acme bob", "bob is member of acme"),
        ("team create acme/dev --description builders", "team acme/dev made"),
        ("team member add acme/dev bob", "bob is in acme/dev"),
        ("repo create acme/web --description site", "private repository acme/web made"),
        ("repo set acme/web --public", "public"),
        ("repo set acme/web --private", "private"),
        ("grant put acme/* team:acme/dev write", "team:acme/dev holds write on acme/*"),
        ("robot create acme+ci --description builds", "robot acme+ci made"),
        ("grant put acme/web robot:acme+ci read", "robot:acme+ci holds read on acme/web"),
    ] {
        admin.types(line, 0, &[said])?;
    }
    admin.types("org member list acme", 0, &["USER", "admin", "owner", "bob", "member"])?;
    for (line, told) in [
        ("org list --prefix ac", Some("acme")),
        ("org list --prefix b", None),
        ("org member list acme --role owner", Some("admin")),
        ("org member list acme --role member --prefix b", Some("bob")),
        ("org member list acme --role owner --prefix b", None),
        ("team list acme --prefix d", Some("dev")),
        ("team list acme --prefix e", None),
        ("team member list acme/dev --prefix bo", Some("bob")),
        ("team member list acme/dev --prefix c", None),
        ("robot list acme --prefix c", Some("ci")),
        ("robot list acme --prefix d", None),
        ("repo list --prefix acme/ --visibility private", Some("acme/web")),
        ("repo list --visibility public", None),
    ] {
        let objects = admin.objects(line)?;
        let names: Vec<_> = objects.iter().filter_map(|line| line["name"].as_str().or(line["user"].as_str())).collect();
        holds(names == told.as_slice(), || format!("{line}: {objects:?}"))?;
    }
    admin.types("repo list --prefix Acme", 1, &["no name begins so"])?;
    admin.types("team member list acme/dev", 0, &["bob"])?;
    admin.types("grant list --account acme", 0, &["acme/*", "team:acme/dev", "write", "user:admin"])?;
    admin.types("grant list acme/web", 0, &["robot:acme+ci", "read"])?;
    admin.types("explain bob push acme/web", 0, &["bob may push in acme/web", "granted to team:acme/dev on acme/*"])?;
    admin.types("explain acme+ci push acme/web", 0, &["may not push", "nothing gives"])?;
    admin.types("explain anybody pull acme/web", 0, &["anybody may not pull"])?;
    let access = admin.objects("access bob acme/web")?;
    let allowed: Vec<_> = access.iter().map(|line| (line["action"].as_str(), line["allowed"] == true)).collect();
    let expected = [("pull", true), ("push", true), ("delete", false), ("sign", true), ("admin", false)];
    holds(allowed == expected.map(|(action, may)| (Some(action), may)), || format!("{access:?}"))?;
    let bob = Person::signed_in(&server, "bob", BOB)?;
    bob.types("repo list", 0, &["acme/web"])?;
    bob.types("explain bob pull acme/web", 0, &["bob may pull"])?;
    bob.types("grant put acme/web user:bob admin", 5, &["admin on the repository"])?;
    admin.types("repo rename acme/web acme/site", 0, &["acme/web is now acme/site"])?;
    admin.types("repo show acme/web", 4, &[])?;
    admin.types("repo transfer acme/site acme/web", 1, &["rename the repository instead"])?;
    bob.types("repo transfer acme/site bob/site", 5, &["admin on the repository"])?;
    admin.types("repo transfer acme/site bob/site", 0, &["acme/site is now bob/site"])?;
    admin.types("repo show acme/site", 4, &[])?;
    bob.types("repo show bob/site", 0, &["admin"])?;
    bob.types("repo transfer bob/site acme/site", 5, &["owner of the organization"])?;
    admin.types("repo transfer bob/site acme/site", 0, &["acme/site"])?;
    admin.types("grant take acme/* team:acme/dev", 0, &["holds nothing"])?;
    admin.types("org member remove acme bob", 0, &["no more"])?;
    admin.types("org remove acme", 1, &["still has repositories"])?;
    let events = admin.objects("audit list --account acme --limit 2 --follow-pages")?;
    let kinds: Vec<_> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    holds(kinds.first() == Some(&"organization_created") && kinds.contains(&"grant_taken"), || format!("{kinds:?}"))?;
    admin.types("audit list --limit 1", 0, &["NUMBER", "--follow-pages"]).map(drop)
}

#[test]
fn a_robot_s_secret_is_printed_once_and_works_until_it_is_revoked() -> Outcome<()> {
    let (_folder, server) = with_issuer()?;
    let admin = Person::signed_in(&server, ADMIN, PASSWORD)?;
    admin.types("robot create admin+ci", 0, &[])?;
    let made = admin.objects("robot rotate admin+ci --expires 1h")?.remove(0);
    let secret = made["secret"].as_str().unwrap_or_default().to_owned();
    let signs_in = |expected: u16| super::world::login(&server, "admin+ci", &secret)?.expect(expected).map(drop);
    signs_in(200)?;
    let listed = admin.objects("robot secrets admin+ci")?;
    holds(listed.len() == 1 && !listed[0].to_string().contains(&secret), || format!("{listed:?}"))?;
    admin.types(&format!("robot revoke admin+ci {}", listed[0]["id"]), 0, &["revoked"])?;
    signs_in(401)?;
    admin.types("robot rule add admin+ci --issuer https://ci.example.com --audience r --claim sub=x", 0, &["sub=x"])?;
    let rules = admin.objects("robot rule list admin+ci")?;
    admin.types(&format!("robot rule remove admin+ci {}", rules[0]["id"]), 0, &["removed"])?;
    admin.types("robot set admin+ci --disable", 0, &["disabled"])?;
    admin.types("robot remove admin+ci", 0, &["removed"])?;
    let token = admin.type_with(&["token", "create", "laptop", "--scopes", "read api:read", "--expires", "1h"], "")?;
    says(&token, 0, &["secret: "])?;
    let secret = token.output.lines().find_map(|line| line.strip_prefix("secret: ")).unwrap_or_default().to_owned();
    holds(me(&server, &secret)? == 200, || "the token was to open the API".into())?;
    let tokens = admin.objects("token list")?;
    let laptop = tokens.iter().find(|token| token["name"] == "laptop").cloned().unwrap_or_default();
    admin.types(&format!("token revoke {}", laptop["id"]), 0, &["revoked"])?;
    holds(me(&server, &secret)? == 401, || "the token was to be revoked".into())
}

const FILE: &str = r#"
[organizations.acme]
create_on_push = true
owners = ["admin"]
members = ["bob"]

[organizations.acme.teams.dev]
description = "who builds"
members = ["bob"]

[organizations.acme.repositories.web]
visibility = "public"
description = "the site"

[organizations.acme.robots.ci]
description = "builds"
rules = [{ issuer = "https://ci.example.com", audience = "r", claims = { sub = "acme" } }]

[[organizations.acme.grants]]
on = "acme/*"
holder = "team:acme/dev"
rights = "write"

[[organizations.acme.grants]]
on = "acme/web"
holder = "robot:acme+ci"
rights = "read+sign"
"#;

/// The same in YAML.
const YAML: &str = r#"organizations:
  acme:
    create_on_push: true
    owners: [admin]
    members: [bob]
    teams:
      dev: {description: who builds, members: [bob]}
    repositories:
      web: {visibility: public, description: the site}
    robots:
      ci:
        description: builds
        rules: [{issuer: "https://ci.example.com", audience: r, claims: {sub: acme}}]
    grants:
      - {on: acme/*, holder: "team:acme/dev", rights: write}
      - {on: acme/web, holder: "robot:acme+ci", rights: read+sign}
"#;

#[test]
fn a_file_is_applied_once_and_then_changes_nothing_until_something_goes() -> Outcome<()> {
    let (_folder, server) = with_issuer()?;
    server.add_user("bob", BOB)?;
    server.add_user("cleo", BOB)?;
    let admin = Person::signed_in(&server, ADMIN, PASSWORD)?;
    let apply = |text: &str, more: &[&str], code: i32, words: &[&str]| {
        let ran = admin.type_with(&[&["apply", "-f", "-"], more].concat(), text)?;
        says(&ran, code, words)?;
        Ok::<_, hallmark_conformance::Failure>(ran.output)
    };
    apply(FILE, &["--dry-run"], 0, &["+ organization acme", "10 changes would be made"])?;
    admin.types("org show acme", 4, &[])?;
    apply(FILE, &[], 0, &["+ team acme/dev", "+ rule of robot acme+ci", "10 changes made"])?;
    apply(FILE, &[], 0, &["nothing to change"])?;
    apply(FILE, &["--prune"], 0, &["nothing to change"])?;
    apply(YAML, &["--prune"], 0, &["nothing to change"])?;
    let moved = YAML.replace("the site", "the shop");
    apply(&moved, &["--dry-run"], 0, &["~ repository acme/web", "1 change would be made"])?;
    apply("organizations:\n  acme:\n    owner: [bob]\n", &[], 2, &["-:3:5: unknown field `owner`"])?;
    admin.types("explain bob push acme/web", 0, &["may push"])?;
    admin.types("repo show acme/web", 0, &["public", "the site"])?;

    // By hand, something more of each kind; only --prune takes it away again, and never a repository.
    for line in [
        "org member add acme cleo",
        "team create acme/old",
        "team member add acme/dev cleo",
        "repo create acme/kept",
        "robot create acme+old",
        "grant put acme/kept user:cleo read",
        "grant put acme/* user:bob read",
        "robot rule add acme+ci --issuer https://ci.example.com --audience r --claim sub=other",
    ] {
        admin.types(line, 0, &[])?;
    }
    apply(FILE, &[], 0, &["nothing to change"])?;
    let gone = ["- member cleo of acme", "- team acme/old", "- robot acme+old", "- grant on acme/* to user:bob"];
    apply(FILE, &["--prune", "--dry-run"], 0, &gone)?;
    let output = apply(FILE, &["--prune"], 0, &gone)?;
    holds(!output.contains("- repository"), || output.clone())?;
    apply(FILE, &["--prune"], 0, &["nothing to change"])?;
    admin.types("repo show acme/kept", 0, &["private"])?;
    admin.types("explain cleo pull acme/kept", 0, &["may not"])?;
    admin.types("user show cleo", 0, &["active"])?;

    let changed = FILE.replace("\"public\"", "\"private\"").replace("read+sign", "read");
    let lines = apply(&changed, &["--output", "json"], 0, &[])?;
    let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    holds(lines.len() == 2 && lines.iter().all(|line| line["made"] == true), || format!("{lines:?}"))?;
    apply("[organizations.acme]\nowner = []\n", &[], 2, &["-:2:1", "unknown field `owner`"])?;
    let nobody = FILE.replace("members = [\"bob\"]", "members = [\"zoe\"]");
    apply(&nobody, &[], 1, &["+ member zoe of acme", "no user \"zoe\"", "run this again"]).map(drop)
}

#[test]
fn the_credential_helper_keeps_what_docker_gives_and_knows_the_contexts() -> Outcome<()> {
    let server = Server::fresh()?;
    let person = Person::new()?;
    let credential = |server: &str, user: &str, secret: &str| serde_json::json!({"ServerURL": server, "Username": user, "Secret": secret});
    let given = |server: &str| -> Outcome<Value> { Ok(serde_json::from_str(&person.helper("get", server)?.output)?) };
    let absent = person.helper("get", &server.host())?;
    holds(absent.status.code() == Some(1) && absent.output == "credentials not found in native keychain\n", || {
        format!("the helper said {absent:?}")
    })?;
    let kept = credential("https://index.docker.io/v1/", "ann", "hunter2");
    says(&person.helper("store", &kept.to_string())?, 0, &[])?;
    holds(mode(&person.file("credentials.toml"))? == 0o600, || "the file of credentials is not private".into())?;
    holds(given("https://index.docker.io/v1/\n")? == kept, || "what was stored was to be given".into())?;

    person.login(&server, ADMIN, PASSWORD)?;
    let token = person.token()?;
    holds(given(&server.host())? == credential(&server.host(), ADMIN, &token), || "the context was to answer".into())?;
    // It is a password for images as well.
    super::world::logs_in(&server, ADMIN, &token)?;
    let listed: Value = serde_json::from_str(&person.helper("list", "")?.output)?;
    let expected = serde_json::json!({"https://index.docker.io/v1/": "ann", server.host(): ADMIN});
    holds(listed == expected, || format!("the list is {listed}"))?;
    says(&person.helper("erase", "https://index.docker.io/v1/")?, 0, &[])?;
    says(&person.helper("get", "https://index.docker.io/v1/")?, 1, &["credentials not found in native keychain"])?;
    person.types("logout", 0, &[])?;
    says(&person.helper("get", &server.host())?, 1, &["credentials not found in native keychain"])?;
    says(&person.helper("fly", "")?, 1, &["usage"])
}

#[test]
fn a_server_with_a_certificate_of_its_own_is_trusted_by_its_file_only() -> Outcome<()> {
    let secure = Secure::start()?;
    let (person, url) = (Person::new()?, format!("https://{}", secure.site.host()));
    let login = |more: &[&str]| {
        person.type_with(&[&["login", &url, "--user", ADMIN, "--password-stdin"], more].concat(), PASSWORD)
    };
    says(&login(&[])?, 3, &["certificate", "--ca"])?;
    let certificate = secure.site.certificate().display().to_string();
    says(&login(&["--ca", &certificate])?, 0, &["signed in"])?;
    person.types("user show admin", 0, &["administrator"])?;
    person.types("logout", 0, &["revoked"]).map(drop)
}

#[test]
fn completions_and_the_manual_are_written() -> Outcome<()> {
    let person = Person::new()?;
    person.types("completion bash", 0, &["complete", "explain"])?;
    let folder = person.home.path().join("man1");
    person.types(&format!("man {}", folder.display()), 0, &["hallmark.1"])?;
    let page = fs::read_to_string(folder.join("hallmark-apply.1"))?;
    holds(page.contains("prune"), || page.clone())?;
    // The document that describes the API needs no sign-in.
    let server = Server::fresh()?;
    server.anonymous().send_plain(&Request::new("GET", "/api/v1/openapi.json"))?.expect(200).map(drop)
}
