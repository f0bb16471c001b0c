//! What a tag is vouched to mean: signed, shown, withdrawn.

use hallmark_oci::{Algorithm, Digest, RepositoryName, Tag};
use hallmark_storage::metadata::{self, Rights, Vouch};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::repositories::seen;
use super::{Caller, List, Page, Refused, shapes};
use crate::app::App;
use crate::clock::rfc3339;

/// A signature to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSignature {
    /// The tag.
    #[schema(value_type = shapes::Tag)]
    pub tag: String,
    /// The digest that it points to: refused when it has moved on.
    #[schema(value_type = shapes::Digest)]
    pub digest: String,
}

/// A signature as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignatureView {
    /// The tag.
    pub tag: String,
    /// What it was vouched to mean.
    pub digest: String,
    /// Who vouched, as holders of grants are written.
    pub signer: String,
    /// When (RFC 3339).
    pub signed_at: String,
    /// By what: `signature`, or the rule that signed.
    pub source: String,
    /// Whether the tag still points there; one that moved is not vouched for.
    pub holds: bool,
}

fn show(vouch: Vouch) -> SignatureView {
    SignatureView {
        holds: vouch.holds(),
        tag: vouch.tag.to_string(),
        digest: vouch.tagged.digest.to_string(),
        signer: vouch.signer,
        signed_at: rfc3339(vouch.at),
        source: vouch.source,
    }
}

/// Vouches for what a tag means now. The tag is looked at in the transaction: one that has moved is not signed.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn create(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    new: NewSignature,
) -> Result<SignatureView, Refused> {
    caller.may_change()?;
    let tag: Tag = new.tag.parse().map_err(|invalid| Refused::invalid("tag", format!("{invalid}")))?;
    let digest: Digest = new.digest.parse().map_err(|invalid| Refused::invalid("digest", format!("{invalid}")))?;
    if digest.algorithm() != Algorithm::Sha256 {
        return Err(Refused::invalid(
            "digest",
            "what is published of tags is checked by SHA-256; this digest is another's",
        ));
    }
    app.metadata
        .write((caller.clone(), name.clone(), tag, digest), |tx, (caller, name, tag, digest)| {
            Box::pin(async move {
                let needed = "this needs the right sign on the repository";
                let repository = caller.with_right(tx, name, Rights::SIGN, needed).await?;
                let pointed = tx.tagged(repository.id, tag).await?.ok_or(Refused::Unknown("tag"))?;
                let (tagged, since) = (pointed.tagged, pointed.moved_at);
                if tagged.digest != *digest {
                    let why = format!(
                        "the tag points to {} by now and not to {digest}; test that, and sign it",
                        tagged.digest
                    );
                    return Err(Refused::Conflict(why));
                }
                let vouch = Vouch {
                    tag: tag.clone(),
                    now: Some((tagged.digest.clone(), since)),
                    tagged,
                    signer: caller.name(),
                    source: "signature".to_owned(),
                    // The word is later than the move, whatever the clocks of two replicas say.
                    at: caller.now.max(since),
                };
                tx.vouch(repository.id, &vouch, caller.principal().id).await?;
                let place = (repository.account_id, repository.id);
                let payload = json!({"digest": digest}).to_string();
                tx.record(&caller.event_on(place, "tag_signed", tag.as_str(), &payload)).await?;
                Ok(show(vouch))
            })
        })
        .await
}

/// Takes back what was vouched for a tag.
///
/// # Errors
/// [`Refused`]; nothing has changed then.
pub async fn withdraw(app: &App, caller: &Caller, name: &RepositoryName, tag: &str) -> Result<(), Refused> {
    caller.may_change()?;
    let tag: Tag = tag.parse().map_err(|_| Refused::Unknown("signature"))?;
    app.metadata
        .write((caller.clone(), name.clone(), tag), |tx, (caller, name, tag)| {
            Box::pin(async move {
                let needed = "this needs the right sign on the repository";
                let repository = caller.with_right(tx, name, Rights::SIGN, needed).await?;
                if !tx.withdraw_vouch(repository.id, tag, caller.now).await? {
                    return Err(Refused::Unknown("signature"));
                }
                let place = (repository.account_id, repository.id);
                Ok(tx.record(&caller.event_on(place, "tag_signature_withdrawn", tag.as_str(), "")).await?)
            })
        })
        .await
}

/// A page of what is vouched for in a repository, by tag.
///
/// # Errors
/// [`Refused`].
pub async fn list(
    app: &App,
    caller: &Caller,
    name: &RepositoryName,
    page: &Page,
) -> Result<List<SignatureView>, Refused> {
    let (limit, after) = page.check()?;
    let (repository, _) = seen(app, caller, name).await?;
    let rows: Result<_, metadata::Error> =
        app.metadata.vouches(repository.id, after.unwrap_or_default(), limit + 1).await;
    Ok(List::cut(rows?, limit, |vouch| vouch.tag.to_string(), show))
}
