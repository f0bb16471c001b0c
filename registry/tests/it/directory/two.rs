//! People of two directories beside those with a password here, at the program itself.

use std::fs;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::slapd::{PEOPLE, SEARCHER, SEARCHER_PASSWORD, Setup, Slapd, free_port};
use crate::signing::binary::{Program, Serving};

/// The administrator's password, as the program is told.
const ADMIN: &str = "correct horse battery";

/// A registry that runs, with the people of two directories.
struct Running {
    program: Program,
    serving: Serving,
    url: String,
    client: Client,
}

fn person(name: &str) -> String {
    format!(
        "dn: uid={name},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         userPassword: {name}'s own\n\n"
    )
}

fn section(name: &str, slapd: &Slapd) -> String {
    format!(
        "[directory.{name}]\nurl = \"ldaps://localhost:{}\"\nca_file = \"{}\"\naccount_dn = \"{SEARCHER}\"\n\
         base = \"{PEOPLE}\"\nfilter = \"(&(objectClass=person)(uid={{name}}))\"\ntimeout_ms = 20000\n\n",
        slapd.tls_port,
        slapd.ca_file().display()
    )
}

impl Running {
    fn open(first: &Slapd, second: &Slapd) -> Self {
        let mut program = Program::new();
        for name in ["FIRST", "SECOND"] {
            program.set(&format!("HALLMARK_DIRECTORY_{name}_PASSWORD"), SEARCHER_PASSWORD);
        }
        let file = program.path("hallmark.toml");
        fs::write(&file, section("first", first) + &section("second", second)).unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let serving = program.start(&["serve", "--listen", &listen, "--config", &file.display().to_string()]).unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { program, serving, url: format!("http://{listen}"), client }
    }

    /// What `docker login` is answered.
    async fn login(&self, name: &str, password: &str) -> StatusCode {
        let ask = self.client.get(format!("{}/token?service=hallmark", self.url));
        ask.basic_auth(name, Some(password)).send().await.unwrap().status()
    }

    /// Who may sign in, each with the directory that knows them.
    async fn people(&self) -> Vec<(String, Option<String>)> {
        let ask = self.client.get(format!("{}/api/v1/users", self.url)).basic_auth("admin", Some(ADMIN));
        let answer: Value = serde_json::from_str(&ask.send().await.unwrap().text().await.unwrap()).unwrap();
        let of = |user: &Value| (user["name"].as_str().unwrap().to_owned(), user["source"].as_str().map(str::to_owned));
        answer["items"].as_array().unwrap().iter().map(of).collect()
    }

    async fn add(&self, name: &str) {
        let ask = self.client.post(format!("{}/api/v1/users", self.url)).basic_auth("admin", Some(ADMIN));
        let new = json!({"name": name, "password": format!("{name}'s own password")}).to_string();
        let made = ask.header("content-type", "application/json").body(new).send().await.unwrap();
        assert_eq!(made.status(), 201, "{name}");
    }
}

#[tokio::test]
async fn people_of_two_directories_sign_in_beside_local_ones_and_one_that_is_down_keeps_out_its_own_alone() {
    let mut first = Slapd::start(Setup::Usual, &person("cora"));
    let second = Slapd::start(Setup::Usual, &(person("dora") + &person("emil")));
    // `anna` and `ben` are in both; of the second, `anna` has another password.
    second.change(&format!("dn: uid=anna,{PEOPLE}\nchangetype: modify\nreplace: userPassword\nuserPassword: 2nd\n"));
    let running = Running::open(&first, &second);
    for name in ["lena", "lars"] {
        running.add(name).await;
    }
    for (name, password, status) in [
        ("cora", "cora's own", 200),
        ("dora", "dora's own", 200),
        ("lena", "lena's own password", 200),
        ("anna", "anna's own", 200),
        ("cora", "dora's own", 401),
        ("dora", "cora's own", 401),
        ("lena", "cora's own", 401),
        ("nobody", "nobody's own", 401),
    ] {
        assert_eq!(running.login(name, password).await, status, "{name} by {password:?}");
    }
    let known = |people: &[(&str, Option<&str>)]| -> Vec<_> {
        people.iter().map(|(name, source)| ((*name).to_owned(), source.map(str::to_owned))).collect()
    };
    let (one, two) = (Some("first"), Some("second"));
    let both = [("admin", None), ("anna", one), ("cora", one), ("dora", two), ("lars", None), ("lena", None)];
    assert_eq!(running.people().await, known(&both));

    first.stop();
    for (name, password, status) in [
        // Of these nobody signed in before: no password is remembered.
        ("emil", "emil's own", 200),
        ("lars", "lars's own password", 200),
        ("dora", "dora's own", 200),
        ("dora", "a wrong one", 401),
        ("lars", "a wrong one", 401),
        // Whom the second does not know may be somebody of the first, and whom the first knows is not let in by the second.
        ("carl", "carl's own", 503),
        ("anna", "2nd", 503),
    ] {
        assert_eq!(running.login(name, password).await, status, "{name} by {password:?}, the first being down");
    }
    let after = [both[0], both[1], both[2], both[3], ("emil", two), both[4], both[5]];
    assert_eq!(running.people().await, known(&after));
    let Running { program, serving, .. } = running;
    serving.stop();
    drop(program);
}
