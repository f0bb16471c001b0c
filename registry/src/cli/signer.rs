//! `hallmark signer`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::ask::{Asked, AskedServer, not_understood};
use super::output::{self, Failure, Format};
use super::settings::{SignerSettings, Where};
use crate::clock::Clock;
use crate::config::Secret;
use crate::control::{Answer, Command, FolderError, FolderLock, NewMaster, SignatureLine, SignerKeyLine};
use crate::signing::commands::Roots;
use crate::{master, serve, signing, telemetry};

/// The longest backup that is read, in bytes.
const BACKUP_BYTES: u64 = 1 << 30;

#[derive(Debug, Subcommand)]
pub(super) enum SignerVerb {
    /// Sign for registries until told to stop: a process that holds the keys, so that no registry does.
    ///
    /// It has a data folder and a database of its own, and is reached over mutual TLS only: tls.certificate and tls.key are its
    /// own, tls.client_ca is the authority of its clients, and signer.clients may name which of them it takes. A registry
    /// reaches it with signer.url, signer.ca_file, signer.certificate_file and signer.key_file.
    Serve(Serve),
    /// List the signatures that were made, the newest first: when, for whom, over what, by which key.
    Log(Log),
    /// Seal every key under another master key, while the server goes on.
    ///
    /// All of them at once or none: a process that is killed meanwhile starts with the one or with the other. Then name the new one
    /// in the settings (master_key_file, master_passphrase_file or pkcs11.*), for the next start.
    Rewrap(Rewrap),
    /// Copy the keys and the last versions into a file that a passphrase opens, while the server goes on.
    Backup(Backup),
    /// Bring keys and versions back from such a file, while no server runs on the folder.
    ///
    /// No version is lowered, and no key is put in the place of another: what stands against it is refused before anything is
    /// written.
    Restore(Restore),
    /// Delete every key, because the master key is lost or the keys are stolen, while no server runs on the folder.
    ///
    /// Docs: signer.md tells what to do before and after. The versions that were given and the log stay; the keys that sign tokens
    /// go too, and everybody signs in again.
    Abandon(Abandon),
    /// List the keys, never their private parts.
    Keys(Keys),
}

#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: SignerSettings,
}

#[derive(Args, Debug)]
pub(super) struct Log {
    /// How many signatures to show
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    asked: AskedServer,
}

#[derive(Args, Debug)]
pub(super) struct Keys {
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    asked: AskedServer,
}

#[derive(Args, Debug)]
pub(super) struct Rewrap {
    #[command(flatten)]
    to: NewMasterKey,
    #[command(flatten)]
    asked: AskedServer,
}

#[derive(Args, Debug)]
struct NewMasterKey {
    /// A file with 32 random bytes in base64; made if it is not there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase_file", "pkcs11_module"])]
    key_file: Option<PathBuf>,
    /// A file whose first line is a passphrase of at least 12 bytes
    #[arg(long, value_name = "FILE", conflicts_with = "pkcs11_module")]
    passphrase_file: Option<PathBuf>,
    /// A shared library that speaks PKCS#11
    #[arg(long, value_name = "FILE", requires_all = ["pkcs11_token", "pkcs11_key", "pkcs11_pin_file"])]
    pkcs11_module: Option<PathBuf>,
    /// The label of the token
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pkcs11_token: Option<String>,
    /// The label of an AES key of the token; made if it is not there
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pkcs11_key: Option<String>,
    /// A file whose first line is the PIN of the token's user
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pkcs11_pin_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The file to write, with mode 0600; one that is there is replaced
    file: PathBuf,
    /// A file whose first line is the passphrase, of at least 12 bytes
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
    #[command(flatten)]
    asked: AskedServer,
}

#[derive(Args, Debug)]
pub(super) struct Restore {
    /// The file that `backup` wrote
    file: PathBuf,
    /// A file whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
    #[command(flatten)]
    place: Where,
}

#[derive(Args, Debug)]
pub(super) struct Abandon {
    /// Forget the roots of trust domains too, and what was published under them: clients pin a new root
    #[arg(long)]
    new_root: bool,
    /// Do it; without this nothing is done
    #[arg(long, required = true)]
    yes: bool,
    #[command(flatten)]
    place: Where,
}

impl SignerVerb {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Log(log) => log.run(),
            Self::Rewrap(rewrap) => rewrap.run(),
            Self::Backup(backup) => backup.run(),
            Self::Restore(restore) => restore.run(),
            Self::Abandon(abandon) => abandon.run(),
            Self::Keys(keys) => keys.run(),
        }
    }
}

impl Serve {
    fn run(self) -> Result<(), Failure> {
        let config = self.settings.load()?.config;
        let _logging = telemetry::start_logging(&config.log)
            .map_err(|error| Failure::Failed(format!("logging cannot be started: {error}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("the runtime cannot be started: {error}")))?;
        let served = runtime.block_on(signing::process::run(config));
        runtime.shutdown_timeout(serve::LAST_THREADS);
        served.map_err(|error| Failure::Failed(telemetry::chain(&error)))
    }
}

impl Rewrap {
    fn run(self) -> Result<(), Failure> {
        let to = self.to.named()?;
        done(super::block_on(Asked::from(self.asked).ask(Command::SignerRewrap { to }))??)
    }
}

impl Backup {
    fn run(self) -> Result<(), Failure> {
        let words = master::line(&self.passphrase_file).map_err(|error| Failure::Failed(telemetry::chain(&error)))?;
        let passphrase = Secret::new(words.to_string());
        let command = Command::SignerBackup { path: absolute(&self.file)?, passphrase };
        done(super::block_on(Asked::from(self.asked).ask(command))??)
    }
}

impl Restore {
    fn run(self) -> Result<(), Failure> {
        let failed = |error: &(dyn std::error::Error + 'static)| Failure::Failed(telemetry::chain(error));
        let config = self.place.load_offline()?.config;
        if let Some(remote) = &config.signer.remote {
            return Err(Failure::Failed(format!(
                "the signer is another process ({}): restore its own folder",
                remote.url
            )));
        }
        let _lock = alone(&config.data)?;
        let words = master::line(&self.passphrase_file).map_err(|error| failed(&error))?;
        let file = read_bounded(&self.file)?;
        let restored = super::block_on(signing::commands::restore(&config, &file, &words, &Clock::System))?;
        output::say(restored.map_err(Failure::Failed)?)
    }
}

impl Abandon {
    fn run(self) -> Result<(), Failure> {
        let config = self.place.load_offline()?.config;
        let _lock = alone(&config.data)?;
        let roots = if self.new_root { Roots::BeginAnew } else { Roots::Keep };
        let abandoned = super::block_on(signing::commands::abandon(&config, roots, &Clock::System))?;
        output::say(abandoned.map_err(Failure::Failed)?)
    }
}

/// That no server works in the folder.
fn alone(data: &Path) -> Result<FolderLock, Failure> {
    FolderLock::take(data).map_err(|error| match error {
        FolderError::InUse { .. } => Failure::Failed(format!("{error}: stop it first")),
        FolderError::Unusable { .. } => Failure::Failed(error.to_string()),
    })
}

/// A backup as it is read.
fn read_bounded(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut file = Vec::new();
    let read = std::fs::File::open(path).and_then(|opened| opened.take(BACKUP_BYTES + 1).read_to_end(&mut file));
    match read {
        Err(error) => Err(Failure::Failed(format!("{}: {error}", path.display()))),
        Ok(_) if file.len() as u64 > BACKUP_BYTES => Err(Failure::Failed(format!("{} is too long", path.display()))),
        Ok(_) => Ok(file),
    }
}

impl NewMasterKey {
    fn named(self) -> Result<NewMaster, Failure> {
        let Self { key_file, passphrase_file, pkcs11_module, pkcs11_token, pkcs11_key, pkcs11_pin_file } = self;
        match (key_file, passphrase_file, pkcs11_module, (pkcs11_token, pkcs11_key, pkcs11_pin_file)) {
            (Some(path), ..) => Ok(NewMaster::KeyFile { path: absolute(&path)? }),
            (_, Some(path), ..) => Ok(NewMaster::PassphraseFile { path: absolute(&path)? }),
            (_, _, Some(module), (Some(token), Some(key), Some(pin_file))) => Ok(NewMaster::Token {
                module: absolute(&module)?,
                token,
                key,
                pin_file: absolute(&pin_file)?,
            }),
            _ => Err(Failure::Usage(
                "say where the new master key is: --key-file, --passphrase-file, or --pkcs11-module and what belongs to it".to_owned(),
            )),
        }
    }
}

/// The server has another working folder.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

fn done(answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Done { message } => output::say(message),
        _ => Err(not_understood()),
    }
}

impl Log {
    fn run(self) -> Result<(), Failure> {
        let mut left = self.limit;
        let mut begins = self.output == Format::Text;
        super::block_on(Asked::from(self.asked).converse(|answer| {
            let before = match answer {
                None => None,
                Some(Answer::SignerLog { lines, next }) => {
                    if std::mem::take(&mut begins) {
                        say_log_head()?;
                    }
                    lines.iter().take(left).try_for_each(|line| say_signature(line, self.output))?;
                    left = left.saturating_sub(lines.len());
                    match next.filter(|_| left > 0) {
                        Some(next) => Some(next),
                        None => return Ok(None),
                    }
                }
                Some(_) => return Err(not_understood()),
            };
            Ok(Some(Command::SignerLog { before }))
        }))?
    }
}

impl Keys {
    fn run(self) -> Result<(), Failure> {
        let mut begins = self.output == Format::Text;
        super::block_on(Asked::from(self.asked).converse(|answer| {
            let after = match answer {
                None => None,
                Some(Answer::SignerKeys { keys, next }) => {
                    if std::mem::take(&mut begins) {
                        say_keys_head()?;
                    }
                    keys.iter().try_for_each(|key| say_key(key, self.output))?;
                    match next {
                        Some(next) => Some(next),
                        None => return Ok(None),
                    }
                }
                Some(_) => return Err(not_understood()),
            };
            Ok(Some(Command::SignerKeys { after }))
        }))?
    }
}

fn say_log_head() -> Result<(), Failure> {
    let names = ("AT", "ROLE", "VERSION", "KEY", "COLLECTION");
    output::say(format_args!("{:<22} {:<20} {:>10} {:<12} {:<50} CALLER", names.0, names.1, names.2, names.3, names.4))
}

fn say_keys_head() -> Result<(), Failure> {
    let names = ("KEY", "ROLE", "KIND", "MADE", "USED");
    output::say(format_args!(
        "{:<64} {:<20} {:<8} {:<22} {:<22} COLLECTION",
        names.0, names.1, names.2, names.3, names.4
    ))
}

fn say_signature(line: &SignatureLine, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::say_json(line);
    }
    let key: String = line.key.chars().take(12).collect();
    let (at, role) = (output::time(line.at), &line.role);
    output::say(format_args!(
        "{at:<22} {role:<20} {:>10} {key:<12} {:<50} {}",
        line.version, line.collection, line.caller
    ))
}

fn say_key(key: &SignerKeyLine, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::say_json(key);
    }
    let (made, used) = (output::time(key.made_at), key.used_at.map_or_else(|| "never".to_owned(), output::time));
    let SignerKeyLine { id, collection, role, algorithm, .. } = key;
    output::say(format_args!("{id:<64} {role:<20} {algorithm:<8} {made:<22} {used:<22} {collection}"))
}
