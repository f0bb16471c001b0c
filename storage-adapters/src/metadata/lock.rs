use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// The lock file, beside the database.
const NAME: &str = "lock";

/// The right to use a data folder: one process has it, until it drops this or ends.
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks the folder, or says that another server runs on it. The kernel lets go when a process dies, so a crash
    /// leaves nothing behind to clean up.
    pub(super) fn acquire(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(NAME);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        Self::of(file, path)
    }

    /// Says whether another server runs on the folder, and makes no file to find out.
    pub(super) fn look(folder: &Path) -> Result<(), OpenError> {
        let path = folder.join(NAME);
        match OpenOptions::new().write(true).open(&path) {
            Err(absent) if absent.kind() == ErrorKind::NotFound => Ok(()),
            file => Self::of(file, path).map(drop),
        }
    }

    fn of(file: io::Result<File>, path: PathBuf) -> Result<Self, OpenError> {
        let file = match file {
            Ok(file) => file,
            Err(source) => return Err(OpenError::File { path, source }),
        };
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(OpenError::File { path, source }),
        }
    }
}
