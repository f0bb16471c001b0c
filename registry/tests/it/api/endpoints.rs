//! Every operation of the API as one would ask for it about `acme`, and a registry where each of them finds what it is about.

use hallmark::auth::oidc::IssuerSettings;
use hallmark::config::IssuerSection;
use hallmark::trust::tuf;
use serde_json::{Value, json};

use super::basic;
use crate::harness::{Acme, Call, Credentials, World, encoded};

/// The private, the public and the absent repository; their names are as long.
pub(super) const REPOSITORIES: [&str; 3] = ["acme/web", "acme/site", "acme/nix"];
/// The issuer of tokens for jobs that the registry trusts.
const ISSUER: &str = "https://issuer.example";

/// An endpoint of the API, as one would ask it about `acme`.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) document: Option<Value>,
    /// What is recorded when it is done; nothing by what only shows.
    pub(super) event: &'static str,
}

impl Endpoint {
    pub(super) fn call<'w>(&self, world: &'w World, by: &Credentials) -> Call<'w> {
        match &self.document {
            Some(document) => world.sends(self.method, &self.path, by, document),
            None => world.api(self.method, &self.path, by),
        }
    }

    /// Whether it is about one repository.
    pub(super) fn is_of_repository(&self) -> bool {
        self.path.contains("acme%2Fweb") || self.path.contains("acme/web")
    }

    /// The same about another repository than `acme/web`.
    pub(super) fn about(&self, repository: &str) -> Self {
        let path = self.path.replace("acme%2Fweb", &encoded(repository)).replace("acme/web", repository);
        // The only robot that is bound to a repository is bound to that one.
        let event =
            if repository == REPOSITORIES[0] { self.event } else { self.event.trim_start_matches("robot_removed,") };
        Self { path, event, ..self.clone() }
    }
}

/// `acme` with something that each operation can show or take away, and `acme-void`, an organization without anything in it.
pub(super) struct Furnished {
    pub(super) acme: Acme,
    /// What stands in the place of `{word}` in the list of endpoints.
    words: Vec<(&'static str, String)>,
}

impl Furnished {
    pub(super) async fn open() -> Self {
        let issuer = IssuerSettings {
            issuer: ISSUER.to_owned(),
            audiences: vec!["https://registry.test".to_owned()],
            ..IssuerSettings::default()
        };
        let section = IssuerSection { name: "jobs".to_owned(), issuer, bind_address: true };
        let acme = Acme::with(|config| config.sections.issuers.push(section)).await;
        let mut furnished = Self { acme, words: Vec::new() };
        furnished.furnish_images().await;
        furnished.furnish_people().await;
        furnished.furnish_trust().await;
        furnished
    }

    async fn ask(&self, method: &str, path: &str, document: Value) -> Value {
        let answer = self.acme.world.sends(method, path, &basic("admin"), &document).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    async fn furnish_images(&mut self) {
        let world = &self.acme.world;
        for repository in &REPOSITORIES[..2] {
            world.grant(repository, "team:acme/dev", "write").await;
            world.image(&basic("admin"), repository, "old", "older").await;
            let old = format!("/v2/{repository}/manifests/old");
            world.delete(&old).by(&basic("admin")).await.expect(202);
        }
        world.image(&basic("admin"), "acme/gone", "1", "layer").await;
        world.api("DELETE", "/repositories/acme%2Fgone", &basic("admin")).await.expect(204);
        let image = world.get("/v2/acme/web/manifests/1").by(&basic("admin")).await.expect(200);
        let digest = image.header("docker-content-digest").to_owned();
        for (repository, word) in [("acme%2Fweb", "{sign_rule}"), ("acme%2Fsite", "{site_rule}")] {
            let path = format!("/repositories/{repository}");
            self.ask("POST", &format!("{path}/signatures"), json!({"tag": "1", "digest": digest})).await;
            let rule = self.ask("POST", &format!("{path}/sign-rules"), json!({"holder": "team:acme/dev"})).await;
            self.words.push((word, rule["id"].to_string()));
            let checked = json!({"holder": "team:acme/dev", "check": "tests"});
            self.ask("POST", &format!("{path}/sign-rules"), checked).await;
            self.ask("POST", &format!("{path}/holds"), json!({"digest": digest, "kind": "pin", "reason": "in use"}))
                .await;
        }
        self.words.push(("{digest}", digest));
    }

    async fn furnish_people(&mut self) {
        let world = &self.acme.world;
        world.organization("acme-void", "olga").await;
        world.member("acme-void", "mia", "member").await;
        let secret = world.look("SELECT id FROM credentials WHERE kind = 'robot'").await.remove(0);
        let (token, _) = world.personal("olga", "read").await;
        let rule = json!({"issuer": ISSUER, "audience": "https://registry.test", "claims": {"repository_id": "74"}});
        let rule = self.ask("POST", "/accounts/acme/robots/ci/rules", rule).await["id"].to_string();
        let whose = json!({"holder": "user:mia", "kind": "email", "pattern": "mia@example.com"});
        let certificate = self.ask("POST", "/certificates", whose).await["id"].to_string();
        let words =
            [("{secret}", secret), ("{token}", token.to_string()), ("{rule}", rule), ("{certificate}", certificate)];
        self.words.extend(words);
    }

    async fn furnish_trust(&mut self) {
        self.ask("PUT", "/trust/files/key.pem", json!({"content": "a key"})).await;
        while tuf::follow(&self.acme.world.app).await.unwrap() {}
        self.ask("POST", "/organizations/acme/trust", json!({})).await;
        for (word, of) in [("{root}", ""), ("{acme_root}", "/organizations/acme")] {
            let draft = self.ask("POST", &format!("{of}/trust/root/drafts"), json!({"days": 30})).await;
            self.words.push((word, draft["document"].to_string()));
        }
    }

    /// Every endpoint.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints_of("{sign_rule}")
    }

    /// The endpoints about a repository, asked about one of [`REPOSITORIES`].
    pub(super) fn endpoints_about(&self, repository: &str) -> Vec<Endpoint> {
        let rule = if repository == "acme/site" { "{site_rule}" } else { "{sign_rule}" };
        let all = self.endpoints_of(rule);
        all.iter().filter(|endpoint| endpoint.is_of_repository()).map(|endpoint| endpoint.about(repository)).collect()
    }

    fn endpoints_of(&self, rule: &str) -> Vec<Endpoint> {
        let text = include_str!("endpoints.txt").replace("{sign_rule}", rule);
        let text = self.words.iter().fold(text, |text, (word, stands_for)| text.replace(word, stands_for));
        text.lines().filter(|line| !line.is_empty()).map(read).collect()
    }

    /// A line of a table that shows an endpoint, the same in every run.
    pub(super) fn shown(&self, endpoint: &Endpoint) -> String {
        let path = endpoint.path.split("?subject").next().unwrap_or_default();
        let words = self.words.iter().filter(|(word, _)| !matches!(*word, "{root}" | "{acme_root}"));
        let mut path = path.to_owned();
        for (word, stands_for) in words {
            let word = if *word == "{site_rule}" { "{sign_rule}" } else { word };
            path = path.replace(&format!("={stands_for}"), &format!("={word}"));
            path = path.replace(&format!("/{stands_for}/pin"), &format!("/{word}/pin"));
            let last = format!("/{stands_for}");
            // Ids are small numbers: which one is meant is told by what stands before it.
            let kind = word.trim_matches(['{', '}']).split('_').next_back().unwrap_or_default();
            if let Some(before) = path.strip_suffix(&last)
                && before.ends_with(&format!("{kind}s"))
            {
                path = format!("{before}/{word}");
            }
        }
        format!("{:6} {path}", endpoint.method)
    }
}

/// A line of the list: the method, the path, what is recorded (`-` for nothing), and the document that is sent.
fn read(line: &str) -> Endpoint {
    let mut parts = line.splitn(4, ' ');
    let method = match parts.next() {
        Some("GET") => "GET",
        Some("POST") => "POST",
        Some("PUT") => "PUT",
        Some("PATCH") => "PATCH",
        Some("DELETE") => "DELETE",
        other => panic!("{other:?} in {line}"),
    };
    let path = parts.next().unwrap().to_owned();
    let event = parts.next().filter(|event| *event != "-").unwrap_or_default().to_owned();
    let document = parts.next().map(|document| serde_json::from_str(document).unwrap());
    Endpoint { method, path, document, event: String::leak(event) }
}
