//! The keys that the server holds for a collection, as clients ask for them.

use hallmark_oci::{Gun, RepositoryName, TrustKey, TrustRole};
use hallmark_signer::SignRefused;
use hallmark_signer::notary::KeyDocument;
use hallmark_storage::metadata::{self, PrincipalId, Repository, RepositoryId, Rights, TrustFileKey, Tx};
use serde_json::json;

use super::{Failure, collection, named, signer_name};
use crate::access::{Granted, Ground};
use crate::app::App;
use crate::distribution::{Nowhere, Occasion};

/// Why no key is given.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyRefused {
    /// The repository is not there, and may not be made.
    #[error(transparent)]
    Nowhere(#[from] Nowhere),
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<metadata::Error> for KeyRefused {
    fn from(error: metadata::Error) -> Self {
        Self::Failed(Failure::Metadata(error))
    }
}

impl From<SignRefused> for KeyRefused {
    fn from(error: SignRefused) -> Self {
        Self::Failed(Failure::Signer(error))
    }
}

/// The public half of a key. A client asks for it before the first publish, and before the first image too: the repository is
/// made where a push might make it.
pub(super) async fn key(
    app: &App,
    granted: &Granted<TrustKey>,
    actor: PrincipalId,
    occasion: Occasion,
) -> Result<KeyDocument, KeyRefused> {
    let TrustKey { gun, role, rotate } = granted.operation();
    let repository = match granted.repository() {
        Some(repository) => repository.clone(),
        None => {
            let input = (gun.repository().clone(), actor, granted.ground(), occasion.clone());
            app.metadata.write(input, |tx, input| Box::pin(make(tx, input))).await?
        }
    };
    let key = collection(repository.id, gun);
    let root = app.metadata.trust_file(&key, &TrustRole::root(), TrustFileKey::Current).await?;
    let named = named(root.as_ref().map(|root| root.body.as_ref()), *role).map_err(Failure::from)?;
    let name = signer_name(&key);
    if !*rotate {
        return Ok(app.signer.public_key(&name, *role, &named, occasion.now).await?);
    }
    let next = app.signer.next_key(&name, *role, &named, occasion.now).await?;
    let payload = json!({"role": role.as_str(), "key": next.id()}).to_string();
    let asked = (gun.clone(), repository.id, payload, (actor, occasion));
    let told: Result<(), metadata::Error> = app.metadata.write(asked, |tx, asked| Box::pin(tell(tx, asked))).await;
    told?;
    Ok(next)
}

/// Records whom a key was given to that is to take another's place. The signer keeps keys by itself, and this one signs nothing until a
/// root is published that names it.
async fn tell(
    tx: &mut Tx,
    (gun, id, payload, (actor, occasion)): &(Gun, RepositoryId, String, (PrincipalId, Occasion)),
) -> Result<(), metadata::Error> {
    match tx.repository(gun.repository()).await?.filter(|repository| repository.id == *id) {
        Some(at) => tx.record(&occasion.event("trust_key_asked_for", *actor, &at, gun.as_str(), payload)).await,
        None => Ok(()),
    }
}

async fn make(
    tx: &mut Tx,
    (name, actor, ground, occasion): &(RepositoryName, PrincipalId, Ground, Occasion),
) -> Result<Repository, KeyRefused> {
    Ok(occasion.repository_for(tx, name, (*actor, Rights::SIGN), ground).await?)
}
