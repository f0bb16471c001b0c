//! Another master key: everything that is sealed under the one before is sealed anew, in one transaction. Whatever ends the
//! process meanwhile, either the old key opens all of it or the new one does.

use std::sync::Arc;

use hallmark_storage::metadata::{self, Event, Metadata, Tx};

use crate::custody::{self, CustodyError, fill, random, wrapping};
use crate::hex;
use crate::keys::{MasterKey, Masters, OpenRefused, RECORD, Record, token_purpose};

/// What was sealed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrapped {
    /// Data keys, under which the private keys are sealed.
    pub data_keys: usize,
    /// Keys that sign the registry's tokens.
    pub token_keys: usize,
}

/// Why everything stays sealed as it was.
#[derive(Debug, thiserror::Error)]
pub enum RewrapRefused {
    /// The database failed.
    #[error("the signer's database failed")]
    Metadata(#[from] metadata::Error),
    /// A key cannot be sealed anew.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// A token key does not open.
    #[error("token key {kid} does not open: {source}")]
    TokenKey {
        /// The key.
        kid: String,
        /// Why it stays closed.
        source: OpenRefused,
    },
    /// Another process changes the same.
    #[error("another process seals keys at this moment; try again")]
    Overtaken,
}

/// Seals everything in the database under `new`, beside which `record` stands. When this returns, `masters` seals with it.
///
/// # Errors
/// [`RewrapRefused`]; nothing has changed then.
pub async fn rewrap(
    metadata: &Metadata,
    masters: &Masters,
    (new, record): (MasterKey, Option<Record>),
    now: i64,
) -> Result<Rewrapped, RewrapRefused> {
    let (new, record) = (Arc::new(new), record.map(|record| record.to_text()));
    let work = Work { opens: masters.copy(), seals: Arc::clone(&new) };
    let done = metadata
        .write((work, record, now), |tx, (work, record, now)| {
            Box::pin(async move {
                custody::one_at_a_time(tx).await?;
                Masters::hold(tx).await?;
                let done = Rewrapped { data_keys: work.data_keys(tx).await?, token_keys: work.token_keys(tx).await? };
                tx.set_setting(RECORD, record.as_deref()).await?;
                let id = hex(&work.seals.id());
                tx.record(&Event::of_system("master_key_changed", &id, *now)).await?;
                Ok::<_, RewrapRefused>(done)
            })
        })
        .await;
    match done {
        Ok(done) => {
            masters.change(new);
            Ok(done)
        }
        // Whether it was committed may be unknown: then either key may be the one that opens.
        Err(refused) => {
            masters.know(new);
            Err(refused)
        }
    }
}

/// What opens, and what seals.
struct Work {
    opens: Masters,
    seals: Arc<MasterKey>,
}

impl Work {
    async fn data_keys(&self, tx: &mut Tx) -> Result<usize, RewrapRefused> {
        let stored = tx.signer_data_keys().await?;
        for key in &stored {
            let purpose = wrapping(&key.id);
            let plain = self.opens.open(&purpose, &key.wrapped);
            let plain = plain.map_err(|source| CustodyError::Wrapped { id: key.id.clone(), source })?;
            let wrapped = self.seals.seal(&purpose, fill(&random())?, &plain);
            if !tx.rewrap_signer_data_key(key, &wrapped).await? {
                return Err(RewrapRefused::Overtaken);
            }
        }
        Ok(stored.len())
    }

    async fn token_keys(&self, tx: &mut Tx) -> Result<usize, RewrapRefused> {
        let stored = tx.token_keys().await?;
        let mut done = 0;
        for key in &stored {
            let purpose = token_purpose(&key.kid);
            let plain = match self.opens.open(&purpose, &key.sealed) {
                Ok(plain) => plain,
                // It signs no more, and nothing needs its private half again.
                Err(_) if key.retires_at.is_some() => continue,
                Err(source) => return Err(RewrapRefused::TokenKey { kid: key.kid.clone(), source }),
            };
            let sealed = self.seals.seal(&purpose, fill(&random())?, &plain);
            if !tx.reseal_token_key(key, &sealed).await? {
                return Err(RewrapRefused::Overtaken);
            }
            done += 1;
        }
        Ok(done)
    }
}
