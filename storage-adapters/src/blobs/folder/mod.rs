//! Bytes in a folder of a local disk: one file a key, written by appending at its final place.
//! Never here: object_store, whose local store stages under another name and renames (I3) and cannot append to a file
//! that an earlier process began. The folder belongs to one process.
//! Start reading at `Folder`; `append` is the way in, `read` the way out, `turns` keeps two writers apart.

mod append;
mod frames;
mod gather;
mod lanes;
mod mapped;
mod pool;
mod read;
mod turns;
mod writer;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::StorageKey;

use super::task::blocking;
use super::{BlobBody, Error, key};
use gather::Gathering;
use lanes::Lanes;
use pool::Pool;
use turns::Turns;

pub(super) use append::FileAppender;
pub(super) use mapped::FileWindows;
pub use mapped::{Piece, Window};
pub(super) use read::FileStream;

/// A folder that is open for blobs.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    turns: Turns,
    gathering: Gathering,
    lanes: Lanes,
    pool: Pool,
}

impl Folder {
    /// Makes what is absent of the tree and syncs it, so that a file's own folder entry is all that is left to sync.
    pub(super) async fn open(path: PathBuf) -> Result<Self, Error> {
        let tree = path.clone();
        blocking("open", path.display(), move || {
            make_tree(&tree).map_err(|source| Error::io("open", tree.display(), source))
        })
        .await?;
        Ok(Self {
            path,
            turns: Turns::default(),
            gathering: Gathering::default(),
            lanes: Lanes::default(),
            pool: Pool::default(),
        })
    }

    pub(super) async fn check(&self) -> Result<(), Error> {
        let (probe, blobs) = (key::probe_file(&self.path), key::blobs_folder(&self.path));
        blocking("check", self.path.display(), move || {
            // A disk that is not mounted leaves an empty folder, which can be written all the same.
            let absent = key::fanout().map(|name| blobs.join(name)).find(|folder| !folder.is_dir());
            if let Some(folder) = absent {
                return Err(Error::unavailable("check", folder.display(), "the folder made at the start is gone"));
            }
            probe_writable(&probe).map_err(|source| Error::io("check", probe.display(), source))
        })
        .await
    }

    pub(super) async fn size(&self, key: &StorageKey) -> Result<Option<u64>, Error> {
        let file = key::file(&self.path, key);
        blocking("look at", file.clone().display(), move || {
            let size = fs::metadata(&file).map(|metadata| metadata.len());
            present(size).map_err(|source| Error::io("look at", file.display(), source))
        })
        .await
    }

    pub(super) async fn read(&self, key: &StorageKey, range: Range<u64>) -> Result<Option<BlobBody>, Error> {
        read::read(key::file(&self.path, key), range, self.pool.clone()).await
    }

    pub(super) async fn shard(&self, shard: u8) -> Result<Vec<(StorageKey, i64)>, Error> {
        let folder = key::shard_folder(&self.path, shard);
        blocking("list", folder.clone().display(), move || {
            list(&folder).map_err(|source| Error::io("list", folder.display(), source))
        })
        .await
    }

    pub(super) async fn mark(&self) -> Result<Option<String>, Error> {
        let file = key::mark_file(&self.path);
        blocking("read", file.clone().display(), move || {
            let mark = present(fs::read_to_string(&file));
            mark.map(|mark| mark.map(|mark| mark.trim().to_owned()))
                .map_err(|source| Error::io("read", file.display(), source))
        })
        .await
    }

    pub(super) async fn change_mark(&self, from: Option<&str>, to: &str) -> Result<bool, Error> {
        if self.mark().await?.as_deref() != from {
            return Ok(false);
        }
        let (file, content, is_first) = (key::mark_file(&self.path), format!("{to}\n"), from.is_none());
        blocking("write", file.clone().display(), move || {
            write_mark(&file, &content, is_first).map_err(|source| Error::io("write", file.display(), source))
        })
        .await
    }

    /// Removes the file and syncs the removal: the row that owned the key goes next, and nothing would look again.
    pub(super) async fn delete(&self, key: &StorageKey) -> Result<(), Error> {
        let (file, folder) = (key::file(&self.path, key), key::fanout_folder(&self.path, key));
        // Whoever still appends here is overtaken, or would make the file again.
        let ticket = self.turns.take_last(key);
        blocking("delete", file.clone().display(), move || {
            let _turn = ticket.hold();
            // A file that is absent may have been removed by an attempt whose sync failed.
            present(fs::remove_file(&file))
                .and_then(|_| sync_folder(&folder))
                .map_err(|source| Error::io("delete", file.display(), source))
        })
        .await
    }
}

/// Writes a small file whole and synced; one that is the first only where there is none.
fn write_mark(file: &Path, content: &str, is_first: bool) -> io::Result<bool> {
    // A draft of its own: another replica may write one at the same moment.
    let draft = file.with_extension(format!("{}.new", StorageKey::random()));
    let mut written = OpenOptions::new().create(true).write(true).truncate(true).open(&draft)?;
    written.write_all(content.as_bytes())?;
    written.sync_all()?;
    if is_first {
        let linked = fs::hard_link(&draft, file);
        fs::remove_file(&draft)?;
        match linked {
            Err(present) if present.kind() == ErrorKind::AlreadyExists => return Ok(false),
            linked => linked?,
        }
    } else {
        fs::rename(&draft, file)?;
    }
    file.parent().map_or(Ok(()), sync_folder).map(|()| true)
}

/// The keys in a folder, and when their files were last written. What has no key's name is not ours; what goes meanwhile is gone.
fn list(folder: &Path) -> io::Result<Vec<(StorageKey, i64)>> {
    let mut keys = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(key) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Some(metadata) = present(entry.metadata())? else { continue };
        let age = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        keys.push((key, i64::try_from(age.as_millis()).unwrap_or(i64::MAX)));
    }
    Ok(keys)
}

/// Turns the absence of a file into `None`.
fn present<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(absent) if absent.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(source),
    }
}

/// Makes the tree for its owner alone, and every folder's entry durable in the one above.
fn make_tree(path: &Path) -> io::Result<()> {
    let absent = path.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.exists()).count();
    let blobs = key::blobs_folder(path);
    private_folders().recursive(true).create(&blobs)?;
    for name in key::fanout() {
        match private_folders().create(blobs.join(name)) {
            Err(present) if present.kind() == ErrorKind::AlreadyExists => {}
            outcome => outcome?,
        }
    }
    sync_folder(&blobs)?;
    for made in path.ancestors().take(absent.max(1)) {
        sync_folder(made)?;
    }
    // Above what was made there may be a folder that only its owner may open; it was there before, so it is durable.
    let Some(above) = path.ancestors().nth(absent.max(1)) else { return Ok(()) };
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    sync_folder(above).or_else(ignore_forbidden)
}

fn private_folders() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

fn ignore_forbidden(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::PermissionDenied { Ok(()) } else { Err(error) }
}

/// Makes the entries of a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn probe_writable(probe: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).write(true).truncate(false).open(probe)?;
    // Another check may have removed it first.
    present(fs::remove_file(probe)).map(|_| ())
}
