//! The key by which the registry signs, as one of the signers of a repository's Notary collections, what is vouched for there.

use hallmark_oci::RepositoryName;
use hallmark_signer::SignRefused;
use hallmark_signer::notary::KeyDocument;
use hallmark_storage::metadata::Rights;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{Caller, Refused};
use crate::app::App;
use crate::trust;

/// The refusal of whoever may not have the registry sign.
const NEEDED: &str = "this needs the right admin on the repository";

/// Which key is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSigningKey {
    /// One that has never signed, to take the place of the one before.
    #[serde(default)]
    pub next: bool,
}

/// The public half of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SigningKeyView {
    /// Its id, as Notary's clients show it.
    pub id: String,
    /// The key in PEM: what `docker trust signer add --key` takes.
    pub key: String,
}

/// Gives the key, which is made where there is none. It signs nothing until the owner of a collection has named it in a delegation.
///
/// # Errors
/// [`Refused`]; nothing is told then.
pub async fn give(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    asked: NewSigningKey,
) -> Result<SigningKeyView, Refused> {
    caller.may_change()?;
    let whose = (caller.clone(), name.clone());
    let repository = app
        .metadata
        .write(whose, |tx, (caller, name)| {
            Box::pin(async move {
                // Nobody lets the registry sign who may not sign.
                caller.with_right(tx, name, Rights::SIGN, NEEDED).await?;
                Ok::<_, Refused>(caller.with_right(tx, name, Rights::MANAGE, NEEDED).await?.id)
            })
        })
        .await?;
    let before = app.metadata.signing_keys(repository).await?;
    let key = trust::delegation_key(app, repository, (before, asked.next), caller.now).await.map_err(refused)?;
    let view = show(&key)?;
    let given = (caller.clone(), name.clone(), repository, view.id.clone());
    app.metadata
        .write(given, |tx, (caller, name, repository, key)| {
            Box::pin(async move {
                let at = caller.with_right(tx, name, Rights::MANAGE, NEEDED).await?;
                // The name may have come to another repository meanwhile.
                if at.id != *repository {
                    return Err(Refused::Changed);
                }
                if !tx.give_signing_key(at.id, key, caller.now).await? {
                    return Err(Refused::Conflict("the registry signs by as many keys as it may there".to_owned()));
                }
                let payload = json!({"role": "delegation", "key": key}).to_string();
                Ok(tx.record(&caller.event_on((at.account_id, at.id), "trust_key_asked_for", "", &payload)).await?)
            })
        })
        .await?;
    Ok(view)
}

fn show(key: &KeyDocument) -> Result<SigningKeyView, Refused> {
    let pem = key.to_pem().ok_or_else(|| Refused::Conflict("the signer gave a key of another kind".to_owned()))?;
    Ok(SigningKeyView { id: key.id(), key: pem })
}

fn refused(refused: SignRefused) -> Refused {
    match refused {
        SignRefused::Metadata(error) => Refused::Metadata(error),
        SignRefused::Unserved(unserved) => Refused::Unsigned(unserved),
        error => Refused::Conflict(format!("the signer gave no key: {error}")),
    }
}
