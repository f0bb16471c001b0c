//! The one file of an upload as a blocking thread sees it: opened at the durable offset, written, synced.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::super::Error;
use super::sync_folder;
use super::turns::Ticket;

/// Blobs are private: who may read one is asked above (I6), never the file system.
const FILE_MODE: u32 = 0o600;
/// What is written at once, in bytes. With 2 MiB or more the kernel would look for pages of 2 MiB, which on a virtual machine it may
/// have to get from its host: that was measured to cost two to six times the write.
const WRITE_BYTES: usize = 1024 * 1024;

/// A file that bytes are appended to. It travels from one blocking job to the next, so that no thread is held while no
/// bytes come.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    folder: PathBuf,
    ticket: Ticket,
    file: Option<Arc<File>>,
    offset: u64,
    /// Everything before this is durable or being made so; a failed write cuts the file back to here, never below.
    synced: u64,
    /// Whether the file differs from what is synced, by bytes or by its mere existence.
    dirty: bool,
    entry_synced: bool,
}

impl Writer {
    /// A file that holds `offset` durable bytes. Nothing is opened yet.
    pub(super) fn new(path: PathBuf, folder: PathBuf, ticket: Ticket, offset: u64) -> Self {
        // Bytes were acknowledged only after the folder entry was synced, so where there are some the entry is durable.
        let entry_synced = offset > 0;
        Self { path, folder, ticket, file: None, offset, synced: offset, dirty: false, entry_synced }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes written since the last sync was begun.
    pub(super) fn unsynced(&self) -> u64 {
        self.offset - self.synced
    }

    /// Writes the next bytes. With none, this only opens the file and drops what lies beyond the offset.
    pub(super) fn append(&mut self, frames: &[Bytes]) -> Result<(), Error> {
        let Some(_turn) = self.ticket.hold() else { return Err(Error::overtaken(self.path.display())) };
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => {
                let (file, dirty) = self.open()?;
                self.dirty = dirty;
                Arc::clone(self.file.insert(Arc::new(file)))
            }
        };
        if let Err(full) = write_all(&file, frames) {
            // Give back what a full disk needs most. Should this fail too, the next appender does it.
            let _ = file.set_len(self.synced);
            return Err(Error::io("write", self.path.display(), full));
        }
        let written: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
        self.offset += written;
        self.dirty |= written > 0;
        Ok(())
    }

    /// Begins a sync beside the writing: the returned work makes all bytes so far durable, the entry included. Its
    /// failure must end the upload, because a second sync of the same file would not report it again.
    pub(super) fn begin_sync(&mut self) -> Option<impl FnOnce() -> Result<(), Error> + Send + 'static + use<>> {
        let file = self.file.clone()?;
        let folder = (!self.entry_synced).then(|| self.folder.clone());
        let path = self.path.clone();
        self.synced = self.offset;
        self.entry_synced = true;
        self.dirty = false;
        Some(move || {
            file.sync_data().map_err(|source| Error::io("sync", path.display(), source))?;
            let Some(folder) = folder else { return Ok(()) };
            sync_folder(&folder).map_err(|source| Error::io("sync", folder.display(), source))
        })
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        if !self.dirty {
            return Ok(());
        }
        self.begin_sync().map_or(Ok(()), |sync| sync())
    }

    /// Opens the file and cuts off what is not durable: bytes of a request that crashed, or that was overtaken. Tells
    /// whether that left something to sync.
    fn open(&self) -> Result<(File, bool), Error> {
        let open =
            |create| OpenOptions::new().write(true).create(create).truncate(false).mode(FILE_MODE).open(&self.path);
        let fail = |source| Error::io("open", self.path.display(), source);
        let mut file = match open(self.offset == 0) {
            Ok(file) => file,
            Err(lost) if lost.kind() == io::ErrorKind::NotFound && self.offset > 0 => return Err(self.lost(0)),
            Err(source) => return Err(fail(source)),
        };
        let length = file.metadata().map_err(fail)?.len();
        if length < self.offset {
            return Err(self.lost(length));
        }
        if length > self.offset {
            file.set_len(self.offset).map_err(fail)?;
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(fail)?;
        Ok((file, length > self.offset || self.offset == 0))
    }

    fn lost(&self, length: u64) -> Error {
        let what = format!("{} bytes were acknowledged, {length} are there", self.offset);
        Error::damaged("append to", self.path.display(), what)
    }
}

/// Writes every piece, whatever part of them one call takes.
fn write_all(mut file: &File, frames: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
    let mut rest = &mut slices[..];
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(&rest[..fitting(rest)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(source),
        }
    }
    Ok(())
}

/// How many of the first pieces are written at once: those that [`WRITE_BYTES`] has room for, and one in any case.
fn fitting(slices: &[IoSlice<'_>]) -> usize {
    let mut bytes = 0;
    let fitting = slices.iter().take_while(|slice| {
        bytes += slice.len();
        bytes <= WRITE_BYTES
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_written_at_once_than_keeps_pages_small() {
        let (piece, long) = (vec![0; WRITE_BYTES / 4], vec![0; WRITE_BYTES + 1]);
        let (piece, long) = (IoSlice::new(&piece), IoSlice::new(&long));
        assert_eq!(fitting(&[piece; 9]), 4);
        assert_eq!(fitting(&[piece, long]), 1);
        assert_eq!(fitting(&[long, piece]), 1);
    }

    #[test]
    fn every_piece_is_written_in_its_order() {
        let file = tempfile::tempfile().unwrap();
        let pieces: Vec<Bytes> = (0..9_u8).map(|byte| vec![byte; WRITE_BYTES / 3].into()).collect();
        write_all(&file, &pieces).unwrap();
        let mut written = Vec::new();
        (&file).rewind().unwrap();
        io::Read::read_to_end(&mut &file, &mut written).unwrap();
        assert!(written == pieces.concat());
    }
}
