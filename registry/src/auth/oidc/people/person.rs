//! Who signed in.

use serde_json::Value;

use super::{ClientSettings, Pending, SignInRefused, same};
use crate::auth::oidc::claims::Verified;
use crate::auth::oidc::path::ClaimPath;

/// Somebody who signed in. Who it is, is issuer and subject together; everything else is what the issuer says about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The issuer.
    pub issuer: String,
    /// Who it is there, for ever.
    pub subject: String,
    /// A name to show.
    pub name: Option<String>,
    /// A name that they would like here.
    pub preferred_username: Option<String>,
    /// An address to show. It is never looked up and links to no account: whoever the issuer lets claim it has it.
    pub email: Option<String>,
    /// The groups that the issuer lists, none when no claim is configured; `None` when there is a claim and the token has it not: a
    /// provider leaves it out also when the groups are too many to say.
    pub groups: Option<Vec<String>>,
}

/// Reads an ID token that was verified and is for this client (OpenID Connect Core 1.0 section 3.1.3.7).
pub(super) fn read(token: &Verified, pending: &Pending, client: &ClientSettings) -> Result<Person, SignInRefused> {
    let claims = token.claims();
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // Steps 4 and 5: who asked for the token, when that is said; it must be where the token is for several.
    match claims.get("azp") {
        Some(party) if party != client.client_id.as_str() => return Err(SignInRefused::AuthorizedParty),
        None if token.audience().len() > 1 => return Err(SignInRefused::AuthorizedParty),
        Some(_) | None => {}
    }
    // Step 11.
    if !text("nonce").is_some_and(|nonce| same(nonce, &pending.nonce)) {
        return Err(SignInRefused::Nonce);
    }
    let shown = |name: &str| text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let groups = match &client.groups_claim {
        Some(claim) => groups(token, claim)?,
        None => Some(Vec::new()),
    };
    Ok(Person {
        issuer: token.issuer().to_owned(),
        subject: token.subject().to_owned(),
        name: shown("name"),
        preferred_username: shown("preferred_username"),
        email: shown("email"),
        groups,
    })
}

/// One text or a list of them. A person of unknown groups is not one without groups.
fn groups(token: &Verified, claim: &ClaimPath) -> Result<Option<Vec<String>>, SignInRefused> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let groups = match claim.find(token.claims()) {
        None => return Ok(None),
        Some(Value::Array(groups)) => groups.iter().map(text).collect(),
        Some(group) => text(group).map(|group| vec![group]),
    };
    groups.map(Some).ok_or_else(|| SignInRefused::Groups(claim.clone()))
}
