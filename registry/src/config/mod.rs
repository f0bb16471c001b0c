//! Lives here: every setting of Hallmark, where it may come from, and the one validated type that the rest reads.
//! Never here: what a setting means for a request; nothing outside this room reads a file of settings or the environment.
//! Start reading at [`Config`], then [`load`], then the table in `keys.rs`.

mod draft;
mod file;
mod keys;
mod network;
mod person;
mod print;
mod secret;
mod section;
mod source;
mod value;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ::http::uri::Authority;
use hallmark_signer::Rates;
use hallmark_storage::blobs::StorageConfig;
use hallmark_storage::metadata::{DatabaseConfig, Graces};
use url::Url;

pub use self::network::{Network, NetworkInvalid};
pub use self::person::Person;
pub use self::secret::Secret;
pub(crate) use self::section::is_safe;
pub use self::section::{DirectorySection, IssuerSection, ProviderSection, Sections};
pub use self::source::{Flag, Place, Sources};

/// The name of the file of settings that is looked for in the data folder when none is named.
pub const FILE_NAME: &str = "hallmark.toml";

/// Everything that can be set, checked once; nothing else in the program asks where a value came from.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder (`DIR` in the documentation).
    pub data: PathBuf,
    /// The address and port that the registry listens on.
    pub listen: SocketAddr,
    /// The certificate and key to serve HTTPS with; none means plain HTTP.
    pub tls: Option<Tls>,
    /// Plain HTTP on an address that others can reach was asked for in so many words.
    pub insecure_http: bool,
    /// How clients reach this registry: scheme, host and port, nothing else. None means: as the request says.
    pub public_url: Option<Url>,
    /// Other names (`host` or `host:port`, lower case) under which clients reach this registry.
    pub aliases: Vec<Authority>,
    /// The proxies whose `X-Forwarded-For`, `-Host` and `-Proto` headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Where facts are kept.
    pub database: DatabaseConfig,
    /// Where bytes are kept.
    pub storage: StorageConfig,
    /// How and how much is logged.
    pub log: Log,
    /// Limits of the HTTP server.
    pub http: Http,
    /// How long the tokens we issue are valid.
    pub tokens: Tokens,
    /// Which passwords people may choose.
    pub passwords: Passwords,
    /// How long what is no longer needed is kept all the same.
    pub gc: Gc,
    /// What happens to names that are released.
    pub names: Names,
    /// How long an upload may rest before it is given up.
    pub uploads: Uploads,
    /// Sizes beyond which a request is refused.
    pub limits: Limits,
    /// What is remembered of what happened.
    pub audit: Audit,
    /// Private hosts (without ports) that issuers and providers may be asked at.
    pub allowed_private_hosts: Vec<String>,
    /// Who else knows people and workloads: directories, issuers and providers.
    pub sections: Sections,
    /// The key that seals the private keys kept in the database (I10).
    pub master_key: MasterKey,
    /// Who signs, and who may ask a signer that is a process of its own.
    pub signer: Signer,
    /// The password that the user `admin` is created with at the first start.
    pub admin_password: Option<Secret>,
}

impl Config {
    /// What holds for one server and would not for two, although the settings let another be started: the bytes of a folder
    /// are this machine's, and only one process may write them. No process can see the other, so it is said and not refused.
    #[must_use]
    pub fn caution(&self) -> Option<&'static str> {
        let shared = matches!(self.database, DatabaseConfig::Postgres { .. });
        let own = matches!(self.storage, StorageConfig::Folder { .. });
        (shared && own).then_some(
            "the database is PostgreSQL and image data is in a folder: a second server on this database would lose data",
        )
    }

    /// Whether what the peer at `address` says about the client in front of it is believed.
    #[must_use]
    pub fn trusts_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }
}

/// A certificate chain and its private key, both PEM files; they are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The file of the certificate, followed by those that lead to the root.
    pub certificate: PathBuf,
    /// The file of the private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// The file of the authority whose certificates clients may show.
    pub client_ca: Option<PathBuf>,
}

/// How the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// The least important level that is written: a level, or `target=level` pairs with commas between them.
    pub level: String,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Limits of the HTTP server; each bounds what a slow or hostile client can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// How long a TLS handshake or the head of a request may take, from its first byte to its last.
    pub header_timeout: Duration,
    /// How long a connection without a running request is kept.
    pub idle_timeout: Duration,
    /// How long a client may neither send the body it announced nor take the answer it asked for.
    pub body_timeout: Duration,
    /// How many connections are served at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// How long running requests may go on once the server was told to stop.
    pub drain_timeout: Duration,
}

/// Lifetimes of the tokens we issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Of an access token; never less than 60 s, which is what clients assume.
    pub lifetime: Duration,
    /// Of a refresh token.
    pub refresh_lifetime: Duration,
}

/// Rules for the passwords that people choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwords {
    /// The fewest characters of a new one.
    pub min_length: usize,
    /// A list of known passwords, none of which is taken: hashes of SHA-1 in order, as Pwned Passwords hands them out.
    pub breached: Option<PathBuf>,
}

/// Rules for names that are released: of users and organizations that were removed, of repositories that were deleted or
/// renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// How long a newcomer does not get one.
    pub rest: Duration,
}

/// How long what is no longer needed is kept all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gc {
    /// How long a blob that no manifest names is shown after it was last pushed or mounted.
    pub shown: Duration,
    /// How long whoever was told of something has to name it, before it is collected.
    pub margin: Duration,
    /// How long bytes are kept after the last fact that led to them. Never less than the longest answer that is on its way;
    /// where backups of the database are restored, as long as the oldest of them is old.
    pub byte_grace: Duration,
    /// How long what was deleted can be brought back.
    pub trash_window: Duration,
    /// How long bytes are believed to be whole before they are read again; zero: for ever.
    pub scrub_interval: Duration,
    /// How many bytes are read again within a minute, at most.
    pub scrub_bytes: usize,
    /// How long after one of the 256 parts of the store the next is compared with the facts; zero: never.
    pub compare_interval: Duration,
    /// How long after the beginning of one round of the rules on what is kept the next begins; zero: never.
    pub retention_interval: Duration,
    /// How many manifests and tags go by rule within a minute, at most; a manifest that passes it takes its tags along.
    pub retention_rate: u32,
}

impl Gc {
    /// As the database is told.
    #[must_use]
    pub fn graces(&self) -> Graces {
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Graces {
            shown: milliseconds(self.shown),
            margin: milliseconds(self.margin),
            bytes: milliseconds(self.byte_grace),
            window: milliseconds(self.trash_window),
        }
    }
}

/// Rules for uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploads {
    /// How long an upload without progress can be resumed.
    pub expiry: Duration,
}

/// Sizes beyond which a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a manifest, in bytes.
    pub manifest_bytes: usize,
    /// What an account may hold that is made from now on, in bytes: its quota, which may be set otherwise later; none: as much as there
    /// is room for.
    pub account_bytes: Option<u64>,
}

/// What is remembered of what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// How long events are kept.
    pub retention: Duration,
    /// Whether pulls are events too.
    pub pulls: bool,
}

/// Who signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The signer that is another process; none means: within this one.
    pub remote: Option<RemoteSigner>,
    /// The address and port that `hallmark signer serve` listens on.
    pub listen: SocketAddr,
    /// The names in client certificates that such a signer takes; none means: every certificate of the authority.
    pub clients: Vec<String>,
    /// How many signatures a minute may be asked for.
    pub rates: Rates,
}

/// How a signer that is another process is reached. The files are read at the start and again when it does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSigner {
    /// Scheme (https), host and port.
    pub url: Url,
    /// The file of the authority that certified the signer.
    pub ca: PathBuf,
    /// The file of the certificate that is shown to it.
    pub certificate: PathBuf,
    /// The file of that certificate's private key.
    pub key: PathBuf,
}

/// Where the master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKey {
    /// Given in `HALLMARK_MASTER_KEY`: 32 bytes in base64, checked.
    Given(Secret),
    /// Kept in this file (mode 0600), made at the first start.
    File(PathBuf),
    /// Derived from what `HALLMARK_MASTER_PASSPHRASE` holds.
    Passphrase(Secret),
    /// Derived from the first line of this file.
    PassphraseFile(PathBuf),
    /// Sealed by a token of PKCS#11.
    Token(Token),
}

/// A key of a token of PKCS#11.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The module: a shared library.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// The label of the key.
    pub key: String,
    /// The file whose first line is the PIN of the token's user.
    pub pin_file: PathBuf,
}

/// The settings and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The validated settings.
    pub config: Config,
    /// The file of settings that was read, if any.
    pub file: Option<PathBuf>,
    effective: Vec<print::Effective>,
    sections: String,
}

impl Loaded {
    /// The effective settings as TOML that can be loaded again, each with its place; secrets are hidden.
    #[must_use]
    pub fn to_toml(&self) -> String {
        print::to_toml(&self.effective) + &self.sections
    }
}

/// One setting that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the setting was found.
    pub place: Place,
    /// What is wrong with it and what would be accepted.
    pub message: String,
}

/// The settings were refused; all that is wrong with them, so that one correction suffices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration is refused:{}", lines(problems))]
pub struct ConfigInvalid {
    /// In the order of the sources, then of the table.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {}: {}", problem.place, problem.message)).collect()
}

/// What the settings are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To listen: plain HTTP where others can reach it is refused unless it was asked for.
    Serve,
    /// To sign for others, as a process of its own: its clients must be known.
    Sign,
    /// To work on the stores without listening.
    Offline,
}

/// Gathers all settings (flags before `HALLMARK_*` variables before the file before defaults) and checks them once.
///
/// # Errors
/// [`ConfigInvalid`] names every unknown key, every value that is not accepted and every contradiction, each with its place.
pub fn load(sources: &Sources, purpose: Purpose) -> Result<Loaded, ConfigInvalid> {
    let mut gathered = source::gather(sources);
    let draft = draft::fill(&mut gathered);
    let config = draft::finish(draft, purpose, &mut gathered);
    match config {
        Some(config) if gathered.problems.is_empty() => {
            let (effective, sections) = (print::effective(&gathered), print::sections(&gathered));
            Ok(Loaded { config, file: gathered.file, effective, sections })
        }
        _ => Err(ConfigInvalid { problems: gathered.problems }),
    }
}

/// The data folder alone: all that a command needs that speaks to a running server.
///
/// # Errors
/// [`ConfigInvalid`] names every unknown key and every value that is not accepted; contradictions are the server's business.
pub fn data_folder(sources: &Sources) -> Result<PathBuf, ConfigInvalid> {
    let mut gathered = source::gather(sources);
    let draft = draft::fill(&mut gathered);
    if gathered.problems.is_empty() { Ok(draft.data) } else { Err(ConfigInvalid { problems: gathered.problems }) }
}
