//! The program on every case, each with its reason and its exit status.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::cases::{Case, Expected, all};
use crate::forge::{Files, Forge, PATH, manifest, next, sum};
use crate::server::{Served, Server};

/// Exit statuses: it was tried, and there is no server.
const FAILED: i32 = 1;
const NO_SERVER: i32 = 3;

fn verify(server: SocketAddr, root: &[u8], home: &Path) -> Output {
    verify_with(server, root, home, &[])
}

fn verify_with(server: SocketAddr, root: &[u8], home: &Path, words: &[&str]) -> Output {
    let pinned = home.join("root.json");
    std::fs::write(&pinned, root).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallmark"));
    command.env_clear().env("HOME", home).current_dir(home);
    let image = format!("{server}/acme/web:1");
    command.args(["verify", &image, "--insecure-http", "--root"]).arg(pinned).args(words).output().unwrap()
}

/// Whether the program said what was expected, and told it by its exit status.
fn is_as(expected: &Expected, ran: &Output) -> bool {
    let (said, why) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let refused = |reason: &str| {
        ran.status.code() == Some(FAILED) && said.is_empty() && why.contains("is not verified") && why.contains(reason)
    };
    match expected {
        Expected::Named(number) => ran.status.success() && said.contains(&sum(*number)),
        Expected::Unnamed => refused("nobody vouches for this tag"),
        Expected::Refused(reason) => refused(reason),
    }
}

/// What the tag points to: what the metadata should say, or something that was good once.
fn digest_of(expected: &Expected) -> u8 {
    if let Expected::Named(number) = expected { *number } else { 1 }
}

#[test]
fn every_damage_is_refused_by_the_program_with_its_reason_and_exit_status() {
    let server = Server::start();
    let mut wrong = Vec::new();
    let mut refused = 0;
    for Case { name, root, steps } in all() {
        let home = tempfile::tempdir().unwrap();
        for (number, (files, expected)) in steps.into_iter().enumerate() {
            let tag = digest_of(&expected);
            *server.served.lock().unwrap() = Served { files, tag, ..Served::default() };
            let ran = verify(server.address, &root, home.path());
            refused += usize::from(matches!(expected, Expected::Refused(_)));
            if !is_as(&expected, &ran) {
                wrong.push(format!("{name}, step {number}: {ran:?} where {expected:?} was expected"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 60, "{refused} damages were refused");
}

#[test]
fn a_tag_that_points_elsewhere_is_not_verified_by_whole_metadata() {
    let (server, forge, home) = (Server::start(), Forge::new(), tempfile::tempdir().unwrap());
    *server.served.lock().unwrap() = Served { files: forge.files.clone(), tag: 7, ..Served::default() };
    let ran = verify(server.address, &forge.file("1.root.json"), home.path());
    assert!(is_as(&Expected::Refused("is signed"), &ran), "{ran:?}");
}

/// The header is the registry's word, and the bytes are what is pulled.
#[test]
fn a_manifest_of_other_bytes_than_its_digest_says_is_not_verified() {
    let (server, forge, home) = (Server::start(), Forge::new(), tempfile::tempdir().unwrap());
    for sent in [b"manifest 2".as_slice(), b"manifest 1 ", b""] {
        *server.served.lock().unwrap() =
            Served { files: forge.files.clone(), tag: 1, sent: Some(sent), ..Served::default() };
        let ran = verify(server.address, &forge.file("1.root.json"), home.path());
        assert!(is_as(&Expected::Refused("the registry names sha256:"), &ran), "{ran:?}");
    }
}

#[test]
fn a_manifest_that_is_not_as_long_as_is_signed_is_not_verified() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let mut forge = Forge::new();
    let length = manifest(1).len();
    for (signed, says) in
        [(length + 1, "is 10 bytes long, and 11 are signed"), (0, "is 10 bytes long, and 0 are signed")]
    {
        forge.roles.get_mut("tags").unwrap()["targets"][PATH]["length"] = json!(signed);
        next(forge.roles.get_mut("tags").unwrap());
        forge.publish();
        *server.served.lock().unwrap() = Served { files: forge.files.clone(), tag: 1, ..Served::default() };
        let ran = verify(server.address, &forge.file("1.root.json"), home.path());
        assert!(is_as(&Expected::Refused(says), &ran), "{ran:?}");
    }
}

#[test]
fn a_program_reads_what_was_found_and_why_nothing_was_as_one_object() {
    let (server, forge) = (Server::start(), Forge::new());
    let image = format!("{}/acme/web:1", server.address);
    let digest = |number| format!("sha256:{}", sum(number));
    for (tag, status, expected) in [
        (1, 0, json!({"verified": true, "image": image, "digest": digest(1)})),
        (
            7,
            FAILED,
            json!({"verified": false, "image": image,
            "reason": format!("the tag points to {}, and {} is signed", digest(7), digest(1))}),
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        *server.served.lock().unwrap() = Served { files: forge.files.clone(), tag, ..Served::default() };
        let ran = verify_with(server.address, &forge.file("1.root.json"), home.path(), &["--output", "json"]);
        assert_eq!(ran.status.code(), Some(status), "{ran:?}");
        let mut said: Value = serde_json::from_slice(&ran.stdout).unwrap();
        // Who signed it, when and by what: the cases are signed by nobody.
        for told in ["signer", "signed_at", "source"] {
            let _ = said.as_object_mut().unwrap().remove(told);
        }
        assert_eq!(said, expected, "{ran:?}");
    }
}

/// A file without a length beside it, and without an end.
fn unmeasured() -> (Vec<u8>, Files) {
    let mut forge = Forge::new();
    forge.snapshot["meta"]["tags.json"] = json!({"version": 1});
    forge.publish_snapshot();
    forge.timestamp["meta"]["snapshot.json"] = json!({"version": forge.snapshot["version"]});
    forge.publish_timestamp();
    (forge.file("1.root.json"), forge.files)
}

#[test]
fn of_a_file_without_an_end_no_more_is_read_than_a_client_should_have_to() {
    const SOCKET_BYTES: u64 = 16 << 20;
    let (root, files) = unmeasured();
    for (endless, most, says) in [
        ("2.root.json", 512 << 10, "2.root.json: there is more of it than 524288"),
        ("timestamp.json", 64 << 10, "timestamp.json: there is more of it than 65536"),
        ("2.snapshot.json", 4 << 20, "snapshot.json: there is more of it than 4194304"),
        ("1.tags.json", 16 << 20, "tags.json: there is more of it than 16777216"),
    ] {
        let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
        *server.served.lock().unwrap() = Served { files: files.clone(), tag: 1, endless: Some(endless), sent: None };
        let ran = verify(server.address, &root, home.path());
        assert!(is_as(&Expected::Refused(says), &ran), "{endless}: {ran:?}");
        let taken = server.taken.load(Ordering::SeqCst);
        assert!(taken < most + SOCKET_BYTES, "{endless}: {taken} bytes were taken");
    }
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    *server.served.lock().unwrap() = Served { files, tag: 1, endless: Some("manifest"), sent: None };
    let ran = verify(server.address, &root, home.path());
    let why = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.code() == Some(FAILED) && why.contains("longer than 16 MiB"), "{ran:?}");
}

#[test]
fn where_no_server_answers_nothing_is_said_of_the_image() {
    let (forge, home) = (Forge::new(), tempfile::tempdir().unwrap());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = verify(free, &forge.file("1.root.json"), home.path());
    assert_eq!(ran.status.code(), Some(NO_SERVER), "{ran:?}");
}
