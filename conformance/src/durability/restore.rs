//! Takes the power away from a folder: after the kill, puts back every byte and every name that was not synced.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    journal,
    undo::{FileUndo, Loss, Piece, Undo, Was, undo},
};
use crate::{Failure, Outcome, failure::While};

/// How much a power loss took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Pages and parts of pages that were put back.
    pub pieces: usize,
    /// Names that were put back or taken away.
    pub names: usize,
}

impl std::ops::AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        self.pieces += other.pieces;
        self.names += other.names;
    }
}

/// Applies the journal to the folder and empties the journal. No program may have files of the folder open.
///
/// # Errors
/// The journal is damaged, names a call that the model does not follow, or a file cannot be put back.
pub(crate) fn restore(folder: &Path, journal: &Path, loss: Loss) -> Outcome<Lost> {
    let log = journal.join("log");
    let bytes = fs::read(&log).or_fail("there is no undo journal: was the library preloaded?")?;
    let undo = undo(journal::parse(&bytes)?, loss);
    let files = journal.join("files");
    for (file, change) in &undo.files {
        put_back(&files.join(file.to_string()), change).or_fail(format!("the bytes of inode {file}"))?;
    }
    put_back_names(folder, &files, &undo).or_fail("the names of the folder")?;
    remove_shared_memory(folder)?;
    fs::remove_file(&log)?;
    fs::remove_dir_all(&files)?;
    fs::create_dir(&files)?;
    let pieces = undo.files.values().map(|change| change.pieces.len()).sum();
    Ok(Lost { pieces, names: undo.names.len() })
}

fn put_back(path: &Path, change: &FileUndo) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let end = file.metadata()?.len().max(change.size.unwrap_or(0));
    for piece in &change.pieces {
        write_piece(&file, piece, end)?;
    }
    change.size.map_or(Ok(()), |size| file.set_len(size))
}

/// Writes the old bytes, and zeros behind them as far as the file goes.
fn write_piece(file: &File, piece: &Piece, end: u64) -> io::Result<()> {
    let length = piece.length.min(end.saturating_sub(piece.offset));
    let mut bytes = piece.old.clone();
    bytes.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
    file.write_all_at(&bytes, piece.offset)
}

/// What was there comes back first, folders before what they hold; then goes what was not there, with all it holds.
fn put_back_names(folder: &Path, files: &Path, undo: &Undo) -> io::Result<()> {
    for (name, was) in &undo.names {
        let path = folder.join(name);
        match was {
            Was::File(file) if path.parent().is_some_and(Path::is_dir) => put_back_name(&path, *file, files)?,
            Was::Folder if !path.is_dir() => fs::create_dir_all(&path)?,
            Was::File(_) | Was::Folder | Was::Absent => {}
        }
    }
    for (name, _) in undo.names.iter().filter(|(_, was)| **was == Was::Absent) {
        remove(&folder.join(name))?;
    }
    Ok(())
}

fn put_back_name(path: &Path, file: u64, files: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.ino() == file => return Ok(()),
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    fs::hard_link(files.join(file.to_string()), path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn remove_shared_memory(folder: &Path) -> Outcome<()> {
    for path in walk(folder)? {
        if path.to_string_lossy().ends_with("-shm") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Every file below a folder.
///
/// # Errors
/// A folder cannot be read.
pub fn walk(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).or_fail(format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let list = if entry.file_type()?.is_dir() { &mut folders } else { &mut found };
            list.push(entry.path());
        }
    }
    Ok(found)
}

/// Makes the folders that the preloaded library expects.
///
/// # Errors
/// They cannot be made.
pub(crate) fn prepare(journal: &Path) -> Outcome<()> {
    fs::create_dir_all(journal.join("files")).map_err(|error| Failure::caused_by("cannot make the journal", error))
}
