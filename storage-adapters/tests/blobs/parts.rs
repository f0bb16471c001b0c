//! What only a bucket can get wrong: parts, multipart uploads and their ids, and a server that is not what it should be.

use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{Blobs, S3Config, StorageConfig};
use tempfile::TempDir;

use crate::harness::{
    S3Server, Store, append, assert_holds, content, finish, fresh, next_fence, stored, upload, write,
};

/// Stamps a clause out for memory and for the S3 server.
macro_rules! on_buckets {
    ($($clause:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $clause() { super::$clause(&super::Store::memory()).await; })*
        }
        mod s3 {
            $(#[tokio::test] async fn $clause() { super::$clause(&super::Store::s3()).await; })*
        }
    };
}

on_buckets! {
    a_part_that_another_writer_replaced_fails_the_completion
    a_retry_with_other_bytes_is_not_taken_for_the_blob
    a_multipart_upload_is_completed_only_after_its_id_was_committed
    no_part_is_sent_before_its_multipart_upload_was_committed
    parts_that_waited_for_a_commit_are_whole
    an_upload_of_less_than_a_part_keeps_its_tail_object
    a_blob_of_less_than_a_part_is_one_object_under_the_spare_key
    parts_of_one_request_are_used_by_the_next
    a_lost_tail_is_damage
}

async fn a_part_that_another_writer_replaced_fails_the_completion(store: &Store) {
    let blobs = store.open().await;
    let state = append(&blobs, fresh(), &content(50, store.part)).await;
    let mut early = blobs.append(state.clone(), next_fence()).await.unwrap();
    write(&mut early, &content(51, store.part)).await.unwrap();
    // The second part of the early writer has arrived, and then the late one sends its own in the same place.
    let early_state = early.checkpoint(&StorageKey::random()).await.unwrap();
    let late = append(&blobs, state, &content(52, store.part)).await;
    assert_ne!(early_state.parts, late.parts);
    let refused = finish(&blobs, early_state, &content(0, 0)).await.unwrap_err();
    assert!(refused.is_broken(), "{refused}");
    let sealed = finish(&blobs, late, &content(0, 0)).await.unwrap();
    let bytes = [content(50, store.part), content(52, store.part)].concat().into();
    assert_holds(store, &sealed, &bytes).await;
}

async fn a_retry_with_other_bytes_is_not_taken_for_the_blob(store: &Store) {
    let blobs = store.open().await;
    let start = content(53, store.part + 5);
    let state = append(&blobs, fresh(), &start).await;
    let sealed = finish(&blobs, state.clone(), &content(54, 100)).await.unwrap();
    let refused = finish(&blobs, state, &content(55, 100)).await.unwrap_err();
    assert!(refused.is_broken(), "{refused}");
    assert_holds(store, &sealed, &[start, content(54, 100)].concat().into()).await;
}

async fn a_multipart_upload_is_completed_only_after_its_id_was_committed(store: &Store) {
    let blobs = store.open().await;
    let state = fresh();
    let mut appender = blobs.append(state.clone(), next_fence()).await.unwrap();
    appender.write(content(56, store.part + 1)).await.unwrap();
    let begun = appender.take_checkpoint().unwrap();
    assert_eq!((begun.received, begun.multipart_id.is_some()), (0, true));
    appender.seal(&StorageKey::random()).await.unwrap_err();
    assert_eq!(stored(&blobs, &state.key).await, None);
}

async fn no_part_is_sent_before_its_multipart_upload_was_committed(store: &Store) {
    let blobs = store.open().await;
    for committed in [false, true] {
        let mut appender = blobs.append(fresh(), next_fence()).await.unwrap();
        appender.write(content(69, store.part)).await.unwrap();
        let begun = appender.take_checkpoint().unwrap();
        assert_eq!((begun.received, begun.multipart_id.is_some()), (0, true));
        if committed {
            appender.committed(&begun);
        }
        let state = appender.abandon(&StorageKey::random()).await;
        assert_eq!((state.parts.len(), state.multipart_id), (usize::from(committed), begun.multipart_id));
        assert_eq!(state.received, if committed { store.part as u64 } else { 0 });
    }
    let mut appender = blobs.append(fresh(), next_fence()).await.unwrap();
    appender.write(content(69, store.part)).await.unwrap();
    appender.checkpoint(&StorageKey::random()).await.unwrap_err();
}

async fn parts_that_waited_for_a_commit_are_whole(store: &Store) {
    let blobs = store.open().await;
    let bytes = content(70, 2 * store.part + 10);
    let state = append(&blobs, fresh(), &bytes.slice(..7)).await;
    let mut appender = blobs.append(state, next_fence()).await.unwrap();
    appender.write(bytes.slice(7..)).await.unwrap();
    let begun = appender.take_checkpoint().unwrap();
    appender.committed(&begun);
    assert_holds(store, &appender.seal(&StorageKey::random()).await.unwrap(), &bytes).await;
}

async fn an_upload_of_less_than_a_part_keeps_its_tail_object(store: &Store) {
    let blobs = store.open().await;
    let bytes = content(57, 1000);
    let state = append(&blobs, fresh(), &bytes).await;
    let tail = state.tail_key.clone();
    let sealed = finish(&blobs, state, &content(0, 0)).await.unwrap();
    assert_eq!(Some(&sealed.key), tail.as_ref());
    assert_holds(store, &sealed, &bytes).await;
}

async fn a_blob_of_less_than_a_part_is_one_object_under_the_spare_key(store: &Store) {
    let blobs = store.open().await;
    let (state, spare) = (fresh(), StorageKey::random());
    let mut appender = blobs.append(state.clone(), next_fence()).await.unwrap();
    appender.write(content(58, 1000)).await.unwrap();
    assert_eq!(appender.seal(&spare).await.unwrap().key, spare);
    assert_eq!(stored(&blobs, &state.key).await, None);
}

async fn parts_of_one_request_are_used_by_the_next(store: &Store) {
    let blobs = store.open().await;
    let first = append(&blobs, fresh(), &content(59, 2 * store.part + 1)).await;
    assert_eq!((first.parts.len(), first.tail_key.is_some()), (2, true));
    let second = append(&blobs, first.clone(), &content(60, store.part)).await;
    assert_eq!(second.parts[..2], first.parts);
    assert_eq!((second.parts.len(), second.multipart_id), (3, first.multipart_id));
    assert_ne!(second.tail_key, first.tail_key);
}

async fn a_lost_tail_is_damage(store: &Store) {
    let blobs = store.open().await;
    let state = append(&blobs, fresh(), &content(61, 1000)).await;
    blobs.delete(state.tail_key.as_ref().unwrap(), None).await.unwrap();
    for rest in [0, 1] {
        assert!(finish(&blobs, state.clone(), &content(62, rest)).await.unwrap_err().is_damaged());
    }
}

async fn check(config: S3Config) -> Result<(), hallmark_storage::blobs::Error> {
    Blobs::open(&StorageConfig::S3(config)).await.unwrap().check().await
}

#[tokio::test]
async fn a_bucket_that_is_absent_or_closed_or_down_is_unavailable() {
    let server = S3Server::start(&[]);
    check(server.config()).await.unwrap();
    let wrong_key = S3Config { secret_key: Some("another".into()), ..server.config() };
    assert!(check(wrong_key).await.unwrap_err().is_unavailable());
    let wrong_bucket = S3Config { bucket: "absent".into(), ..server.config() };
    assert!(check(wrong_bucket).await.unwrap_err().is_unavailable());
    let config = server.config();
    drop(server);
    assert!(check(config).await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn a_server_of_an_own_authority_is_trusted_by_its_ca_file() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (file("certificate", made.cert.pem()), file("key", made.signing_key.serialize_pem()));
    let server = S3Server::start(&[&certificate, &key]);
    assert!(check(server.config()).await.unwrap_err().is_unavailable(), "nobody vouches for it");
    let config = S3Config { ca_file: Some(certificate), allow_http: false, ..server.config() };
    let blobs = Blobs::open(&StorageConfig::S3(config)).await.unwrap();
    let bytes = content(63, 9 << 20);
    let sealed = upload(&blobs, &bytes).await;
    assert!(stored(&blobs, &sealed.key).await.is_some_and(|found| found == bytes));
}

#[tokio::test]
async fn parts_below_what_a_bucket_takes_are_refused_at_open() {
    for (part_size, part_memory) in [(1 << 20, 1 << 30), (8 << 20, 4 << 20)] {
        let config = S3Config { part_size, part_memory, ..S3Config::new("images") };
        assert!(Blobs::open(&StorageConfig::S3(config)).await.is_err());
    }
}
