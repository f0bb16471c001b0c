//! What every store promises.

use hallmark_oci::{Algorithm, Digest};
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::UploadState;

use crate::harness::{
    KIB, MIB, Request, Row, Store, append, assert_holds, collect, content, finish, fresh, next_fence, stored, upload,
    write,
};

pub(crate) async fn what_is_sealed_reads_back(store: &Store) {
    for length in [1, 4 * KIB, 128 * KIB, 256 * KIB + 1, 3 * MIB] {
        let bytes = content(length as u64, length);
        assert_holds(store, &upload(&store.open().await, &bytes).await, &bytes).await;
    }
}

pub(crate) async fn a_blob_of_no_bytes_is_a_blob(store: &Store) {
    let bytes = content(0, 0);
    assert_holds(store, &upload(&store.open().await, &bytes).await, &bytes).await;
    let opened = append(&store.open().await, fresh(), &bytes).await;
    assert_holds(store, &finish(&store.open().await, opened, &bytes).await.unwrap(), &bytes).await;
}

pub(crate) async fn sizes_around_a_part_are_whole(store: &Store) {
    for length in [store.part - 1, store.part, store.part + 1, 2 * store.part, 2 * store.part + 1] {
        let bytes = content(length as u64, length);
        assert_holds(store, &upload(&store.open().await, &bytes).await, &bytes).await;
        for cut in [1, store.part - 1, store.part] {
            let cut = cut.min(length);
            let blobs = store.open().await;
            let state = append(&blobs, fresh(), &bytes.slice(..cut)).await;
            assert_eq!(state.received, cut as u64);
            assert_holds(store, &finish(&blobs, state, &bytes.slice(cut..)).await.unwrap(), &bytes).await;
        }
    }
}

pub(crate) async fn any_range_reads_back(store: &Store) {
    let bytes = content(7, MIB + 5);
    let blobs = store.open().await;
    let sealed = upload(&blobs, &bytes).await;
    let end = bytes.len();
    let whole = 256 * KIB;
    for range in [
        0..0,
        0..1,
        1..2,
        end - 1..end,
        end..end,
        0..whole,
        0..whole + 1,
        1..whole + 2,
        whole - 1..whole + 1,
        3..end,
        0..end - 1,
        0..end,
    ] {
        let body = blobs.read(&sealed.key, range.start as u64..range.end as u64).await.unwrap().unwrap();
        assert_eq!(body.len(), range.len() as u64, "{range:?}");
        assert!(collect(body).await.unwrap() == bytes[range.clone()], "{range:?}");
    }
}

pub(crate) async fn a_range_beyond_the_end_is_an_error(store: &Store) {
    let blobs = store.open().await;
    let sealed = upload(&blobs, &content(8, MIB)).await;
    let end = MIB as u64;
    for range in [0..end + 1, end - 1..end + 1, end + 1..end + 2] {
        assert!(blobs.read(&sealed.key, range.clone()).await.is_err(), "{range:?}");
    }
}

pub(crate) async fn an_absent_key_is_none(store: &Store) {
    let (blobs, key) = (store.open().await, StorageKey::random());
    assert_eq!(blobs.size(&key).await.unwrap(), None);
    assert!(blobs.read(&key, 0..1).await.unwrap().is_none());
    assert!(blobs.read(&key, 0..MIB as u64).await.unwrap().is_none());
    assert!(blobs.hash(&key, Algorithm::Sha256).await.unwrap().is_none());
}

pub(crate) async fn a_key_may_be_deleted_twice(store: &Store) {
    let blobs = store.open().await;
    let sealed = upload(&blobs, &content(9, 10)).await;
    for _ in 0..2 {
        blobs.delete(&sealed.key, None).await.unwrap();
        assert_eq!(stored(&blobs, &sealed.key).await, None);
    }
}

pub(crate) async fn a_deleted_upload_cannot_be_sealed(store: &Store) {
    let blobs = store.open().await;
    let state = append(&blobs, fresh(), &content(10, store.part + 10)).await;
    for _ in 0..2 {
        blobs.delete(&state.key, state.multipart_id.as_deref()).await.unwrap();
    }
    let late = finish(&blobs, state.clone(), &content(11, 10)).await.unwrap_err();
    assert!(late.is_broken() || late.is_damaged() || late.is_overtaken(), "{late}");
    assert_eq!(stored(&blobs, &state.key).await, None);
}

pub(crate) async fn an_upload_goes_on_in_another_process(store: &Store) {
    let bytes = content(12, 2 * store.part + 1000);
    let mut state = fresh();
    let cuts = [0, 10, store.part + 7, 2 * store.part - 3];
    for window in cuts.windows(2) {
        state = append(&store.open().await, state, &bytes.slice(window[0]..window[1])).await;
        assert_eq!(state.received, window[1] as u64);
    }
    let sealed = finish(&store.open().await, state, &bytes.slice(cuts[3]..)).await.unwrap();
    assert_holds(store, &sealed, &bytes).await;
}

pub(crate) async fn an_upload_may_end_without_another_byte(store: &Store) {
    for length in [1000, store.part, store.part + 1000] {
        let bytes = content(13, length);
        let state = append(&store.open().await, fresh(), &bytes).await;
        let sealed = finish(&store.open().await, state, &content(0, 0)).await.unwrap();
        assert_holds(store, &sealed, &bytes).await;
    }
}

pub(crate) async fn bytes_beyond_the_durable_offset_are_dropped(store: &Store) {
    let bytes = content(14, 2 * store.part);
    let durable = store.part / 2;
    let state = append(&store.open().await, fresh(), &bytes.slice(..durable)).await;
    // A request whose client is gone and that commits nothing: in a bucket, parts of it may stand for ever.
    let blobs = store.open().await;
    let mut gone = blobs.append(state.clone(), next_fence()).await.unwrap();
    write(&mut gone, &content(15, 3 * store.part)).await.unwrap();
    drop(gone);
    let sealed = finish(&blobs, state, &bytes.slice(durable..)).await.unwrap();
    assert_holds(store, &sealed, &bytes).await;
}

pub(crate) async fn a_tail_is_carried_through_tiny_requests(store: &Store) {
    let bytes = content(16, 40);
    let mut state = fresh();
    for start in 0..bytes.len() {
        state = append(&store.open().await, state, &bytes.slice(start..start + 1)).await;
        assert_eq!((state.received, state.parts.len()), (start as u64 + 1, 0));
    }
    assert_holds(store, &finish(&store.open().await, state, &content(0, 0)).await.unwrap(), &bytes).await;
}

pub(crate) async fn an_abandoned_request_keeps_what_came(store: &Store) {
    let bytes = content(17, store.part + 500);
    let blobs = store.open().await;
    let mut appender = blobs.append(fresh(), next_fence()).await.unwrap();
    write(&mut appender, &bytes).await.unwrap();
    let state = appender.abandon(&StorageKey::random()).await;
    assert_eq!(state.received, bytes.len() as u64);
    assert_holds(store, &finish(&store.open().await, state, &content(0, 0)).await.unwrap(), &bytes).await;
}

pub(crate) async fn a_dropped_request_leaves_the_upload_where_it_was(store: &Store) {
    let blobs = store.open().await;
    for length in [0, 10, store.part, 2 * store.part + 1] {
        let bytes = content(18, 1000);
        let state = append(&blobs, fresh(), &bytes).await;
        let mut appender = blobs.append(state.clone(), next_fence()).await.unwrap();
        appender.write(content(19, length)).await.unwrap();
        drop(appender);
        assert_holds(store, &finish(&blobs, state, &content(0, 0)).await.unwrap(), &bytes).await;
    }
}

pub(crate) async fn a_checkpoint_comes_every_64_mib(store: &Store) {
    let bytes = content(20, 8 * MIB);
    let blobs = store.open().await;
    let mut appender = blobs.append(fresh(), next_fence()).await.unwrap();
    let mut last = fresh();
    // Far more than the distance of two checkpoints: one may still be on its way while bytes go on.
    for _ in 0..40 {
        for state in write(&mut appender, &bytes).await.unwrap() {
            // Out of turn, a bucket tells of its multipart upload once.
            let announced = state.multipart_id != last.multipart_id;
            assert!(announced || state.received - last.received >= 64 * MIB as u64, "{}", state.received);
            last = state;
        }
        if last.received >= 64 * MIB as u64 {
            break;
        }
    }
    assert!(last.received >= 64 * MIB as u64, "no checkpoint came");
    drop(appender);
    // The state is durable: another process goes on from it.
    let rest = content(21, 5);
    let mut expected = hallmark_oci::Hasher::new(Algorithm::Sha256);
    let mut left = last.received as usize;
    while left > 0 {
        let now = left.min(bytes.len());
        expected.update(&bytes[..now]);
        left -= now;
    }
    expected.update(&rest);
    let sealed = finish(&store.open().await, last, &rest).await.unwrap();
    let read_again = store.open().await.hash(&sealed.key, Algorithm::Sha256).await.unwrap();
    assert_eq!(sealed.digest, expected.finish());
    assert_eq!(read_again, Some((sealed.digest, sealed.size)));
}

pub(crate) async fn sha512_is_hashed_as_it_comes(store: &Store) {
    let bytes = content(22, store.part + 9);
    let state = UploadState::new(StorageKey::random(), Algorithm::Sha512);
    let state = append(&store.open().await, state, &bytes.slice(..100)).await;
    let sealed = finish(&store.open().await, state, &bytes.slice(100..)).await.unwrap();
    assert_eq!(sealed.digest.algorithm(), Algorithm::Sha512);
    assert_holds(store, &sealed, &bytes).await;
}

pub(crate) async fn a_blob_can_be_hashed_again(store: &Store) {
    let blobs = store.open().await;
    for length in [0, 1, 256 * KIB + 1, store.part + 1] {
        let bytes = content(23, length);
        let sealed = upload(&blobs, &bytes).await;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let again = blobs.hash(&sealed.key, algorithm).await.unwrap();
            assert_eq!(again, Some((Digest::of(algorithm, &bytes), length as u64)));
        }
    }
}

/// Two requests hold one upload: the early one was silent for so long that the late one took it over, and now both go on
/// and end in either order. What the late one is told must hold for ever; the early one is told nothing that counts.
pub(crate) async fn of_two_writers_none_mixes_the_other_s_bytes(store: &Store) {
    for start in [0, 100, store.part + 100] {
        for early_ends_first in [true, false] {
            let blobs = store.open().await;
            let row = Row::new(append(&blobs, fresh(), &content(24, start)).await);
            let mut early = Request::lease(&blobs, &row).await;
            early.write(&content(25, store.part + store.part / 2)).await;
            let mut late = Request::lease(&blobs, &row).await;
            let (again, other) = (content(26, 2 * store.part), content(27, 2 * store.part));
            tokio::join!(early.write(&again), late.write(&other));
            let sealed = if early_ends_first {
                early.seal().await;
                late.seal().await
            } else {
                let sealed = late.seal().await;
                early.seal().await;
                sealed
            };
            // Refused is fine: the client begins again. Told is told.
            if let Some(sealed) = sealed {
                let found = store.open().await.hash(&sealed.key, Algorithm::Sha256).await.unwrap();
                assert_eq!(found, Some((sealed.digest, sealed.size)));
            }
        }
    }
}

/// The facts could not be written, so the client comes again with the same last bytes.
pub(crate) async fn a_seal_may_be_tried_again(store: &Store) {
    for (length, cut) in [(10, 5), (2 * store.part, store.part + 5), (2 * store.part + 3, 2 * store.part + 2)] {
        let bytes = content(28, length);
        let state = append(&store.open().await, fresh(), &bytes.slice(..cut)).await;
        for _ in 0..2 {
            let sealed = finish(&store.open().await, state.clone(), &bytes.slice(cut..)).await.unwrap();
            assert_holds(store, &sealed, &bytes).await;
        }
    }
}

pub(crate) async fn a_store_that_works_checks_out(store: &Store) {
    let blobs = store.open().await;
    blobs.check().await.unwrap();
    blobs.check().await.unwrap();
    assert_eq!(blobs.uses_spare_keys(), !store.is_folder());
}

pub(crate) async fn a_mark_is_changed_by_who_knows_it(store: &Store) {
    let blobs = store.open().await;
    assert_eq!(blobs.mark().await.unwrap(), None);
    assert!(!blobs.change_mark(Some("one"), "two").await.unwrap());
    assert!(blobs.change_mark(None, "one").await.unwrap() && !blobs.change_mark(None, "other").await.unwrap());
    assert!(
        blobs.change_mark(Some("one"), "two").await.unwrap() && !blobs.change_mark(Some("one"), "x").await.unwrap()
    );
    assert_eq!(store.open().await.mark().await.unwrap().as_deref(), Some("two"));
}

/// Whoever compares a store with the facts deletes what it lists and nothing names: all of a part, and nothing else.
pub(crate) async fn a_part_lists_the_keys_that_begin_with_it_and_no_others(store: &Store) {
    let blobs = store.open().await;
    let mut keys = Vec::new();
    for seed in 0..40 {
        keys.push(upload(&blobs, &content(seed, 10)).await.key);
    }
    let open = append(&blobs, fresh(), &content(50, 10)).await;
    blobs.change_mark(None, "mark").await.unwrap();
    let mut listed = Vec::new();
    for part in 0..=u8::MAX {
        for (key, written_at) in blobs.shard(part).await.unwrap() {
            assert!(key.as_str().starts_with(&format!("{part:02x}")), "{part:02x} lists {key}");
            // Milliseconds of this century.
            assert!((1_700_000_000_000..4_000_000_000_000).contains(&written_at), "{key} was written at {written_at}");
            listed.push(key);
        }
    }
    let (mine, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(|key| keys.contains(key));
    assert_eq!(mine.len(), keys.len(), "each once");
    assert!(others.len() <= 1, "what is uploaded may lie there already: {others:?}");
    drop(open);
    blobs.delete(&keys[0], None).await.unwrap();
    let part = u8::from_str_radix(&keys[0].as_str()[..2], 16).unwrap();
    assert!(!blobs.shard(part).await.unwrap().iter().any(|(key, _)| *key == keys[0]), "it is deleted");
}
