//! The part that an upload gathers, and the memory that all uploads share for their parts.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use object_store::PutPayload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::Error;

/// What an upload may gather before it asks for memory: small blobs never wait for large ones.
const UNRESERVED_BYTES: u64 = 128 * 1024;
/// The grain in which memory is handed out.
const GRAIN_BYTES: u64 = 1024;
/// How long an upload waits for memory before the client is told to come back.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// The first and the largest piece of memory that a part is gathered in.
const BLOCK_BYTES: std::ops::RangeInclusive<usize> = 16 * 1024..=256 * 1024;

/// The memory for parts, all uploads together.
#[derive(Debug, Clone)]
pub(super) struct PartMemory {
    free: Arc<Semaphore>,
    bytes: u64,
}

impl PartMemory {
    pub(super) fn new(bytes: u64) -> Self {
        let grains = usize::try_from(bytes / GRAIN_BYTES).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(grains)), bytes }
    }

    /// Waits, first come first served, for the memory of one whole part. Because a part's memory is given at once, the
    /// uploads that hold some can always go on: they need no more before they give it back.
    async fn reserve(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Error> {
        let grains = u32::try_from(bytes.min(self.bytes) / GRAIN_BYTES).unwrap_or(u32::MAX);
        match tokio::time::timeout(LONGEST_WAIT, Arc::clone(&self.free).acquire_many_owned(grains)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(closed)) => Err(Error::task("reserve", "memory for parts", closed)),
            Err(_elapsed) => Err(Error::unavailable("reserve", "memory for parts", "other uploads hold all of it")),
        }
    }
}

/// Bytes on their way to becoming a part.
#[derive(Debug, Default)]
pub(super) struct PartBuffer {
    blocks: Vec<Bytes>,
    open: BytesMut,
    len: u64,
    /// How long the part will be: no block reaches beyond its end.
    part: u64,
    reserved: Option<OwnedSemaphorePermit>,
}

/// The bytes of a part, and the memory they hold until they are dropped.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) blocks: Vec<Bytes>,
    pub(super) len: u64,
    _reserved: Option<OwnedSemaphorePermit>,
}

impl PartBuffer {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Makes sure that `more` bytes may be pushed into a part of `part` bytes.
    pub(super) async fn reserve(&mut self, memory: &PartMemory, more: u64, part: u64) -> Result<(), Error> {
        self.part = part;
        if self.reserved.is_none() && self.len + more > UNRESERVED_BYTES {
            self.reserved = Some(memory.reserve(part).await?);
        }
        Ok(())
    }

    /// Copies bytes in: what is held is then exactly what is counted, whatever buffers they came in.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.open.capacity() - self.open.len();
            if room == 0 {
                self.next_block();
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.open.extend_from_slice(now);
            self.len += now.len() as u64;
            bytes = later;
        }
    }

    fn next_block(&mut self) {
        let full = std::mem::take(&mut self.open);
        let size = (2 * full.len()).clamp(*BLOCK_BYTES.start(), *BLOCK_BYTES.end());
        let left = self.part.saturating_sub(self.len);
        let size = if left > 0 { usize::try_from(left).map_or(size, |left| size.min(left)) } else { size };
        if !full.is_empty() {
            self.blocks.push(full.freeze());
        }
        self.open = BytesMut::with_capacity(size);
    }

    /// Takes everything out, with the memory it holds.
    pub(super) fn take(&mut self) -> Gathered {
        let mut buffer = std::mem::take(self);
        if !buffer.open.is_empty() {
            buffer.blocks.push(buffer.open.freeze());
        }
        Gathered { blocks: buffer.blocks, len: buffer.len, _reserved: buffer.reserved }
    }
}

impl Gathered {
    pub(super) fn payload(&self) -> PutPayload {
        self.blocks.iter().cloned().collect()
    }

    /// What follows the first `skip` bytes.
    pub(super) fn after(&self, mut skip: u64) -> Vec<Bytes> {
        let mut rest = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let length = block.len() as u64;
            if skip < length {
                rest.push(block.slice(skip as usize..));
            }
            skip = skip.saturating_sub(length);
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_what_is_taken() {
        let mut buffer = PartBuffer::default();
        let mut expected = Vec::new();
        for length in [0, 1, 16 * 1024, 3 * 1024 * 1024, 5] {
            let bytes = vec![length as u8; length];
            buffer.push(&bytes);
            expected.extend_from_slice(&bytes);
        }
        let gathered = buffer.take();
        assert_eq!((gathered.len, buffer.len()), (expected.len() as u64, 0));
        assert_eq!(gathered.blocks.concat(), expected);
    }

    #[tokio::test]
    async fn a_part_holds_no_more_than_what_it_was_given() {
        const PART: u64 = 8 * 1024 * 1024;
        let (memory, mut buffer) = (PartMemory::new(PART), PartBuffer::default());
        let piece = vec![7; 100_000];
        while buffer.len() < PART {
            let piece = &piece[..piece.len().min((PART - buffer.len()) as usize)];
            buffer.reserve(&memory, piece.len() as u64, PART).await.unwrap();
            buffer.push(piece);
        }
        assert_eq!(buffer.open.capacity(), buffer.open.len());
        assert_eq!(buffer.take().len, PART);
    }

    #[test]
    fn what_follows_is_cut_anywhere() {
        let mut buffer = PartBuffer::default();
        let bytes: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        buffer.push(&bytes);
        let gathered = buffer.take();
        for skip in [0, 1, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, bytes.len()] {
            assert_eq!(gathered.after(skip as u64).concat(), bytes[skip..], "after {skip}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_waits_until_another_gives_its_memory_back() {
        let memory = PartMemory::new(1024 * 1024);
        let (mut first, mut second) = (PartBuffer::default(), PartBuffer::default());
        first.reserve(&memory, 1024 * 1024, 1024 * 1024).await.unwrap();
        assert!(second.reserve(&memory, 1024 * 1024, 1024 * 1024).await.unwrap_err().is_unavailable());
        drop(first.take());
        second.reserve(&memory, 1024 * 1024, 1024 * 1024).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_blob_waits_for_nothing() {
        let memory = PartMemory::new(1024 * 1024);
        let mut large = PartBuffer::default();
        large.reserve(&memory, 1024 * 1024, 1024 * 1024).await.unwrap();
        PartBuffer::default().reserve(&memory, UNRESERVED_BYTES, 1024 * 1024).await.unwrap();
    }
}
