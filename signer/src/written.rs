//! The log of what was signed, and the versions that are given in one change with it: what is written down is what leaves.

use hallmark_storage::metadata::{self, LoggedSignature, Tx};
use ring::digest::{SHA256, digest};

use crate::publisher::{BASE, TufRefused, VERSION};
use crate::signer::Signer;
use crate::tuf::{self, Authors, BuildError, Files};

impl Signer {
    /// Gives files a version and writes down that they were signed, in one change. The version is guessed before it is given, so
    /// that nobody waits for the database while files are built: nearly always it is the one that follows. Otherwise one is given
    /// to this caller alone, and the files are built once more. It is at least the seconds since 1970: a repository that is made
    /// anew under a name, or whose database was set back, goes on above whatever clients have seen of it.
    pub(crate) async fn write_down(
        &self,
        collection: &str,
        (caller, base): (&str, Option<u64>),
        authors: &Authors,
        build: impl Fn(u64) -> Result<Files, BuildError>,
        now: i64,
    ) -> Result<Files, TufRefused> {
        let base = base.map(|base| i64::try_from(base).unwrap_or(i64::MAX));
        let guessed = now.div_euclid(1_000).max(base.unwrap_or(0).saturating_add(1));
        let (mut version, mut is_given) = (guessed, false);
        loop {
            let files = build(u64::try_from(version).map_err(|_| BuildError::Range)?)?;
            let lines = logged_files((caller, &files), authors, now)?;
            let given = Given { collection: collection.to_owned(), base, version, is_given, lines };
            match self.metadata.write(given, |tx, given| Box::pin(given.keep(tx))).await? {
                None => return Ok(files),
                Some(other) => (version, is_given) = (other, true),
            }
        }
    }
}

/// The version of files that are signed, and what is written down of them.
struct Given {
    collection: String,
    base: Option<i64>,
    version: i64,
    /// Whether the version was given before, to nobody else.
    is_given: bool,
    lines: Vec<LoggedSignature>,
}

impl Given {
    /// Keeps it. When the version that was guessed was given before nothing is written down, and one comes back that is
    /// given now, to nobody else.
    async fn keep(&self, tx: &mut Tx) -> Result<Option<i64>, TufRefused> {
        let Self { collection, base, version, is_given, lines } = self;
        if let Some(to) = *base {
            // Lifted first, so that there is a row to hold; it only rises.
            tx.lift_signer_floor(collection, BASE, to).await?;
            let from = tx.signer_floor(collection, BASE).await?;
            if from > to {
                return Err(TufRefused::Falling { from, to });
            }
        }
        if !is_given {
            let given = tx.raise_signer_floor(collection, VERSION, *version).await?;
            if given != *version {
                return Ok(Some(given));
            }
        }
        log_signatures(tx, collection, lines).await?;
        Ok(None)
    }
}

/// Writes signatures down, and when their keys were last used.
pub(crate) async fn log_signatures(
    tx: &mut Tx,
    collection: &str,
    lines: &[LoggedSignature],
) -> Result<(), metadata::Error> {
    for line in lines {
        tx.log_signature(collection, line).await?;
        tx.use_signer_key(&line.key_id, line.at).await?;
    }
    Ok(())
}

/// The lines of the log about files.
fn logged_files(
    (caller, files): (&str, &Files),
    authors: &Authors,
    now: i64,
) -> Result<Vec<LoggedSignature>, BuildError> {
    let mut lines = Vec::new();
    for (role, bytes) in &files.files {
        for key in authors.of(role) {
            lines.push(logged((caller, role, files.version, tuf::message(bytes)?), key.id()?, now));
        }
    }
    Ok(lines)
}

/// The line of the log about one signature, over this message: what of a file is signed, as for Notary's.
pub(crate) fn logged(
    (caller, role, version, message): (&str, &str, u64, &[u8]),
    key_id: String,
    at: i64,
) -> LoggedSignature {
    let sha256 = digest(&SHA256, message).as_ref().to_vec();
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    LoggedSignature { at, caller: caller.to_owned(), role: role.to_owned(), version, sha256, key_id }
}
