//! Ids of rows: numbers that mean one thing each.

/// Declares an id: a number that cannot be taken for another's.
macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(pub i64);

            impl From<$name> for super::value::Value<'_> {
                fn from(id: $name) -> Self {
                    Self::from(id.0)
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    self.0.fmt(f)
                }
            }
        )+
    };
}

ids! {
    /// A principal: who acts. Never given twice, so a token of someone who is gone names nobody.
    PrincipalId;
    /// An account: who owns repositories.
    AccountId;
    /// A repository.
    RepositoryId;
    /// A blob of the whole store.
    BlobId;
    /// A manifest of one repository.
    ManifestId;
}

impl PrincipalId {
    /// Nobody in the registry's own list: its operator, or the registry itself.
    pub const SYSTEM: Self = Self(0);
    /// Nobody at all: no principal has this id.
    pub(super) const NOBODY: Self = Self(-1);
}

impl AccountId {
    /// The system's account, which owns the repositories of one component.
    pub const SYSTEM: Self = Self(0);
}
