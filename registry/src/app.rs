//! Lives here: everything a request may reach, built once at the start; there are no globals.
//! Never here: what a request does with it.
//! Start reading at [`App::open`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hallmark_signer::keys::{MasterKeyInvalid, MasterRefused, Masters};
use hallmark_signer::{CustodyError, Signer, TufRefused};
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{self, Blobs};
use hallmark_storage::metadata::{self, Event, Metadata, NameRange, OpenError};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::auth::Line;
use crate::auth::directory::DirectoryInvalid;
use crate::auth::keys::{KeyError, TokenKeys};
use crate::auth::oidc;
use crate::auth::password::Passwords;
use crate::auth::people::Sources;
use crate::auth::personal::Uses;
use crate::auth::signin::Providers;
use crate::auth::token::TokenMemory;
use crate::auth::users::{self, UserError};
use crate::auth::workloads::Workloads;
use crate::clock::{Clock, Random};
use crate::config::Config;
use crate::durable;
use crate::events::{self, Recorder};
use crate::http::request::RequestIds;
use crate::master;
use crate::readonly::ReadOnly;
use crate::reclaim;
use crate::retention::{AtTurn, Deciding, PULLS_SINCE, Pulls, READONLY_ENDED};
use crate::signing::Signing;
use crate::signing::remote::{Remote, RemoteInvalid};
use crate::telemetry::{Metrics, Readiness, chain};
use crate::trust::renew::Renewals;
use crate::trust::tuf::{self, TufError};

/// The setting that makes every replica refuse writes.
const READONLY: &str = "readonly";
/// How many requests that change something run at once; further ones wait, unread, and are forgotten when they are taken
/// back. An upload holds some 1.5 MiB.
pub const CHANGES: usize = 512;
/// How many forms of people and programs that have yet to say who they are may be read at once, and how many of them from one
/// address. They take none of the places above: a form that is sent slowly keeps nobody from pushing.
const FORMS: (usize, usize) = (512, 64);
/// How many publishes of content trust are checked at once.
const TRUST_CHECKS: usize = 2;
/// The name of the user that the first start makes.
pub const ADMINISTRATOR: &str = "admin";

/// One registry.
pub struct App {
    /// The settings, checked.
    pub config: Config,
    /// What time it is.
    pub clock: Clock,
    /// Unpredictable bytes.
    pub random: Random,
    /// The facts.
    pub metadata: Metadata,
    /// The bytes.
    pub blobs: Blobs,
    /// The counters.
    pub metrics: Metrics,
    /// Whether the stores answered when they were last asked.
    pub readiness: Readiness,
    /// The name of this process among those that share the database.
    pub(crate) replica: String,
    /// Names for requests.
    pub request_ids: RequestIds,
    /// Where passwords are hashed and checked.
    pub passwords: Passwords,
    /// The keys behind bearer tokens.
    pub token_keys: TokenKeys,
    /// Bearer tokens whose signature was checked already.
    pub token_memory: TokenMemory,
    /// When long-lived credentials were last shown.
    pub uses: Uses,
    /// When manifests were last pulled.
    pub pulls: Pulls,
    /// Where what goes by rule is decided.
    pub(crate) deciding: Deciding,
    /// The repository whose rules are at turn.
    pub(crate) at_turn: AtTurn,
    /// What happened and is not written down yet.
    pub recorder: Recorder,
    /// The directories that check passwords.
    pub sources: Sources,
    /// The issuers whose workloads may be robots.
    pub workloads: Workloads,
    /// The providers that people sign in with.
    pub providers: Providers,
    /// Places for requests that change something. A client that takes its requests back frees its streams, but not what
    /// they began.
    pub places: Arc<Semaphore>,
    /// Places for the forms of those who have yet to say who they are.
    pub(crate) forms: Line,
    /// Requests that change something; they end even when their client goes away, and shutdown waits for them.
    pub changes: TaskTracker,
    /// Who holds the private keys of content trust.
    pub signer: Signing,
    /// Places for publishes that are being checked, each of which may take many times the memory of what was sent.
    pub(crate) trust_checks: Semaphore,
    /// Where readers of content trust tell what has expired.
    pub renewals: Renewals,
    pub(crate) master: Masters,
    /// Held while keys are sealed: none is sealed under a master key that is being replaced.
    pub(crate) sealing: tokio::sync::Mutex<()>,
    /// Whether writes are refused for now, and the changes that began before they were.
    pub readonly: ReadOnly,
    /// Whether the collector rests, as last heard.
    pub(crate) gc_paused: AtomicBool,
    /// Whether the store was found to be another database's.
    pub(crate) foreign_store: AtomicBool,
}

/// Why a registry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The database fails.
    #[error("the database failed at the start")]
    Metadata(#[from] metadata::Error),
    /// The blob store cannot be opened.
    #[error("the blob store cannot be opened")]
    Blobs(#[from] blobs::Error),
    /// A file of the data folder cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The list of known passwords that the settings name cannot be used.
    #[error(transparent)]
    Passwords(#[from] UserError),
    /// The master key has the wrong shape.
    #[error("{place}: {source}")]
    MasterKey {
        /// Where it came from.
        place: String,
        /// What is wrong with it.
        source: MasterKeyInvalid,
    },
    /// There is no master key.
    #[error("the master key cannot be had")]
    Master(#[from] MasterRefused),
    /// The token keys cannot be used.
    #[error(transparent)]
    TokenKeys(#[from] KeyError),
    /// The keys of content trust cannot be used.
    #[error(transparent)]
    Signer(#[from] CustodyError),
    /// The signer of the settings cannot be reached as they say.
    #[error(transparent)]
    Remote(#[from] RemoteInvalid),
    /// The root of what is signed cannot be made.
    #[error("the root of the signed tags cannot be made")]
    Trust(#[from] Box<TufError>),
    /// A directory of the settings cannot be used.
    #[error("a directory of the settings cannot be used")]
    Directory(#[from] DirectoryInvalid),
    /// An issuer of the settings cannot be used.
    #[error("an issuer of the settings cannot be used")]
    Issuer(#[from] oidc::OpenError),
    /// A provider of the settings cannot be used.
    #[error("a provider of the settings cannot be used")]
    Provider(#[from] oidc::people::OpenRefused),
    /// The first user cannot be made.
    #[error("the user {ADMINISTRATOR} cannot be made")]
    Administrator(#[source] Box<UserError>),
}

impl std::fmt::Debug for App {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What the settings name beside the stores, opened and read: files of keys and certificates, directories, issuers, providers. It is
/// opened first, before anything is made, and each file is read once.
pub(crate) struct Named {
    master: master::Named,
    remote: Option<Remote>,
    sources: Sources,
    workloads: Workloads,
    providers: Providers,
}

impl Named {
    /// Makes nothing and asks nobody.
    ///
    /// # Errors
    /// [`StartError`] says what to put right.
    pub(crate) fn open(config: &Config) -> Result<Self, StartError> {
        users::check_breached(config)?;
        Ok(Self {
            master: master::Named::read(&config.master_key)?,
            remote: config.signer.remote.clone().map(Remote::open).transpose()?,
            sources: Sources::open(&config.sections.directories)?,
            workloads: Workloads::open(&config.sections.issuers, &network(config))?,
            providers: Providers::open(&config.sections.providers, &network(config))?,
        })
    }
}

impl App {
    /// Opens the stores, the keys and, at the first start, makes the administrator.
    ///
    /// # Errors
    /// [`StartError`] says what to put right.
    pub async fn open(config: Config, clock: Clock) -> Result<Arc<Self>, StartError> {
        let named = Named::open(&config)?;
        Box::pin(Self::start(config, named, clock)).await
    }

    /// As [`App::open`], with what the settings name already opened.
    ///
    /// # Errors
    /// [`StartError`] says what to put right.
    pub(crate) async fn start(config: Config, named: Named, clock: Clock) -> Result<Arc<Self>, StartError> {
        let random = Random::system();
        let now = clock.now();
        durable::make_folder(&config.data)
            .map_err(|source| StartError::File { path: config.data.display().to_string(), source })?;
        // A first start makes tables in the one and hundreds of folders in the other.
        let opened = tokio::join!(Blobs::open(&config.storage), Metadata::open(&config.database, now));
        let (metadata, blobs) = (opened.1?, opened.0?);
        metadata.let_names_rest(i64::try_from(config.names.rest.as_millis()).unwrap_or(i64::MAX));
        metadata.set_graces(config.gc.graces());
        metadata.set_account_quota(config.limits.account_bytes);
        let master = Masters::unlock(&metadata, &named.master.source(&random)?).await?;
        let token_keys = TokenKeys::open(&metadata, &master, &random, now).await?;
        let signer = match named.remote {
            Some(remote) => Signing::Remote(Box::new(remote)),
            None => {
                let signer = Signer::open(metadata.clone(), &master.current(), now).await?.bounded(config.signer.rates);
                Signing::Embedded(Box::new(signer))
            }
        };
        let readonly = metadata.setting(READONLY).await?.as_deref() == Some("on");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let app = Arc::new(Self {
            passwords: Passwords::new(&random, cores),
            replica: random.bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect(),
            request_ids: RequestIds::new(random.bytes()),
            metrics: Metrics::default(),
            readiness: Readiness::default(),
            token_memory: TokenMemory::default(),
            uses: Uses::default(),
            pulls: Pulls::default(),
            deciding: Deciding::default(),
            at_turn: AtTurn::default(),
            recorder: Recorder::default(),
            sources: named.sources,
            workloads: named.workloads,
            providers: named.providers,
            places: Arc::new(Semaphore::new(CHANGES)),
            forms: Line::of(FORMS.0, FORMS.1),
            changes: TaskTracker::new(),
            readonly: ReadOnly::new(readonly),
            gc_paused: AtomicBool::new(false),
            foreign_store: AtomicBool::new(false),
            config,
            clock,
            random,
            metadata,
            blobs,
            token_keys,
            signer,
            trust_checks: Semaphore::new(TRUST_CHECKS),
            renewals: Renewals::default(),
            master,
            sealing: tokio::sync::Mutex::default(),
        });
        app.make_administrator(now).await?;
        if readonly {
            // Whoever served before could not write down what was pulled.
            app.pulls.note_others(now);
        }
        match tuf::root::first(&app, tuf::DOMAIN).await {
            // Pulls and pushes need no signer; what is to be signed makes the root when it is back.
            Err(TufError::Signer(TufRefused::Unserved(away))) => {
                tracing::warn!(error = chain(&away), "the root of the signed tags is not made yet");
            }
            made => drop(made.map_err(Box::new)?),
        }
        // Those of a release that gave them no places; from here on the writer does.
        events::number(&app).await?;
        Ok(app)
    }

    /// Whether writes are refused for now.
    #[must_use]
    pub fn is_readonly(&self) -> bool {
        self.readonly.is_on()
    }

    /// Refuses writes on every replica, or takes them again. Changes that have begun here are refused at their next step;
    /// the switch waits for them with `settled`.
    ///
    /// # Errors
    /// The database's; nothing has changed then.
    pub async fn set_readonly(&self, readonly: bool) -> Result<(), metadata::Error> {
        let (value, kind) = if readonly { ("on", "readonly_began") } else { ("off", "readonly_ended") };
        self.metadata
            .write((value, kind, self.clock.now()), |tx, (value, kind, now)| {
                Box::pin(async move {
                    if value == &"off" && tx.setting(READONLY).await?.as_deref() == Some("on") {
                        let now = now.to_string();
                        tx.set_setting(READONLY_ENDED, Some(&now)).await?;
                        // A process that served meanwhile and ended could not write down what was pulled.
                        tx.set_setting(PULLS_SINCE, Some(&now)).await?;
                    }
                    tx.set_setting(READONLY, Some(value)).await?;
                    tx.record(&Event::of_system(kind, READONLY, *now)).await
                })
            })
            .await?;
        self.readonly.turn(readonly);
        Ok(())
    }

    /// Takes over what other replicas have decided: the read-only switch, whether the collector rests, and the token keys.
    ///
    /// # Errors
    /// What could not be read; the old state stays.
    pub async fn refresh(&self) -> Result<(), StartError> {
        let readonly = self.metadata.setting(READONLY).await?.as_deref() == Some("on");
        self.readonly.turn(readonly);
        reclaim::is_paused(self).await?;
        self.reload_token_keys(self.clock.now()).await?;
        Ok(())
    }

    /// Makes a new token key; tokens of the keys before it are accepted until they have expired.
    ///
    /// # Errors
    /// `KeyError`; the keys stay as they are.
    pub async fn rotate_token_keys(&self) -> Result<String, KeyError> {
        let _sealing = self.sealing.lock().await;
        let overlap = i64::try_from(self.config.tokens.lifetime.as_millis()).unwrap_or(i64::MAX / 4) + 2 * 60_000;
        let kid = self.token_keys.rotate(&self.metadata, &self.master, &self.random, overlap, self.clock.now()).await?;
        self.token_memory.forget();
        Ok(kid)
    }

    /// Reads the token keys again.
    ///
    /// # Errors
    /// `KeyError`; the keys in use stay.
    pub async fn reload_token_keys(&self, now: i64) -> Result<(), KeyError> {
        if self.token_keys.reload(&self.metadata, &self.master, &self.random, now).await? {
            self.token_memory.forget();
        }
        Ok(())
    }

    /// Makes the user `admin` when the registry has no user at all.
    async fn make_administrator(&self, now: i64) -> Result<(), StartError> {
        if !self.metadata.users(&NameRange::after(None), 1).await?.is_empty() {
            return Ok(());
        }
        self.make_first_user(now).await
    }

    /// Makes the administrator, unless another replica that starts at the same moment is faster.
    async fn make_first_user(&self, now: i64) -> Result<(), StartError> {
        let given = self.config.admin_password.as_ref().map(|password| password.expose().to_owned());
        let generated = given.is_none();
        let password = given.unwrap_or_else(|| users::generate_password(&self.random));
        let path = self.config.data.join("admin-password");
        if generated {
            // The file first: a crash between the two must not leave a user whose password nobody knows.
            write_secret(&path, format!("{password}\n").as_bytes())?;
        }
        match users::add_first(self, password.clone(), now).await {
            Ok(()) if generated => announce(&password, &path),
            Err(UserError::NameTaken(_)) if generated => {
                // What is in the file is nobody's password; the other replica told the right one.
                let removed = std::fs::remove_file(&path);
                removed.map_err(|source| StartError::File { path: path.display().to_string(), source })?;
            }
            Ok(()) | Err(UserError::NameTaken(_)) => {}
            Err(error) => return Err(StartError::Administrator(Box::new(error))),
        }
        Ok(())
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the generated password is printed once, for the person who starts the registry"
)]
fn announce(password: &str, path: &Path) {
    println!("The user {ADMINISTRATOR} was made with the password {password}");
    println!(
        "It is also in {} (readable by you only); change it with: hallmark user password {ADMINISTRATOR}",
        path.display()
    );
}

/// Where issuers and providers may be asked.
fn network(config: &Config) -> oidc::Network {
    oidc::Network { allowed_private_hosts: config.allowed_private_hosts.clone(), ..oidc::Network::default() }
}

/// Writes a file that only its owner may read, whole and synced or not at all.
pub(crate) fn write_secret(path: &Path, content: &[u8]) -> Result<(), StartError> {
    let attempt = || {
        let draft = beside(path, ".new");
        let _ = std::fs::remove_file(&draft);
        write_draft(&draft, content)?;
        std::fs::rename(&draft, path)?;
        durable::sync_name(path)
    };
    attempt().map_err(|source| StartError::File { path: path.display().to_string(), source })
}

/// The same for a file that others may make at the same moment: the first one stays.
pub(crate) fn write_first_secret(path: &Path, content: &[u8]) -> Result<(), StartError> {
    let attempt = || {
        let draft = beside(path, &format!(".{}.new", StorageKey::random()));
        let linked = write_draft(&draft, content).and_then(|()| std::fs::hard_link(&draft, path));
        // Whatever became of it, no second copy of a secret stays.
        let removed = std::fs::remove_file(&draft);
        match linked {
            Err(present) if present.kind() == io::ErrorKind::AlreadyExists => {}
            linked => linked?,
        }
        removed?;
        durable::sync_name(path)
    };
    attempt().map_err(|source| StartError::File { path: path.display().to_string(), source })
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn write_draft(draft: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flag, Purpose, Sources};

    /// Two replicas on one new database find no user at the same moment; the one whose turn comes second is this.
    #[tokio::test]
    async fn a_replica_that_comes_second_tells_no_password_and_starts() {
        let data = tempfile::TempDir::new().unwrap();
        let flag = Flag { key: "data", flag: "--data", text: data.path().display().to_string() };
        let sources = Sources { flags: vec![flag], ..Sources::default() };
        let app = App::open(config::load(&sources, Purpose::Serve).unwrap().config, Clock::System).await.unwrap();
        let path = data.path().join("admin-password");
        std::fs::remove_file(&path).unwrap();
        let before = app.metadata.user(ADMINISTRATOR).await.unwrap().unwrap();
        app.make_first_user(0).await.unwrap();
        assert!(!path.exists(), "nobody's password is in no file");
        assert!(app.metadata.user(ADMINISTRATOR).await.unwrap().unwrap() == before);
    }
}
