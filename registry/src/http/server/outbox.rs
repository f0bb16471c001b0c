//! Files on their way out of a plain connection. A body gives hyper the mapped bytes of a file and leaves the file here;
//! the transport knows the bytes again by where they lie, and hands the kernel the file in their place.

use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hallmark_storage::blobs::Window;

/// What waits to be sent on one connection: an extension of each of its requests, if it can send files at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox(Arc<Mutex<VecDeque<Window>>>);

/// A part of a file that comes next.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    pub(super) length: usize,
}

impl Outbox {
    fn windows(&self) -> MutexGuard<'_, VecDeque<Window>> {
        // Every change is one call, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a window here; its bytes, to be given to hyper. They stay mapped as long as they wait here, so nothing else
    /// can come to lie where they lie.
    pub(crate) fn place(&self, window: Window) -> Bytes {
        let bytes = window.bytes.clone();
        self.windows().push_back(window);
        bytes
    }

    /// The part of a file that `bytes` are, if they are bytes of a window.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<Next> {
        let windows = self.windows();
        let window = windows.iter().find(|window| window.bytes.as_ptr_range().contains(&bytes.as_ptr()))?;
        let inside = bytes.as_ptr().addr() - window.bytes.as_ptr().addr();
        let length = bytes.len().min(window.bytes.len() - inside);
        Some(Next { file: Arc::clone(&window.file), offset: window.offset + inside as u64, length })
    }

    /// How many of the first slices are no bytes of a window: what can be written before the next file.
    pub(super) fn plain(&self, slices: &[IoSlice<'_>]) -> usize {
        let windows = self.windows();
        let of_window =
            |slice: &IoSlice<'_>| windows.iter().any(|window| window.bytes.as_ptr_range().contains(&slice.as_ptr()));
        slices.iter().position(of_window).unwrap_or(slices.len())
    }

    /// Notes that the window which begins as `bytes` does not wait any more once its last byte is sent.
    pub(super) fn sent(&self, bytes: &[u8]) {
        let end = bytes.as_ptr_range().end;
        self.windows().retain(|window| window.bytes.as_ptr_range().end != end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(offset: u64, length: usize) -> Window {
        Window { bytes: vec![0; length].into(), file: Arc::new(tempfile::tempfile().unwrap()), offset }
    }

    #[test]
    fn bytes_of_a_window_are_known_by_where_they_lie() {
        let outbox = Outbox::default();
        let (first, second) = (outbox.place(window(4_096, 100)), outbox.place(window(10_000, 50)));
        let next = outbox.find(&first[30..]).unwrap();
        assert_eq!((next.offset, next.length), (4_126, 70));
        let next = outbox.find(&second).unwrap();
        assert_eq!((next.offset, next.length), (10_000, 50));
        assert!(outbox.find(&[0; 100]).is_none());
    }

    #[test]
    fn what_stands_before_a_window_is_written_as_it_is() {
        let outbox = Outbox::default();
        let bytes = outbox.place(window(0, 10));
        let head = [1; 20];
        assert_eq!(outbox.plain(&[IoSlice::new(&head), IoSlice::new(&bytes), IoSlice::new(&head)]), 1);
        assert_eq!(outbox.plain(&[IoSlice::new(&head)]), 1);
        assert_eq!(outbox.plain(&[IoSlice::new(&bytes)]), 0);
    }

    #[test]
    fn a_window_waits_until_its_last_byte_is_sent() {
        let outbox = Outbox::default();
        let bytes = outbox.place(window(0, 10));
        outbox.sent(&bytes[..9]);
        assert!(outbox.find(&bytes[9..]).is_some());
        outbox.sent(&bytes[9..]);
        assert!(outbox.find(&bytes[9..]).is_none());
    }
}
