//! The answer to "who are you".

use std::sync::Arc;

use hallmark_oci::{Action, RepositoryName, Scopes};
use hallmark_storage::metadata::{Facts, Principal, Rights};

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
    /// What was seen of the repository that the request is about, when it was seen together with the principal.
    pub facts: Option<(RepositoryName, Arc<Facts>)>,
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
        Self { principal, ceiling: Ceiling::default(), credential: None, certificate: None, facts: None }
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
