//! Deleting all trust data of a collection, as `notary delete --remote` asks for it.

use hallmark_oci::{DeleteTrust, Gun, TrustRole};
use hallmark_storage::metadata::{self, CollectionKey, PrincipalId, RepositoryId, TrustDialect, TrustFileKey, Tx};
use serde_json::json;

use super::{Failure, collection, signer_name};
use crate::access::{Granted, Ground};
use crate::app::App;
use crate::distribution::Occasion;
use crate::telemetry::chain;

/// Deletes the keys that signed for a collection, and then the collection. Cut short between the two, it leaves one that cannot be
/// published to until it is deleted again; the other way round a publish between the two would be left without its keys. Nothing
/// to delete is no failure: clients ask twice.
pub(super) async fn delete(
    app: &App,
    granted: &Granted<DeleteTrust>,
    actor: PrincipalId,
    occasion: Occasion,
) -> Result<(), Failure> {
    let gun = &granted.operation().gun;
    let Some(repository) = granted.repository() else { return Ok(()) };
    let key = collection(repository.id, gun);
    let root = app.metadata.trust_file(&key, &TrustRole::root(), TrustFileKey::Current).await?;
    let root = root.map(|root| root.sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    app.signer.destroy(signer_name(&key)).await?;
    let change = (key, (gun.clone(), root), granted.ground(), (actor, occasion));
    let removed: Result<(), metadata::Error> =
        app.metadata.write(change, |tx, change| Box::pin(remove(tx, change))).await;
    Ok(removed?)
}

/// Destroys the keys that signed for collections of a repository that are gone. What fails is left with the signer, where nothing asks for
/// it again: those names are of another account.
pub(crate) async fn destroy_keys(app: &App, repository: RepositoryId, guns: impl Iterator<Item = String>) {
    for gun in guns {
        let key = CollectionKey { repository, dialect: TrustDialect::Notary, gun };
        if let Err(error) = app.signer.destroy(signer_name(&key)).await {
            tracing::warn!(
                error = chain(&error),
                gun = key.gun,
                "the keys of a collection that is gone are left with the signer"
            );
        }
    }
}

/// What is removed, with the fingerprint of the root that clients may have pinned; by whom, and under which rights.
type Removal = (CollectionKey, (Gun, Option<String>), Ground, (PrincipalId, Occasion));

async fn remove(tx: &mut Tx, (key, (gun, root), ground, (actor, occasion)): &Removal) -> Result<(), metadata::Error> {
    let repository = tx.repository(gun.repository()).await?.filter(|repository| ground.is(repository));
    let Some(repository) = repository else { return Ok(()) };
    if tx.delete_trust(key).await? {
        let payload = json!({"version": 0, "sha256": "", "root_sha256": root}).to_string();
        tx.record(&occasion.event("trust_deleted", *actor, &repository, &key.gun, &payload)).await?;
    }
    Ok(())
}
