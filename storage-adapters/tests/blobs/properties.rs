//! However a blob is cut into requests, and however those end, it is the blob that one request would have made.

use bytes::Bytes;
use hallmark_oci::{Algorithm, Digest};
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::Blobs;
use proptest::prelude::*;

use crate::harness::{KIB, Store, content, fresh, next_fence, stored, write};

/// The part size of the store in memory: small, so that a few requests make many parts.
const PART: usize = 4 * KIB;
/// The longest request.
const LONGEST: usize = 3 * PART;

/// How a request ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// The body ends in mid-blob, and the state is committed.
    Checkpoint,
    /// The client goes away, and what came is committed.
    Abandon,
    /// The client goes away, and the server with it: only what was committed on the way is remembered.
    Drop,
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Checkpoint), Just(End::Abandon), Just(End::Drop)]
}

fn requests() -> impl Strategy<Value = Vec<(usize, usize, End)>> {
    let length = prop_oneof![0..=LONGEST, Just(PART), Just(PART - 1), Just(PART + 1)];
    prop::collection::vec((length, 1..=LONGEST, end()), 0..8)
}

/// Sends the requests one after another, then seals with `last` more bytes.
async fn run(blobs: &Blobs, requests: &[(usize, usize, End)], last: usize, algorithm: Algorithm) {
    let mut expected: Vec<u8> = Vec::new();
    let mut state = hallmark_storage::blobs::UploadState::new(fresh().key, algorithm);
    for (number, (length, frame, end)) in requests.iter().enumerate() {
        let bytes = content(number as u64, *length);
        let mut appender = blobs.append(state.clone(), next_fence()).await.unwrap();
        let mut committed = Vec::new();
        for frame in bytes.chunks(*frame) {
            committed.extend(write(&mut appender, &Bytes::copy_from_slice(frame)).await.unwrap());
        }
        let spare = StorageKey::random();
        match end {
            End::Checkpoint => state = appender.checkpoint(&spare).await.unwrap(),
            End::Abandon => state = appender.abandon(&spare).await,
            End::Drop => {
                drop(appender);
                state = committed.pop().unwrap_or(state);
            }
        }
        if !matches!(end, End::Drop) {
            expected.extend_from_slice(&bytes);
        }
        assert_eq!(state.received, expected.len() as u64);
    }
    let bytes = content(99, last);
    expected.extend_from_slice(&bytes);
    let mut appender = blobs.append(state, next_fence()).await.unwrap();
    write(&mut appender, &bytes).await.unwrap();
    let sealed = appender.seal(&StorageKey::random()).await.unwrap();
    assert_eq!(sealed.digest, Digest::of(algorithm, &expected));
    assert!(stored(blobs, &sealed.key).await.is_some_and(|found| *found == *expected));
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_requests_make_the_same_blob_in_parts(requests in requests(), last in 0..=LONGEST, long: bool) {
        let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
        let blobs = Blobs::in_memory(PART as u64, 16 * PART as u64);
        block_on(run(&blobs, &requests, last, algorithm));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// The same with pieces a hundred times as large, so that the file is written in mid-request.
    #[test]
    fn any_requests_make_the_same_blob_in_a_file(requests in requests(), last in 0..=LONGEST) {
        let requests: Vec<_> = requests.iter().map(|(length, frame, end)| (length * 100, frame * 100, *end)).collect();
        block_on(async {
            let store = Store::folder();
            let blobs = store.open().await;
            run(&blobs, &requests, last, Algorithm::Sha256).await;
        });
    }
}
