//! The data folder: made private, and locked by the one process that works in it (I12).

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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

/// Makes the data folder and what is missing above it, private to us, and makes their names durable: a power loss after the
/// first answer must not take the folder away with all that is in it (I4).
pub(crate) fn make_folder(data: &Path) -> io::Result<()> {
    let parents = parents_of_missing(data);
    DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    parents.iter().try_for_each(|parent| File::open(parent)?.sync_all())
}

/// The folders that get a new entry when `folder` is made.
fn parents_of_missing(folder: &Path) -> Vec<PathBuf> {
    let missing = folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    let parent = |path: &Path| path.parent().filter(|parent| !parent.as_os_str().is_empty()).map(Path::to_owned);
    missing.map(|made| parent(made).unwrap_or_else(|| PathBuf::from("."))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_that_gets_a_new_one_is_synced() {
        let home = tempfile::tempdir().unwrap();
        let path = |below: &str| home.path().join(below);
        assert_eq!(parents_of_missing(&path("a/b/c")), [path("a/b"), path("a"), home.path().to_owned()]);
        make_folder(&path("a/b")).unwrap();
        assert_eq!(parents_of_missing(&path("a/b/c")), [path("a/b")]);
        assert!(parents_of_missing(&path("a/b")).is_empty());
        assert_eq!(
            parents_of_missing(Path::new("no-such-folder-here/b")),
            ["no-such-folder-here", "."].map(PathBuf::from)
        );
    }
}
