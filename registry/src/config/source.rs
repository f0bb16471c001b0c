//! Where settings come from: flags, variables and a file, each flattened to a dotted key with its place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::keys::{self, Key};
use super::section::{self, Section};
use super::value::{Raw, Setting};
use super::{FILE_NAME, Problem, file};

/// All variables of ours begin with this.
const PREFIX: &str = "HALLMARK_";
/// Names the file of settings; it is about where settings are, so it is no setting itself.
const CONFIG_VARIABLE: &str = "HALLMARK_CONFIG";
/// Name what a person chose among the registries that they signed in to, and who they are where nobody signed in, as in CI; a
/// server on the same machine leaves them alone.
pub(super) const CONTEXT_VARIABLE: &str = "HALLMARK_CONTEXT";
pub(super) const USER_VARIABLE: &str = "HALLMARK_USER";
pub(super) const PASSWORD_VARIABLE: &str = "HALLMARK_PASSWORD";
const OF_PERSONS: [&str; 3] = [CONTEXT_VARIABLE, USER_VARIABLE, PASSWORD_VARIABLE];

/// What the process was started with. Tests build it by hand; [`Sources::of_process`] is what `main` uses.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Settings given as flags.
    pub flags: Vec<Flag>,
    /// The file named by `--config`.
    pub config_file: Option<PathBuf>,
    /// All variables of the environment; those that do not begin with `HALLMARK_` are left alone.
    pub environment: Vec<(OsString, OsString)>,
}

/// A setting given on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The dotted key that it sets.
    pub key: &'static str,
    /// The flag as it is typed, such as `--listen`.
    pub flag: &'static str,
    /// The value as it was typed.
    pub text: String,
}

impl Sources {
    /// The environment of this process, with what was given on its command line.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may read the environment")]
    pub fn of_process(flags: Vec<Flag>, config_file: Option<PathBuf>) -> Self {
        Self { flags, config_file, environment: std::env::vars_os().collect() }
    }
}

/// Where a setting was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nobody set it.
    Default,
    /// A flag such as `--listen`.
    Flag(&'static str),
    /// A variable of the environment.
    Variable(String),
    /// A line and column, both counted from one, of the file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// Counted from one, in characters.
        column: usize,
    },
    /// The file as a whole: it cannot be read.
    WholeFile(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Flag(flag) => formatter.write_str(flag),
            Self::Variable(name) => formatter.write_str(name),
            Self::File { path, line, column } => write!(formatter, "{}:{line}:{column}", path.display()),
            Self::WholeFile(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// All settings found, the strongest source of each key, and what was wrong on the way.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) settings: BTreeMap<&'static str, Setting>,
    pub(super) problems: Vec<Problem>,
    pub(super) file: Option<PathBuf>,
    pub(super) sections: Vec<Section>,
    /// Secrets of named tables, each until its table takes it.
    secrets: BTreeMap<String, String>,
}

impl Gathered {
    /// Keeps `setting` unless a stronger source has set the key already.
    pub(super) fn offer(&mut self, key: &'static Key, setting: Setting) {
        self.settings.entry(key.name).or_insert(setting);
    }

    /// Takes the secret that a variable of this name holds.
    pub(super) fn claim_secret(&mut self, variable: &str) -> Option<String> {
        self.secrets.remove(variable)
    }

    /// The variables whose secrets no table took.
    pub(super) fn unclaimed_secrets(&mut self) -> Vec<(String, Place)> {
        let left = std::mem::take(&mut self.secrets);
        left.into_keys().map(|variable| (variable.clone(), Place::Variable(variable))).collect()
    }

    pub(super) fn refuse(&mut self, place: Place, message: String) {
        self.problems.push(Problem { place, message });
    }

    /// The place of `key`, for a problem that is found when several keys are seen together.
    pub(super) fn place(&self, key: &str) -> Place {
        self.settings.get(key).map_or(Place::Default, |setting| setting.place.clone())
    }

    /// Whether anybody set `key`.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }
}

/// Reads the sources, the strongest first.
pub(super) fn gather(sources: &Sources) -> Gathered {
    let mut gathered = Gathered::default();
    flags(&sources.flags, &mut gathered);
    let named_by_variable = variables(&sources.environment, &mut gathered);
    let data = data_folder(&gathered);
    let Some((path, found)) = file_to_read(sources, named_by_variable, &data) else { return gathered };
    file::read(&path, found == Found::InDataFolder, &mut gathered);
    gathered.file = Some(path);
    gathered
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Named,
    InDataFolder,
}

/// The file that was named, which must be there, or the one in the data folder if it is.
fn file_to_read(sources: &Sources, by_variable: Option<PathBuf>, data: &Path) -> Option<(PathBuf, Found)> {
    if let Some(named) = sources.config_file.clone().or(by_variable) {
        return Some((named, Found::Named));
    }
    let beside = data.join(FILE_NAME);
    beside.exists().then_some((beside, Found::InDataFolder))
}

/// The data folder as far as it is known before the file is read.
fn data_folder(gathered: &Gathered) -> PathBuf {
    match gathered.settings.get("data").map(|setting| &setting.raw) {
        Some(Raw::Text(text)) => PathBuf::from(text),
        _ => PathBuf::from(keys::DATA_DEFAULT),
    }
}

fn flags(flags: &[Flag], gathered: &mut Gathered) {
    for Flag { key, flag, text } in flags {
        let place = Place::Flag(flag);
        match keys::find(key) {
            Some(key) => gathered.offer(key, Setting::typed(text.clone(), place)),
            None => gathered.refuse(place, format!("`{key}` is not a setting")),
        }
    }
}

/// Takes every variable of ours; gives back the file named by `HALLMARK_CONFIG`.
fn variables(environment: &[(OsString, OsString)], gathered: &mut Gathered) -> Option<PathBuf> {
    let mut config_file = None;
    let mut ours: Vec<_> = environment
        .iter()
        .filter_map(|(name, text)| Some((name.to_str()?, text)))
        .filter(|(name, _)| name.starts_with(PREFIX) && !OF_PERSONS.contains(name) && !is_service_link(name))
        .collect();
    ours.sort_unstable();
    for (name, text) in ours {
        let place = Place::Variable(name.to_owned());
        if name == CONFIG_VARIABLE && !text.is_empty() {
            config_file = Some(PathBuf::from(text));
            continue;
        }
        match (keys::find_variable(name), text.to_str()) {
            (_, Some("")) => gathered.refuse(place, "it is empty: unset it, or give it a value".to_owned()),
            (Some(_), None) => gathered.refuse(place, "its value is not UTF-8 text".to_owned()),
            (Some(key), Some(text)) => gathered.offer(key, Setting::typed(text.to_owned(), place)),
            (None, Some(text)) if section::is_secret(name) => {
                gathered.secrets.insert(name.to_owned(), text.to_owned());
            }
            (None, _) => {
                let known = keys::KEYS.iter().map(Key::variable).chain([CONFIG_VARIABLE.to_owned()]);
                let message = format!("unknown variable{}", keys::suggestion(name, known));
                gathered.refuse(place, message);
            }
        }
    }
    config_file
}

/// Kubernetes gives every pod variables that describe the services of its namespace (`HALLMARK_PORT`,
/// `HALLMARK_SERVICE_HOST`, `HALLMARK_PORT_5000_TCP_ADDR`, …); a service called `hallmark` must not stop the start.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT")
        || name.contains("_SERVICE_PORT")
        || name
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| rest.contains("_TCP") || rest.contains("_UDP") || rest.contains("_SCTP"))
}
