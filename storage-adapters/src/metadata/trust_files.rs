//! The registry's own repository of TUF 1.0: the files that verifiers need, and its metadata.

use super::database::Metadata;
use super::error::Error;
use super::sql::Row;
use super::statement::statements;
use super::tx::Tx;
use super::value::values;

statements! {
    FILES = ["SELECT name, sha256, body, put_at FROM trust_files WHERE name > $1 ORDER BY name LIMIT $2"];
    FILE = ["SELECT name, sha256, body, put_at FROM trust_files WHERE name = $1"];
    ORGANIZATIONS = [
        "SELECT a.name, r.body FROM trust_roots r
           JOIN accounts a ON 'tuf1/organization/' || CAST(a.id AS TEXT) = r.domain
          WHERE a.name IS NOT NULL AND r.domain > 'tuf1/organization/' AND r.domain < 'tuf1/organization0'
            AND r.version = (SELECT MAX(n.version) FROM trust_roots n WHERE n.domain = r.domain)"
    ];
    ORGANIZATION = [
        "SELECT r.body FROM accounts a JOIN trust_roots r ON r.domain = 'tuf1/organization/' || CAST(a.id AS TEXT)
          WHERE a.name = $1 ORDER BY r.version DESC LIMIT 1"
    ];
    PUT = [
        "INSERT INTO trust_files (name, sha256, body, put_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, body = excluded.body, put_at = excluded.put_at"
    ];
    REMOVE = ["DELETE FROM trust_files WHERE name = $1"];
    CURRENT = [
        "SELECT version, renew_at, covers, body FROM trust_files_metadata WHERE role = $1 ORDER BY version DESC LIMIT 1"
    ];
    BY_VERSION = ["SELECT version, renew_at, covers, body FROM trust_files_metadata WHERE role = $1 AND version = $2"];
    STORE = [
        "INSERT INTO trust_files_metadata (role, version, renew_at, covers, body) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (role, version) DO NOTHING"
    ];
    FORGET = ["DELETE FROM trust_files_metadata WHERE role = $1 AND version < $2"];
}

/// A file that verifiers need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Its name: the path of its target.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: Vec<u8>,
    /// Its bytes.
    pub body: Vec<u8>,
    /// When it was put there, in milliseconds since the epoch.
    pub put_at: i64,
}

/// A file of metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesMetadata {
    /// Its version.
    pub version: i64,
    /// When it is to be made anew, in milliseconds since the epoch.
    pub renew_at: i64,
    /// Which state of the files, and which root, it was made for.
    pub covers: String,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Metadata {
    /// The files by name, at most `limit` after this one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_files(&self, after: &str, limit: u32) -> Result<Vec<NamedFile>, Error> {
        self.rows(&FILES, values![after, i64::from(limit)]).await?.iter().map(named).collect()
    }

    /// One file.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn named_trust_file(&self, name: &str) -> Result<Option<NamedFile>, Error> {
        self.row(&FILE, values![name]).await?.as_ref().map(named).transpose()
    }

    /// The newest roots of organizations that have their own, by the organization's name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn organization_roots(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.rows(&ORGANIZATIONS, &[]).await?.iter().map(|row| Ok((row.text(0)?, row.bytes(1)?))).collect()
    }

    /// The newest root of an organization, by the organization's name; `None` where it has none of its own.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn organization_root(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.row(&ORGANIZATION, values![name]).await?.map(|row| row.bytes(0)).transpose()
    }

    /// The metadata of a role: the newest, or that of this version.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn trust_files_metadata(&self, role: &str, version: Option<i64>) -> Result<Option<FilesMetadata>, Error> {
        let row = match version {
            None => self.row(&CURRENT, values![role]).await?,
            Some(version) => self.row(&BY_VERSION, values![role, version]).await?,
        };
        let metadata = |row: Row| {
            Ok(FilesMetadata {
                version: row.integer(0)?,
                renew_at: row.integer(1)?,
                covers: row.text(2)?,
                body: row.bytes(3)?,
            })
        };
        row.map(metadata).transpose()
    }
}

impl Tx {
    /// Puts a file, in the place of one of the same name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_trust_file(&mut self, file: &NamedFile) -> Result<(), Error> {
        let row = values![&file.name, file.sha256.as_slice(), file.body.as_slice(), file.put_at];
        self.execute(&PUT, row).await.map(drop)
    }

    /// Removes a file; whether there was one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_trust_file(&mut self, name: &str) -> Result<bool, Error> {
        Ok(self.execute(&REMOVE, values![name]).await? == 1)
    }

    /// Keeps metadata of a role; whether there was none of its version.
    ///
    /// # Errors
    /// The database failed.
    pub async fn store_trust_files_metadata(&mut self, role: &str, metadata: &FilesMetadata) -> Result<bool, Error> {
        let FilesMetadata { version, renew_at, covers, body } = metadata;
        Ok(self.execute(&STORE, values![role, *version, *renew_at, covers, body.as_slice()]).await? == 1)
    }

    /// Forgets metadata of a role that is older than this version.
    ///
    /// # Errors
    /// The database failed.
    pub async fn forget_trust_files_metadata(&mut self, role: &str, before: i64) -> Result<(), Error> {
        self.execute(&FORGET, values![role, before]).await.map(drop)
    }
}

fn named(row: &Row) -> Result<NamedFile, Error> {
    Ok(NamedFile { name: row.text(0)?, sha256: row.bytes(1)?, body: row.bytes(2)?, put_at: row.integer(3)? })
}
