//! The `notary` command with a trust folder of its own, and what it printed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hallmark_conformance::{
    Outcome,
    check::holds,
    process::{Ran, attempt, attempt_with_input},
    tools,
};
use serde_json::json;

use super::world::{Person, World};

/// One who runs `notary`: a trust folder, a server, and whoever signs in.
pub(crate) struct Notary {
    home: PathBuf,
    trust: PathBuf,
    /// Whether the trust folder is docker's, which knows two kinds of keys.
    of_docker: bool,
    person: Option<Person>,
}

/// A target as `notary list` prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// Hex, without `sha256:`.
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) role: String,
}

impl Notary {
    /// A client with an empty trust folder of this name. Nobody signs in where there is no person.
    pub(crate) fn new(world: &World, name: &str, person: Option<Person>) -> Outcome<Self> {
        let home = world.home(name)?;
        Self { trust: home.join("trust"), home, of_docker: false, person }.configured(world)
    }

    /// A client of the administrator with the trust folder of docker's: the same keys, cache and pending changes.
    pub(crate) fn beside_docker(world: &World, name: &str, docker: &Path) -> Outcome<Self> {
        let (home, person) = (world.home(name)?, Some(Person::admin()));
        Self { home, trust: docker.join("trust"), of_docker: true, person }.configured(world)
    }

    fn configured(self, world: &World) -> Outcome<Self> {
        let url = format!("https://{}", world.host());
        let config = json!({ "trust_dir": self.trust, "remote_server": { "url": url, "root_ca": world.authority() } });
        fs::write(self.home.join("config.json"), config.to_string())?;
        Ok(self)
    }

    /// A client of the administrator.
    pub(crate) fn admin(world: &World, name: &str) -> Outcome<Self> {
        Self::new(world, name, Some(Person::admin()))
    }

    /// Another client with the same keys and no cache.
    pub(crate) fn twin(&self, world: &World, name: &str) -> Outcome<Self> {
        let twin = Self::new(world, name, self.person.clone())?;
        copy_folder(&self.trust.join("private"), &twin.trust.join("private"))?;
        Ok(twin)
    }

    /// The same client, signing in as somebody else.
    pub(crate) fn of(self, person: Person) -> Self {
        Self { person: Some(person), ..self }
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    fn command(&self, words: &[&str]) -> Outcome<Command> {
        let mut command = Command::new(tools::locate("notary")?);
        command.env_clear().env("HOME", &self.home).current_dir(&self.home);
        for role in ["ROOT", "TARGETS", "SNAPSHOT", "DELEGATION"] {
            let of = if self.of_docker && role != "ROOT" { "REPOSITORY" } else { role };
            command.env(format!("NOTARY_{role}_PASSPHRASE"), format!("a passphrase of {of}"));
        }
        if let Some(person) = &self.person {
            command.env("NOTARY_AUTH", STANDARD.encode(person.login()));
        }
        command.arg("-c").arg(self.home.join("config.json")).args(words);
        Ok(command)
    }

    /// Runs it, whatever comes of it.
    pub(crate) fn attempt(&self, words: &[&str]) -> Outcome<Ran> {
        attempt(&mut self.command(words)?)
    }

    /// Runs it to a good end and gives all that it printed.
    pub(crate) fn run(&self, words: &[&str]) -> Outcome<String> {
        good(words, &self.attempt(words)?)
    }

    /// Runs it to a good end with this answer to what it asks.
    pub(crate) fn run_answering(&self, words: &[&str], answer: &str) -> Outcome<String> {
        good(words, &attempt_with_input(&mut self.command(words)?, answer)?)
    }

    /// Starts it; what it prints is kept for the end.
    pub(crate) fn begin(&self, words: &[&str]) -> Outcome<Child> {
        let mut command = self.command(words)?;
        Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// Holds that it fails and says this.
    pub(crate) fn refused(&self, words: &[&str], said: &str) -> Outcome<()> {
        let ran = self.attempt(words)?;
        let all = all(&ran);
        holds(!ran.status.success() && all.contains(said), || {
            format!("notary {words:?} was to fail with {said:?}: {} {all}", ran.status)
        })
    }

    /// A file to sign, of this size.
    pub(crate) fn content(&self, name: &str, size: usize) -> Outcome<PathBuf> {
        let path = self.home.join(name);
        fs::write(&path, hallmark_conformance::image::noise(size as u64, size))?;
        Ok(path)
    }

    /// What `list` prints, in the order of names.
    pub(crate) fn list(&self, gun: &str) -> Outcome<Vec<Listed>> {
        let printed = self.run(&["list", gun])?;
        let mut listed: Vec<_> = printed.lines().filter_map(listed).collect();
        listed.sort();
        Ok(listed)
    }

    /// Holds that `list` prints these names and no others.
    pub(crate) fn lists(&self, gun: &str, names: &[&str]) -> Outcome<()> {
        let listed: Vec<String> = self.list(gun)?.into_iter().map(|target| target.name).collect();
        holds(listed == names, || format!("{names:?} were to be listed, not {listed:?}"))
    }
}

fn good(words: &[&str], ran: &Ran) -> Outcome<String> {
    holds(ran.status.success(), || format!("notary {words:?} ended with {}: {}", ran.status, all(ran)))?;
    Ok(all(ran))
}

/// All that a program said.
pub(crate) fn all(ran: &Ran) -> String {
    format!("{}{}", ran.output, ran.complaints)
}

/// A line of the table: name, digest, size, role.
fn listed(line: &str) -> Option<Listed> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, digest, size, role] = words.as_slice() else { return None };
    let size = size.parse().ok()?;
    Some(Listed { name: (*name).to_owned(), digest: (*digest).to_owned(), size, role: (*role).to_owned() })
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// A text path; temporary folders have no other.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
