//! Workloads that show a token of another issuer in the place of a robot's secret.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_storage::metadata::{self, AccountId, Principal, PrincipalId, PrincipalKind, WorkloadRule};
use serde_json::{Map, Value};

use super::line::{Client, network};
use super::oidc::{self, Issuer, Issuers, Provider};
use super::workload::{Rule, RuleInvalid, RuleSettings, decide};
use super::{Authenticated, Refused, users};
use crate::app::App;
use crate::config::IssuerSection;

/// What no row is called.
const NOBODY: i64 = -1;

/// The issuers whose workloads may be robots.
#[derive(Debug, Default)]
pub struct Workloads {
    issuers: Issuers,
    sections: Vec<IssuerSection>,
}

impl Workloads {
    /// Prepares the issuers of the settings.
    ///
    /// # Errors
    /// [`oidc::OpenError`] for certificates that cannot be used.
    pub fn open(sections: &[IssuerSection], private: &oidc::Network) -> Result<Self, oidc::OpenError> {
        let mut providers = Vec::with_capacity(sections.len());
        for section in sections {
            // Settings that make no sense were refused when they were read.
            let Ok(issuer) = Issuer::new(section.issuer.clone()) else { continue };
            providers.push(Provider::open(issuer, private)?);
        }
        Ok(Self { issuers: Issuers::new(providers), sections: sections.to_vec() })
    }

    fn section(&self, issuer: &str) -> Option<&IssuerSection> {
        self.sections.iter().find(|section| section.issuer.issuer == issuer)
    }

    /// Whether a rule may be made for tokens of this issuer and audience.
    ///
    /// # Errors
    /// [`RuleRefused`], each variant as it says.
    pub(crate) fn check(&self, settings: RuleSettings) -> Result<(), RuleRefused> {
        let section = self.section(&settings.issuer).ok_or_else(|| RuleRefused::Issuer(settings.issuer.clone()))?;
        if !settings.audience.trim().is_empty() && !section.issuer.audiences.contains(&settings.audience) {
            return Err(RuleRefused::Audience(settings.audience));
        }
        Rule::new(settings).map(drop).map_err(RuleRefused::Rule)
    }
}

/// Why a rule is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleRefused {
    /// The issuer is not trusted here.
    #[error("{0:?} is no trusted issuer of this registry's settings")]
    Issuer(String),
    /// The audience is not this registry's.
    #[error("{0:?} is not an audience that this registry takes from that issuer")]
    Audience(String),
    /// The rule makes no sense.
    #[error(transparent)]
    Rule(RuleInvalid),
}

/// Whether `secret` under `name` is a token of an issuer for a robot rather than a password.
pub(super) fn looks_like_token(name: &str, secret: &str) -> bool {
    name.contains('+') && is_three_parts(secret)
}

/// Whether a text has the shape of a signed token, of an issuer or of this registry: three parts, the first of which is JSON in
/// base64url.
pub(super) fn is_three_parts(text: &str) -> bool {
    let mut parts = text.split('.');
    let (header, others) = (parts.next().unwrap_or_default(), parts.count());
    let decoded = URL_SAFE_NO_PAD.decode(header);
    others == 2 && decoded.is_ok_and(|header| serde_json::from_slice::<Map<String, Value>>(&header).is_ok())
}

/// Tells which robot shows `token` under the name `name`, `<account>+<robot>`.
///
/// # Errors
/// [`Refused::WrongPassword`] for a token that is not genuine or that no rule of the robot matches, the log tells which;
/// [`Refused::Issuer`] when the issuer cannot be asked.
pub(super) async fn identify(
    app: &App,
    name: &str,
    token: &str,
    client: Client,
    now: i64,
) -> Result<Authenticated, Refused> {
    let verified = match app.workloads.issuers.verify(token, now).await {
        Ok(verified) => verified,
        Err(error @ oidc::Refused::Unavailable { .. }) => return Err(Refused::Issuer(std::sync::Arc::new(error))),
        Err(error) => return Err(refused(name, &error)),
    };
    let (id, rules) = robot(app, name).await?;
    let rules: Vec<Rule> = rules.iter().filter_map(rule).collect();
    if let Err(error) = decide(&rules, &verified) {
        let why = error.differences.first().map(|difference| difference.why.to_string()).unwrap_or_default();
        tracing::info!(robot = name, "a workload is not {name}: {why}");
        return Err(Refused::WrongPassword);
    }
    let robot = app.metadata.principal(id).await?;
    let robot = robot.filter(|robot| robot.kind == PrincipalKind::Robot && !robot.disabled);
    let robot = robot.ok_or(Refused::WrongPassword)?;
    let binds = app.workloads.section(verified.issuer()).is_none_or(|section| section.bind_address);
    if binds && !first_or_same(app, &verified, (&robot, client), now).await? {
        tracing::warn!(robot = name, "a workload's token for {name} was shown from another address before");
        return Err(Refused::WrongPassword);
    }
    Ok(Authenticated::unbound(robot))
}

fn refused(name: &str, error: &oidc::Refused) -> Refused {
    tracing::info!(robot = name, "a workload's token for {name} is refused: {}", crate::telemetry::chain(error));
    Refused::WrongPassword
}

/// The robot of this name, and its rules, of which there are none where there is no such robot.
///
/// As much is asked for a name that nobody bears: some issuers make a token for everybody, and whoever has one could tell by the
/// work which robots there are.
async fn robot(app: &App, name: &str) -> Result<(PrincipalId, Vec<WorkloadRule>), metadata::Error> {
    let nobody = (PrincipalId(NOBODY), Vec::new());
    let Some((account, robot)) = name.split_once('+') else { return Ok(nobody) };
    if !users::is_name(account) || !users::is_name(robot) {
        return Ok(nobody);
    }
    let account = app.metadata.account(account).await?.map_or(AccountId(NOBODY), |account| account.id);
    let id = app.metadata.robot(account, robot).await?.map_or(PrincipalId(NOBODY), |robot| robot.id);
    let rules = app.metadata.workload_rules(id).await?;
    Ok((id, rules))
}

fn rule(row: &WorkloadRule) -> Option<Rule> {
    let claims = serde_json::from_str(&row.claims).ok()?;
    let (issuer, audience) = (row.issuer.clone(), row.audience.clone());
    Rule::new(RuleSettings { issuer, audience, claims, principal: row.principal.0 }).ok()
}

/// Whether this token was never shown before, or by the same robot from the same network: a client shows it again for each
/// scope it asks for, and a thief shows it from elsewhere.
async fn first_or_same(
    app: &App,
    token: &oidc::Verified,
    (robot, client): (&Principal, Client),
    now: i64,
) -> Result<bool, metadata::Error> {
    let _change = app.readonly.begin_change();
    // Nothing is noted while the registry is read-only, and pulls go on: the token is genuine and short-lived all the same.
    if app.is_readonly() {
        return Ok(true);
    }
    let from = match client {
        Client::At(address) => network(address),
        Client::Operator => IpAddr::from([0, 0, 0, 0]),
    };
    let shown = (token.issuer().to_owned(), token.replay_id().to_owned(), format!("{} {from}", robot.id));
    let until = token.expires_at().max(now) + oidc::LEEWAY;
    app.metadata
        .write((shown, until), |tx, ((issuer, jti, by), until)| Box::pin(tx.show_token((issuer, jti), by, *until)))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_dots_is_no_token() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
        assert!(is_three_parts(&format!("{header}.e30.c2ln")));
        for text in ["eyes.wide.open", "ey.e30.sig", "..", "", &format!("{header}.e30"), &format!("{header}.a.b.c")] {
            assert!(!is_three_parts(text), "{text}");
        }
    }
}
