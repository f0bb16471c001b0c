use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

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
