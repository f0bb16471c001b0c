//! Lives here: what other issuers say. Their keys, their tokens, and signing in with them (OpenID Connect).
//! Never here: who an outsider is among our principals (`workload` has the rules; accounts are (issuer, subject)), the
//! registry's own tokens, and any HTTP endpoint of ours.
//! Start reading at [`Issuers::verify`], then [`people`].

mod address;
mod cached;
mod claims;
pub mod device;

mod issuer;
mod json;
mod jwk;
mod jwt;
mod outbound;
mod path;
pub mod people;

mod provider;
#[cfg(test)]
pub(crate) mod tests;

pub use address::{Names, Reach, reach};
pub use claims::{ClaimsRefused, LEEWAY, LIFETIME, Verified};
pub use issuer::{Issuer, IssuerInvalid, IssuerSettings};
pub use json::JsonInvalid;
pub use jwk::KeySetInvalid;
pub use jwt::TokenInvalid;
pub use outbound::{FetchError, Network};
pub use path::{ClaimPath, ClaimPathInvalid};
pub use provider::{Issuers, Metadata, OpenError, Provider, ProviderError, Refused};
