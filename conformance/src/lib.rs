//! A stranger to Hallmark: starts its binary, speaks HTTP to it, drives the clients people use, and measures.
//! Never links the server, its storage or its types (only `hallmark-oci`), or it would forgive them.
//! Start at `server` for a registry to talk to, then `registry` for what to say.

mod backends;
pub mod check;
pub mod durability;
pub mod engine;
pub mod failure;
pub mod http;
pub mod image;
pub mod management;
pub mod process;
pub mod record;
pub mod registry;
pub mod relay;
pub mod resume;
pub mod scratch;
pub mod server;
pub mod settings;
pub mod tar;
pub mod tools;

pub use failure::{Failure, Outcome};
