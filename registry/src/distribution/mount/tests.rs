//! How far a mount without a source looks.

use std::sync::Arc;

use hallmark_oci::{Algorithm, Operation, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{Error, Finish, NewUpload};
use tempfile::TempDir;

use super::*;
use crate::access::{Work, authorize};
use crate::auth::{Client, Identity, password, users};
use crate::clock::Clock;
use crate::config::{self, Flag, Purpose, Secret, Sources};

const PASSWORD: &str = "correct horse battery";
const CONTENT: &[u8] = b"the layer that everybody has";

async fn app() -> (Arc<App>, TempDir) {
    let data = TempDir::new().unwrap();
    let flag = Flag { key: "data", flag: "--data", text: data.path().display().to_string() };
    let sources = Sources { flags: vec![flag], ..Sources::default() };
    let mut config = config::load(&sources, Purpose::Serve).unwrap().config;
    config.admin_password = Some(Secret::new(PASSWORD.to_owned()));
    let app = App::open(config, Clock::System).await.unwrap();
    users::add(&app, "ann", PASSWORD.to_owned(), false, 0).await.unwrap();
    (app, data)
}

/// Makes a repository of ann that holds [`CONTENT`].
async fn hold_in(tx: &mut Tx, number: u8) -> Result<(), Error> {
    let ann = tx.account("ann").await?.expect("ann was added");
    let principal = ann.owner.expect("the account is hers");
    let name = format!("ann/app{number}").parse().expect("a name");
    let repository = &tx.create_repository(&name, ann.id, 0).await?;
    let (upload, key) = (&UploadId::from_bytes([number; 16]), &StorageKey::random());
    let new = NewUpload {
        id: upload,
        repository: repository.id,
        principal,
        key,
        hash_state: b"",
        leased_until: 1,
        expires_at: i64::MAX,
    };
    tx.begin_upload(&new).await?;
    let (digest, size) = (&Digest::of(Algorithm::Sha256, CONTENT), CONTENT.len() as u64);
    tx.finish_upload(&Finish { repository, upload, fence: 1, digest, size, key, now: 0 })
        .await?
        .expect("the upload is there");
    Ok(())
}

#[tokio::test]
async fn a_mount_without_a_source_looks_in_64_repositories_at_most() {
    let (app, _data) = app().await;
    let identity = Identity::Known(password::identify(&app, "ann", PASSWORD, Client::Operator).await.unwrap());
    let query = format!("mount={}", Digest::of(Algorithm::Sha256, CONTENT));
    for holders in 1..=65 {
        let held: Result<(), Error> = app.metadata.write(holders, |tx, holders| Box::pin(hold_in(tx, *holders))).await;
        held.unwrap();
        let operation = Operation::parse("POST", "/v2/ann/target/blobs/uploads/", Some(&query)).unwrap();
        let Work::BeginUpload(granted) = authorize(&app, &identity, operation).await.unwrap().sort() else { panic!() };
        assert_eq!(sources(&app, &granted).await.unwrap().len(), usize::from(holders).min(64), "{holders} holders");
    }
}
