use super::{Known, Report, check};
use crate::durability::trace::parse;

const MARK: &str = "00112233aabbccdd";

/// A push of one blob and one manifest, as a server that keeps its promises makes it.
const PUSH: &str = r#"recvfrom(5<TCP:[s]>, "POST /v2/a/b/blobs/uploads/", 27, 0) = 27
pwrite64(8</d/h.db-wal>, "upload", 6, 0) = 6
fdatasync(8</d/h.db-wal>) = 0
writev(5<TCP:[s]>, [{iov_base="HTTP/1.1 202 Accepted\r\nlocation: /v2/a/b/blobs/uploads/u1\r\n\r\n", iov_len=60}], 1) = 60
recvfrom(5<TCP:[s]>, "PATCH /v2/a/b/blobs/uploads/u1", 27, 0) = 27
mkdir("/d/blobs/0f", 0777) = 0
openat(AT_FDCWD</>, "/d/blobs/0f/k1", O_WRONLY|O_CREAT|O_EXCL, 0644) = 9</d/blobs/0f/k1>
write(9</d/blobs/0f/k1>, "00112233aabbccdd0123", 20) = 20
fdatasync(9</d/blobs/0f/k1>) = 0 #blob
fsync(10</d/blobs/0f>) = 0 #folder
fsync(10</d/blobs>) = 0 #parent
pwrite64(8</d/h.db-wal>, "checkpoint", 10, 6) = 10
fdatasync(8</d/h.db-wal>) = 0
writev(5<TCP:[s]>, [{iov_base="HTTP/1.1 202 Accepted\r\nlocation: /v2/a/b/blobs/uploads/u1\r\nrange: 0-19\r\n\r\n", iov_len=60}], 1) = 60
recvfrom(5<TCP:[s]>, "PUT /v2/a/b/blobs/uploads/u1", 27, 0) = 27
write(9</d/blobs/0f/k1>, "00112233aabbccdd4567", 20) = 20
fdatasync(9</d/blobs/0f/k1>) = 0 #end
pwrite64(8</d/h.db-wal>, "..sha256:b10b..", 15, 16) = 15
fdatasync(8</d/h.db-wal>) = 0 #wal
writev(5<TCP:[s]>, [{iov_base="HTTP/1.1 201 Created\r\nDocker-Content-Digest: sha256:b10b\r\n\r\n", iov_len=60}], 1) = 60
recvfrom(5<TCP:[s]>, "DELETE /v2/a/b/manifests/t", 27, 0) = 27
pwrite64(8</d/h.db-wal>, "gone", 4, 31) = 4
fdatasync(8</d/h.db-wal>) = 0 #delete
writev(5<TCP:[s]>, [{iov_base="HTTP/1.1 202 Accepted\r\n\r\n", iov_len=60}], 1) = 60
"#;

fn report(calls: &str) -> Report {
    let trace =
        calls.lines().map(|call| format!("7 10:00:00.1 {}\n", call.split(" #").next().unwrap())).collect::<String>();
    let known = Known {
        blobs: [("sha256:b10b".to_owned(), MARK.to_owned())].into(),
        uploads: [("/v2/a/b/blobs/uploads/u1".to_owned(), MARK.to_owned())].into(),
    };
    check(&parse(&trace).unwrap(), &known, "/d")
}

fn without(mark: &str) -> String {
    let line = PUSH.lines().find(|line| line.ends_with(mark)).unwrap();
    PUSH.replace(&format!("{line}\n"), "")
}

fn only_complaint(calls: &str) -> String {
    let found = report(calls).violations;
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].to_string()
}

#[test]
fn a_server_that_syncs_before_it_answers_is_not_refused() {
    let report = report(PUSH);
    assert_eq!((report.created, report.of_files, report.appended, report.deleted), (1, 1, 1, 1));
    assert_eq!(report.violations, []);
}

#[test]
fn a_202_that_reports_bytes_without_a_sync_of_the_file_is_refused() {
    let complaint = only_complaint(&without("#blob"));
    assert!(complaint.contains("202 reports 20 bytes of an upload and 0 are synced"), "{complaint}");
}

#[test]
fn a_201_without_a_sync_of_the_last_bytes_is_refused() {
    let complaint = only_complaint(&without("#end"));
    assert!(complaint.contains("/d/blobs/0f/k1 has 1 unsynced writes, the first on line 16"), "{complaint}");
}

#[test]
fn a_201_without_a_sync_of_the_folder_is_refused() {
    let found = report(&without("#folder")).violations;
    assert!(found.iter().all(|violation| violation.what.ends_with("/d/blobs/0f is not synced")), "{found:?}");
    assert_eq!(found.len(), 2, "the 202 and the 201");
}

#[test]
fn a_201_without_a_sync_of_the_folder_above_a_new_folder_is_refused() {
    let found = report(&without("#parent")).violations;
    assert!(found.iter().all(|violation| violation.what.ends_with("/d/blobs is not synced")), "{found:?}");
}

#[test]
fn a_201_without_a_sync_of_the_log_is_refused() {
    let found = report(&without("#wal")).violations;
    assert!(found.iter().any(|violation| violation.what.contains("that names it is synced")), "{found:?}");
}

/// A tag that is moved to a manifest, and moved there once more, by a server that keeps its promises.
const MOVES: &str = r#"recvfrom(6<TCP:[m]>, "PUT /v2/a/b/manifests/t HTTP/1.1", 27, 0) = 27
pwrite64(8</d/h.db-wal>, "..sha256:c0de..", 15, 40) = 15
fdatasync(8</d/h.db-wal>) = 0
writev(6<TCP:[m]>, [{iov_base="HTTP/1.1 201 Created\r\nDocker-Content-Digest: sha256:c0de\r\n\r\n", iov_len=60}], 1) = 60
recvfrom(6<TCP:[m]>, "PUT /v2/a/b/manifests/u HTTP/1.1", 27, 0) = 27
pwrite64(8</d/h.db-wal>, "..sha256:c0de..", 15, 60) = 15 #moved
pwrite64(8</d/h.db-wal>, "another's", 9, 80) = 9
fdatasync(8</d/h.db-wal>) = 0
writev(6<TCP:[m]>, [{iov_base="HTTP/1.1 201 Created\r\nDocker-Content-Digest: sha256:c0de\r\n\r\n", iov_len=60}], 1) = 60
recvfrom(6<TCP:[m]>, "PUT /v2/a/b/manifests/u HTTP/1.1", 27, 0) = 27
pwrite64(8</d/h.db-wal>, "another's", 9, 89) = 9
fdatasync(8</d/h.db-wal>) = 0
writev(6<TCP:[m]>, [{iov_base="HTTP/1.1 201 Created\r\nDocker-Content-Digest: sha256:c0de\r\n\r\n", iov_len=60}], 1) = 60
"#;

#[test]
fn a_tag_that_is_moved_is_named_by_what_was_written_since_it_was_asked_for() {
    assert_eq!(report(MOVES).violations, []);
    let unmoved =
        MOVES.lines().filter(|line| !line.ends_with("#moved")).map(|line| format!("{line}\n")).collect::<String>();
    let complaint = only_complaint(&unmoved);
    assert!(complaint.contains("that names it and was written since the request is synced"), "{complaint}");
}

/// An upload whose state is asked for while it is sent.
const TOLD: &str = r#"recvfrom(6<TCP:[m]>, "GET /v2/a/b/blobs/uploads/u1 HTTP/1.1", 27, 0) = 27
openat(AT_FDCWD</>, "/d/blobs/k2", O_WRONLY|O_CREAT|O_EXCL, 0644) = 9</d/blobs/k2>
write(9</d/blobs/k2>, "00112233aabbccdd0123", 20) = 20
fdatasync(9</d/blobs/k2>) = 0 #step
fsync(10</d/blobs>) = 0 #entry
writev(6<TCP:[m]>, [{iov_base="HTTP/1.1 204 No Content\r\nlocation: /v2/a/b/blobs/uploads/u1\r\nrange: 0-19\r\n\r\n", iov_len=60}], 1) = 60
"#;

#[test]
fn what_is_told_of_an_upload_that_is_still_sent_is_synced() {
    let report = report(TOLD);
    assert_eq!((report.told, report.violations), (1, vec![]));
    for (mark, complains) in
        [("#step", "204 reports 20 bytes of an upload and 0 are synced"), ("#entry", "/d/blobs is not synced")]
    {
        let kept =
            TOLD.lines().filter(|line| !line.ends_with(mark)).map(|line| format!("{line}\n")).collect::<String>();
        let complaint = only_complaint(&kept);
        assert!(complaint.contains(complains), "{complaint}");
    }
}

#[test]
fn a_delete_without_a_sync_of_the_log_is_refused() {
    let complaint = only_complaint(&without("#delete"));
    assert!(complaint.contains("202 to DELETE"), "{complaint}");
}

#[test]
fn a_sync_that_began_before_the_write_ended_does_not_count() {
    let early = PUSH.replace("fdatasync(9</d/blobs/0f/k1>) = 0 #end\n", "");
    let early = early.replace(
        "write(9</d/blobs/0f/k1>, \"00112233aabbccdd4567\"",
        "fdatasync(9</d/blobs/0f/k1>) = 0\nwrite(9</d/blobs/0f/k1>, \"00112233aabbccdd4567\"",
    );
    assert!(only_complaint(&early).contains("unsynced writes"));
}

#[test]
fn a_201_after_a_failed_sync_of_the_blob_is_refused() {
    let failed = PUSH
        .replace("fdatasync(9</d/blobs/0f/k1>) = 0 #end", "fdatasync(9</d/blobs/0f/k1>) = -1 EIO (Input/output error)");
    assert!(only_complaint(&failed).contains("unsynced writes"));
}

#[test]
fn a_sync_that_succeeds_after_one_that_failed_does_not_count() {
    let failed = "fdatasync(9</d/blobs/0f/k1>) = -1 EIO (Input/output error)\nfdatasync(9</d/blobs/0f/k1>) = 0";
    let retried = PUSH.replace("fdatasync(9</d/blobs/0f/k1>) = 0 #end", failed);
    assert!(only_complaint(&retried).contains("unsynced writes"));
}

#[test]
fn bytes_that_are_written_again_after_a_failed_sync_count() {
    let again = "fdatasync(9</d/blobs/0f/k1>) = -1 EIO (Input/output error)\n\
                 pwrite64(9</d/blobs/0f/k1>, \"00112233aabbccdd4567\", 20, 20) = 20\n\
                 fdatasync(9</d/blobs/0f/k1>) = 0";
    assert_eq!(report(&PUSH.replace("fdatasync(9</d/blobs/0f/k1>) = 0 #end", again)).violations, []);
}

#[test]
fn a_201_for_a_file_that_was_renamed_is_refused_since_the_rules_lose_sight_of_it() {
    let renamed = PUSH.replace(
        "fdatasync(9</d/blobs/0f/k1>) = 0 #end",
        "fdatasync(9</d/blobs/0f/k1>) = 0\nrename(\"/d/blobs/0f/k1\", \"/d/k2\") = 0",
    );
    assert!(only_complaint(&renamed).contains("was renamed"));
}
