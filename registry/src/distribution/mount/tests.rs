//! How far a mount without a source looks.

use std::sync::Arc;

use hallmark_oci::{Algorithm, Operation, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{AccountId, Error, Finish, NewUpload};
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
    let ann = tx.account("ann").await?.expect("ann was added").id;
    hold(tx, ("ann", ann), number).await
}

/// Makes a repository in an account that holds [`CONTENT`].
async fn hold(tx: &mut Tx, (account, id): (&str, AccountId), number: u8) -> Result<(), Error> {
    let principal = tx.account("ann").await?.and_then(|ann| ann.owner).expect("the account is hers");
    let name = format!("{account}/app{number}").parse().expect("a name");
    let repository = &tx.create_repository(&name, id, 0).await?;
    let mut place = [number; 16];
    place[..8].copy_from_slice(&id.0.to_be_bytes());
    let (upload, key) = (&UploadId::from_bytes(place), &StorageKey::random());
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

/// Each holder costs the question whether the caller may reach it: 64 in all, in however many accounts.
#[tokio::test]
async fn of_64_holders_at_most_it_is_asked_whether_the_caller_may_reach_them() {
    let (app, _data) = app().await;
    for user in ["bob", "eve"] {
        users::add(&app, user, PASSWORD.to_owned(), false, 0).await.unwrap();
    }
    let found = async || {
        let identity = Identity::Known(password::identify(&app, "bob", PASSWORD, Client::Operator).await.unwrap());
        let query = format!("mount={}", Digest::of(Algorithm::Sha256, CONTENT));
        let operation = Operation::parse("POST", "/v2/bob/target/blobs/uploads/", Some(&query)).unwrap();
        let Work::BeginUpload(granted) = authorize(&app, &identity, operation).await.unwrap().sort() else { panic!() };
        sources(&app, &granted).await.unwrap().len()
    };
    for (organization, holders, owned, expected) in [("a1", 40, false, 0), ("a2", 23, false, 0), ("a3", 2, true, 1)] {
        let made: Result<(), Error> = app
            .metadata
            .write((organization, holders, owned), |tx, (organization, holders, owned)| {
                Box::pin(async move {
                    let eve = tx.account("eve").await?.and_then(|eve| eve.owner).expect("the account is hers");
                    let bob = tx.user("bob").await?.expect("bob was added");
                    let made = tx.create_organization(organization, eve, 0).await?.expect("the name is free");
                    tx.put_member(&made, &bob.principal, *owned).await?;
                    for number in 1..=*holders {
                        hold(tx, (organization, made.id), number).await?;
                    }
                    Ok(())
                })
            })
            .await;
        made.unwrap();
        assert_eq!(found().await, expected, "{organization}");
    }
}
