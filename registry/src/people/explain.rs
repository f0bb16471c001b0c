//! Why may, or may not, somebody do something in a repository: the decision with its reasons.

use std::str::FromStr;
use std::sync::Arc;

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{Facts, Granted, Holder, NameKind, Principal, PrincipalId, Rights, SystemRole};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::grants::HolderName;
use super::{Caller, Refused};
use crate::access::{self, Reason};
use crate::app::App;

/// What somebody would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Read what is in it.
    Pull,
    /// Add to it, also delete tags.
    Push,
    /// Delete manifests and blobs.
    Delete,
    /// Sign what is in it.
    Sign,
    /// Change settings and grants.
    Admin,
}

impl Act {
    fn needs(self) -> Rights {
        match self {
            Self::Pull => Rights::PULL,
            Self::Push => Rights::PUSH,
            Self::Delete => Rights::DELETE,
            Self::Sign => Rights::SIGN,
            Self::Admin => Rights::MANAGE,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Sign => "sign",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Act {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text {
            "pull" => Ok(Self::Pull),
            "push" => Ok(Self::Push),
            "delete" => Ok(Self::Delete),
            "sign" => Ok(Self::Sign),
            "admin" => Ok(Self::Admin),
            _ => Err(Refused::invalid("action", "use pull, push, delete, sign or admin")),
        }
    }
}

/// One reason for rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonView {
    /// In words.
    pub because: String,
    /// The rights that it gives, joined by `+`.
    pub rights: String,
}

/// An answer with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Whether they may.
    pub allowed: bool,
    /// Whether there is a repository of this name; in one that there is not, a push may make it.
    pub exists: bool,
    /// All rights that they have in it, joined by `+`.
    pub rights: String,
    /// Each reason that they have rights at all.
    pub reasons: Vec<ReasonView>,
    /// What is missing, when they may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// Explains what `subject` (`None`: anybody) may do. Oneself may always ask about oneself; who manages the repository, or
/// reads everything, about anybody. A repository that the caller may not know of is explained as one that is not there, and a
/// role in the whole registry counts only for who may know of it: who reads everything, and whose it is.
///
/// # Errors
/// [`Refused`].
pub async fn explain(
    app: &App,
    caller: &Caller,
    subject: Option<&HolderName>,
    (act, name): (Act, &RepositoryName),
) -> Result<Explanation, Refused> {
    if caller.known.ceiling.bound(name, Rights::ADMIN).is_empty() {
        return Err(Refused::Forbidden("this token does not reach a repository of this name"));
    }
    let who = match subject {
        Some(subject) => Some(principal(app, caller, subject, name).await?),
        None => None,
    };
    let facts = facts(app, caller, who.as_ref(), name).await?;
    let mut reasons = Vec::new();
    let decision = access::decide(who.as_ref(), &facts, |reason, rights| reasons.push((reason, rights)));
    let exists = facts.repository.is_some();
    let mut shown = Vec::with_capacity(reasons.len());
    for (reason, rights) in reasons {
        shown.push(ReasonView { because: words(app, reason, who.as_ref()).await?, rights: rights.to_string() });
    }
    let mut missing = (!decision.rights.contain(act.needs())).then(|| lacking(who.as_ref(), act, name));
    let writes = |grant: &Granted| grant.rights.contain(Rights::SIGN);
    if missing.is_some() && act == Act::Sign && facts.grants.iter().any(writes) {
        missing = Some(format!(
            "the organization does not let `write` alone sign on {name}: it takes a grant of `sign`, also beside it"
        ));
    }
    if missing.is_none() && act == Act::Push && !exists && !decision.may_create {
        missing = Some(format!(
            "there is no repository {name}, and making it needs admin on a prefix of its name, an owner, or create-on-push"
        ));
    }
    if missing.is_none() && act == Act::Push && facts.account.is_none() {
        // Whoever gets here administers the registry: nothing else gives rights where nobody has an account.
        missing = Some(format!("nobody has the account that {name} would lie in"));
    }
    if missing.is_none()
        && act == Act::Push
        && !exists
        && !decision.rights.contain(Rights::MANAGE)
        && app.metadata.name_rests(NameKind::Repository, name.as_str(), caller.now).await?
    {
        missing = Some(format!("the name {name} was released lately and rests: making it again needs admin on it"));
    }
    Ok(Explanation { allowed: missing.is_none(), exists, rights: decision.rights.to_string(), reasons: shown, missing })
}

/// What is known of `who` and the name, as far as the caller may know of the repository.
async fn facts(
    app: &App,
    caller: &Caller,
    who: Option<&Principal>,
    name: &RepositoryName,
) -> Result<Arc<Facts>, Refused> {
    let metadata = app.metadata.without_cache();
    let (own, _) = metadata.facts(Some(caller.principal().id), name).await?;
    let (facts, _) = metadata.facts(who.map(|who| who.id), name).await?;
    let rights = access::decide(Some(caller.principal()), &own, |_, _| {}).rights;
    if caller.reads_everything() || !caller.known.ceiling.bound(name, rights).is_empty() {
        return Ok(facts);
    }
    let mut absent = Facts::clone(&facts);
    absent.repository = None;
    absent.grants.retain(|grant| grant.prefix.is_some());
    Ok(Arc::new(absent))
}

fn lacking(who: Option<&Principal>, act: Act, name: &RepositoryName) -> String {
    let who = match who {
        Some(who) if who.disabled => {
            return format!("{} is disabled and may do nothing but read what is public", who.name);
        }
        Some(who) => who.name.as_str(),
        None => "anybody",
    };
    format!("nothing gives {who} the right to {} on {name}: no grant, no team, no role", act.word())
}

async fn principal(
    app: &App,
    caller: &Caller,
    subject: &HolderName,
    name: &RepositoryName,
) -> Result<Principal, Refused> {
    let unknown = || Refused::Unknown("subject");
    let own = caller.name() == subject.to_string();
    if !own && !caller.reads_everything() {
        super::repositories::manages(app, caller, name).await?;
    }
    let sees_all = own || caller.reads_everything();
    let id = match &subject.0 {
        Holder::User(user) => app.metadata.user(user).await?.map(|user| user.principal.id),
        Holder::Robot(account, robot) => match app.metadata.account(account).await? {
            // A robot holds rights in its own account only: those of another are nobody's business here.
            Some(found) if sees_all || name.account() == Some(account) => {
                app.metadata.robot(found.id, robot).await?.map(|robot| robot.id)
            }
            Some(_) | None => None,
        },
        Holder::Team(..) => {
            return Err(Refused::invalid("subject", "a team does nothing itself; ask about one of its members"));
        }
    };
    let id: PrincipalId = id.ok_or_else(unknown)?;
    let found = app.metadata.without_cache().principal(id).await?.ok_or_else(unknown)?;
    Ok(if sees_all { found } else { Principal { role: SystemRole::None, ..found } })
}

async fn words(app: &App, reason: Reason<'_>, who: Option<&Principal>) -> Result<String, Refused> {
    Ok(match reason {
        Reason::Administrator => "administers the registry".to_owned(),
        Reason::Auditor => "reads everything as an auditor of the registry".to_owned(),
        Reason::OwnAccount => "the account is their own".to_owned(),
        Reason::OrganizationOwner => "owns the organization".to_owned(),
        Reason::MembersCreate => "members of the organization may make repositories by pushing".to_owned(),
        Reason::Public => "the repository is public".to_owned(),
        Reason::Grant(granted) => granted_to(app, granted, who).await?,
    })
}

async fn granted_to(app: &App, granted: &Granted, who: Option<&Principal>) -> Result<String, Refused> {
    let on = granted.prefix.as_ref().map_or_else(|| "the repository".to_owned(), |prefix| format!("{prefix}*"));
    if who.is_some_and(|who| who.id == granted.holder) {
        return Ok(format!("granted to them on {on}"));
    }
    let holder = app.metadata.holder(granted.holder).await?;
    let holder = holder.map_or_else(|| "a team".to_owned(), |holder| HolderName(holder).to_string());
    Ok(format!("granted to {holder} on {on}"))
}
