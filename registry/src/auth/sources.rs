//! People whom somebody else knows: who they are here, made when they first come, and which teams they are in.

use std::collections::BTreeSet;

use hallmark_storage::metadata::{
    self, Event, GrantLine, NameKind, NewUser, Organization, OrganizationChange, PasswordSeen, Principal, RepositoryId,
    SystemRole, Tx,
};
use serde_json::{Value, json};

use super::directory::TeamName;
use super::{Refused, refresh, users};
use crate::app::App;

/// How much older what is written down of a sign-in may be than the last one, in milliseconds: a minute.
const VOUCHED: i64 = 60 * 1_000;

/// Somebody whom a directory or a provider has just vouched for.
#[derive(Debug, Clone)]
pub(crate) struct Vouched {
    /// The directory's or provider's name in the settings.
    pub(crate) source: String,
    /// Its own unchanging id of them.
    pub(crate) subject: String,
    /// What it calls them now; their name here, if they are made a user.
    pub(crate) name: String,
    /// The teams that their groups are mapped to; none when it was not told in which groups they are, and all stays as it was.
    pub(crate) teams: Option<BTreeSet<TeamName>>,
    /// Whether they are made a user when they are none.
    pub(crate) create: bool,
    /// Whether they sign in now, and were not merely looked up.
    pub(crate) signs_in: bool,
    /// Since when the source has had the password that they sign in with there, in milliseconds since 1970, if it tells.
    pub(crate) password_at: Option<i64>,
}

/// The user whom `vouched` is, with the teams that this source puts them into. An account belongs to (source, subject): a name
/// that somebody has here is never taken over by one who is called the same there.
///
/// # Errors
/// [`Refused::WrongPassword`] for who is no user here and is not made one, or is disabled; [`Refused::NameRests`];
/// [`Refused::Metadata`].
pub(crate) async fn admit(app: &App, vouched: Vouched, now: i64) -> Result<Principal, Refused> {
    let _change = app.readonly.begin_change();
    if app.is_readonly() {
        let user = app.metadata.user_of_source(&vouched.source, &vouched.subject).await?;
        let principal = user.map(|user| user.principal).filter(|principal| !principal.disabled);
        return principal.ok_or(Refused::WrongPassword);
    }
    let admitted = app
        .metadata
        .write((vouched, now), |tx, (vouched, now)| {
            Box::pin(async move {
                let Some(principal) = find_or_make(tx, vouched, *now).await? else {
                    return Ok::<_, Refused>(None);
                };
                put_into_teams(tx, &principal, vouched, *now).await?;
                Ok(Some(principal))
            })
        })
        .await?;
    admitted.filter(|principal| !principal.disabled).ok_or(Refused::WrongPassword)
}

async fn find_or_make(tx: &mut Tx, vouched: &Vouched, now: i64) -> Result<Option<Principal>, Refused> {
    if let Some(user) = tx.user_of_source(&vouched.source, &vouched.subject).await? {
        return renew(tx, user.principal, vouched, now).await.map(Some);
    }
    if !vouched.create {
        return Ok(None);
    }
    if users::check_name(&vouched.name).is_err() {
        tracing::warn!(
            source = vouched.source,
            "{:?} signs in with {} and cannot be a user's name here",
            vouched.name,
            vouched.source
        );
        return Ok(None);
    }
    let source = Some((vouched.source.clone(), vouched.subject.clone()));
    let new = NewUser { name: vouched.name.clone(), password: None, role: SystemRole::None, source };
    let Some(made) = tx.create_user(&new, now).await? else {
        tracing::warn!(
            source = vouched.source,
            "{:?} signs in with {}, and somebody else has that name here",
            vouched.name,
            vouched.source
        );
        return Ok(None);
    };
    // Images are pulled and signatures trusted by that name: an administrator may give it to somebody else, nobody takes it.
    if tx.resting_name(NameKind::Account, &made.name, now).await?.is_some() {
        tracing::warn!(
            source = vouched.source,
            "{:?} signs in with {} by a name that rests",
            made.name,
            vouched.source
        );
        return Err(Refused::NameRests(made.name));
    }
    if let Some(at) = vouched.password_at {
        tx.set_source_password(made.id, at).await?;
    }
    let payload = json!({"source": vouched.source}).to_string();
    let event =
        Event { account: Some(made.account_id), payload: &payload, ..Event::of_system("user_added", &made.name, now) };
    tx.record(&event).await?;
    Ok(Some(made))
}

/// Writes down that somebody who is known was vouched for. A password that was changed over there ends what the one before left
/// here, as one that is changed here does: refresh tokens, bearer tokens, and that it is remembered. Tokens with an end of their
/// own stay.
async fn renew(tx: &mut Tx, user: Principal, vouched: &Vouched, now: i64) -> Result<Principal, Refused> {
    let at = user.vouched.as_ref().and_then(|vouching| vouching.at);
    if vouched.signs_in && at.is_none_or(|at| now - at >= VOUCHED) {
        tx.renew_vouching(&user, now).await?;
    }
    let Some(at) = vouched.password_at else { return Ok(user) };
    let seen = tx.set_source_password(user.id, at).await?;
    if seen == PasswordSeen::Same {
        return Ok(user);
    }
    let ended = tx.revoke_older_credentials(user.id, refresh::KIND, at, now).await?;
    if seen == PasswordSeen::First && ended == 0 {
        return Ok(user);
    }
    let payload = json!({"source": vouched.source}).to_string();
    let event = Event::of_system("password_changed", &user.name, now);
    tx.record(&Event { account: Some(user.account_id), payload: &payload, ..event }).await?;
    tx.void_bearer_tokens(user.id).await?;
    let epoch = tx.credential_epoch(user.id).await?.unwrap_or(user.credential_epoch);
    Ok(Principal { credential_epoch: epoch, ..user })
}

/// Takes what came from the groups of somebody whom their provider has not vouched for since `before`; whether that is so.
///
/// # Errors
/// The database's.
pub(crate) async fn lapse(
    app: &App,
    (source, subject): (&str, &str),
    before: i64,
    now: i64,
) -> Result<bool, metadata::Error> {
    let (source, subject, name) = (source.to_owned(), subject.to_owned(), String::new());
    let teams = Some(BTreeSet::new());
    let vouched = Vouched { source, subject, name, teams, create: false, signs_in: false, password_at: None };
    app.metadata
        .write((vouched, before, now), |tx, (vouched, before, now)| {
            Box::pin(async move {
                let user = tx.user_of_source(&vouched.source, &vouched.subject).await?.map(|user| user.principal);
                let at = |user: &Principal| user.vouched.as_ref().and_then(|vouching| vouching.at);
                // Who has signed in since is not the one who was found.
                let lapsed = user.filter(|user| at(user).is_some_and(|at| at <= *before));
                let Some(user) = lapsed else { return Ok(false) };
                put_into_teams(tx, &user, vouched, *now).await?;
                Ok(true)
            })
        })
        .await
}

/// Makes the memberships that come from this source those that it vouches for now; others stay. Whoever was made a member of an
/// organization for a team leaves it with their last team there, and what was granted to them in it rests until their groups bring
/// them back.
async fn put_into_teams(tx: &mut Tx, user: &Principal, vouched: &Vouched, now: i64) -> Result<(), metadata::Error> {
    let Some(teams) = &vouched.teams else { return Ok(()) };
    let in_team = || json!({"user": user.name, "source": vouched.source});
    let mut before = tx.teams_from(user.id, &vouched.source).await?;
    for wanted in teams {
        let TeamName { organization, team } = wanted;
        if let Some(at) = before.iter().position(|(_, held, name)| held == organization && name == team) {
            before.swap_remove(at);
            continue;
        }
        let Some(organization) = tx.organization(organization).await? else { continue };
        let Some(team) = tx.team(organization.id, team).await? else { continue };
        if tx.membership(organization.id, user.id).await?.is_none() {
            tx.put_member_from(&organization, user, &vouched.source).await?;
            let payload = json!({"role": "member", "source": vouched.source});
            record(tx, ("member_put", &user.name), (organization.id, payload), now).await?;
        }
        tx.add_to_team(&team, user.id, &vouched.source).await?;
        record(tx, ("team_member_added", &team.name), (organization.id, in_team()), now).await?;
        wake_grants(tx, user, (&organization, &vouched.source), now).await?;
    }
    for (team, organization, name) in before {
        let Some(organization) = tx.organization(&organization).await? else { continue };
        tx.remove_from_team(team, user.id, &vouched.source).await?;
        record(tx, ("team_member_removed", &name), (organization.id, in_team()), now).await?;
    }
    leave_organizations(tx, user, vouched, now).await
}

/// Takes somebody out of the organizations that this source brought them into, and in which they are in no team any more.
async fn leave_organizations(
    tx: &mut Tx,
    user: &Principal,
    vouched: &Vouched,
    now: i64,
) -> Result<(), metadata::Error> {
    for name in tx.organizations_without_team(user.id, &vouched.source).await? {
        let Some(organization) = tx.organization(&name).await? else { continue };
        // Somebody may have put them into one before it was held.
        if tx.is_in_a_team(organization.id, user.id).await? {
            continue;
        }
        // An organization keeps one owner at least, also one whom nothing vouches for.
        let grants = tx.grants_in(organization.id, user.id).await?;
        if tx.part_from(&organization, user).await? == OrganizationChange::Made {
            let payload = json!({"source": vouched.source});
            record(tx, ("member_removed", &user.name), (organization.id, payload), now).await?;
            for (grant, repository) in grants.iter().filter(|(grant, _)| !grant.rests) {
                let payload = json!({"holder": holder(user), "source": vouched.source, "rests": true});
                let of = (organization.id, *repository);
                record_grant(tx, ("grant_taken", grant), (of, payload), now).await?;
            }
        }
    }
    Ok(())
}

/// Lets somebody whom their source brought back into an organization hold again what was granted to them there before.
async fn wake_grants(
    tx: &mut Tx,
    user: &Principal,
    (organization, source): (&Organization, &str),
    now: i64,
) -> Result<(), metadata::Error> {
    let grants = tx.grants_in(organization.id, user.id).await?;
    if !grants.iter().any(|(grant, _)| grant.rests) {
        return Ok(());
    }
    tx.wake_grants(organization, user.id).await?;
    for (grant, repository) in grants.iter().filter(|(grant, _)| grant.rests) {
        let payload = json!({"holder": holder(user), "rights": grant.rights.to_string(), "source": source});
        record_grant(tx, ("grant_put", grant), ((organization.id, *repository), payload), now).await?;
    }
    Ok(())
}

fn holder(user: &Principal) -> String {
    format!("user:{}", user.name)
}

async fn record_grant(
    tx: &mut Tx,
    (kind, grant): (&str, &GrantLine),
    ((account, repository), payload): ((metadata::AccountId, Option<RepositoryId>), Value),
    now: i64,
) -> Result<(), metadata::Error> {
    let (payload, subject) = (payload.to_string(), grant.target());
    let event =
        Event { account: Some(account), repository, payload: &payload, ..Event::of_system(kind, &subject, now) };
    tx.record(&event).await
}

async fn record(
    tx: &mut Tx,
    (kind, subject): (&str, &str),
    (account, payload): (metadata::AccountId, Value),
    now: i64,
) -> Result<(), metadata::Error> {
    let payload = payload.to_string();
    let event = Event { account: Some(account), payload: &payload, ..Event::of_system(kind, subject, now) };
    tx.record(&event).await
}
