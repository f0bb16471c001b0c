//! Token scopes: which actions on which resources are asked for, and which a token carries.
//! What is permitted is decided elsewhere; a scope is a wish or an upper bound.
//! Start at [`Scopes::parse`].

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use crate::limits::{NAME_BYTES, SCOPES};
use crate::{Action, Gun, RepositoryName};

/// The longest resource type or class, in bytes.
const WORD_BYTES: usize = 64;

/// Actions on one resource: `repository:team/app:pull,push`, or with a class `repository(plugin):team/app:pull`.
///
/// Types other than `repository` and `registry` are kept; nobody grants them. In a token's `access` claim the same
/// facts are an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// The kind of resource.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The class, between parentheses after the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The resource. With a host and port in front it holds a colon.
    pub name: String,
    /// The actions, known ones only: a word that is none asks for nothing.
    pub actions: BTreeSet<Action>,
}

/// An entry of a token's `access` claim.
pub type Access = Scope;

impl Scope {
    /// Actions on a repository.
    #[must_use]
    pub fn repository(name: &RepositoryName, actions: impl IntoIterator<Item = Action>) -> Self {
        Self::named(name.as_str(), actions)
    }

    /// Actions on a trust collection: a repository with its host in front.
    #[must_use]
    pub fn collection(gun: &Gun, actions: impl IntoIterator<Item = Action>) -> Self {
        Self::named(gun.as_str(), actions)
    }

    fn named(name: &str, actions: impl IntoIterator<Item = Action>) -> Self {
        Self {
            resource_type: "repository".to_owned(),
            class: None,
            name: name.to_owned(),
            actions: actions.into_iter().collect(),
        }
    }

    /// The scope of the catalog: `registry:catalog:*`.
    #[must_use]
    pub fn catalog() -> Self {
        Self {
            resource_type: "registry".to_owned(),
            class: None,
            name: "catalog".to_owned(),
            actions: BTreeSet::from([Action::All]),
        }
    }

    /// Whether the action is among these; `*` is every action.
    #[must_use]
    pub fn allows(&self, action: Action) -> bool {
        self.actions.contains(&action) || self.actions.contains(&Action::All)
    }

    /// What makes two scopes speak of the same thing.
    fn resource(&self) -> (&str, Option<&str>, &str) {
        (&self.resource_type, self.class.as_deref(), &self.name)
    }

    /// A scope from its parts, as the `access` claim holds them.
    pub(crate) fn from_parts(
        resource_type: &str,
        class: Option<&str>,
        name: &str,
        actions: BTreeSet<Action>,
    ) -> Result<Self, ScopeInvalid> {
        if is_word(resource_type) && class.is_none_or(is_word) && is_name(name) {
            let (resource_type, name) = (resource_type.to_owned(), name.to_owned());
            Ok(Self { resource_type, class: class.map(str::to_owned), name, actions })
        } else {
            Err(ScopeInvalid)
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeInvalid;

    /// Splits at the first and at the last colon, as the name may hold others.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').ok_or(ScopeInvalid)?;
        let (name, actions) = rest.rsplit_once(':').ok_or(ScopeInvalid)?;
        let (resource_type, class) = match kind.split_once('(') {
            None => (kind, None),
            Some((kind, class)) => (kind, Some(class.strip_suffix(')').ok_or(ScopeInvalid)?)),
        };
        let is_action = |action: &str| action == "*" || action.bytes().all(|byte| byte.is_ascii_lowercase());
        if !actions.split(',').all(is_action) {
            return Err(ScopeInvalid);
        }
        let actions = actions.split(',').filter_map(|action| action.parse().ok()).collect();
        Self::from_parts(resource_type, class, name, actions)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource_type)?;
        if let Some(class) = &self.class {
            write!(f, "({class})")?;
        }
        write!(f, ":{}:", self.name)?;
        for (index, action) in self.actions.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(action.as_str())?;
        }
        Ok(())
    }
}

/// `[a-z0-9]+`
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= WORD_BYTES
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// A resource's name: no tighter than what keeps it inside a header's quotes and a space-separated list. The host in
/// front of it may have capitals and, as an IPv6 address, brackets.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 2 * NAME_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:[]*".contains(&byte))
}

/// Scopes, one to a resource, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Reads the `scope` parameters of a token request, each of which may hold several, separated by spaces.
    ///
    /// Scopes of one resource become one. Malformed ones, those with no known action and those past [`SCOPES`] are
    /// dropped: a token request is answered with what can be granted, and never refused for what cannot.
    #[must_use]
    pub fn parse<'s>(parameters: impl IntoIterator<Item = &'s str>) -> Self {
        parameters
            .into_iter()
            .flat_map(|parameter| parameter.split(' '))
            .filter_map(|scope| scope.parse().ok())
            .collect()
    }

    /// The scopes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Scope> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many resources are named.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the action on the resource is within these scopes. A class makes another resource of the same name.
    #[must_use]
    pub fn allow(&self, resource_type: &str, name: &str, action: Action) -> bool {
        let resource = (resource_type, None, name);
        let found = self.0.binary_search_by(|scope| scope.resource().cmp(&resource));
        found.is_ok_and(|index| self.0[index].allows(action))
    }

    fn add(&mut self, scope: Scope) {
        match self.0.binary_search_by(|known| known.resource().cmp(&scope.resource())) {
            Ok(index) => self.0[index].actions.extend(scope.actions),
            Err(index) => self.0.insert(index, scope),
        }
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut merged = Self::default();
        for scope in scopes.into_iter().filter(|scope| !scope.actions.is_empty()).take(SCOPES) {
            merged.add(scope);
        }
        merged
    }
}

impl<'s> IntoIterator for &'s Scopes {
    type Item = &'s Scope;
    type IntoIter = std::slice::Iter<'s, Scope>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            scope.fmt(f)?;
        }
        Ok(())
    }
}

/// A text that is not a [`Scope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a scope is written as type:name:actions, like repository:team/app:pull,push")]
pub struct ScopeInvalid;
