//! What is in the memory of a process that serves, looked at from outside: no private key, neither of a signer that is elsewhere nor, once
//! it has signed, of one's own.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use hallmark_signer::keys::MasterKey;
use rcgen::ExtendedKeyUsagePurpose;

use super::Authority;
use super::binary::{PATIENCE, Program};
use crate::harness::rows;

/// Where the secret stands in a key as it is sealed (PKCS #8): 32 bytes each.
const ED25519_AT: usize = 16;
const P256_AT: usize = 36;
const SECRET_BYTES: usize = 32;
/// How much is looked at at once, and by how much each look overlaps the next.
const LOOK: usize = 4 << 20;
const OVERLAP: usize = 64;

/// What is looked for, by its first two bytes.
struct Wanted {
    by_head: Vec<Vec<(String, Vec<u8>)>>,
}

impl Wanted {
    fn nothing() -> Self {
        Self { by_head: vec![Vec::new(); 1 << 16] }
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        self.by_head[head(bytes[0], bytes[1])].push((name.to_owned(), bytes.to_vec()));
    }

    fn count(&self) -> usize {
        self.by_head.iter().map(Vec::len).sum()
    }

    /// Which of them stand in these bytes.
    fn found_in<'w>(&'w self, bytes: &[u8], found: &mut Vec<&'w str>) {
        for (place, [one, other]) in bytes.array_windows().enumerate() {
            for (name, whole) in &self.by_head[head(*one, *other)] {
                if bytes[place..].starts_with(whole) {
                    found.push(name);
                }
            }
        }
    }
}

fn head(one: u8, other: u8) -> usize {
    usize::from(one) << 8 | usize::from(other)
}

/// The private keys of a data folder, opened as the signer opens them; each also in the order in which numbers are computed with.
async fn secrets(data: &Path) -> Wanted {
    let master: MasterKey = fs::read_to_string(data.join("master.key")).unwrap().parse().unwrap();
    let database = data.join("hallmark.db");
    let mut data_keys = HashMap::new();
    for row in rows::look(&database, "SELECT id, hex(wrapped) FROM signer_data_keys").await {
        let (id, wrapped) = row.split_once(' ').unwrap();
        let plain = master.open(&format!("signer data key {id}"), &unhex(wrapped)).unwrap();
        data_keys.insert(id.to_owned(), MasterKey::new(plain.as_slice().try_into().unwrap()));
    }
    let mut wanted = Wanted::nothing();
    let keys = "SELECT id, collection, role, algorithm, data_key, hex(sealed) FROM signer_keys";
    for row in rows::look(&database, keys).await {
        let [id, collection, role, algorithm, data_key, sealed] = row.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let purpose = format!("signer key {id} for {role} of {collection}");
        let plain = data_keys[data_key].open(&purpose, &unhex(sealed)).unwrap();
        let at = if algorithm == "ed25519" { ED25519_AT } else { P256_AT };
        let secret = &plain[at..at + SECRET_BYTES];
        let reversed: Vec<u8> = secret.iter().rev().copied().collect();
        wanted.add(&format!("the key of {role} of {collection}"), secret);
        wanted.add(&format!("the key of {role} of {collection}, reversed"), &reversed);
    }
    wanted
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What of it stands anywhere in the memory that a process may write to.
fn in_memory(process: u32, wanted: &Wanted) -> Vec<&str> {
    let memory =
        File::open(format!("/proc/{process}/mem")).expect("the memory of a process is root's: run this as root");
    let mut found = Vec::new();
    for line in fs::read_to_string(format!("/proc/{process}/maps")).unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [mut from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; LOOK];
        while from < to {
            let length = LOOK.min(usize::try_from(to - from).unwrap());
            // What was given back meanwhile is not there.
            let Ok(read) = memory.read_at(&mut bytes[..length], from) else { break };
            wanted.found_in(&bytes[..read], &mut found);
            if read <= OVERLAP || from + read as u64 >= to {
                break;
            }
            from += (read - OVERLAP) as u64;
        }
    }
    found
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks for the keys of a collection that is to be published.
async fn makes_notary_s_keys(listen: &str) {
    for role in ["snapshot", "timestamp"] {
        let url = format!("http://{listen}/v2/{listen}/admin/app/_trust/tuf/{role}.key");
        let asked = reqwest::Client::new().get(url).basic_auth("admin", Some("correct horse battery"));
        let answer = asked.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }
}

/// Waits until the registry has signed with its keys, and gives their number.
fn has_signed(signer: &Program) -> usize {
    let began = Instant::now();
    loop {
        let keys = signer.does(&["signer", "keys", "--output", "json"]);
        let log = signer.does(&["signer", "log", "--output", "json"]);
        let [root, timestamp] = ["root", "timestamp"].map(|role| log.contains(&format!("\"role\":\"{role}\"")));
        if root && timestamp {
            return keys.lines().count();
        }
        assert!(began.elapsed() < PATIENCE, "nothing is signed: {log}");
    }
}

#[tokio::test]
async fn once_it_has_signed_a_registry_has_no_private_key_in_its_memory() {
    let program = Program::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let serving = program.start(&["serve", "--listen", &listen]).unwrap();
    makes_notary_s_keys(&listen).await;
    let keys = has_signed(&program);
    let mut wanted = secrets(&program.data()).await;
    assert_eq!(wanted.count(), 2 * keys);
    let points =
        rows::look(&program.data().join("hallmark.db"), "SELECT id FROM signer_keys WHERE algorithm = 'ecdsa'").await;
    assert_eq!(points.len(), 2, "the keys of Notary's are on P-256");
    // Both master keys are in use until the process ends; the texts that they were read from and written to are not.
    let (old, new) = (program.data().join("master.key"), program.path("new.key"));
    program.does(&["signer", "rewrap", "--key-file", new.to_str().unwrap()]);
    for (name, file) in [("the master key of before", old), ("the master key", new)] {
        wanted.add(&format!("the text of {name}"), fs::read_to_string(file).unwrap().trim().as_bytes());
    }
    // What must be there shows that this looks at all.
    wanted.add("the folder", program.data().to_str().unwrap().as_bytes());
    let mut found = in_memory(serving.id(), &wanted);
    found.dedup();
    assert_eq!(found, ["the folder"]);
    serving.stop();
}

#[tokio::test]
async fn a_registry_whose_signer_is_elsewhere_has_no_private_key_in_its_memory_and_none_on_its_disk() {
    let (authority, signer, mut registry) = (Authority::new(), Program::new(), Program::new());
    let (certificate, key) = authority.certify("signer", ExtendedKeyUsagePurpose::ServerAuth);
    let ca = authority.path("ca.pem");
    let files = [&certificate, &key, &ca].map(|path| path.to_str().unwrap());
    let listen = format!("127.0.0.1:{}", free_port());
    let words = ["--tls-certificate", files[0], "--tls-key", files[1], "--tls-client-ca", files[2]];
    let signing = signer.start(&[&["signer", "serve", "--listen", &listen], &words[..]].concat()).unwrap();
    let (certificate, key) = authority.certify("registry", ExtendedKeyUsagePurpose::ClientAuth);
    registry.set("HALLMARK_SIGNER_URL", format!("https://{listen}"));
    registry.set("HALLMARK_SIGNER_CA_FILE", &ca);
    registry.set("HALLMARK_SIGNER_CERTIFICATE_FILE", &certificate);
    registry.set("HALLMARK_SIGNER_KEY_FILE", &key);
    let serving = registry.begin(&["serve", "--listen", "127.0.0.1:0"]);
    has_signed(&signer);
    let mut wanted = secrets(&signer.data()).await;
    wanted.add("the folder", registry.data().to_str().unwrap().as_bytes());
    let mut found = in_memory(serving.id(), &wanted);
    found.dedup();
    assert_eq!(found, ["the folder"]);
    serving.stop();
    signing.stop();
}
