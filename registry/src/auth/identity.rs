//! The answer to "who are you".

use std::sync::Arc;

use hallmark_oci::{Action, Scopes};
use hallmark_storage::metadata::Principal;

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
}

/// The upper bound that a credential sets on the rights of its principal.
#[derive(Debug, Clone)]
pub enum Ceiling {
    /// A password: whatever the principal may do.
    None,
    /// A bearer token: no more than these scopes.
    Scopes(Arc<Scopes>),
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
            Self::Anonymous => &Ceiling::None,
            Self::Stranger(ceiling) => ceiling,
            Self::Known(known) => &known.ceiling,
        }
    }

    /// Whether a bearer token was shown; its refusal names an error, a missing token's does not.
    #[must_use]
    pub fn showed_token(&self) -> bool {
        matches!(self.ceiling(), Ceiling::Scopes(_))
    }
}

impl Ceiling {
    /// Whether the credential reaches `action` on the resource. A class makes another resource of the same name.
    #[must_use]
    pub fn covers(&self, resource_type: &str, name: &str, action: Action) -> bool {
        let Self::Scopes(scopes) = self else { return true };
        scopes.allow(resource_type, name, action)
    }
}
