//! Each check on a world that it likes and on one that it does not.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;
use crate::config::{Flag, Sources};
use crate::control::Health;

const NOW: i64 = 1_800_000_000_000;

fn loaded(data: &Path, more: &[(&'static str, &str)]) -> Loaded {
    let flag = |key, text: &str| Flag { key, flag: "--flag", text: text.to_owned() };
    let mut flags = vec![flag("data", data.to_str().unwrap())];
    flags.extend(more.iter().map(|(key, text)| flag(key, text)));
    config::load(&Sources { flags, ..Sources::default() }, Purpose::Serve).unwrap()
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    folder
}

fn verdicts(findings: &[Finding]) -> Vec<(&'static str, Verdict)> {
    findings.iter().map(|finding| (finding.check, finding.verdict)).collect()
}

#[tokio::test]
async fn a_healthy_folder_before_the_first_start_has_no_complaint() {
    let parent = folder();
    let loaded = loaded(&parent.path().join("data"), &[("listen", "127.0.0.1:0")]);
    let findings = examine(&loaded, &Clock::System).await;
    assert!(findings.iter().all(|finding| finding.verdict != Verdict::Fail), "{findings:?}");
    assert!(!parent.path().join("data").exists(), "the doctor made the folder");
}

#[tokio::test]
async fn the_stores_of_a_stopped_server_are_tried() {
    let data = folder();
    let loaded = loaded(data.path(), &[]);
    hallmark_storage::metadata::Metadata::open(&loaded.config.database, NOW).await.unwrap().close().await;
    let findings = stores::opened(&loaded.config, NOW).await;
    let expected = [("server", Verdict::Ok), ("database", Verdict::Ok), ("store", Verdict::Ok)];
    assert_eq!(verdicts(&findings), expected, "{findings:?}");
    assert_eq!(blobs_left(&data.path().join("blobs")), 0);
}

#[tokio::test]
async fn a_database_is_looked_at_and_left_as_it_is() {
    let data = folder();
    let loaded = loaded(data.path(), &[]);
    let file = data.path().join("hallmark.db");
    fs::write(&file, "").unwrap();
    let findings = stores::opened(&loaded.config, NOW).await;
    assert_eq!(findings[1], Finding::ok("database", "answers and is empty; the first start makes its tables"));
    assert_eq!(fs::metadata(&file).unwrap().len(), 0, "the doctor made tables");
}

#[tokio::test]
async fn a_folder_beside_a_database_for_many_is_told() {
    let data = folder();
    let postgres = ("database.url", "postgres://u:p@127.0.0.1:1/d");
    for (more, warned) in
        [(&[][..], false), (&[postgres][..], true), (&[postgres, ("storage.url", "s3://images")][..], false)]
    {
        let loaded = loaded(data.path(), more);
        assert_eq!(loaded.config.caution().is_some(), warned, "{more:?}");
    }
    let findings = examine(&loaded(data.path(), &[postgres]), &Clock::System).await;
    assert!(verdicts(&findings).contains(&("configuration", Verdict::Warn)), "{findings:?}");
}

/// How many files the probe left in the store.
fn blobs_left(folder: &Path) -> usize {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { blobs_left(&path) } else { 1 })
        .sum()
}

#[tokio::test]
async fn a_store_that_is_not_one_is_told() {
    let data = folder();
    fs::write(data.path().join("file"), "").unwrap();
    let blobs = data.path().join("file/blobs").display().to_string();
    let loaded = loaded(data.path(), &[("storage.url", &blobs)]);
    let findings = stores::opened(&loaded.config, NOW).await;
    assert_eq!(verdicts(&findings).last(), Some(&("store", Verdict::Fail)), "{findings:?}");
}

#[test]
fn what_the_running_server_says_is_passed_on() {
    let report = StatusReport {
        version: "0.0.1".to_owned(),
        pid: 7,
        listen: "127.0.0.1:1".parse().unwrap(),
        read_only: true,
        foreign_store: false,
        clock_ahead: 0,
        database: Health::Failed { message: "disk I/O error".to_owned() },
        storage: Health::Ok { duration_ms: 3 },
    };
    let findings = stores::reported(&report);
    let expected =
        [("server", Verdict::Warn), ("server", Verdict::Warn), ("database", Verdict::Fail), ("store", Verdict::Ok)];
    assert_eq!(verdicts(&findings), expected);
    assert_eq!(as_text(&findings[3]), "ok   store         answers the server, in 3 ms\n");
    assert_eq!(
        as_text(&findings[2]),
        "FAIL database      disk I/O error\n                   → see that the database runs and that its disk has room\n"
    );
}

#[test]
fn a_clock_far_from_that_of_the_database_is_told() {
    for (clock_ahead, told) in [
        (hallmark_gc::APART, None),
        (600_000, Some("it is 600 s ahead of the clock of the database")),
        (-600_000, Some("it is 600 s behind the clock of the database")),
    ] {
        let findings = stores::reported(&StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: 7,
            listen: "127.0.0.1:1".parse().unwrap(),
            read_only: false,
            foreign_store: false,
            clock_ahead,
            database: Health::Ok { duration_ms: 0 },
            storage: Health::Ok { duration_ms: 0 },
        });
        let clock = findings.iter().find(|finding| finding.check == "clock");
        assert_eq!(clock.map(|finding| finding.message.as_str()), told);
        assert!(clock.is_none_or(|finding| finding.verdict == Verdict::Fail));
    }
}

#[test]
fn a_folder_that_others_can_read_is_told() {
    let data = folder();
    fs::set_permissions(data.path(), Permissions::from_mode(0o755)).unwrap();
    let expected = [("data folder", Verdict::Warn), ("data folder", Verdict::Ok)];
    assert_eq!(verdicts(&folder::data(data.path())), expected);
}

#[test]
fn a_folder_that_is_a_file_is_told() {
    let data = folder();
    let file = data.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(verdicts(&folder::data(&file)), [("data folder", Verdict::Fail)]);
}

#[test]
fn a_key_that_others_can_read_is_told_with_the_remedy() {
    let data = folder();
    let key = data.path().join("master.key");
    fs::write(&key, "").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let findings = folder::secrets(&loaded(data.path(), &[]).config, None);
    let message = format!("{} can be read by others (mode 0640)", key.display());
    assert_eq!(findings, [Finding::fail("secrets", message, format!("chmod 600 {}", key.display()))]);
}

#[test]
fn a_settings_file_is_a_secret_only_if_it_holds_one() {
    let data = folder();
    let file = data.path().join("hallmark.toml");
    let config = loaded(data.path(), &[]).config;
    for (text, expected) in [
        ("listen = \"127.0.0.1:1\"", Verdict::Ok),
        ("storage.s3.secret_access_key = \"x\"", Verdict::Fail),
        ("database.url = \"postgres://u:p@h/d\"", Verdict::Fail),
    ] {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(verdicts(&folder::secrets(&config, Some(&file))), [("secrets", expected)], "{text}");
    }
}

#[test]
fn the_first_password_that_still_lies_there_is_told() {
    let data = folder();
    let file = data.path().join("admin-password");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let expected = [("secrets", Verdict::Ok), ("secrets", Verdict::Warn)];
    assert_eq!(verdicts(&folder::secrets(&loaded(data.path(), &[]).config, None)), expected);
}

#[test]
fn a_clock_behind_what_was_written_is_told() {
    let data = folder();
    let written = UNIX_EPOCH + Duration::from_millis(NOW.unsigned_abs());
    File::create(data.path().join("hallmark.db")).unwrap().set_modified(written).unwrap();
    for (now, expected) in
        [(NOW, Verdict::Ok), (NOW - 50_000, Verdict::Ok), (NOW - 70_000, Verdict::Fail), (1_000, Verdict::Fail)]
    {
        assert_eq!(verdicts(&folder::clock(data.path(), now)), [("clock", expected)], "{now}");
    }
}

#[test]
fn a_certificate_that_ends_or_is_not_its_keys_is_told() {
    let data = folder();
    let (certificate, key) = (data.path().join("cert.pem"), data.path().join("key.pem"));
    let signing_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2027, 1, 29);
    fs::write(&certificate, parameters.self_signed(&signing_key).unwrap().pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    let files = config::Tls { certificate, key, client_ca: None };
    let end = 1_801_180_800_000;
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    for (now, expected) in [
        (end - 15 * DAY, Verdict::Ok),
        (end - 14 * DAY, Verdict::Ok),
        (end - 14 * DAY + 1, Verdict::Warn),
        (end - 1, Verdict::Warn),
        (end, Verdict::Fail),
    ] {
        let finding = certificate::check(&files, now);
        assert_eq!(finding.verdict, expected, "{finding:?}");
        assert!(finding.message.contains("2027-01-29T00:00:00Z"), "{finding:?}");
    }
    fs::write(&files.key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert_eq!(certificate::check(&files, end - 15 * DAY).verdict, Verdict::Fail, "the key is another's");
    fs::remove_file(&files.certificate).unwrap();
    assert_eq!(certificate::check(&files, end - 15 * DAY).verdict, Verdict::Fail);
}

#[tokio::test]
async fn a_certificate_is_looked_at_where_there_is_one() {
    let data = folder();
    let file = |name: &str| data.path().join(name).display().to_string();
    let settings = [("tls.certificate", &*file("cert.pem")), ("tls.key", &*file("key.pem"))];
    let findings = examine(&loaded(data.path(), &settings), &Clock::System).await;
    assert!(verdicts(&findings).contains(&("certificate", Verdict::Fail)), "{findings:?}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder();
    let config = loaded(data.path(), &[("listen", &address)]).config;
    assert_eq!(address::is_free(&config).await.verdict, Verdict::Fail);
    drop(taken);
    assert_eq!(address::is_free(&config).await.verdict, Verdict::Ok);
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let report = StatusReport {
        version: String::new(),
        pid: 0,
        listen: listener.local_addr().unwrap(),
        read_only: false,
        foreign_store: false,
        clock_ahead: 0,
        database: Health::Ok { duration_ms: 0 },
        storage: Health::Ok { duration_ms: 0 },
    };
    let data = folder();
    let config = loaded(data.path(), &[]).config;
    for (status, expected) in [("200 OK", Verdict::Ok), ("503 Service Unavailable", Verdict::Fail)] {
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut request).await.unwrap();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await.unwrap();
            assert_eq!(&request, b"GET ");
        };
        let (findings, ()) = tokio::join!(address::answers(&config, &report), answer);
        assert_eq!(verdicts(&findings), [("address", expected)], "{findings:?}");
    }
}

#[test]
fn a_name_that_clients_cannot_use_is_told() {
    let data = folder();
    let open = [("listen", "0.0.0.0:5000"), ("insecure_http", "true")];
    for (settings, expected) in [
        (&[][..], Verdict::Ok),
        (&[("public_url", "http://localhost:5000")], Verdict::Ok),
        (&[("public_url", "http://[::1]:5000")], Verdict::Ok),
        (&[("public_url", "https://registry.example")], Verdict::Ok),
        (&[("public_url", "http://registry.example")], Verdict::Warn),
        (&open, Verdict::Warn),
        (&[open[0], open[1], ("public_url", "http://127.0.0.1:5000")], Verdict::Warn),
        (&[open[0], open[1], ("public_url", "https://registry.example")], Verdict::Ok),
    ] {
        let finding = address::public(&loaded(data.path(), settings).config).unwrap();
        assert_eq!(finding.verdict, expected, "{settings:?}: {finding:?}");
    }
}

#[test]
fn a_refused_configuration_is_all_there_is_to_say() {
    let sources = Sources { environment: vec![("HALLMARK_LISTEN".into(), "x".into())], ..Sources::default() };
    let findings = refused(&config::load(&sources, Purpose::Serve).unwrap_err());
    assert_eq!(verdicts(&findings), [("configuration", Verdict::Fail)]);
    assert!(findings[0].message.starts_with("HALLMARK_LISTEN: `x` is not accepted for `listen`"), "{findings:?}");
}
