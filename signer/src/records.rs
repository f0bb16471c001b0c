//! What the signer holds and what it has done, told page by page; never a private part.

use hallmark_storage::metadata::{self, LogLine};

use crate::signer::Signer;

/// A key as its operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id, as metadata names it.
    pub id: String,
    /// Whose.
    pub collection: String,
    /// For which role.
    pub role: String,
    /// What kind of key it is.
    pub algorithm: String,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// When it last signed, in milliseconds since 1970; `None`: never.
    pub used_at: Option<i64>,
}

impl Signer {
    /// One page of the keys, by id, behind `after`.
    ///
    /// # Errors
    /// The database's.
    pub async fn key_records(&self, after: &str, limit: u32) -> Result<Vec<KeyRecord>, metadata::Error> {
        let page = self.metadata.signer_key_page(after, limit).await?;
        let record = |key: metadata::SignerKey| KeyRecord {
            id: key.id,
            collection: key.collection,
            role: key.role,
            algorithm: key.algorithm,
            made_at: key.made_at,
            used_at: key.used_at,
        };
        Ok(page.into_iter().map(record).collect())
    }

    /// One page of the log, from the line before `before` backwards; `None`: from the end.
    ///
    /// # Errors
    /// The database's.
    pub async fn log_records(&self, before: Option<i64>, limit: u32) -> Result<Vec<LogLine>, metadata::Error> {
        self.metadata.signer_log_page(before.unwrap_or(i64::MAX), limit).await
    }
}
