//! What the program puts on a disk beside its stores stays there when the power goes: folders it makes, and names of files.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Makes a folder and what is missing above it, private to us, and makes their names durable: a power loss after the first
/// answer must not take the folder away with all that is in it (I4).
///
/// # Errors
/// A folder cannot be made or synced.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let parents = parents_of_missing(folder);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    parents.iter().try_for_each(|parent| sync_folder(parent))
}

/// Makes the name of a file durable. Its bytes are not: they are synced by who wrote them.
///
/// # Errors
/// The folder that holds the name cannot be opened or synced.
pub(crate) fn sync_name(file: &Path) -> io::Result<()> {
    sync_folder(parent_of(file))
}

/// The folders that get a new entry when `folder` is made.
fn parents_of_missing(folder: &Path) -> Vec<PathBuf> {
    let missing = folder.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists());
    missing.map(|made| parent_of(made).to_owned()).collect()
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
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
