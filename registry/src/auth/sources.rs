//! People whom somebody else knows: who they are here, made when they first come, and which teams they are in.

use std::collections::BTreeSet;

use hallmark_storage::metadata::{self, Event, NameKind, NewUser, OrganizationChange, Principal, SystemRole, Tx};
use serde_json::{Value, json};

use super::directory::TeamName;
use super::{Refused, users};
use crate::app::App;

/// Somebody whom a directory or a provider has just vouched for.
#[derive(Debug, Clone)]
pub(crate) struct Vouched {
    /// The directory's or provider's name in the settings.
    pub(crate) source: String,
    /// Its own unchanging id of them.
    pub(crate) subject: String,
    /// What it calls them now; their name here, if they are made a user.
    pub(crate) name: String,
    /// The teams that their groups are mapped to.
    pub(crate) teams: BTreeSet<TeamName>,
    /// Whether they are made a user when they are none.
    pub(crate) create: bool,
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
        return Ok(Some(user.principal));
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
    let payload = json!({"source": vouched.source}).to_string();
    let event =
        Event { account: Some(made.account_id), payload: &payload, ..Event::of_system("user_added", &made.name, now) };
    tx.record(&event).await?;
    Ok(Some(made))
}

/// Makes the memberships that come from this source those that it vouches for now; others stay. Whoever was made a member of an
/// organization for a team leaves it with their last team there.
async fn put_into_teams(tx: &mut Tx, user: &Principal, vouched: &Vouched, now: i64) -> Result<(), metadata::Error> {
    let in_team = || json!({"user": user.name, "source": vouched.source});
    let mut before = tx.teams_from(user.id, &vouched.source).await?;
    for wanted in &vouched.teams {
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
    for name in tx.organizations_from(user.id, &vouched.source).await? {
        let Some(organization) = tx.organization(&name).await? else { continue };
        if tx.is_in_a_team(organization.id, user.id).await? {
            continue;
        }
        // An organization keeps one owner at least, also one whom nothing vouches for.
        if tx.remove_member(&organization, user).await? == OrganizationChange::Made {
            let payload = json!({"source": vouched.source});
            record(tx, ("member_removed", &user.name), (organization.id, payload), now).await?;
        }
    }
    Ok(())
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
