//! What a principal may do in a repository: a function of facts, without I/O.

use std::collections::BTreeSet;

use hallmark_oci::{Action, RepositoryName};
use hallmark_storage::metadata::{Principal, Repository};

/// The rights of one principal in one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    pull: bool,
    push: bool,
    delete: bool,
}

impl Rights {
    /// Works out the rights of `principal` (`None`: nobody in particular) in the repository `name`.
    ///
    /// `repository` is the repository's row, when it exists; rights in one that does not exist are those of who could make it.
    #[must_use]
    pub fn of(principal: Option<&Principal>, name: &RepositoryName, repository: Option<&Repository>) -> Self {
        let owns = principal.is_some_and(|principal| principal.system_admin || owns(principal, name, repository));
        let public = repository.is_some_and(|repository| repository.public);
        Self { pull: owns || public, push: owns, delete: owns }
    }

    /// Every right.
    #[must_use]
    pub const fn all() -> Self {
        Self { pull: true, push: true, delete: true }
    }

    /// No right at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { pull: false, push: false, delete: false }
    }

    /// Whether `action` is among them.
    #[must_use]
    pub const fn allow(self, action: Action) -> bool {
        match action {
            Action::Pull => self.pull,
            Action::Push => self.push,
            Action::Delete => self.delete,
            Action::All => self.pull && self.push && self.delete,
        }
    }

    /// The part of `asked` that is allowed; `*` from somebody who lacks a part becomes the part they have.
    #[must_use]
    pub fn cut_down(self, asked: &BTreeSet<Action>) -> BTreeSet<Action> {
        let mut kept: BTreeSet<Action> = asked.iter().copied().filter(|action| self.allow(*action)).collect();
        if asked.contains(&Action::All) && !kept.contains(&Action::All) {
            kept.extend([Action::Pull, Action::Push, Action::Delete].into_iter().filter(|action| self.allow(*action)));
        }
        kept
    }
}

/// A user owns what lies in the account of their name. Once a repository exists, its account's id decides and not its
/// name, so that a name that is taken again inherits nothing.
fn owns(principal: &Principal, name: &RepositoryName, repository: Option<&Repository>) -> bool {
    match repository {
        Some(repository) => repository.account_id == principal.account_id,
        None => name.account() == Some(principal.name.as_str()),
    }
}
