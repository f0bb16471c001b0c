//! A file mapped into memory, window by window, for a sender that hands the kernel the file instead of the bytes: then
//! nothing of a layer passes through this process, and a reader of any slowness holds no memory.
//!
//! The bytes are real: whoever reads them gets what the file holds. A window is given out when the kernel has all of it in
//! memory, so that sending it does not stop a thread of the runtime for the disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;

use super::super::Error;
use super::super::task::Task;
use super::pool::{PIECE_BYTES, Pool};

/// How much of a file is given out at once, in bytes: what is looked up and brought into memory together.
const WINDOW_BYTES: u64 = 2 * 1024 * 1024;
/// The least size of a page of memory; where pages are larger, more is mapped and looked at than need be.
const PAGE_BYTES: u64 = 4096;

/// A piece of a file, mapped: the same bytes twice, for whoever reads them and for whoever sends them by file.
#[derive(Debug, Clone)]
pub struct Window {
    /// The bytes.
    pub bytes: Bytes,
    /// The file that holds them.
    pub file: Arc<File>,
    /// Where in the file they begin.
    pub offset: u64,
}

/// The windows of a range of a file, one after another.
#[derive(Debug)]
pub(in super::super) struct FileWindows {
    file: Arc<File>,
    path: PathBuf,
    pool: Pool,
    /// All of the range, of which nothing is in this process until it is read.
    bytes: Bytes,
    /// Where in the file `bytes` begins.
    begin: u64,
    /// How much of `bytes` was given out.
    given: u64,
    loading: Option<Task<io::Result<()>>>,
}

impl FileWindows {
    pub(super) fn new(file: Arc<File>, path: PathBuf, range: Range<u64>, pool: Pool) -> Result<Self, Error> {
        let bytes = map(&file, &range).map_err(|source| Error::io("map", path.display(), source))?;
        Ok(Self { file, path, pool, bytes, begin: range.start, given: 0, loading: None })
    }

    pub(in super::super) fn poll_window(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Window, Error>>> {
        let left = self.bytes.len() as u64 - self.given;
        if left == 0 {
            return Poll::Ready(None);
        }
        let length = left.min(WINDOW_BYTES);
        let place = |at: u64| usize::try_from(at).expect("an offset into what is mapped is an address");
        let bytes = self.bytes.slice(place(self.given)..place(self.given + length));
        let offset = self.begin + self.given;
        if let Some(loading) = &mut self.loading {
            let loaded = ready!(loading.poll_unpin(context));
            self.loading = None;
            if let Err(source) = loaded.map_err(io::Error::other).flatten() {
                self.given = self.bytes.len() as u64;
                return Poll::Ready(Some(Err(Error::io("read", self.path.display(), source))));
            }
        } else if !is_resident(&bytes) {
            let (file, pool) = (Arc::clone(&self.file), self.pool.clone());
            self.loading = Some(Task::blocking(move || load(&file, &pool, offset, length)));
            return self.poll_window(context);
        }
        self.given += length;
        Poll::Ready(Some(Ok(Window { bytes, file: Arc::clone(&self.file), offset })))
    }
}

/// Reads a part of a file for no other end than that the kernel then has it in memory.
fn load(file: &File, pool: &Pool, mut offset: u64, mut left: u64) -> io::Result<()> {
    while left > 0 {
        let piece = left.min(PIECE_BYTES as u64);
        drop(pool.read(file, offset, usize::try_from(piece).map_err(io::Error::other)?)?);
        offset += piece;
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

/// The bytes of a range of a file.
fn map(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let before = range.start % PAGE_BYTES;
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
fn is_resident(bytes: &Bytes) -> bool {
    let before = bytes.as_ptr().addr() % PAGE_BYTES as usize;
    let length = before + bytes.len();
    let mut pages = vec![0; length.div_ceil(PAGE_BYTES as usize)];
    // SAFETY: mincore reads no memory of ours. It is asked about the pages that hold `bytes`, which are mapped while it is
    // borrowed, and writes one byte a page into `pages`, which has one for each page of the least size.
    let asked = unsafe {
        let first = bytes.as_ptr().sub(before);
        libc::mincore(first.cast_mut().cast(), length, pages.as_mut_ptr())
    };
    asked == 0 && pages.iter().all(|page| page & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use super::*;

    fn windows(content: &[u8], range: Range<u64>) -> FileWindows {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        FileWindows::new(Arc::new(file), PathBuf::from("a file"), range, Pool::default()).unwrap()
    }

    async fn all(mut windows: FileWindows) -> Vec<Window> {
        let mut given = Vec::new();
        while let Some(window) = poll_fn(|context| windows.poll_window(context)).await {
            given.push(window.unwrap());
        }
        given
    }

    #[tokio::test]
    async fn windows_hold_the_range_and_say_where_it_stands() {
        let content: Vec<u8> = (0..3 * WINDOW_BYTES).map(|at| (at % 251) as u8).collect();
        for range in [0..content.len() as u64, 1..PAGE_BYTES, PAGE_BYTES..PAGE_BYTES + 1, 5_000..WINDOW_BYTES + 9_000] {
            let given = all(windows(&content, range.clone())).await;
            let mut at = range.start;
            for window in &given {
                assert_eq!(window.offset, at);
                assert_eq!(window.bytes, content[at as usize..][..window.bytes.len()]);
                at += window.bytes.len() as u64;
            }
            assert_eq!(at, range.end);
        }
    }

    #[tokio::test]
    async fn a_window_outlives_its_stream() {
        let given = all(windows(&[7; 10_000], 100..9_000)).await;
        assert_eq!(given[0].bytes, vec![7; 8_900]);
    }

    #[test]
    fn what_is_not_mapped_is_not_resident() {
        let bytes = Bytes::from(vec![1; 3 * PAGE_BYTES as usize]);
        assert!(is_resident(&bytes), "memory that was just written is there");
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        assert!(!is_resident(&map(&file, &(0..1 << 20)).unwrap()), "a hole was never read");
    }
}
