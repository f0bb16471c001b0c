//! Deleting all trust data of a collection, as `notary delete --remote` asks for it.

use hallmark_oci::DeleteTrust;
use hallmark_storage::metadata::{self, CollectionKey, PrincipalId, Tx};
use serde_json::json;

use super::{Failure, collection, signer_name};
use crate::access::{Granted, Ground};
use crate::app::App;
use crate::distribution::Occasion;

/// Deletes a collection and then the keys that signed for it. Nothing to delete is no failure: clients ask twice.
pub(super) async fn delete(
    app: &App,
    granted: &Granted<DeleteTrust>,
    actor: PrincipalId,
    occasion: Occasion,
) -> Result<(), Failure> {
    let gun = &granted.operation().gun;
    let Some(repository) = granted.repository() else { return Ok(()) };
    let key = collection(repository.id, gun);
    let change = (key.clone(), gun.clone(), granted.ground(), (actor, occasion));
    let removed: Result<(), metadata::Error> =
        app.metadata.write(change, |tx, change| Box::pin(remove(tx, change))).await;
    removed?;
    // Also where nothing was deleted: a deletion that was cut short between the two is ended by asking again.
    app.signer.destroy(signer_name(&key)).await?;
    Ok(())
}

async fn remove(
    tx: &mut Tx,
    (key, gun, ground, (actor, occasion)): &(CollectionKey, hallmark_oci::Gun, Ground, (PrincipalId, Occasion)),
) -> Result<(), metadata::Error> {
    let repository = tx.repository(gun.repository()).await?.filter(|repository| ground.is(repository));
    let Some(repository) = repository else { return Ok(()) };
    if tx.delete_trust(key).await? {
        let payload = json!({"version": 0, "sha256": ""}).to_string();
        tx.record(&occasion.event("trust_deleted", *actor, &repository, &key.gun, &payload)).await?;
    }
    Ok(())
}
