//! The data folder: made private, and locked by the one process that works in it (I12).

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::durable::make_folder;

/// Beside the database's own lock, which holds also where the database is kept elsewhere.
const LOCK_NAME: &str = "control.lock";

/// Proof that this process alone works in the data folder; the kernel gives the lock back when it ends, however it ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// Another process holds the lock.
    #[error("the data folder {} is in use by another hallmark process", path.display())]
    InUse { path: PathBuf },
    /// The folder or its lock cannot be made or opened.
    #[error("the data folder {} cannot be used: {source}", path.display())]
    Unusable { path: PathBuf, source: io::Error },
}

impl FolderLock {
    /// Makes the folder if it is missing (mode 0700) and takes its lock, without waiting.
    pub(crate) fn take(data: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable { path: data.to_owned(), source };
        make_folder(data).map_err(unusable)?;
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false).mode(0o600);
        let file = options.open(data.join(LOCK_NAME)).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse { path: data.to_owned() }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }
}
