//! `docker-credential-hallmark`: where docker and podman keep names and passwords, by the protocol of their credential
//! helpers. For a registry of `hallmark login` it gives the token of the context.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::output::{self, Failure};
use super::private_file::{PrivateFile, exposed};
use super::remote::contexts::Contexts;
use crate::clock::Clock;
use crate::config::{Person, Secret};

/// The file of credentials, in the person's folder.
const FILE: &str = "credentials.toml";
/// The longest input that is read, in bytes: a token of an identity provider may be some kilobytes.
const INPUT_BYTES: u64 = 256 * 1024;

// The words that docker compares.
const ABSENT: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";
const NO_USER: &str = "no credentials username";

/// What is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(default)]
    servers: BTreeMap<String, Credential>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential {
    user: String,
    #[serde(serialize_with = "exposed")]
    secret: Secret,
}

/// A credential as docker writes and reads it.
#[derive(Serialize, Deserialize)]
struct Told {
    #[serde(rename = "ServerURL", default)]
    server: String,
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret", default, serialize_with = "exposed")]
    secret: Secret,
}

/// Runs what docker asks for. By its protocol, failures too are written to standard output.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let done = match (words.next(), words.next()) {
        (Some(verb), None) => run(&verb),
        _ => Err(usage()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell if standard output is gone.
            let _ = output::say(failure);
            ExitCode::FAILURE
        }
    }
}

fn usage() -> Failure {
    Failure::Usage("usage: docker-credential-hallmark store|get|erase|list|version".to_owned())
}

fn run(verb: &str) -> Result<(), Failure> {
    if matches!(verb, "version" | "--version") {
        return output::say(concat!("docker-credential-hallmark ", env!("CARGO_PKG_VERSION")));
    }
    let person = Person::of_process();
    let store = Store { kept: PrivateFile::of(&person, FILE)?, contexts: Contexts::file(&person)? };
    match verb {
        "store" => store.store(&input()?),
        "get" => output::say_json(&store.find(input()?.trim(), Clock::System.now())?),
        "erase" => store.erase(input()?.trim()),
        "list" => output::say_json(&store.list(Clock::System.now())?),
        _ => Err(usage()),
    }
}

fn input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(INPUT_BYTES + 1).read_to_string(&mut text);
    match read {
        Ok(read) if read as u64 <= INPUT_BYTES => Ok(text),
        Ok(_) => Err(Failure::Usage("standard input is longer than 256 KiB".to_owned())),
        Err(_) => Err(Failure::Usage("standard input is not UTF-8 text".to_owned())),
    }
}

/// The two files that answers come from.
struct Store {
    kept: PrivateFile,
    contexts: PrivateFile,
}

impl Store {
    fn store(&self, text: &str) -> Result<(), Failure> {
        // Without the parser's words, which might show a part of the secret.
        let told: Told = serde_json::from_str(text)
            .map_err(|_| Failure::Usage("standard input is not the JSON of a credential".to_owned()))?;
        if told.server.trim().is_empty() {
            return Err(Failure::Failed(NO_SERVER.to_owned()));
        }
        if told.user.is_empty() {
            return Err(Failure::Failed(NO_USER.to_owned()));
        }
        self.kept.change(|kept: &mut Kept| {
            kept.servers.insert(told.server.trim().to_owned(), Credential { user: told.user, secret: told.secret });
            Ok(())
        })
    }

    /// What was stored for this server, else the token of a context for it.
    fn find(&self, server: &str, now: i64) -> Result<Told, Failure> {
        if server.is_empty() {
            return Err(Failure::Failed(NO_SERVER.to_owned()));
        }
        let told = |user: &str, secret: &Secret| Told {
            server: server.to_owned(),
            user: user.to_owned(),
            secret: secret.clone(),
        };
        let kept: Kept = self.kept.read()?;
        let exactly = kept.servers.get(server);
        let stored = exactly.or_else(|| {
            kept.servers.iter().find(|(known, _)| host(known) == host(server)).map(|(_, credential)| credential)
        });
        if let Some(credential) = stored {
            return Ok(told(&credential.user, &credential.secret));
        }
        let contexts: Contexts = self.contexts.read()?;
        let mut fitting = contexts.in_order().filter(|context| host(&context.host()) == host(server));
        let found = fitting.find_map(|context| context.credential(now));
        found.map(|(user, token)| told(user, token)).ok_or_else(|| Failure::NotFound(ABSENT.to_owned()))
    }

    /// Forgets what was stored. The token of a context stays: it ends with `hallmark logout`.
    fn erase(&self, server: &str) -> Result<(), Failure> {
        if server.is_empty() {
            return Err(Failure::Failed(NO_SERVER.to_owned()));
        }
        self.kept.change(|kept: &mut Kept| {
            kept.servers.retain(|known, _| known != server && host(known) != host(server));
            Ok(())
        })
    }

    /// Each server and the name there.
    fn list(&self, now: i64) -> Result<BTreeMap<String, String>, Failure> {
        let (kept, contexts): (Kept, Contexts) = (self.kept.read()?, self.contexts.read()?);
        let mut all = BTreeMap::new();
        for context in contexts.in_order() {
            if let Some((user, _)) = context.credential(now) {
                all.entry(context.host()).or_insert_with(|| user.to_owned());
            }
        }
        all.extend(kept.servers.into_iter().map(|(server, credential)| (server, credential.user)));
        Ok(all)
    }
}

/// `host` or `host:port` of what docker calls a server: a host, or an address with a scheme and a path. The port that
/// HTTPS has anyway is left out.
fn host(server: &str) -> String {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    host.strip_suffix(":443").map(str::to_owned).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(home: &std::path::Path) -> Store {
        let person = Person { folder: Some(home.to_owned()), ..Person::default() };
        Store { kept: PrivateFile::of(&person, FILE).unwrap(), contexts: Contexts::file(&person).unwrap() }
    }

    fn with_context(home: &std::path::Path) -> Store {
        let text = "current = \"work\"\n[contexts.work]\nurl = \"https://r.example.com/\"\nuser = \"ann\"\n\
                    token = \"hlp_1\"\ntoken_id = 1\nscopes = \"write\"\nexpires_at = \"2031-01-31T00:00:00Z\"\n";
        let file = home.join("contexts.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        store(home)
    }

    #[test]
    fn what_is_stored_is_given_listed_and_erased() {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        store.store(r#"{"ServerURL":"https://index.docker.io/v1/","Username":"ann","Secret":"hunter2"}"#).unwrap();
        for server in ["https://index.docker.io/v1/", "index.docker.io", "INDEX.docker.io:443"] {
            let told = store.find(server, 0).unwrap();
            assert_eq!((told.server.as_str(), told.user.as_str(), told.secret.expose()), (server, "ann", "hunter2"));
        }
        assert_eq!(store.list(0).unwrap(), [("https://index.docker.io/v1/".to_owned(), "ann".to_owned())].into());
        store.erase("index.docker.io").unwrap();
        store.erase("index.docker.io").unwrap();
        assert_eq!(store.find("index.docker.io", 0).err().unwrap().to_string(), ABSENT);
    }

    #[test]
    fn a_host_and_a_port_are_not_the_host() {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        store.store(r#"{"ServerURL":"r.example.com:5000","Username":"ann","Secret":"hunter2"}"#).unwrap();
        for server in ["r.example.com", "r.example.com:5001", "example.com:5000", "x/r.example.com:5000"] {
            assert_eq!(store.find(server, 0).err().unwrap().to_string(), ABSENT, "{server}");
        }
    }

    #[test]
    fn a_context_answers_for_its_registry_until_its_token_ends() {
        let home = tempfile::tempdir().unwrap();
        let store = with_context(home.path());
        let told = store.find("r.example.com", 0).unwrap();
        assert_eq!((told.user.as_str(), told.secret.expose()), ("ann", "hlp_1"));
        assert_eq!(store.list(0).unwrap().len(), 1);
        assert!(store.find("r.example.com", i64::MAX).is_err());
        // What docker was told itself comes first.
        store.store(r#"{"ServerURL":"r.example.com","Username":"bob","Secret":"x"}"#).unwrap();
        assert_eq!(store.find("r.example.com", 0).unwrap().user, "bob");
    }

    #[test]
    fn what_docker_compares_is_said_in_its_words() {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        let refused = |text: &str| store.store(text).unwrap_err().to_string();
        assert_eq!(refused(r#"{"ServerURL":"","Username":"ann","Secret":"x"}"#), NO_SERVER);
        assert_eq!(refused(r#"{"ServerURL":"r","Username":"","Secret":"x"}"#), NO_USER);
        assert!(!refused(r#"{"ServerURL":"r","Username":"ann","Secret":hunter2}"#).contains("hunter2"));
        assert_eq!(store.find("", 0).err().unwrap().to_string(), NO_SERVER);
    }
}
