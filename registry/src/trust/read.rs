//! Files of a collection, and what was published when. A read signs nothing (I8).

use std::sync::Arc;
use std::time::Duration;

use hallmark_oci::{ListTrustChanges, ReadTrust, ServerRole, TrustVersion};
use hallmark_storage::metadata::{self, ChangesFrom, TrustChange, TrustFile, TrustFileKey};
use tokio::time::{Instant, sleep};

use super::collection;
use crate::access::Granted;
use crate::app::App;

/// How many changes a page has when nobody says, and at most.
const CHANGES: (u32, u32) = (100, 1_000);
/// How long a read waits for the renewal of what has expired, and how often it looks.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Why a file is not given.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// There is none.
    #[error("there is no such trust data")]
    Unknown,
    /// It has expired, and its renewal takes long.
    #[error("the trust data is being renewed")]
    Stale,
    /// The database failed.
    #[error("the database did not answer")]
    Metadata(#[from] metadata::Error),
}

/// One file. Where the current timestamp has expired, the job that renews it is told so, and waited for a little.
pub(super) async fn file(app: &App, granted: &Granted<ReadTrust>) -> Result<Arc<TrustFile>, ReadError> {
    let ReadTrust { gun, role, version } = granted.operation();
    let repository = granted.repository().ok_or(ReadError::Unknown)?;
    let key = collection(repository.id, gun);
    let bytes;
    let which = match version {
        TrustVersion::Current => TrustFileKey::Current,
        TrustVersion::Number(number) => TrustFileKey::Version(i64::try_from(*number).map_err(|_| ReadError::Unknown)?),
        TrustVersion::Checksum(digest) => {
            bytes = unhex(digest.hex());
            if bytes.len() == 32 { TrustFileKey::Sha256(&bytes) } else { TrustFileKey::Sha512(&bytes) }
        }
    };
    let begin = Instant::now();
    loop {
        let file = app.metadata.trust_file(&key, role, which).await?.ok_or(ReadError::Unknown)?;
        let is_fresh = matches!(which, TrustFileKey::Current) && role.as_str() == ServerRole::Timestamp.as_str();
        if !is_fresh || app.clock.now() < file.expires_at {
            return Ok(file);
        }
        let is_put_off = app.clock.now() < file.renew_at;
        if is_put_off || begin.elapsed() >= PATIENCE || app.is_readonly() {
            return Err(ReadError::Stale);
        }
        app.renewals.notary.hurry(repository.id);
        sleep(LOOK).await;
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0);
    text.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, half| byte << 4 | digit(*half) as u8)).collect()
}

/// What was published and deleted, the oldest first.
pub(super) async fn changes(
    app: &App,
    granted: &Granted<ListTrustChanges>,
) -> Result<Vec<TrustChange>, metadata::Error> {
    let ListTrustChanges { gun, after, records } = granted.operation();
    let limit = match u32::try_from(records.unsigned_abs()).unwrap_or(u32::MAX) {
        0 => CHANGES.0,
        asked => asked.min(CHANGES.1),
    };
    let from = match (*after, *records) {
        (after, _) if after < 0 => ChangesFrom::Before(i64::MAX),
        (after, records) if records < 0 => ChangesFrom::Before(after),
        (after, _) => ChangesFrom::After(after),
    };
    let of = match gun {
        None => None,
        Some(gun) => match granted.repository() {
            Some(repository) => Some((repository.id, gun.as_str())),
            None => return Ok(Vec::new()),
        },
    };
    app.metadata.trust_changes(of, from, limit).await
}
