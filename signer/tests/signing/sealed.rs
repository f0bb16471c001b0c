//! Keys at rest: under which master key they open, and for what.

use hallmark_signer::keys::{MasterKey, OpenRefused};
use hallmark_signer::{CustodyError, SignRefused, Signer};
use hallmark_storage::metadata::{Error, Metadata, SignerKey};

use crate::world::{MASTER, NOW, Roles, World, first};

#[tokio::test]
async fn another_master_key_opens_nothing_and_is_told_which_data_key_stays_closed() {
    let world = World::open().await;
    let id = world.metadata.signer_data_keys().await.unwrap().remove(0).id;
    let refused = world.another([8; 32]).await.unwrap_err();
    let CustodyError::Wrapped { id: closed, source: OpenRefused::OtherMasterKey } = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(*closed, id);
    let expected = format!(
        "data key {id} does not open: the bytes were sealed under another master key; give the signer the master key it \
         was wrapped under"
    );
    assert_eq!(refused.to_string(), expected);
    assert!(world.another(MASTER).await.is_ok());
    assert_eq!(world.metadata.signer_data_keys().await.unwrap().len(), 1, "one data key is made, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signers_that_start_at_once_share_the_first_data_key() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = World::metadata(&folder).await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let metadata = metadata.clone();
            tokio::spawn(async move { Signer::open(metadata, &MasterKey::new(&MASTER), NOW).await.unwrap() })
        })
        .collect();
    let mut signers = Vec::new();
    for task in tasks {
        signers.push(task.await.unwrap());
    }
    assert_eq!(metadata.signer_data_keys().await.unwrap().len(), 1);
    let signer = signers.pop().unwrap();
    let roles = World { metadata: metadata.clone(), signer, folder }.roles().await;
    for signer in signers {
        signer.sign(roles.change(&[], &first()), NOW).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrapped_data_key_that_was_changed_does_not_open() {
    let world = World::open().await;
    let key = world.metadata.signer_data_keys().await.unwrap().remove(0);
    let mut changed = key.wrapped.clone();
    *changed.last_mut().unwrap() ^= 1;
    let put: Result<bool, Error> = world
        .metadata
        .write((key.clone(), changed), |tx, (key, changed)| Box::pin(tx.rewrap_signer_data_key(key, changed)))
        .await;
    assert!(put.unwrap());
    let refused = world.another(MASTER).await;
    assert!(matches!(&refused, Err(CustodyError::Wrapped { id, source: OpenRefused::Forged }) if *id == key.id));
}

/// A database with the same rows, after a thief of disks was at them.
async fn stolen(world: &World, change: fn(&mut [SignerKey])) -> World {
    let other = World::open().await;
    let data_keys = world.metadata.signer_data_keys().await.unwrap();
    let mut keys = world.rows().await;
    change(&mut keys);
    put(&other.metadata, (data_keys, keys)).await;
    let signer = other.another(MASTER).await.unwrap();
    World { signer, ..other }
}

async fn put(metadata: &Metadata, rows: (Vec<hallmark_storage::metadata::WrappedDataKey>, Vec<SignerKey>)) {
    let put: Result<(), Error> = metadata
        .write(rows, |tx, (data_keys, keys)| {
            Box::pin(async move {
                for key in data_keys {
                    tx.add_signer_data_key(key).await?;
                }
                for key in keys {
                    tx.add_signer_key(key).await?;
                }
                Ok(())
            })
        })
        .await;
    put.unwrap();
}

/// Signs with the rows as they are; which key does not open, and why.
async fn closed(world: &World, roles: &Roles) -> Option<(String, OpenRefused)> {
    match world.sign(roles.change(&[], &first())).await {
        Ok(_) => None,
        Err(SignRefused::Custody(CustodyError::Sealed { id, source })) => Some((id, source)),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_key_opens_for_what_it_was_sealed_for_only() {
    let world = World::open().await;
    let mut roles = world.roles().await;
    roles.snapshot.0.push(world.next_key(hallmark_oci::ServerRole::Snapshot, &[&roles.snapshot.0[0]]).await);
    let first_id = world.rows().await[0].id.clone();
    assert_eq!(closed(&stolen(&world, |_| ()).await, &roles).await, None, "the rows as they were");
    // The rows are two of the snapshot's and one of the timestamp's.
    let exchanges: [fn(&mut [SignerKey]); 3] =
        [|keys| exchange(keys, 0, 1), |keys| exchange(keys, 0, 2), |keys| *keys[0].sealed.last_mut().unwrap() ^= 1];
    for exchange in exchanges {
        let found = closed(&stolen(&world, exchange).await, &roles).await;
        assert_eq!(found, Some((first_id.clone(), OpenRefused::Forged)));
    }
    let cut: fn(&mut [SignerKey]) = |keys| keys[0].sealed.truncate(9);
    let found = closed(&stolen(&world, cut).await, &roles).await;
    assert_eq!(found, Some((first_id, OpenRefused::Malformed)));
}

fn exchange(keys: &mut [SignerKey], one: usize, other: usize) {
    let sealed = std::mem::take(&mut keys[one].sealed);
    keys[one].sealed = std::mem::replace(&mut keys[other].sealed, sealed);
}

/// A row that says it is for another role, or of another data key, is no key of that.
#[tokio::test]
async fn a_row_that_changes_its_role_is_of_no_use() {
    let world = World::open().await;
    let roles = world.roles().await;
    let swapped = Roles { snapshot: roles.timestamp.clone(), timestamp: roles.snapshot.clone() };
    let stolen = stolen(&world, |keys| {
        for key in keys {
            let other = if key.role == "snapshot" { "timestamp" } else { "snapshot" };
            other.clone_into(&mut key.role);
        }
    })
    .await;
    let found = closed(&stolen, &swapped).await;
    assert_eq!(found.map(|(_, refused)| refused), Some(OpenRefused::Forged));
}

#[tokio::test]
async fn the_signer_prints_as_nothing() {
    let world = World::open().await;
    assert_eq!(format!("{:?}", world.signer), "Signer");
}
