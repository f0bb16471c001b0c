//! What the operator asks of the signer over the control socket, whether it is in the registry or a process of its own.

use std::path::Path;

use hallmark_signer::keys::Masters;
use hallmark_signer::{KeyRecord, Restored, Rewrapped, Signer};
use hallmark_storage::metadata::{self, Event, LogLine, Metadata};

use super::process::Process;
use super::remote::Remote;
use crate::clock::{Clock, Random};
use crate::config::Config;
use crate::control::{Answer, Command, NewMaster, SignatureLine, SignerKeyLine};
use crate::telemetry::chain;
use crate::{app, config, master, trust};

/// How many keys or lines one answer holds.
const PAGE: u32 = 1_000;

/// Does what the operator asks of a signer that is a process of its own.
pub(super) async fn of_process(process: &Process, command: Command) -> Answer {
    match command {
        Command::SignerRewrap { to } => {
            let _sealing = process.sealing.lock().await;
            match rewrap(&process.metadata, &process.master, to, process.clock.now()).await {
                Ok(message) => Answer::Done { message },
                Err(message) => Answer::Refused { message },
            }
        }
        Command::SignerBackup { path, passphrase } => {
            let keys = (&process.metadata, &process.master);
            match backup(keys, &path, passphrase.expose(), process.clock.now()).await {
                Ok(message) => Answer::Done { message },
                Err(message) => Answer::Refused { message },
            }
        }
        command => perform(&process.signer, command).await,
    }
}

/// Writes a backup of the keys into a file that only its owner may read, whole or not at all.
pub(crate) async fn backup(
    (metadata, master): (&Metadata, &Masters),
    path: &Path,
    words: &str,
    now: i64,
) -> Result<String, String> {
    let file = hallmark_signer::backup(metadata, master, words, now).await.map_err(|error| chain(&error))?;
    app::write_secret(path, &file).map_err(|error| chain(&error))?;
    Ok(format!("the signer's keys are in {} ({} bytes); its passphrase opens them", path.display(), file.len()))
}

/// Brings keys back from a backup, in a folder that no process works in.
///
/// # Errors
/// Why not, as a sentence.
pub(crate) async fn restore(config: &Config, file: &[u8], words: &str, clock: &Clock) -> Result<String, String> {
    let failed = |error: &(dyn std::error::Error + 'static)| chain(error);
    let now = clock.now();
    let metadata = Metadata::open(&config.database, now).await.map_err(|error| failed(&error))?;
    let restored = async {
        let source = master::source(&config.master_key, &Random::system()).map_err(|error| failed(&error))?;
        let master = Masters::unlock(&metadata, &source).await.map_err(|error| failed(&error))?;
        // Also that what is here opens under this master key, before anything is added to it.
        Signer::open(metadata.clone(), &master.current(), now).await.map_err(|error| failed(&error))?;
        let done = hallmark_signer::restore(&metadata, &master, words, file).await.map_err(|error| failed(&error))?;
        Signer::open(metadata.clone(), &master.current(), now).await.map_err(|error| failed(&error))?;
        Ok(done)
    };
    let restored: Result<Restored, String> = restored.await;
    metadata.close().await;
    let Restored { keys, known, versions } = restored?;
    Ok(format!("keys brought back: {keys}; keys that were here: {known}; versions that none falls below: {versions}"))
}

/// What becomes of the roots of trust domains when keys are abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    /// They stay, because other keys than those may rotate them.
    Keep,
    /// They are forgotten with what was published under them: a chain of its own begins, which clients pin anew.
    BeginAnew,
}

/// Deletes every key that is sealed in this folder's database, for nothing opens them any more or nobody may. The next start makes
/// others.
///
/// # Errors
/// Why not, as a sentence.
pub(crate) async fn abandon(config: &Config, roots: Roots, clock: &Clock) -> Result<String, String> {
    let now = clock.now();
    let metadata = Metadata::open(&config.database, now).await.map_err(|error| chain(&error))?;
    let abandoned: Result<u64, metadata::Error> = metadata
        .write((roots, now), |tx, (roots, now)| {
            Box::pin(async move {
                let keys = tx.abandon_sealed_keys().await?;
                Masters::forget(tx).await?;
                if *roots == Roots::BeginAnew {
                    tx.forget_trust_roots().await?;
                    trust::tuf::begin_anew(tx).await?;
                }
                tx.record(&Event::of_system("signer_keys_abandoned", &keys.to_string(), *now)).await?;
                Ok(keys)
            })
        })
        .await;
    metadata.close().await;
    let keys = abandoned.map_err(|error| chain(&error))?;
    Ok(format!("keys deleted: {keys}, and those that signed tokens; the next start makes others"))
}

/// Seals every key of this database under another master key, while everything goes on.
pub(crate) async fn rewrap(metadata: &Metadata, master: &Masters, to: NewMaster, now: i64) -> Result<String, String> {
    let named = match to {
        NewMaster::KeyFile { path } => config::MasterKey::File(path),
        NewMaster::PassphraseFile { path } => config::MasterKey::PassphraseFile(path),
        NewMaster::Token { module, token, key, pin_file } => {
            config::MasterKey::Token(config::Token { module, token, key, pin_file })
        }
    };
    // A passphrase takes a moment by intention, and a token may.
    let made = tokio::task::spawn_blocking(move || {
        let source = master::source(&named, &Random::system()).map_err(|error| chain(&error))?;
        source.make().map_err(|error| chain(&error))
    });
    let made = made.await.map_err(|_| "the new master key could not be had".to_owned())??;
    let done = hallmark_signer::rewrap(metadata, master, made, now).await.map_err(|error| chain(&error))?;
    let Rewrapped { data_keys, token_keys } = done;
    tracing::info!(data_keys, token_keys, "sealed under another master key");
    Ok(format!(
        "data keys sealed under the new master key: {data_keys}; token keys: {token_keys}. Name it in the settings now: from the \
         next start on, the one before opens nothing here"
    ))
}

/// Does what the operator asks of the signer.
pub(crate) async fn perform(signer: &Signer, command: Command) -> Answer {
    match command {
        Command::SignerLog { before } => log(signer, before).await,
        Command::SignerKeys { after } => keys(signer, after.as_deref().unwrap_or_default()).await,
        Command::UserAdd { .. }
        | Command::UserRemove { .. }
        | Command::UserPassword { .. }
        | Command::UserLogout { .. }
        | Command::UserList { .. }
        | Command::RepositoryVisibility { .. }
        | Command::RepositoryDelete { .. }
        | Command::RepositoryList { .. }
        | Command::ReadOnly { .. }
        | Command::TokenKeyRotate
        | Command::TokenKeyList
        | Command::SignerRewrap { .. }
        | Command::SignerBackup { .. }
        | Command::GcRun { .. }
        | Command::GcOrphans { .. }
        | Command::GcPause { .. }
        | Command::GcStatus
        | Command::GcExplain { .. }
        | Command::Status => {
            let message =
                "this is a signer: it does what `hallmark signer` asks; name the registry's folder with --data";
            Answer::Refused { message: message.to_owned() }
        }
    }
}

/// What a registry says whose signer is another process.
pub(crate) fn elsewhere(remote: &Remote) -> String {
    format!("the signer is another process ({}): ask it on its machine, its folder named with --data", remote.url())
}

async fn log(signer: &Signer, before: Option<i64>) -> Answer {
    match signer.log_records(before, PAGE).await {
        Ok(page) => {
            let next = (page.len() == PAGE as usize).then(|| page.last().map(|line| line.id)).flatten();
            Answer::SignerLog { lines: page.into_iter().map(signature).collect(), next }
        }
        Err(error) => Answer::Refused { message: chain(&error) },
    }
}

async fn keys(signer: &Signer, after: &str) -> Answer {
    match signer.key_records(after, PAGE).await {
        Ok(page) => {
            let next = (page.len() == PAGE as usize).then(|| page.last().map(|key| key.id.clone())).flatten();
            Answer::SignerKeys { keys: page.into_iter().map(key).collect(), next }
        }
        Err(error) => Answer::Refused { message: chain(&error) },
    }
}

fn signature(line: LogLine) -> SignatureLine {
    let LogLine { id: _, at, caller, collection, role, version, sha256, key_id } = line;
    let sha256 = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    SignatureLine { at, caller, collection, role, version, sha256, key: key_id }
}

fn key(record: KeyRecord) -> SignerKeyLine {
    let KeyRecord { id, collection, role, algorithm, made_at, used_at } = record;
    SignerKeyLine { id, collection, role, algorithm, made_at, used_at }
}
