//! Files on their way out of a plain connection. A body gives hyper the mapped bytes of a file and leaves the file here;
//! the transport knows the bytes again by where they lie, and hands the kernel the file in their place.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hallmark_storage::blobs::{Error, Window};

/// What waits to be sent on one connection: an extension of each of its requests, if it can send files at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox(Arc<Mutex<VecDeque<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    window: Window,
    delivery: Delivery,
}

/// What becomes of an answer that leaves as files: an extension of the answer. hyper lets go of its body before all of it is
/// sent, and tells nobody why it could not be.
#[derive(Clone, Default)]
pub(crate) struct Delivery {
    failure: Failure,
    /// Dropped with the last of the answer that waits here.
    end: Arc<Mutex<Option<Box<dyn Send>>>>,
}

/// Why a part of an answer could not be sent, if it could not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<Arc<Error>>>>);

/// A part of a file that comes next.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) window: Window,
    /// Where in the window the part is.
    pub(super) part: Range<usize>,
    pub(super) delivery: Delivery,
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        // Every change is one call, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a window here; its bytes, to be given to hyper. They stay mapped as long as they wait here, so nothing else
    /// can come to lie where they lie.
    pub(crate) fn place(&self, window: Window, delivery: Delivery) -> Bytes {
        let bytes = window.bytes.clone();
        self.waiting().push_back(Waiting { window, delivery });
        bytes
    }

    /// The part of a file that `bytes` are, if they are bytes of a window.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<Next> {
        let waiting = self.waiting();
        let Waiting { window, delivery } =
            waiting.iter().find(|waiting| waiting.window.bytes.as_ptr_range().contains(&bytes.as_ptr()))?;
        let start = bytes.as_ptr().addr() - window.bytes.as_ptr().addr();
        let end = window.bytes.len().min(start + bytes.len());
        Some(Next { window: window.clone(), part: start..end, delivery: delivery.clone() })
    }

    /// How many of the first slices are no bytes of a window: what can be written before the next file.
    pub(super) fn plain(&self, slices: &[IoSlice<'_>]) -> usize {
        let waiting = self.waiting();
        let of_window = |slice: &IoSlice<'_>| {
            waiting.iter().any(|waiting| waiting.window.bytes.as_ptr_range().contains(&slice.as_ptr()))
        };
        slices.iter().position(of_window).unwrap_or(slices.len())
    }

    /// Notes that the window which ends as `bytes` does not wait any more once its last byte is sent.
    pub(super) fn sent(&self, bytes: &[u8]) {
        let end = bytes.as_ptr_range().end;
        let mut waiting = self.waiting();
        let whole = waiting.iter().position(|waiting| waiting.window.bytes.as_ptr_range().end == end);
        let gone = whole.and_then(|place| waiting.remove(place));
        drop(waiting);
        // An answer may end here, which is nothing to do under the lock.
        drop(gone);
    }

    /// Throws away what waits: nothing more is sent.
    pub(super) fn clear(&self) {
        let gone = std::mem::take(&mut *self.waiting());
        drop(gone);
    }
}

impl Delivery {
    /// Keeps `guard` until nothing of the answer waits any more, whether it was sent or will never be.
    pub(crate) fn at_end(self, guard: impl Send + 'static) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(guard));
    }

    /// Where a failure will be found.
    pub(crate) fn failure(&self) -> Failure {
        self.failure.clone()
    }

    /// Notes why the answer breaks off.
    pub(super) fn fail(&self, error: Error) {
        self.failure.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Arc::new(error));
    }
}

impl Failure {
    /// What was noted.
    pub(crate) fn take(&self) -> Option<Arc<Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Delivery").field("failure", &self.failure).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(offset: u64, length: u64) -> Window {
        Window::map(tempfile::tempfile().unwrap(), "a file".into(), offset..offset + length).unwrap()
    }

    fn placed(outbox: &Outbox, offset: u64, length: u64) -> Bytes {
        outbox.place(window(offset, length), Delivery::default())
    }

    #[test]
    fn bytes_of_a_window_are_known_by_where_they_lie() {
        let outbox = Outbox::default();
        let (first, second) = (placed(&outbox, 4_096, 100), placed(&outbox, 10_000, 50));
        let next = outbox.find(&first[30..]).unwrap();
        assert_eq!((next.window.offset, next.part), (4_096, 30..100));
        let next = outbox.find(&second).unwrap();
        assert_eq!((next.window.offset, next.part), (10_000, 0..50));
        assert!(outbox.find(&[0; 100]).is_none());
    }

    #[test]
    fn what_stands_before_a_window_is_written_as_it_is() {
        let outbox = Outbox::default();
        let bytes = placed(&outbox, 0, 10);
        let head = [1; 20];
        assert_eq!(outbox.plain(&[IoSlice::new(&head), IoSlice::new(&bytes), IoSlice::new(&head)]), 1);
        assert_eq!(outbox.plain(&[IoSlice::new(&head)]), 1);
        assert_eq!(outbox.plain(&[IoSlice::new(&bytes)]), 0);
    }

    #[test]
    fn a_window_waits_until_its_last_byte_is_sent() {
        let outbox = Outbox::default();
        let bytes = placed(&outbox, 0, 10);
        outbox.sent(&bytes[..9]);
        assert!(outbox.find(&bytes[9..]).is_some());
        outbox.sent(&bytes[9..]);
        assert!(outbox.find(&bytes[9..]).is_none());
    }

    #[test]
    fn an_answer_ends_when_nothing_of_it_waits() {
        let (outbox, delivery, guard) = (Outbox::default(), Delivery::default(), Arc::new(()));
        let bytes = [0, 4_096].map(|offset| outbox.place(window(offset, 10), delivery.clone()));
        delivery.at_end(Arc::clone(&guard));
        outbox.sent(&bytes[0]);
        assert_eq!(Arc::strong_count(&guard), 2, "a window waits");
        outbox.sent(&bytes[1]);
        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
