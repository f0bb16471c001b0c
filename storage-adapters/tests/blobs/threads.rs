//! Readers and writers that take their time hold neither threads nor memory that others need.

use futures_util::{FutureExt, StreamExt};
use hallmark_storage::blobs::{BlobBody, Blobs};

use crate::harness::{KIB, MIB, Store, assert_holds, content, fresh, next_fence, stored, upload, write};

/// Far more readers than the blocking threads of the runtime that the clause runs on could serve if each held one.
const READERS: usize = 600;

pub(crate) async fn slow_readers_hold_no_thread(store: &Store) {
    let blobs = store.open().await;
    let bytes = content(30, MIB);
    let sealed = upload(&blobs, &bytes).await;
    let mut slow = Vec::new();
    for _ in 0..if store.is_folder() { READERS } else { 20 } {
        let Some(BlobBody::Stream(mut stream)) = blobs.read(&sealed.key, 0..MIB as u64).await.unwrap() else {
            panic!("a mebibyte comes as a stream");
        };
        let first = stream.next().await.unwrap().unwrap();
        slow.push((first.len(), stream));
    }
    assert_holds(store, &sealed, &bytes).await;
    for (mut length, mut stream) in slow {
        while let Some(piece) = stream.next().await {
            length += piece.unwrap().len();
        }
        assert_eq!(length, MIB);
    }
}

/// The same with two blocking threads in all, so that a single reader that held one would show.
#[test]
fn two_threads_serve_many_readers_and_writers() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Store::folder();
        let blobs = store.open().await;
        let bytes = content(31, 2 * MIB);
        let sealed = upload(&blobs, &bytes).await;
        let (mut readers, mut writers) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            readers.push(blobs.read(&sealed.key, 0..MIB as u64).await.unwrap().unwrap());
            let mut writer = blobs.append(fresh(), next_fence()).await.unwrap();
            write(&mut writer, &bytes).await.unwrap();
            writers.push(writer);
        }
        assert!(stored(&blobs, &sealed.key).await.is_some_and(|found| found == bytes));
    });
}

#[tokio::test]
async fn an_upload_waits_until_another_gives_its_part_memory_back() {
    let part = 256 * KIB;
    let blobs = Blobs::in_memory(part as u64, part as u64);
    let mut first = blobs.append(fresh(), next_fence()).await.unwrap();
    first.write(content(32, part - 1)).await.unwrap();
    let mut second = blobs.append(fresh(), next_fence()).await.unwrap();
    let piece = content(33, part - 1);
    assert!(second.write(piece.clone()).now_or_never().is_none(), "there is memory for one part only");
    drop(first);
    let mut third = blobs.append(fresh(), next_fence()).await.unwrap();
    third.write(piece).await.unwrap();
}

#[tokio::test]
async fn small_blobs_wait_for_no_part_memory() {
    let part = 256 * KIB;
    let blobs = Blobs::in_memory(part as u64, part as u64);
    let mut large = blobs.append(fresh(), next_fence()).await.unwrap();
    large.write(content(34, part - 1)).await.unwrap();
    let bytes = content(35, 128 * KIB);
    let sealed = upload(&blobs, &bytes).await;
    assert!(stored(&blobs, &sealed.key).await.is_some_and(|found| found == bytes));
}

#[tokio::test]
async fn many_uploads_share_the_memory_of_two_parts() {
    let part = 256 * KIB;
    let blobs = Blobs::in_memory(part as u64, 2 * part as u64);
    let mut uploads = tokio::task::JoinSet::new();
    for seed in 0..12 {
        let blobs = blobs.clone();
        uploads.spawn(async move {
            let bytes = content(seed, 3 * part + 100);
            let sealed = upload(&blobs, &bytes).await;
            stored(&blobs, &sealed.key).await.is_some_and(|found| found == bytes)
        });
    }
    assert!(uploads.join_all().await.into_iter().all(|whole| whole));
}
