//! Organizations, teams, robots and grants, each made by one call.

use futures_util::future::BoxFuture;
use hallmark_storage::metadata::{
    AccountId, Error, Grant, NewRobot, NewUser, Organization, OrganizationChange, Principal, PrincipalId, Repository,
    RepositoryId, Rights, Robot, Target, Team, Tx,
};

use super::{NOW, World};

/// What a grant is on, owned.
#[derive(Clone, Debug)]
pub(crate) enum On {
    Repository(RepositoryId),
    Prefix(AccountId, String),
}

impl On {
    pub(crate) fn target(&self) -> Target<'_> {
        match self {
            Self::Repository(id) => Target::Repository(*id),
            Self::Prefix(account, prefix) => Target::Prefix(*account, prefix),
        }
    }
}

/// Who holds a grant on what, in the account of this name.
pub(crate) type Holding = (String, On, PrincipalId);

pub(crate) fn grant((account, on, holder): &Holding) -> Grant<'_> {
    Grant { account, target: on.target(), holder: *holder }
}

/// On a repository, or with a text on every name of the account that begins with it.
pub(crate) fn on_prefix(organization: &Organization, prefix: &str, holder: PrincipalId) -> Holding {
    (organization.name.clone(), On::Prefix(organization.id, prefix.to_owned()), holder)
}

pub(crate) fn on_repository(repository: &Repository, holder: PrincipalId) -> Holding {
    (repository.account_name.clone().unwrap_or_default(), On::Repository(repository.id), holder)
}

impl World {
    /// A change that succeeds.
    pub(crate) async fn change<A, T, F>(&self, input: A, body: F) -> T
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t A) -> BoxFuture<'t, Result<T, Error>> + Send + Sync + 'static,
    {
        self.metadata.write(input, body).await.unwrap()
    }

    /// Makes a user; `None` when that is refused.
    pub(crate) async fn try_user(&self, new: NewUser) -> Option<Principal> {
        self.change(new, |tx, new| Box::pin(tx.create_user(new, NOW))).await
    }

    pub(crate) async fn try_organization(&self, name: &str, owner: &Principal) -> Option<Organization> {
        let input = (name.to_owned(), owner.id);
        self.change(input, |tx, (name, owner)| Box::pin(tx.create_organization(name, *owner, NOW))).await
    }

    pub(crate) async fn organization(&self, name: &str, owner: &Principal) -> Organization {
        self.try_organization(name, owner).await.unwrap()
    }

    /// Makes a user a member of an organization, or an owner.
    pub(crate) async fn member(&self, of: &Organization, user: &Principal, owner: bool) -> OrganizationChange {
        let input = (of.name.clone(), user.clone(), owner);
        self.change(input, |tx, (name, user, owner)| {
            Box::pin(async move {
                let Some(of) = tx.organization(name).await? else { return Ok(OrganizationChange::Unknown) };
                tx.put_member(&of, user, *owner).await
            })
        })
        .await
    }

    pub(crate) async fn remove_member(&self, of: &Organization, user: &Principal) -> OrganizationChange {
        self.change((of.name.clone(), user.clone()), |tx, (name, user)| {
            Box::pin(async move {
                let Some(of) = tx.organization(name).await? else { return Ok(OrganizationChange::Unknown) };
                tx.remove_member(&of, user).await
            })
        })
        .await
    }

    pub(crate) async fn remove_organization(&self, name: &str) -> OrganizationChange {
        self.change(name.to_owned(), |tx, name| {
            Box::pin(async move {
                let Some(gone) = tx.organization(name).await? else { return Ok(OrganizationChange::Unknown) };
                tx.remove_organization(&gone, NOW).await
            })
        })
        .await
    }

    pub(crate) async fn try_team(&self, of: &Organization, name: &str) -> Option<Team> {
        let input = (of.clone(), name.to_owned());
        self.change(input, |tx, (of, name)| Box::pin(tx.create_team(of, name, "in words"))).await
    }

    pub(crate) async fn team(&self, of: &Organization, name: &str) -> Team {
        self.try_team(of, name).await.unwrap()
    }

    /// Puts somebody into a team.
    pub(crate) async fn try_join(&self, team: &Team, user: &Principal, source: &str) -> Result<bool, Error> {
        let input = (team.clone(), user.id, source.to_owned());
        self.metadata.write(input, |tx, (team, user, source)| Box::pin(tx.add_to_team(team, *user, source))).await
    }

    pub(crate) async fn join(&self, team: &Team, user: &Principal) {
        assert!(self.try_join(team, user, "").await.unwrap());
    }

    pub(crate) async fn leave(&self, team: &Team, user: &Principal, source: &str) -> bool {
        let input = (team.id, user.id, source.to_owned());
        self.change(input, |tx, (team, user, source)| Box::pin(tx.remove_from_team(*team, *user, source))).await
    }

    pub(crate) async fn remove_team(&self, of: &Organization, team: &Team) {
        self.change((of.clone(), team.clone()), |tx, (of, team)| Box::pin(tx.remove_team(of, team))).await;
    }

    /// Makes a robot of the account of this name, bound to a repository if one is given.
    pub(crate) async fn try_robot(&self, account: &str, bound: Option<&Repository>, name: &str) -> Option<Robot> {
        let input = (account.to_owned(), bound.cloned(), name.to_owned());
        self.change(input, |tx, (account, bound, name)| {
            Box::pin(async move {
                let account = &tx.account(account).await?.unwrap();
                let repository = bound.as_ref();
                tx.create_robot(&NewRobot { account, repository, name, description: "in words" }, NOW).await
            })
        })
        .await
    }

    pub(crate) async fn robot(&self, account: &str, bound: Option<&Repository>, name: &str) -> Robot {
        self.try_robot(account, bound, name).await.unwrap()
    }

    pub(crate) async fn remove_robot(&self, robot: &Robot) {
        self.change(robot.clone(), |tx, robot| Box::pin(tx.remove_robot(robot, NOW))).await;
    }

    /// Gives rights; whether that many prefixes are allowed.
    pub(crate) async fn give(&self, holding: Holding, rights: &str) -> bool {
        let input = (holding, rights.parse::<Rights>().unwrap(), self.alice.id);
        self.change(input, |tx, (holding, rights, by)| {
            Box::pin(async move { tx.put_grant(&grant(holding), *rights, *by, NOW).await })
        })
        .await
    }

    pub(crate) async fn take(&self, holding: Holding) -> bool {
        self.change(holding, |tx, holding| Box::pin(async move { tx.take_grant(&grant(holding)).await })).await
    }

    /// The repository of this name, in the account that the name says.
    pub(crate) async fn named(&self, name: &str) -> Repository {
        let account = self.metadata.account(name.split('/').next().unwrap()).await.unwrap().unwrap();
        self.repository_in(name.parse().unwrap(), account.id).await
    }

    pub(crate) async fn open_up(&self, repository: &Repository, public: bool) -> bool {
        let input = (repository.clone(), public);
        self.change(input, |tx, (repository, public)| Box::pin(tx.set_public(repository, *public))).await
    }

    pub(crate) async fn delete_repository(&self, repository: &Repository) -> bool {
        self.change(repository.clone(), |tx, gone| Box::pin(tx.delete_repository(gone, NOW))).await
    }

    pub(crate) async fn rename(&self, repository: &Repository, name: &str) -> bool {
        let input = (repository.clone(), name.parse().unwrap());
        self.change(input, |tx, (repository, name)| Box::pin(tx.rename_repository(repository, name, NOW))).await
    }
}
