//! Disks that are full, read-only, or have lost bytes.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use futures_util::StreamExt;
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::BlobBody;
use tempfile::TempDir;

use crate::harness::{
    KIB, MIB, append, collect, content, file_of, finish, fresh, next_fence, open_folder, stored, upload, write,
};

/// A file system in memory, of a size; unmounted when dropped.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let options = format!("size={size},mode=0700");
        run("mount", &["-t", "tmpfs", "-o", &options, "hallmark-test"], folder.path());
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, how: &str) {
        run("mount", &["-o", &format!("remount,{how}")], self.path());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "a small tmpfs could not be mounted at {}: run the tests as root, with the Debian package `mount`",
        path.display()
    );
}

#[tokio::test]
async fn a_full_disk_says_so_and_keeps_the_durable_offset() {
    let disk = Tmpfs::mount("2m");
    let blobs = open_folder(disk.path()).await;
    let bytes = content(40, 3 * MIB);
    let state = append(&blobs, fresh(), &bytes.slice(..MIB)).await;
    let mut appender = blobs.append(state.clone(), next_fence()).await.unwrap();
    let written = write(&mut appender, &bytes.slice(MIB..)).await;
    let full = match written {
        Ok(_) => appender.seal(&StorageKey::random()).await.unwrap_err(),
        Err(full) => {
            assert_eq!(appender.abandon(&StorageKey::random()).await, state);
            full
        }
    };
    assert!(full.is_full(), "{full}");
    assert_eq!(blobs.size(&state.key).await.unwrap(), Some(state.received), "what a failed write took is given back");
    disk.remount("size=8m");
    let sealed = finish(&blobs, state, &bytes.slice(MIB..)).await.unwrap();
    assert!(stored(&blobs, &sealed.key).await.is_some_and(|found| found == bytes));
}

#[tokio::test]
async fn a_full_disk_refuses_a_small_blob_and_serves_what_it_has() {
    let disk = Tmpfs::mount("2m");
    let blobs = open_folder(disk.path()).await;
    let bytes = content(41, 64 * KIB);
    let sealed = upload(&blobs, &bytes).await;
    fs::write(disk.path().join("filler"), vec![1; 4 * MIB]).unwrap_err();
    let full = finish(&blobs, fresh(), &bytes).await.unwrap_err();
    assert!(full.is_full(), "{full}");
    assert!(stored(&blobs, &sealed.key).await.is_some_and(|found| found == bytes));
}

#[tokio::test]
async fn a_read_only_disk_is_unavailable_for_writing_and_serves_what_it_has() {
    let disk = Tmpfs::mount("2m");
    let blobs = open_folder(disk.path()).await;
    let bytes = content(42, 64 * KIB);
    let sealed = upload(&blobs, &bytes).await;
    disk.remount("ro");
    assert!(blobs.check().await.unwrap_err().is_unavailable());
    assert!(finish(&blobs, fresh(), &bytes).await.unwrap_err().is_unavailable());
    assert!(blobs.delete(&sealed.key, None).await.unwrap_err().is_unavailable());
    let blobs = open_folder(disk.path()).await;
    assert!(stored(&blobs, &sealed.key).await.is_some_and(|found| found == bytes));
}

/// The place of a disk that is not mounted any more is an empty folder that can be written: nothing was lost, and nothing
/// may be stored there.
#[tokio::test]
async fn a_folder_whose_disk_is_gone_is_unavailable() {
    let folder = TempDir::new().unwrap();
    let blobs = open_folder(folder.path()).await;
    blobs.check().await.unwrap();
    fs::rename(folder.path().join("blobs"), folder.path().join("away")).unwrap();
    fs::create_dir(folder.path().join("blobs")).unwrap();
    assert!(blobs.check().await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn a_stream_whose_file_shrinks_ends_with_an_error() {
    let folder = TempDir::new().unwrap();
    let blobs = open_folder(folder.path()).await;
    let sealed = upload(&blobs, &content(43, 4 * MIB)).await;
    let Some(BlobBody::Stream(stream)) = blobs.read(&sealed.key, 0..sealed.size).await.unwrap() else {
        panic!("four mebibytes come as a stream");
    };
    let file = fs::OpenOptions::new().write(true).open(file_of(folder.path(), &sealed.key)).unwrap();
    file.set_len(MIB as u64).unwrap();
    let pieces: Vec<_> = stream.collect().await;
    let (last, before) = pieces.split_last().unwrap();
    assert!(before.iter().all(Result::is_ok));
    assert!(last.as_ref().is_err_and(|error| error.is_damaged()));
}

#[tokio::test]
async fn a_range_that_a_file_has_lost_is_damage() {
    let folder = TempDir::new().unwrap();
    let blobs = open_folder(folder.path()).await;
    let sealed = upload(&blobs, &content(44, MIB)).await;
    fs::write(file_of(folder.path(), &sealed.key), b"short").unwrap();
    for end in [6, sealed.size] {
        assert!(blobs.read(&sealed.key, 0..end).await.unwrap_err().is_damaged());
    }
}

#[tokio::test]
async fn an_upload_whose_file_has_lost_bytes_is_damage() {
    let folder = TempDir::new().unwrap();
    let blobs = open_folder(folder.path()).await;
    let state = append(&blobs, fresh(), &content(45, 1000)).await;
    let file = file_of(folder.path(), &state.key);
    fs::write(&file, b"short").unwrap();
    assert!(finish(&blobs, state.clone(), &content(46, 1)).await.unwrap_err().is_damaged());
    fs::remove_file(&file).unwrap();
    assert!(finish(&blobs, state, &content(46, 1)).await.unwrap_err().is_damaged());
}

#[tokio::test]
async fn bytes_that_a_killed_process_wrote_and_did_not_sync_are_dropped() {
    let folder = TempDir::new().unwrap();
    let bytes = content(64, MIB);
    for durable in [0, 1000, bytes.len()] {
        let blobs = open_folder(folder.path()).await;
        let state = append(&blobs, fresh(), &bytes.slice(..durable)).await;
        let mut file = fs::OpenOptions::new().append(true).open(file_of(folder.path(), &state.key)).unwrap();
        file.write_all(&content(65, 2 * MIB)).unwrap();
        let sealed = finish(&open_folder(folder.path()).await, state, &bytes.slice(durable..)).await.unwrap();
        assert_eq!(blobs.size(&sealed.key).await.unwrap(), Some(sealed.size));
        assert!(stored(&blobs, &sealed.key).await.is_some_and(|found| found == bytes));
    }
}

#[tokio::test]
async fn the_later_of_two_appenders_overtakes_the_earlier() {
    let folder = TempDir::new().unwrap();
    let blobs = open_folder(folder.path()).await;
    let state = fresh();
    let mut early = blobs.append(state.clone(), next_fence()).await.unwrap();
    write(&mut early, &content(47, MIB)).await.unwrap();
    let bytes = content(48, 10);
    let sealed = finish(&blobs, state, &bytes).await.unwrap();
    assert!(early.seal(&StorageKey::random()).await.unwrap_err().is_overtaken());
    assert_eq!(stored(&blobs, &sealed.key).await, Some(bytes));
}

/// Its request was leased, stalled before it came to the store, and lost the upload to one that finished it meanwhile.
#[tokio::test]
async fn an_overtaken_appender_that_begins_after_the_seal_leaves_the_blob_whole() {
    let folder = TempDir::new().unwrap();
    let blobs = open_folder(folder.path()).await;
    let bytes = content(67, MIB);
    for durable in [0, 1000] {
        let state = append(&blobs, fresh(), &bytes.slice(..durable)).await;
        let (stale, newer) = (next_fence(), next_fence());
        let mut appender = blobs.append(state.clone(), newer).await.unwrap();
        write(&mut appender, &bytes.slice(durable..)).await.unwrap();
        let sealed = appender.seal(&StorageKey::random()).await.unwrap();
        let mut late = blobs.append(state.clone(), stale).await.unwrap();
        let written = write(&mut late, &content(68, 2 * MIB)).await;
        assert!(written.is_err() || late.checkpoint(&StorageKey::random()).await.unwrap_err().is_overtaken());
        let late = blobs.append(state.clone(), stale).await.unwrap();
        assert!(late.seal(&StorageKey::random()).await.unwrap_err().is_overtaken(), "also without a byte");
        assert_eq!(blobs.append(state.clone(), stale).await.unwrap().abandon(&StorageKey::random()).await, state);
        assert!(stored(&blobs, &sealed.key).await.is_some_and(|found| found == bytes));
    }
}

/// What cannot be synced shows whether a sync is made: here the folder itself is gone.
#[tokio::test]
async fn a_deletion_of_what_is_gone_already_is_synced_all_the_same() {
    let folder = TempDir::new().unwrap();
    let blobs = open_folder(folder.path()).await;
    let key = StorageKey::random();
    blobs.delete(&key, None).await.unwrap();
    fs::remove_dir(file_of(folder.path(), &key).parent().unwrap()).unwrap();
    blobs.delete(&key, None).await.unwrap_err();
}

#[tokio::test]
async fn what_is_stored_is_for_its_owner_alone() {
    let above = TempDir::new().unwrap();
    let folder = above.path().join("made/on/the/way");
    let blobs = open_folder(&folder).await;
    let sealed = upload(&blobs, &content(66, 10)).await;
    let file = file_of(&folder, &sealed.key);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap()), mode(&folder)), (0o600, 0o700, 0o700));
}

#[tokio::test]
async fn a_blob_is_one_file_under_its_key_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let blobs = open_folder(folder.path()).await;
    let bytes = content(49, MIB);
    let sealed = upload(&blobs, &bytes).await;
    blobs.check().await.unwrap();
    assert_eq!(fs::read(file_of(folder.path(), &sealed.key)).unwrap(), bytes);
    let folders: Vec<_> = fs::read_dir(folder.path().join("blobs")).unwrap().map(Result::unwrap).collect();
    assert_eq!(folders.len(), 256);
    let files: usize = folders.iter().map(|folder| fs::read_dir(folder.path()).unwrap().count()).sum();
    assert_eq!(files, 1);
    assert_eq!(collect(blobs.read(&sealed.key, 0..1).await.unwrap().unwrap()).await.unwrap(), bytes[..1]);
}
