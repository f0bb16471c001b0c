//! The answer to "who are you".

use std::sync::Arc;

use hallmark_oci::{Action, Operation, Reference, RepositoryName, Scopes};
use hallmark_storage::metadata::{Facts, Principal, Rights, StoredManifest};

use super::limits::{Api, Limits};

/// Who sent a request.
#[derive(Debug, Clone)]
pub enum Identity {
    /// Nobody said; such a request sees what is public.
    Anonymous,
    /// A token that was given to nobody in particular: an anonymous one, with the ceiling it names.
    Stranger(Ceiling),
    /// A principal whose credentials hold at this moment.
    Known(Authenticated),
}

/// A principal and how far the credential that was shown reaches.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// The principal as it stands now, not as it stood when a token was made.
    pub principal: Principal,
    /// The upper bound that the credential sets.
    pub ceiling: Ceiling,
    /// The row of the long-lived credential that was shown, or that the token was made from, if it was one.
    pub credential: Option<i64>,
    /// A client certificate was shown: the last moment at which it is valid, in milliseconds since 1970.
    pub certificate: Option<i64>,
    /// What the request is about, when that was seen together with the principal.
    pub sight: Option<Arc<Sight>>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The repository.
    pub name: &'a RepositoryName,
    /// The manifest to be pulled from it, if one is.
    pub manifest: Option<&'a Reference>,
}

/// What a request is about, as one statement saw it with whoever asks.
#[derive(Debug)]
pub struct Sight {
    /// The name of the repository.
    pub name: RepositoryName,
    /// What is known of it and of the principal in it.
    pub facts: Arc<Facts>,
    /// A manifest of it, and the reference by which it was found.
    pub manifest: Option<(Reference, Arc<StoredManifest>)>,
}

impl<'a> About<'a> {
    /// What an operation is about: nothing, when it is about no repository.
    #[must_use]
    pub fn of(operation: &'a Operation) -> Option<Self> {
        let manifest = match operation {
            Operation::PullManifest(pull) => Some(&pull.reference),
            _ => None,
        };
        operation.repository().map(|name| Self { name, manifest })
    }
}

/// The upper bound that a credential sets on the rights of its principal. A password sets none; a bearer token is bound
/// by its scopes, and by the limits of the personal access token that it was made from.
#[derive(Debug, Clone, Default)]
pub struct Ceiling {
    /// A bearer token: no more than these scopes.
    pub scopes: Option<Arc<Scopes>>,
    /// A personal access token, or one made from it: no more than these limits.
    pub limits: Option<Arc<Limits>>,
}

impl Authenticated {
    /// A principal with no upper bound, and nothing to remember of what was shown.
    pub(crate) fn unbound(principal: Principal) -> Self {
        Self { principal, ceiling: Ceiling::default(), credential: None, certificate: None, sight: None }
    }
}

impl Identity {
    /// The principal, when there is one.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Anonymous | Self::Stranger(_) => None,
            Self::Known(known) => Some(&known.principal),
        }
    }

    /// What was seen of this repository together with the principal.
    #[must_use]
    pub fn sight(&self, name: &RepositoryName) -> Option<&Sight> {
        match self {
            Self::Anonymous | Self::Stranger(_) => None,
            Self::Known(known) => known.sight.as_deref().filter(|sight| sight.name == *name),
        }
    }

    /// The upper bound of what was shown.
    #[must_use]
    pub fn ceiling(&self) -> &Ceiling {
        match self {
            Self::Anonymous => Ceiling::NONE,
            Self::Stranger(ceiling) => ceiling,
            Self::Known(known) => &known.ceiling,
        }
    }

    /// Whether a bearer token was shown; its refusal names an error, a missing token's does not.
    #[must_use]
    pub fn showed_token(&self) -> bool {
        self.ceiling().scopes.is_some()
    }
}

impl Ceiling {
    const NONE: &'static Self = &Self { scopes: None, limits: None };

    /// The ceiling of a bearer token.
    #[must_use]
    pub fn of_scopes(scopes: Arc<Scopes>) -> Self {
        Self { scopes: Some(scopes), limits: None }
    }

    /// Whether the credential reaches `action` on the resource. A class makes another resource of the same name.
    #[must_use]
    pub fn covers(&self, resource_type: &str, name: &str, action: Action) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.allow(resource_type, name, action))
    }

    /// What of `rights` in the repository `name` the credential reaches.
    #[must_use]
    pub fn bound(&self, name: &RepositoryName, rights: Rights) -> Rights {
        self.limits.as_ref().map_or(rights, |limits| limits.bound(name, rights))
    }

    /// Whether the credential reaches every repository that its principal does.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.limits.as_ref().is_none_or(|limits| limits.on.is_empty() && limits.rights.contain(Rights::PULL))
    }

    /// Whether the credential reaches all that its principal may do with images and what they are in.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.limits.as_ref().is_none_or(|limits| limits.on.is_empty() && limits.rights.contain(Rights::ADMIN))
    }

    /// What the credential reaches of the management API. Bearer tokens are made for images.
    #[must_use]
    pub fn api(&self) -> Api {
        match (&self.scopes, &self.limits) {
            (Some(_), _) => Api::Nothing,
            (None, Some(limits)) => limits.api,
            (None, None) => Api::Write,
        }
    }
}
