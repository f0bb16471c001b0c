//! A file mapped into memory, window by window, for a sender that hands the kernel the file instead of the bytes: then
//! nothing of a layer passes through this process, and a reader of any slowness holds no memory.
//!
//! The bytes are real: whoever reads them gets what the file holds. Whether the kernel has them in memory is for the sender
//! to ask, right before it sends: an answer from before would be an old one to a slow reader.

use std::fs::{File, Metadata};
use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::param::page_size;
use rustix::process::geteuid;

use super::super::Error;
use super::super::task::Task;
use super::pool::{PIECE_BYTES, Pool};
use super::read::{FileStream, Source};

/// How much of a file is mapped and given out at once, in bytes: what a connection holds of the address space, and what is
/// brought into memory together.
const WINDOW_BYTES: u64 = 2 * 1024 * 1024;

/// A piece of a file, mapped: the same bytes twice, for whoever reads them and for whoever sends them by file.
#[derive(Debug, Clone)]
pub struct Window {
    /// The bytes.
    pub bytes: Bytes,
    /// Where in the file they begin.
    pub offset: u64,
    source: Arc<Source>,
}

impl Window {
    /// Maps `range` of an open file; `path` is what a failure calls it.
    ///
    /// # Errors
    /// The kernel cannot map it.
    pub fn map(file: File, path: PathBuf, range: Range<u64>) -> io::Result<Self> {
        Self::of(&Arc::new(Source { file, path, pool: Pool::default() }), range, page_size() as u64)
    }

    fn of(source: &Arc<Source>, range: Range<u64>, page: u64) -> io::Result<Self> {
        let bytes = map(&source.file, &range, page)?;
        Ok(Self { bytes, offset: range.start, source: Arc::clone(source) })
    }

    /// The file that holds the bytes.
    pub fn file(&self) -> &File {
        &self.source.file
    }

    /// Whether the kernel has these of the bytes in memory, so that sending them stops no thread for the disk.
    pub fn is_resident(&self, range: Range<usize>) -> bool {
        is_resident(&self.bytes[range])
    }

    /// Reads the window, from this byte of it on, for no other end than that the kernel then has it in memory.
    ///
    /// # Errors
    /// The file cannot be read, or ends early.
    pub fn load(&self, from: usize) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (source, offset) = (Arc::clone(&self.source), self.offset + from as u64);
        let left = self.bytes.len().saturating_sub(from);
        async move {
            let reading = Arc::clone(&source);
            let loaded = Task::blocking(move || load(&reading, offset, left)).await;
            loaded.map_err(io::Error::other).flatten().map_err(|cause| source.failed("read", cause))
        }
    }

    /// The failure to send bytes of this window.
    pub fn unsent(&self, cause: io::Error) -> Error {
        self.source.failed("send", cause)
    }
}

/// What comes of a file that is to leave as windows.
#[derive(Debug)]
pub enum Piece {
    /// Bytes in place.
    Window(Window),
    /// Bytes that were read, where they cannot be mapped.
    Copy(Bytes),
}

/// The pieces of a range of a file, one after another.
#[derive(Debug)]
pub(in super::super) struct FileWindows {
    source: Arc<Source>,
    /// What was not given yet.
    rest: Range<u64>,
    /// Mappings begin at multiples of this, in bytes: the size of a page.
    page: u64,
    /// What is left, once a window could not be mapped.
    copies: Option<FileStream>,
}

impl FileWindows {
    pub(super) fn new(source: Arc<Source>, rest: Range<u64>) -> Self {
        Self { source, rest, page: page_size() as u64, copies: None }
    }

    pub(in super::super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, Error>>> {
        if let Some(copies) = &mut self.copies {
            return copies.poll_piece(context).map(|piece| piece.map(|piece| piece.map(Piece::Copy)));
        }
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let end = self.rest.end.min(self.rest.start + WINDOW_BYTES);
        match Window::of(&self.source, self.rest.start..end, self.page) {
            Ok(window) => {
                self.rest.start = end;
                Poll::Ready(Some(Ok(Piece::Window(window))))
            }
            Err(error) => {
                // No room in the address space, or a file system that maps nothing: reading serves as well.
                tracing::debug!(path = %self.source.path.display(), %error, "a file cannot be mapped and is copied");
                self.copies = Some(FileStream::new(Arc::clone(&self.source), self.rest.clone()));
                self.poll_piece(context)
            }
        }
    }
}

/// Whether the kernel tells us which bytes of a file it has in memory. Of a file that is neither ours nor ours to write it
/// says that it has all, so as to tell nothing of who else reads it (Linux 5.2).
pub(super) fn is_told(path: &Path, metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw() || accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

fn load(source: &Source, mut offset: u64, mut left: usize) -> io::Result<()> {
    while left > 0 {
        let piece = left.min(PIECE_BYTES);
        drop(source.pool.read(&source.file, offset, piece)?);
        offset += piece as u64;
        left -= piece;
    }
    Ok(())
}

/// A mapping of a file for reading.
#[derive(Debug)]
struct Mapping {
    address: NonNull<libc::c_void>,
    length: usize,
}

/// The bytes of a range of a file. A mapping begins where a page does.
fn map(file: &File, range: &Range<u64>, page: u64) -> io::Result<Bytes> {
    let before = range.start % page;
    let length = usize::try_from(before + range.end - range.start).map_err(io::Error::other)?;
    let mapping = Mapping::new(file, range.start - before, length)?;
    Ok(Bytes::from_owner(mapping).slice(usize::try_from(before).map_err(io::Error::other)?..))
}

impl Mapping {
    #[expect(unsafe_code, reason = "the one place that maps files; its proof stands beside it")]
    fn new(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: no address is asked for, so no mapping of anybody is replaced; the descriptor is open for the call, and
        // the kernel refuses lengths and offsets that it cannot map.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), offset)
        };
        match NonNull::new(address) {
            Some(address) if address.as_ptr() != libc::MAP_FAILED => Ok(Self { address, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

// SAFETY: a mapping for reading has no thread of its own and nothing in it changes; any thread may read or unmap it.
#[expect(unsafe_code, reason = "a raw address is not sent between threads by itself")]
unsafe impl Send for Mapping {}

// SAFETY: as above; shared access only reads.
#[expect(unsafe_code, reason = "a raw address is not shared between threads by itself")]
unsafe impl Sync for Mapping {}

impl AsRef<[u8]> for Mapping {
    #[expect(unsafe_code, reason = "the one place that maps files; its proof stands beside it")]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `length` bytes are mapped for reading at `address` until this value is dropped, and the slice lives no
        // longer. They do not change meanwhile: the file of a key is written once, before a fact points to it, and is
        // deleted by name, never cut (I3), while the data folder belongs to this process alone. Were it cut from outside
        // all the same, reading past its end is a signal that ends the process, not a wrong answer.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr().cast(), self.length) }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "the one place that maps files; its proof stands beside it")]
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, once, and no slice of it is left: each borrows this value.
        let unmapped = unsafe { libc::munmap(self.address.as_ptr(), self.length) };
        debug_assert_eq!(unmapped, 0);
    }
}

/// Whether the kernel has all of these mapped bytes in memory. What it cannot tell counts as absent.
#[expect(unsafe_code, reason = "the one place that maps files; its proof stands beside it")]
fn is_resident(bytes: &[u8]) -> bool {
    let page = page_size();
    let before = bytes.as_ptr().addr() % page;
    let length = before + bytes.len();
    let mut pages = vec![0; length.div_ceil(page)];
    let first = bytes.as_ptr().wrapping_sub(before);
    // SAFETY: mincore reads no memory of ours. It is asked about the pages that hold `bytes`, which are mapped while it is
    // borrowed, and writes one byte for each page of them into `pages`, which has as many: `first` is where a page begins.
    let asked = unsafe { libc::mincore(first.cast_mut().cast(), length, pages.as_mut_ptr()) };
    asked == 0 && pages.iter().all(|page| page & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use super::*;

    fn source(content: &[u8]) -> Arc<Source> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Arc::new(Source { file, path: PathBuf::from("a file"), pool: Pool::default() })
    }

    /// Bytes that are not the same in any two pages.
    fn content(length: u64) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    async fn all(mut windows: FileWindows) -> Vec<Piece> {
        let mut given = Vec::new();
        while let Some(piece) = poll_fn(|context| windows.poll_piece(context)).await {
            given.push(piece.unwrap());
        }
        given
    }

    #[tokio::test]
    async fn windows_hold_the_range_and_say_where_it_stands() {
        let content = content(3 * WINDOW_BYTES);
        let (source, page) = (source(&content), page_size() as u64);
        for range in [0..content.len() as u64, 1..page, page..page + 1, 5_000..WINDOW_BYTES + 9_000] {
            let mut at = range.start;
            for piece in all(FileWindows::new(Arc::clone(&source), range.clone())).await {
                let Piece::Window(window) = piece else { panic!("{range:?} was copied") };
                assert_eq!(window.offset, at);
                assert_eq!(window.bytes, content[at as usize..][..window.bytes.len()]);
                at += window.bytes.len() as u64;
            }
            assert_eq!(at, range.end);
        }
    }

    /// As on a processor with pages of 64 KiB, which maps nothing that begins between them.
    #[test]
    fn mappings_begin_where_a_page_does_however_large_it_is() {
        let content = content(300_000);
        let source = source(&content);
        for start in [0, 1, 65_535, 65_536, 70_000, 200_000] {
            let window = Window::of(&source, start..300_000, 65_536).unwrap();
            assert_eq!(window.bytes, content[start as usize..]);
            let page = page_size();
            assert_eq!(window.bytes.as_ptr().addr() % page, (start % 65_536) as usize % page);
        }
    }

    /// The kernel refuses to map what does not begin with a page, as it refuses any file for lack of address space.
    #[tokio::test]
    async fn what_cannot_be_mapped_is_read() {
        let content = content(2 * WINDOW_BYTES);
        for (range, mapped) in [(5_000..content.len() as u64, 0), (0..content.len() as u64, 2)] {
            let windows = FileWindows { page: 1, ..FileWindows::new(source(&content), range.clone()) };
            let (mut read, mut windows_given) = (Vec::new(), 0);
            for piece in all(windows).await {
                match piece {
                    Piece::Copy(bytes) => read.extend_from_slice(&bytes),
                    Piece::Window(window) => {
                        windows_given += 1;
                        read.extend_from_slice(&window.bytes);
                    }
                }
            }
            assert!(read == content[range.start as usize..], "{range:?}");
            assert_eq!(windows_given, mapped);
        }
    }

    #[tokio::test]
    async fn a_window_outlives_its_stream() {
        let given = all(FileWindows::new(source(&[7; 10_000]), 100..9_000)).await;
        let [Piece::Window(window)] = &given[..] else { panic!("{given:?}") };
        assert_eq!(window.bytes, vec![7; 8_900]);
    }

    #[tokio::test]
    async fn what_was_loaded_is_resident() {
        assert!(is_resident(&vec![1; 3 * page_size()]), "memory that was just written is there");
        // On a disk; what is read of a hole in memory does not fill it.
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        file.set_len(1 << 20).unwrap();
        let window = Window::map(file, PathBuf::from("a file"), 5_000..1 << 20).unwrap();
        assert!(!window.is_resident(0..window.bytes.len()), "a hole was never read");
        window.load(500_000).await.unwrap();
        assert!(window.is_resident(500_000..window.bytes.len()));
        assert!(!window.is_resident(0..window.bytes.len()));
    }

    #[tokio::test]
    async fn loading_what_the_file_does_not_hold_is_told_with_its_name() {
        let window = Window::map(tempfile::tempfile().unwrap(), PathBuf::from("a file"), 0..5_000).unwrap();
        let error = window.load(0).await.unwrap_err();
        assert!(error.is_damaged() && error.to_string().contains("a file"), "{error}");
    }

    #[test]
    fn the_kernel_tells_only_of_files_that_are_ours_or_ours_to_write() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(is_told(file.path(), &file.as_file().metadata().unwrap()));
        let others = if geteuid().is_root() { file.path() } else { Path::new("/") };
        if geteuid().is_root() {
            std::os::unix::fs::chown(others, Some(1), None).unwrap();
        }
        let others = std::fs::metadata(others).unwrap();
        assert!(!is_told(Path::new("/nobody may write this"), &others));
        assert!(FileStream::new(source(b""), 0..0).into_windows().is_err(), "what is not told of is copied");
    }
}
