//! An issuer that misbehaves on demand, tokens in the shapes that real issuers give them, and what must come of both.

mod device;
mod keys;
mod network;
mod settings;
pub(crate) mod stage;
mod tokens;
