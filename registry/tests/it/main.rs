//! The registry at its door: requests go into the router, the whole answer is looked at, then the world.
//! Never here: connections and TLS (`src/http/server`), grammar tables (`oci`), real clients (`conformance`).
//! Start reading at `harness`, then the folder of the path that you look for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

/// The stage of the unit tests names what it needs by this path.
use hallmark::auth;

mod api;
mod directory;
mod harness;
mod invariants;
mod operator;
mod rights;
mod sign_in;
mod signing;
mod token;
mod trust;
mod v2;
mod verbs;
