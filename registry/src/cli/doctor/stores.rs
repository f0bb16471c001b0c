//! The database and the store: what the running server says of them, or what opening them shows.

use bytes::Bytes;
use hallmark_oci::Algorithm;
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{Blobs, Error, StorageConfig, UploadState};
use hallmark_storage::metadata::{DatabaseConfig, OpenError, Schema};

use super::Finding;
use crate::config::Config;
use crate::control::{FolderLock, Health, StatusReport};
use crate::telemetry::chain;

/// What is written to the store and read back.
const PROBE: &[u8] = b"hallmark doctor";

/// What the running server says; its stores are its own, so nothing is opened beside it.
pub(super) fn reported(report: &StatusReport) -> Vec<Finding> {
    let own = env!("CARGO_PKG_VERSION");
    let server = format!("hallmark {} runs with process id {}", report.version, report.pid);
    let mut findings = vec![if report.version == own {
        Finding::ok("server", server)
    } else {
        Finding::warn("server", format!("{server}, this is {own}"), "restart the server to run what is installed")
    }];
    if report.read_only {
        findings.push(Finding::warn("server", "writes are refused", "`hallmark readonly off` takes them again"));
    }
    findings.push(health("database", &report.database, "see that the database runs and that its disk has room"));
    findings.extend(clock(report.clock_ahead));
    if report.foreign_store {
        let advice = "point storage.url to a store of this database's own; where no other database uses it, remove its object \
                      blobs/.mark and restart";
        findings.push(Finding::warn("store", "it bears the mark of another database, so it is not compared", advice));
    }
    findings.push(health("store", &report.storage, "see that the store answers and that its disk has room"));
    findings
}

fn health(check: &'static str, health: &Health, advice: &str) -> Finding {
    match health {
        Health::Ok { duration_ms } => Finding::ok(check, format!("answers the server, in {duration_ms} ms")),
        Health::Failed { message } => Finding::fail(check, message, advice),
    }
}

/// That the clock is not far from that of the database.
fn clock(ahead: i64) -> Option<Finding> {
    if ahead.abs() <= hallmark_gc::APART {
        return None;
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let message = format!("it is {} s {side} the clock of the database", ahead.abs() / 1_000);
    let advice = "set both clocks, and let the machines keep them with NTP: nothing is collected until they agree";
    Some(Finding::fail("clock", message, advice))
}

/// What a look at them shows, while no server runs. The database is read and left as it is, older tables included.
pub(super) async fn opened(config: &Config, now: i64) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("server", "none runs on this data folder")];
    if !config.data.exists() {
        findings.push(Finding::ok("database", "is made at the first start"));
        return findings;
    }
    let lock = match FolderLock::take(&config.data) {
        Ok(lock) => lock,
        Err(error) => {
            findings.push(Finding::fail(
                "server",
                error.to_string(),
                "end that process, or name another folder with --data",
            ));
            return findings;
        }
    };
    findings.extend(database(config, now).await);
    findings.push(store(&config.storage).await);
    drop(lock);
    findings
}

async fn database(config: &Config, now: i64) -> Vec<Finding> {
    const CHECK: &str = "database";
    if let DatabaseConfig::Sqlite { path } = &config.database
        && !path.exists()
    {
        return vec![Finding::ok(CHECK, format!("{} is made at the first start", path.display()))];
    }
    let schema = match Schema::look(&config.database).await {
        Ok(schema) => schema,
        Err(error) => return vec![Finding::fail(CHECK, chain(&error), advice(&error))],
    };
    let Schema { found, known, clock: theirs } = schema;
    let found = match found {
        0 => Finding::ok(CHECK, "answers and is empty; the first start makes its tables"),
        _ if found == known => Finding::ok(CHECK, format!("answers (schema {found})")),
        _ => Finding::ok(CHECK, format!("answers; it has schema {found}, and a start brings it to {known}")),
    };
    std::iter::once(found).chain(theirs.and_then(|theirs| clock(now - theirs))).collect()
}

fn advice(error: &OpenError) -> &'static str {
    match error {
        OpenError::NewerSchema { .. } => "run the release that made it, or a newer one",
        OpenError::Locked { .. } => "end the process that uses it",
        _ => "see that database.url is right and that this user may use it",
    }
}

async fn store(config: &StorageConfig) -> Finding {
    const CHECK: &str = "store";
    match probe(config).await {
        Ok(()) => Finding::ok(CHECK, "writes, reads and deletes"),
        Err(error) => {
            let message = chain(&error);
            // S3 refuses whoever's clock is more than 15 minutes off, and says so with this word.
            let advice = if message.contains("RequestTimeTooSkewed") {
                "set the clock: it differs from that of the store"
            } else {
                "see that storage.url is right, that the bucket or folder is there and that these keys or this user may use it"
            };
            Finding::fail(CHECK, message, advice)
        }
    }
}

/// Writes an object under a fresh key, reads it back and deletes it.
async fn probe(config: &StorageConfig) -> Result<(), Error> {
    let blobs = Blobs::open(config).await?;
    blobs.check().await?;
    let (key, spare) = (StorageKey::random(), StorageKey::random());
    let mut appender = blobs.append(UploadState::new(key.clone(), Algorithm::Sha256), 1).await?;
    let written = async {
        appender.write(Bytes::from_static(PROBE)).await?;
        let sealed = appender.seal(&spare).await?;
        blobs.read(&sealed.key, 0..sealed.size).await.map(drop)
    };
    let written = written.await;
    let deleted = blobs.delete(&key, None).await;
    written.and(deleted)
}
