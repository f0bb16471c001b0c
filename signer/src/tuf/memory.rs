//! What a client remembers from one update to the next, in a folder: the newest root that it has verified, the timestamp and the
//! snapshot. Several processes may use one folder at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::meta::Flaw;
use super::update::UpdateError;

/// The file that is locked while others are compared and written.
const LOCK: &str = "lock";

/// The folder.
pub(super) struct Memory {
    folder: PathBuf,
    root: String,
}

/// The folder, while nobody else looks at it or writes to it.
pub(super) struct Locked<'m> {
    memory: &'m Memory,
    _lock: File,
}

impl Memory {
    /// The memory of a client that has pinned this root, in a folder that is there: what another root led to is nothing that it has
    /// seen.
    pub(super) fn of(folder: &Path, pinned: &[u8]) -> Self {
        let sum = crate::hex(digest(&SHA256, pinned).as_ref());
        Self { folder: folder.to_owned(), root: format!("{sum}.root.json") }
    }

    /// The file of the newest root.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Waits for those who are at it. Nothing may be waited for meanwhile but the disk.
    pub(super) fn lock(&self) -> Result<Locked<'_>, UpdateError> {
        let path = self.folder.join(LOCK);
        let locked = (|| {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        })();
        let lock = locked.map_err(|source| UpdateError::Memory { path, source })?;
        Ok(Locked { memory: self, _lock: lock })
    }
}

impl Locked<'_> {
    /// What `read` makes of a file; `None` when there is none, or when keys have signed it that hold no more. What cannot be
    /// read is told: taken for nothing, it would let older files pass.
    pub(super) fn read<T>(
        &self,
        file: &str,
        read: impl FnOnce(&[u8]) -> Result<T, Flaw>,
    ) -> Result<Option<T>, UpdateError> {
        let reading = |bytes: &[u8]| match read(bytes) {
            Err(Flaw::TooFew { .. }) => Ok(None),
            done => done.map(Some),
        };
        Ok(self.read_all(file, reading)?.flatten())
    }

    /// What `read` makes of the newest root; `None` when there is none. Its own keys have signed it, so that every flaw is told.
    pub(super) fn read_root<T>(&self, read: impl FnOnce(&[u8]) -> Result<T, Flaw>) -> Result<Option<T>, UpdateError> {
        self.read_all(&self.memory.root, read)
    }

    fn read_all<T>(&self, file: &str, read: impl FnOnce(&[u8]) -> Result<T, Flaw>) -> Result<Option<T>, UpdateError> {
        let path = self.memory.folder.join(file);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(UpdateError::Memory { path, source }),
        };
        let damaged = |flaw| UpdateError::Memory { path, source: io::Error::new(ErrorKind::InvalidData, flaw) };
        read(&bytes).map(Some).map_err(damaged)
    }

    /// Removes a file that says nothing any more; it may be gone.
    pub(super) fn forget(&self, file: &str) -> Result<(), UpdateError> {
        let path = self.memory.folder.join(file);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(UpdateError::Memory { path, source }),
            _ => Ok(()),
        }
    }

    /// Whole or not at all, also when the machine stops: half a file would be an error for ever, and an older one is no memory.
    pub(super) fn write(&self, file: &str, bytes: &[u8]) -> Result<(), UpdateError> {
        let folder = &self.memory.folder;
        let path = folder.join(file);
        // Of its own, whoever else believes to be alone here.
        let draft = folder.join(format!("{file}.{}.new", std::process::id()));
        let written = (|| {
            let mut made = File::create(&draft)?;
            made.write_all(bytes)?;
            made.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(folder)?.sync_all()
        })();
        written.map_err(|source| UpdateError::Memory { path, source })
    }
}
