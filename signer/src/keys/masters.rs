//! The master keys of a running process: the one that seals, and those before it, which open until the process ends.

use std::sync::{Arc, PoisonError, RwLock};

use hallmark_storage::metadata::{self, Metadata, Tx};
use zeroize::Zeroizing;

use super::source::{MasterRefused, Record, Source};
use super::{MasterKey, OpenRefused};
use crate::custody;

/// The setting that holds the record beside a passphrase or a token.
pub(crate) const RECORD: &str = "master_key";

/// The setting whose row is held by whoever says under what keys are sealed.
const SEALING: &str = "sealing";

/// Master keys, the newest first.
#[derive(Debug)]
pub struct Masters(RwLock<Vec<Arc<MasterKey>>>);

impl Masters {
    /// With one key.
    #[must_use]
    pub fn of(key: MasterKey) -> Self {
        Self(RwLock::new(vec![Arc::new(key)]))
    }

    /// Opens the master key that everything in this database is sealed under, or at the first start makes it.
    ///
    /// # Errors
    /// [`MasterRefused`]
    pub async fn unlock(metadata: &Metadata, source: &Source) -> Result<Self, MasterRefused> {
        let mut stored = metadata.setting(RECORD).await?;
        if stored.is_none() && !matches!(source, Source::Key(_)) {
            let is_new = metadata.signer_data_keys().await?.is_empty() && metadata.token_keys().await?.is_empty();
            if is_new {
                let (_, record) = source.make()?;
                keep_first(metadata, record.map(|record| record.to_text())).await?;
                stored = metadata.setting(RECORD).await?;
            }
        }
        let record = stored.as_deref().map(Record::parse).transpose()?;
        Ok(Self::of(source.open(record.as_ref())?))
    }

    /// The key that seals.
    #[must_use]
    pub fn current(&self) -> Arc<MasterKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(keys.first().expect("there is a key from the beginning, and none is taken away"))
    }

    /// Opens what one of the keys sealed.
    ///
    /// # Errors
    /// [`OpenRefused`]
    pub fn open(&self, purpose: &str, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenRefused> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut refused = OpenRefused::OtherMasterKey;
        for key in keys {
            match key.open(purpose, envelope) {
                Err(OpenRefused::OtherMasterKey) => {}
                Err(other) => refused = other,
                opened => return opened,
            }
        }
        Err(refused)
    }

    /// Waits until no other change is under way that says under what keys are sealed, and keeps others waiting until this one ends.
    ///
    /// # Errors
    /// The database's.
    pub async fn hold(tx: &mut Tx) -> Result<(), metadata::Error> {
        // The row of a setting and not one of the signer's: a registry whose signer is elsewhere has none of those.
        tx.set_setting(SEALING, Some("one at a time")).await
    }

    /// Forgets the record of a master key under which nothing is sealed any more.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(tx: &mut Tx) -> Result<(), metadata::Error> {
        tx.set_setting(RECORD, None).await
    }

    /// Seals with another key from now on.
    pub(crate) fn change(&self, key: Arc<MasterKey>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(0, key);
    }

    /// Opens with another key too.
    pub(crate) fn know(&self, key: Arc<MasterKey>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(key);
    }

    /// As they stand at this moment.
    pub(crate) fn copy(&self) -> Self {
        Self(RwLock::new(self.0.read().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}

/// Of those that start at once on a new database, one says how the master key is made.
async fn keep_first(metadata: &Metadata, record: Option<String>) -> Result<(), metadata::Error> {
    metadata
        .write(record, |tx, record| {
            Box::pin(async move {
                custody::one_at_a_time(tx).await?;
                if tx.setting(RECORD).await?.is_none() {
                    tx.set_setting(RECORD, record.as_deref()).await?;
                }
                Ok(())
            })
        })
        .await
}
